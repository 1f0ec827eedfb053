from __future__ import annotations

import os
import subprocess
import sys
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from gguf_lab.codec.backends.compiling import compile_once

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from gguf_lab import dequantize
from gguf_lab.codec import FORMATS
from gguf_lab.comparison.kernels import measure_fused
sys.setswitchinterval(1e-5)
def work(name):
    blocks = np.zeros((4, FORMATS[name].qtype.type_size * 2), np.uint8)
    rows = np.ones((4, FORMATS[name].qtype.block_size * 2), np.float32).view(np.uint8)
    dequantize(blocks, name)
    return measure_fused((name, blocks), ("F32", rows)).n
names = ["Q4_0", "Q8_0", "F16", "Q4_0", "BF16", "Q8_0", "F32", "F16"] * 3
with ThreadPoolExecutor(8) as pool:
    assert all(pool.map(work, names))
print("fine")
"""


INTERRUPTED = """
import _thread, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from numba.core.codegen import CPUCodeLibrary
hook, armed = CPUCodeLibrary._object_compiled_hook, []
def compiled(cls, module, code):
    if armed:
        armed.clear()
        _thread.interrupt_main()
    return hook(module, code)
CPUCodeLibrary._object_compiled_hook = classmethod(compiled)
import numpy as np
import gguf_lab as gl
values = np.ones((2, 256), np.float32)
gl.quantize(values, "Q8_0")
armed.append(True)
try:
    gl.quantize(values, "Q5_0")
except KeyboardInterrupt:
    print("interrupted", gl.quantize(values, "Q5_0").shape)
"""


DECODED = """
import numpy as np
import gguf_lab as gl
print(gl.dequantize(np.full((1, 18), 60, np.uint8), "Q4_0").sum())
"""
WITHOUT_A_FOLDER = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
"""


def run(code: str, cache: Path, warnings: str = "error") -> str:
    """Run a program for which nothing has been compiled yet."""
    answer = subprocess.run(
        [sys.executable, "-W", warnings, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout + answer.stderr


@pytest.mark.slow
def test_threads_that_need_the_same_kernels_at_first_do_not_disturb_each_other(tmp_path):
    """An empty cache: everything is compiled while other kernels already run."""
    assert run(CODE, tmp_path) == "fine\n"


@pytest.mark.slow
def test_an_interrupt_while_something_is_compiled_is_not_lost(tmp_path):
    assert run(INTERRUPTED, tmp_path) == "interrupted (2, 176)\n"


@pytest.mark.parametrize("end", ["nbi", "nbc"])
@pytest.mark.parametrize("length", [0, 40])
def test_a_file_of_the_cache_that_was_cut_off_is_in_the_way_once(end, length, tmp_path):
    """As a full disk, or a machine that went down, leaves it."""
    due = run(DECODED, tmp_path)
    for path in tmp_path.rglob(f"*.{end}"):
        os.truncate(path, length)
    told = run(DECODED, tmp_path, "default")
    assert float(due) == float(told.splitlines()[0])
    assert "UserWarning: numba's cache could not be used" in told
    assert run(DECODED, tmp_path) == run(DECODED, tmp_path) == due


def test_kernels_are_compiled_where_there_is_no_folder_for_them(tmp_path):
    decoded = DECODED + DECODED.replace("Q4_0", "IQ4_NL")
    due = run(decoded, tmp_path).splitlines()
    told = run(WITHOUT_A_FOLDER + decoded, tmp_path, "default")
    assert [float(line) for line in due] == [float(line) for line in told.splitlines()[:2]]
    assert told.count("UserWarning: numba's cache could not be used (RuntimeError)") == 1


def test_what_is_compiled_does_not_wait_for_what_is_being_compiled():
    begun, go_on, got = Event(), Event(), []
    quick = compile_once(lambda x: x + 1)
    slow = compile_once(lambda: (begun.set(), go_on.wait(60)))
    assert quick(1) == 2
    other = Thread(target=slow)
    other.start()
    assert begun.wait(60)
    third = Thread(target=lambda: got.append(quick(1)))
    third.start()
    third.join(10)
    assert got == [2]
    go_on.set()
    other.join()
    third.join()


def test_kernels_are_compiled_where_there_can_be_no_thread(allow_threads):
    allow_threads(0)
    assert compile_once(lambda x: x + 1)(1) == 2
