"""Quantizers of MXFP4 and NVFP4: the nearest of sixteen small floats, under a rounded-up scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import bitcast_f32, bitcast_u32, helper, truncate
from .registry import quantizer
from .runs import magnitude
from .vectors import LANES, absolute, choose, load, store_bytes, vector


def _doubled() -> np.ndarray:
    """Return twice the values of the sixteen codes."""
    from ..formats.microscaling import e2m1_doubled

    return np.array([e2m1_doubled(q) for q in range(16)], np.int32)


@helper
def nearest_floats(x: Any, d: Any, table: Any, codes: Any) -> None:
    """Store the code of the nearest value, the first of equals, compared as ggml does."""
    for i in range(0, x.size, LANES):
        xi = load(x, i)
        code, best = vector(np.float32(0)), absolute(np.float32(table[0]) * d - xi)
        for k in range(1, 16):
            error = absolute(np.float32(table[k]) * d - xi)
            better = error < best
            code, best = choose(better, np.float32(k), code), choose(better, error, best)
        store_bytes(codes, i, code)


@quantizer("MXFP4", table=_doubled)
def mxfp4(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest magnitude onto 4 to 8, of which 6 is the end."""
    codes = np.empty(32, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 32):
            x, o = values[r, 32 * b : 32 * b + 32], out[r, 17 * b : 17 * b + 17]
            peak, e = magnitude(x), 0
            if peak > np.float32(0):
                # Rounded to float32 first, as by C's log2f: just below a power of two it is that.
                # A peak below 2**-125 wraps around, as in ggml on x86, and all codes become 0.
                exponent = np.floor(np.float32(np.log2(np.float64(peak))))
                e = int(exponent + 125) & 255
            o[0] = np.uint8(e)
            scale = 0x200000 << e if e < 2 else (e - 1) << 23
            nearest_floats(x, bitcast_f32(np.uint32(scale)), table, codes)
            for j in range(16):
                o[1 + j] = codes[j] | codes[j + 16] << 4


@helper
def to_ue4m3(x: Any) -> Any:
    """Round a number to an unsigned float of 4 bits exponent and 3 mantissa, half up, 448 at most.

    As in ggml, what would round up to the first normal number stays below it, and what would have
    the largest exponent becomes 448.
    """
    x = min(x, np.float32(448))
    u = np.int64(bitcast_u32(x))
    exponent, mantissa = (u >> 23) - 120, (u >> 20) & 7
    if x <= np.float32(0):
        return 0
    if exponent <= 0:
        return min(np.int64(truncate(x * np.float32(512) + np.float32(0.5))), 7)
    rounded = (exponent << 3 | mantissa) + ((u >> 19) & 1)
    return rounded if rounded < 0x78 else 0x7E


@helper
def ue4m3(q: Any) -> Any:
    """Return half the value, as `formats.microscaling.NVFP4` does."""
    e, m = q >> 3, q & 7
    if e == 0:
        return np.float32(m) * np.float32(0.0009765625)
    return bitcast_f32(np.uint32((e + 119) << 23 | m << 20))


@quantizer("NVFP4", table=_doubled)
def nvfp4(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest magnitude of 16 weights onto 6."""
    codes = np.empty(16, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 64):
            o = out[r, 36 * b : 36 * b + 36]
            for s in range(4):
                x = values[r, 64 * b + 16 * s : 64 * b + 16 * s + 16]
                q = to_ue4m3(magnitude(x) / np.float32(6))
                o[s] = np.uint8(q)
                nearest_floats(x, ue4m3(q), table, codes)
                for j in range(8):
                    o[4 + 8 * s + j] = codes[j] | codes[j + 8] << 4
