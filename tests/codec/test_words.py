"""Integers of 32 bits: against Python's own, and what LLVM makes of them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from gguf_lab.codec.backends.numba_ import PRIMITIVES

u8, u32, at, f32, where = (PRIMITIVES[name] for name in ("u8", "u32", "at", "f32", "where"))
words = st.integers(0, (1 << 32) - 1)
MASK = (1 << 32) - 1


@njit
def _operate(b, j):
    x, y = u32(b, 0), u32(b, 4)
    results = (
        x + y,
        x - y,
        x * y,
        x & y,
        x | y,
        x ^ y,
        -x,
        x + 7,
        7 - x,
        x << 3,
        x >> 3,
        x << (j & 31),
        x >> (j & 31),
        1 << (y & 31),
        where(j > 5, x, y),
        where(j > 5, x, 0x80000000),
        where(j > 5, -1, 1) + x,
    )
    relations = x == y, x != y, x < y, x <= y, x > y, x >= y, x < 7, x >= 7
    return [f32(result & 0xFFFF) for result in results], [
        f32((result >> 16) & 0xFFFF) for result in results
    ], relations  # fmt: skip


def _signed(x):
    return (x ^ 1 << 31) - (1 << 31)


@given(words, words, st.integers(0, 1 << 40))
def test_arithmetic_is_pythons_in_32_bits(x, y, j):
    low, high, relations = _operate(np.array([x, y], "<u4").view(np.uint8), j)
    want = [
        *(x + y, x - y, x * y, x & y, x | y, x ^ y, -x, x + 7, 7 - x, x << 3, x >> 3),
        *(x << (j & 31), x >> (j & 31), 1 << (y & 31)),
        *((x, x, x - 1) if j > 5 else (y, 1 << 31, x + 1)),
    ]
    found = [int(a) | int(b) << 16 for a, b in zip(low, high, strict=True)]
    assert found == [number & MASK for number in want]
    a, b = _signed(x), _signed(y)
    assert relations == (a == b, a != b, a < b, a <= b, a > b, a >= b, a < 7, a >= 7)


@njit
def _as_float(b):
    return f32(u32(b, 0))


@given(words)
def test_a_word_becomes_a_float_with_its_sign(x):
    block = np.array([x], "<u4").view(np.uint8)
    assert _as_float(block) == np.float32(_signed(x))


@njit
def _look_up(table, b, j):
    return f32(at(table, 1000 * u8(b, 0) + j))


@njit
def _address(b, j):
    return 1000 * u8(b, 0) + j


def test_a_sum_with_a_counter_is_an_address_of_64_bits():
    table = np.zeros(300_000, np.uint8)
    table[255_005] = 77
    block = np.array([255], np.uint8)
    assert _look_up(table, block, 5) == 77
    assert _address(block, 1 << 40) == 255_000 + (1 << 40)


_ASSEMBLE = """
import gguf_lab.codec.backends.numba_ as backend
from gguf_lab.comparison import kernels

compiled = {name: backend.dequantizer(backend.FORMATS[name]) for name in %r}
sums = backend.types.void(kernels._STEPS, kernels._STEPS, kernels._LANES)
compiled["fold"] = backend.compile_kernel(kernels._fold, "fold", {}, sums)
for name, kernel in compiled.items():
    print("---", name, "\\n", *kernel.inspect_asm().values())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="assembly of x86")
def test_loops_are_compiled_to_vectors_of_32_bits(tmp_path):
    """For a CPU with AVX2, whatever this one is: nothing is run."""
    haswell = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+f16c"}
    fresh = {"NUMBA_CACHE_DIR": str(tmp_path)}  # what comes from the cache has no assembly
    names = "Q4_0", "Q5_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0"
    command = [sys.executable, "-c", _ASSEMBLE % (names,)]
    done = subprocess.run(
        command, env=os.environ | haswell | fresh, capture_output=True, text=True, check=True
    )
    code = {part.split()[0]: part for part in done.stdout.split("--- ")[1:]}
    for name in names:
        assert "vcvtdq2ps\t%ymm" in code[name], f"{name} is not decoded in vectors"
        # Shifted in 64 bits and packed again: half as fast.
        for wasteful in ("vpsrlvq", "vpsllvq", "vpackusdw"):
            assert wasteful not in code[name], f"{name} is decoded in 64 bits"
    assert "vmulps\t%ymm" in code["fold"]
    # A masked store takes AMD's CPUs as long as all the rest of the loop.
    assert "vmaskmov" not in code["fold"]
