"""Quantizers of the blocks with one half-precision scale: Q4_0 to Q8_0, Q1_0 and Q2_0.

Without an importance the scale maps the largest weight onto the largest code. With one it is
searched in the first four; a weight then counts as its importance times the root of the mean square
of the row plus its own square.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, helper, inlined, mean_square, put_u16
from .registry import quantizer
from .runs import extremes, inverse_or_zero, largest, magnitude, store_codes
from .search import affine, affine_code, gather, scatter, symmetric, symmetric_code, weigh
from .vectors import LANES, choose, lanes_as_byte, load, round_away, store, store_bytes

__all__ = ["pack"]

_16 = np.float32(16)
_FIRST, _STEP, _STEPS = np.float32(-0.9), np.float32(0.05), 36


@inlined
def pack(codes: Any, five: Any, o: Any) -> None:
    """Pack 32 codes of four bits, given as float32; of `five` bits if so, the fifth ones first."""
    for j in range(0, 16, LANES):
        low, high = load(codes, j), load(codes, j + 16)
        if five:
            o[j // 8] = lanes_as_byte(low >= _16)
            o[j // 8 + 2] = lanes_as_byte(high >= _16)
            low, high = choose(low >= _16, low - _16, low), choose(high >= _16, high - _16, high)
        store_bytes(o, j + 4 if five else j, low + _16 * high)


@helper
def symmetric_blocks(values: Any, importance: Any, out: Any, size: Any, top: Any) -> None:
    """Write Q4_0 or Q5_0: blocks of `size` bytes, codes from -top to top - 1."""
    codes = np.empty(32 * LANES, np.float32)
    x, w = np.empty(32 * LANES, np.float32), np.empty(32 * LANES, np.float32)
    n, five, scales = values.shape[1] // 32, top == 16, np.empty(LANES, np.float32)
    for r in range(values.shape[0]):
        if not importance.size:
            for b in range(n):
                xb, o = values[r, 32 * b : 32 * b + 32], out[r, size * b : size * b + size]
                d = largest(xb) / np.float32(-top)
                put_u16(o, 0, half_bits(d))
                shift = np.float32(top) + np.float32(0.5)
                store_codes(xb, np.float32(0), inverse_or_zero(d), shift, 2 * top - 1, codes)
                pack(codes, five, o[2:])
            continue
        mean = mean_square(values[r])
        for b in range(0, n, LANES):
            groups = min(LANES, n - b)
            gather(values[r], 32 * b, 32, groups, x)
            gather(importance, 32 * b, 32, groups, w)
            weigh(x, mean, 32, w)
            scale, inverse = symmetric(x, w, 32, top)
            store(scales, 0, scale)
            for i in range(32):
                code = symmetric_code(load(x, LANES * i), inverse, top) + np.float32(top)
                store(x, LANES * i, code)
            scatter(x, 32, groups, codes)
            for k in range(groups):
                o = out[r, size * (b + k) : size * (b + k + 1)]
                put_u16(o, 0, half_bits(scales[k]))
                pack(codes[32 * k : 32 * k + 32], five, o[2:])


@helper
def affine_blocks(values: Any, importance: Any, out: Any, size: Any, top: Any) -> None:
    """Write Q4_1 or Q5_1: blocks of `size` bytes, codes from 0 to top."""
    codes, q = np.empty(32 * LANES, np.float32), np.empty(32 * LANES, np.float32)
    x, w = np.empty(32 * LANES, np.float32), np.empty(32 * LANES, np.float32)
    n, five, found = values.shape[1] // 32, top == 31, np.empty((2, LANES), np.float32)
    for r in range(values.shape[0]):
        if not importance.size:
            for b in range(n):
                xb, o = values[r, 32 * b : 32 * b + 32], out[r, size * b : size * b + size]
                low, high = extremes(xb)
                d = (high - low) / np.float32(top)
                put_u16(o, 0, half_bits(d))
                put_u16(o, 2, half_bits(low))
                store_codes(xb, low, inverse_or_zero(d), np.float32(0.5), top, codes)
                pack(codes, five, o[4:])
            continue
        mean = mean_square(values[r])
        for b in range(0, n, LANES):
            groups = min(LANES, n - b)
            gather(values[r], 32 * b, 32, groups, x)
            gather(importance, 32 * b, 32, groups, w)
            weigh(x, mean, 32, w)
            scale, low, inverse, origin = affine(x, w, 32, top, _FIRST, _STEP, _STEPS, False, q)
            store(found[0], 0, scale)
            store(found[1], 0, low)
            for i in range(32):
                store(q, LANES * i, affine_code(load(x, LANES * i), origin, inverse, top))
            scatter(q, 32, groups, codes)
            for k in range(groups):
                o = out[r, size * (b + k) : size * (b + k + 1)]
                put_u16(o, 0, half_bits(found[0, k]))
                put_u16(o, 2, half_bits(found[1, k]))
                pack(codes[32 * k : 32 * k + 32], five, o[4:])


@quantizer("Q4_0")
def q4_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest weight onto code 0, which is -8; or search."""
    symmetric_blocks(values, importance, out, 18, np.int32(8))


@quantizer("Q5_0")
def q5_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest weight onto code 0, which is -16; or search."""
    symmetric_blocks(values, importance, out, 22, np.int32(16))


@quantizer("Q4_1")
def q4_1(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Span smallest to largest weight with codes 0 to 15; or search."""
    affine_blocks(values, importance, out, 20, np.int32(15))


@quantizer("Q5_1")
def q5_1(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Span smallest to largest weight with codes 0 to 31; or search."""
    affine_blocks(values, importance, out, 24, np.int32(31))


@quantizer("Q8_0")
def q8_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest magnitude onto 127."""
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 32):
            x, o = values[r, 32 * b : 32 * b + 32], out[r, 34 * b : 34 * b + 34]
            d = magnitude(x) / np.float32(127)
            put_u16(o, 0, half_bits(d))
            scale = inverse_or_zero(d)
            for j in range(0, 32, LANES):
                store_bytes(o, 2 + j, round_away(load(x, j) * scale))


@quantizer("Q1_0")
def q1_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Keep the signs, and the mean magnitude as the scale."""
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 128):
            x, o = values[r, 128 * b : 128 * b + 128], out[r, 18 * b : 18 * b + 18]
            total = np.float32(0)
            for i in range(128):
                total += np.abs(x[i])
            put_u16(o, 0, half_bits(total / np.float32(128)))
            for k in range(16):
                o[2 + k] = lanes_as_byte(load(x, LANES * k) >= np.float32(0))


@quantizer("Q2_0")
def q2_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest magnitude onto 1; code 3 is not used."""
    codes = np.empty(64, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 64):
            x, o = values[r, 64 * b : 64 * b + 64], out[r, 18 * b : 18 * b + 18]
            d = magnitude(x)
            put_u16(o, 0, half_bits(d))
            scale = inverse_or_zero(d)
            for j in range(0, 64, LANES):
                store_bytes(codes, j, round_away(load(x, j) * scale) + np.float32(1))
            for k in range(16):
                c = codes[4 * k : 4 * k + 4]
                o[2 + k] = c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6
