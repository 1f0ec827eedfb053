"""Quantizers of the ternary types: the largest magnitude of 256 weights becomes 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, helper, put_u16
from .registry import quantizer
from .runs import inverse_or_zero, magnitude
from .vectors import LANES, absolute, choose, load, round_away, store_bytes

__all__ = ["five_digits", "pack_tq1", "pack_tq2"]


@helper
def digits(x: Any, codes: Any) -> Any:
    """Store 0, 1 or 2 for a weight; return the scale."""
    d = magnitude(x)
    inverse = inverse_or_zero(d)
    for i in range(0, 256, LANES):
        code = round_away(load(x, i) * inverse)
        # C's lroundf of what fits no integer, times an infinite inverse scale, ends as 0.
        code = choose(absolute(code) < np.float32(2147483648.0), code, np.float32(0))
        store_bytes(codes, i, code + np.float32(1))
    return d


@helper
def five_digits(codes: Any, first: Any, step: Any, n: Any) -> Any:
    """Return a byte of `n` digits of base 3, then zeros, as 256ths of 3**5, rounded up."""
    q = 0
    for k in range(5):
        q = 3 * q + (int(codes[first + step * k]) if k < n else 0)
    return ((q & 255) * 256 + 242) // 243


@helper
def pack_tq1(codes: Any, o: Any) -> None:
    """Pack 256 digits into 52 bytes: 32 and 16 of five digits, and 4 of four."""
    for j in range(32):
        o[j] = np.uint8(five_digits(codes, j, 32, 5))
    for j in range(16):
        o[32 + j] = np.uint8(five_digits(codes, 160 + j, 16, 5))
    for j in range(4):
        o[48 + j] = np.uint8(five_digits(codes, 240 + j, 4, 4))


@helper
def pack_tq2(codes: Any, o: Any) -> None:
    """Pack 256 digits, two bits each, four runs of 32 weights to a run of bytes."""
    for h in range(2):
        for j in range(32):
            c = codes[128 * h + j :]
            byte = (c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6
            o[32 * h + j] = np.uint8(byte)


@quantizer("TQ1_0")
def tq1_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Five digits to a byte."""
    codes = np.empty(256, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            o = out[r, 54 * b : 54 * b + 54]
            put_u16(o, 52, half_bits(digits(values[r, 256 * b : 256 * b + 256], codes)))
            pack_tq1(codes, o)


@quantizer("TQ2_0")
def tq2_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Two bits each."""
    codes = np.empty(256, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            o = out[r, 66 * b : 66 * b + 66]
            put_u16(o, 64, half_bits(digits(values[r, 256 * b : 256 * b + 256], codes)))
            pack_tq2(codes, o)
