"""The K-quants: super-blocks of 256 weights whose sub-block scales are quantized themselves.

Layouts: ``block_q2_K`` ... ``block_q8_K`` in ggml-common.h.
"""

from __future__ import annotations

from typing import Any

from .definition import Format, bits, f16, f32, i8, nibble, u8, u32, where


def packed_scale(b: Any, o: Any, g: Any) -> Any:
    """Return the g-th of eight 6-bit (scale, min) pairs in the 12 bytes at `o` (Q4_K, Q5_K)."""
    s, m, rest = u8(b, o + (g & 3)), u8(b, o + 4 + (g & 3)), u8(b, o + 8 + (g & 3))
    return (
        where(g < 4, s & 63, (rest & 15) | ((s >> 6) << 4)),
        where(g < 4, m & 63, (rest >> 4) | ((m >> 6) << 4)),
    )


class Q2_K(Format, fields="scales:u8[16] qs:u8[64] d:f16 dmin:f16", group=16):
    """d * scale * q - dmin * min; scale and min are the nibbles of one byte."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 80) * f32(nibble(b, g, 0)), f16(b, 82) * f32(nibble(b, g, 1))

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return (u8(b, 16 + 32 * (g >> 3) + 16 * (g & 1) + j) >> (2 * ((g >> 1) & 3))) & 3


class Q3_K(Format, fields="hmask:u8[32] qs:u8[64] scales:u8[12] d:f16", group=16):
    """d * (scale - 32) * (q - 4); the third bit of q is in hmask."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        low, high = nibble(b, 96 + (g & 7), g >> 3), u8(b, 104 + (g & 3)) >> (2 * (g >> 2))
        return f16(b, 108) * f32((low | (high & 3) << 4) - 32), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        row, column = (g >> 1) & 3, 16 * (g & 1) + j
        low = (u8(b, 32 + 32 * (g >> 3) + column) >> (2 * row)) & 3
        return (low | ((u8(b, column) >> (g >> 1)) & 1) << 2) - 4


class Q4_K(Format, fields="d:f16 dmin:f16 scales:u8[12] qs:u8[128]", group=32):
    """d * scale * q - dmin * min; eight 6-bit (scale, min) pairs in scales."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        s, m = packed_scale(b, 4, g)
        return f16(b, 0) * f32(s), f16(b, 2) * f32(m)

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return nibble(b, 16 + 32 * (g >> 1) + j, g & 1)


class Q5_K(Format, fields="d:f16 dmin:f16 scales:u8[12] qh:u8[32] qs:u8[128]", group=32):
    """As Q4_K; bit g of qh[j] is the fifth bit of weight (g, j)."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        s, m = packed_scale(b, 4, g)
        return f16(b, 0) * f32(s), f16(b, 2) * f32(m)

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return nibble(b, 48 + 32 * (g >> 1) + j, g & 1) | ((u8(b, 16 + j) >> g) & 1) << 4


class Q6_K(Format, fields="ql:u8[128] qh:u8[64] scales:i8[16] d:f16", group=16):
    """d * scale * (q - 32); four bits of q in ql, two in qh."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 208) * f32(i8(b, 192 + g)), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        row, column = (g >> 1) & 3, 16 * (g & 1) + j
        low = nibble(b, 64 * (g >> 3) + 32 * (row & 1) + column, row >> 1)
        high = (u8(b, 128 + 32 * (g >> 3) + column) >> (2 * row)) & 3
        return (low | high << 4) - 32


class Q8_K(Format, fields="d:f32 qs:i8[256] bsums:i16[16]", group=32):
    """d * q; bsums (sums of 16) serve dot products only."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return bits(u32(b, 0)), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return i8(b, 4 + 32 * g + j)
