"""Ternary weights -1, 0, 1: ``block_tq1_0`` and ``block_tq2_0`` in ggml-common.h."""

from __future__ import annotations

from typing import Any

import numpy as np

from .definition import Format, at, f16, u8, where


class TQ1_0(
    Format,
    fields="qs:u8[48] qh:u8[4] d:f16",
    group=16,
    table=lambda: np.array([1, 3, 9, 27, 81], np.uint8),
):
    """Five base-3 digits to a byte: digit k of byte x is ((x * 3**k mod 256) * 3) >> 8."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 52), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        digit = where(g < 10, g >> 1, where(g < 15, g - 10, j >> 2))
        byte = where(g < 10, 16 * (g & 1) + j, where(g < 15, 32 + j, 48 + (j & 3)))
        return ((((u8(b, byte) * at(t, digit)) & 255) * 3) >> 8) - 1


class TQ2_0(Format, fields="qs:u8[64] d:f16", group=32):
    """Two bits each."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return f16(b, 64), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return ((u8(b, 32 * (g >> 2) + j) >> (2 * (g & 3))) & 3) - 1
