"""Runs the Triton kernels on the CPU: ``python -m tests.codec.interpreted JOBS RESULTS``.

Triton reads TRITON_INTERPRET when it is imported, and its interpreter patches Triton's own modules:
so it has a process to itself. Jobs and results are pickled dicts; a job is the name of a function
of this module and its arguments.
"""

from __future__ import annotations

import mmap
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

ROOT = Path(__file__).parents[2]


def run(jobs, folder):
    """Run jobs ``{key: (function, *arguments)}`` in a process of their own; return the results."""
    asked, answered = folder / "jobs", folder / "results"
    asked.write_bytes(pickle.dumps(jobs))
    answer = subprocess.run(
        [sys.executable, "-m", "tests.codec.interpreted", asked, answered],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return pickle.loads(answered.read_bytes())


# --- jobs; tests of the compiled kernels call some, too -------------------------------------------


def dequantize(name, blocks, dtype="float32"):
    """Return the bits of the backend's result: as integers, which bfloat16 needs."""
    import torch

    from gguf_lab.codec import FORMATS
    from gguf_lab.codec.backends import triton_

    flat = torch.from_numpy(blocks).reshape(-1, FORMATS[name].qtype.type_size)
    values = triton_.dequantize(FORMATS[name], flat, getattr(torch, dtype))
    assert values.dtype == getattr(torch, dtype)
    return values.view({2: torch.int16, 4: torch.int32}[values.itemsize]).numpy()


def public(name, blocks):
    import gguf_lab as gl

    return gl.dequantize(blocks, name, backend="triton")


def choose(device, backend):
    from gguf_lab import GGUFLabError
    from gguf_lab.codec import choose_backend

    try:
        return choose_backend(device, backend)
    except GGUFLabError as error:
        return str(error)


def measure(weights, reference, count=True):
    import torch

    from gguf_lab.comparison.triton_kernels import measure_with_triton

    sides = ((qtype, torch.from_numpy(rows)) for qtype, rows in (weights, reference))
    statistics = measure_with_triton(*sides, count=count)
    return {name: getattr(statistics, name) for name in statistics.__slots__}


def compare(model, reference, tensors):
    import gguf_lab as gl
    from gguf_lab.comparison import measuring as room

    room.choose_backend = lambda device: "triton"
    result = gl.compare(model, reference, tensors=tensors, device="cpu", threads=3, progress=False)
    return result.backend, [
        (row.name, row.rmse, row.cosine, row.histogram.counts) for row in result.compared
    ]


def gpu_check(what):
    """Run a part of benchmarks/gpu_check.py in small, on the CPU."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import gpu_check as script

    if what == "huge":
        return script.guarded(script.check_huge, "cpu", 32 * 3000)
    if what == "streaming":
        return script.guarded(script.check_streaming, "cpu", 1 << 15)
    backends, generator = ("torch", "triton"), np.random.default_rng(0)
    row = script.check(what, "cpu", backends, generator, 2000)
    return row | script.speed(what, "cpu", backends, 1.0, 4096)


def far(name, blocks, first):
    """Decode and compare blocks that are the last ones of a tensor, from number `first` on.

    The tensor is a file that has nothing in it but the pages that are touched.
    """
    import torch
    from triton.runtime import interpreter

    from gguf_lab.codec import FORMATS
    from gguf_lab.codec.backends import triton_
    from gguf_lab.comparison import triton_kernels

    # Of every kernel run the last two programs only, and write in place: the interpreter's copying
    # back and forth would touch every page.
    interpreter.GridExecutor._restore_args_dev = lambda *arguments: None
    builder, launch = interpreter.interpreter_builder, triton_.launch
    program_id, skipped = builder.create_get_program_id, 0

    def number(axis):
        handle = program_id(axis)
        handle.data = handle.data + np.int32(skipped)
        return handle

    def last_two(kernel, programs, *arguments, device):
        nonlocal skipped
        skipped = programs - 2
        launch(kernel, 2, *arguments, device=device)

    builder.create_get_program_id = number
    triton_.launch = triton_kernels.launch = last_two

    fmt = FORMATS[name]
    n, size, width = first + len(blocks), fmt.qtype.block_size, fmt.qtype.type_size
    src, out, rows = (_range(n * bytes_) for bytes_ in (width, 4 * size, 4 * size))
    src[first * width :] = torch.from_numpy(blocks).reshape(-1)
    out = out.view(torch.float32).view(n, size)
    triton_.dequantize(fmt, src.view(n, width), out=out)
    values = out[first:].numpy()
    rows.view(torch.float32)[first * size :] = torch.from_numpy(values).reshape(-1) * 1.25
    statistics = triton_kernels.measure_with_triton((name, src), ("F32", rows))
    return values, {name: getattr(statistics, name) for name in statistics.__slots__}


def _range(size):
    import torch

    with TemporaryFile() as sparse:
        sparse.truncate(size)
        return torch.frombuffer(mmap.mmap(sparse.fileno(), size), dtype=torch.uint8)


if __name__ == "__main__":
    warnings.simplefilter("error")
    # Triton 3.3 makes bounds of loops of arrays with one element
    warnings.filterwarnings("ignore", "Conversion of an array with ndim > 0", DeprecationWarning)
    pending = pickle.loads(Path(sys.argv[1]).read_bytes())
    results = {key: globals()[job[0]](*job[1:]) for key, job in pending.items()}
    Path(sys.argv[2]).write_bytes(pickle.dumps(results))
