from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


@pytest.mark.slow
def test_threads_that_need_the_same_kernels_at_first_do_not_disturb_each_other(tmp_path):
    """An empty cache: everything is compiled while other kernels already run."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "fine\n", answer.stderr
