"""Blocks of 32 (and the newer 128 and 64) weights with one half-precision scale.

Layouts: ``block_q4_0`` ... ``block_q8_1``, ``block_q1_0``, ``block_q2_0`` in ggml-common.h.
"""

from __future__ import annotations

from typing import Any

from .definition import Format, f16, f32, i8, nibble, u8, u16, u32


class Q4_0(Format, fields="d:f16 qs:u8[16]", group=16):
    """d * (q - 8); low nibbles are weights 0-15, high nibbles 16-31."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return nibble(b, 2 + j, g) - 8


class Q4_1(Format, fields="d:f16 m:f16 qs:u8[16]", group=16):
    """d * q + m."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), f16(b, 2) * f32(-1)

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return nibble(b, 4 + j, g)


class Q5_0(Format, fields="d:f16 qh:u32 qs:u8[16]", group=16):
    """d * (q - 16); bit i of qh is the fifth bit of weight i."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return (nibble(b, 6 + j, g) | ((u32(b, 2) >> (16 * g + j)) & 1) << 4) - 16


class Q5_1(Format, fields="d:f16 m:f16 qh:u32 qs:u8[16]", group=16):
    """d * q + m; bit i of qh is the fifth bit of weight i."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), f16(b, 2) * f32(-1)

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return nibble(b, 8 + j, g) | ((u32(b, 4) >> (16 * g + j)) & 1) << 4


class Q8_0(Format, fields="d:f16 qs:i8[32]", group=32):
    """d * q."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return i8(b, 2 + j)


class Q8_1(Format, fields="d:f16 s:f16 qs:i8[32]", group=32):
    """d * q; s = d * sum(q) serves dot products only."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return i8(b, 4 + j)


class Q1_0(Format, fields="d:f16 qs:u8[16]", group=8):
    """d where the bit is set, -d where it is not."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return 2 * ((u8(b, 2 + g) >> j) & 1) - 1


class Q2_0(Format, fields="d:f16 qs:u8[16]", group=8):
    """d * (q - 1); two bytes are eight weights."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return ((u16(b, 2 + 2 * g) >> (2 * j)) & 3) - 1
