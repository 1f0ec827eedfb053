"""The I-quants: weights as entries of a grid of likely vectors, with signs stored apart.

Layouts: ``block_iq1_s`` ... ``block_iq4_xs`` in ggml-common.h. The grids and the sign table come
from the ``gguf`` package, which unpacks them from the same source.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .definition import Format, at, f16, f32, half, nibble, u8, u16, u32, where


def _grid(name: str) -> np.ndarray:
    from gguf import quants

    cls = getattr(quants, name)
    cls.init_grid()
    return np.asarray(cls.grid).reshape(-1).astype(np.int8).view(np.uint8)


def _grid_and_signs(name: str) -> np.ndarray:
    """Return the grid, then the 128 sign bytes (of 7 stored bits; the eighth evens the parity)."""
    from gguf import quants

    return np.concatenate([_grid(name), np.frombuffer(quants.IQ2_XXS.ksigns, np.uint8)])


def _nonlinear() -> np.ndarray:
    from gguf import quants

    return np.array(quants.IQ4_NL.kvalues, np.int8).view(np.uint8)


def signed(magnitude: Any, negative: Any) -> Any:
    """Return the magnitude, negated where the bit is set."""
    return where(negative != 0, -magnitude, magnitude)


def signed_byte(t: Any, i: Any) -> Any:
    """Return a table entry as two's complement."""
    return (at(t, i) ^ 128) - 128


class IQ2_XXS(Format, fields="d:f16 qs:u16[32]", group=8, table=lambda: _grid_and_signs("IQ2_XXS")):
    """Per 32 weights: four grid bytes, then 4 x 7 sign bits and a 4-bit scale."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * (f32(0.5) + f32(u8(b, 9 + 8 * (g >> 2)) >> 4)) * f32(0.25), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        o = 2 + 8 * (g >> 2)
        signs = at(t, 2048 + ((u32(b, o + 4) >> (7 * (g & 3))) & 127))
        return signed(at(t, 8 * u8(b, o + (g & 3)) + j), (signs >> j) & 1)


class IQ2_XS(
    Format, fields="d:f16 qs:u16[32] scales:u8[8]", group=8, table=lambda: _grid_and_signs("IQ2_XS")
):
    """Per 8 weights: a 9-bit grid index and 7 sign bits; a 4-bit scale per 16."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * (f32(0.5) + f32(nibble(b, 66 + (g >> 2), (g >> 1) & 1))) * f32(0.25), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        q = u16(b, 2 + 2 * g)
        return signed(at(t, 8 * (q & 511) + j), (at(t, 4096 + (q >> 9)) >> j) & 1)


class IQ2_S(
    Format,
    fields="d:f16 qs:u8[32] signs:u8[32] qh:u8[8] scales:u8[8]",
    group=8,
    table=lambda: _grid("IQ2_S"),
):
    """Per 8 weights: a 10-bit grid index and 8 sign bits; a 4-bit scale per 16."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * (f32(0.5) + f32(nibble(b, 74 + (g >> 2), (g >> 1) & 1))) * f32(0.25), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        high = (u8(b, 66 + (g >> 2)) >> (2 * (g & 3))) & 3
        return signed(at(t, 8 * (u8(b, 2 + g) | high << 8) + j), (u8(b, 34 + g) >> j) & 1)


class IQ3_XXS(
    Format,
    fields="d:f16 qs:u8[64] scales_and_signs:u32[8]",
    group=4,
    table=lambda: np.concatenate([_grid("IQ3_XXS"), _grid_and_signs("IQ2_XXS")[2048:]]),
):
    """Per 4 weights: a grid byte; per 32: 4 x 7 sign bits and a 4-bit scale."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * (f32(0.5) + f32(u32(b, 66 + 4 * (g >> 3)) >> 28)) * f32(0.5), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        signs = at(t, 1024 + ((u32(b, 66 + 4 * (g >> 3)) >> (7 * ((g >> 1) & 3))) & 127))
        return signed(at(t, 4 * u8(b, 2 + g) + j), (signs >> (4 * (g & 1) + j)) & 1)


class IQ3_S(
    Format,
    fields="d:f16 qs:u8[64] qh:u8[8] signs:u8[32] scales:u8[4]",
    group=4,
    table=lambda: _grid("IQ3_S"),
):
    """Per 4 weights: a 9-bit grid index and 4 sign bits; a 4-bit scale per 32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * f32(1 + 2 * nibble(b, 106 + (g >> 4), (g >> 3) & 1)), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        high = (u8(b, 66 + (g >> 3)) >> (g & 7)) & 1
        negative = (u8(b, 74 + (g >> 1)) >> (4 * (g & 1) + j)) & 1
        return signed(at(t, 4 * (u8(b, 2 + g) | high << 8) + j), negative)


class IQ1_S(Format, fields="d:f16 qs:u8[32] qh:u16[8]", group=8, table=lambda: _grid("IQ1_S")):
    """Grid values -1, 0, 1, all shifted by +-1/8: q is the eightfold, exact in float32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0) * f32(2 * ((u16(b, 34 + 2 * (g >> 2)) >> 12) & 7) + 1), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        h = u16(b, 34 + 2 * (g >> 2))
        index = u8(b, 2 + g) | ((h >> (3 * (g & 3))) & 7) << 8
        return f32(8 * signed_byte(t, 8 * index + j) + where(h >> 15 != 0, -1, 1)) * f32(0.125)


class IQ1_M(
    Format, fields="qs:u8[32] qh:u8[16] scales:u16[4]", group=8, table=lambda: _grid("IQ1_S")
):
    """As IQ1_S with a 3-bit scale per 16; the half d is spread over the top nibbles of scales."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        d = u16(b, 48) >> 12 | (u16(b, 50) >> 12) << 4
        d = half(d | (u16(b, 52) >> 12) << 8 | (u16(b, 54) >> 12) << 12)
        return d * f32(2 * ((u16(b, 48 + 2 * (g >> 3)) >> (3 * ((g >> 1) & 3))) & 7) + 1), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        h = nibble(b, 32 + (g >> 1), g & 1)
        index = u8(b, g) | (h & 7) << 8
        return f32(8 * signed_byte(t, 8 * index + j) + where(h > 7, -1, 1)) * f32(0.125)


class IQ4_NL(Format, fields="d:f16 qs:u8[16]", group=16, table=_nonlinear):
    """d * one of 16 unevenly spaced values."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 0), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return signed_byte(t, nibble(b, 2 + j, g))


class IQ4_XS(
    Format, fields="d:f16 scales_h:u16 scales_l:u8[4] qs:u8[128]", group=16, table=_nonlinear
):
    """As IQ4_NL with a 6-bit scale per 32 weights."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        k = g >> 1
        s = nibble(b, 4 + (k >> 1), k & 1) | ((u16(b, 2) >> (2 * k)) & 3) << 4
        return f16(b, 0) * f32(s - 32), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return signed_byte(t, nibble(b, 8 + 16 * (g >> 1) + j, g & 1))
