"""Quantizers of the blocks with one half-precision scale: Q4_0 to Q8_0, Q1_0 and Q2_0.

Without an importance the scale maps the largest weight onto the largest code. With one it is
searched; a weight then counts as ``importance * sqrt(mean square of the row + its own square)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, helper, put_u16, round_away, truncate
from .registry import quantizer

_0, _1 = np.float32(0), np.float32(1)


@helper
def largest(x: Any) -> Any:
    """Return the first of the values with the largest magnitude."""
    peak, value = _0, _0
    for i in range(x.size):
        if np.abs(x[i]) > peak:
            peak, value = np.abs(x[i]), x[i]
    return value


@helper
def inverse(d: Any) -> Any:
    """Return 1 / d, and 0 for 0."""
    return _1 / d if d != _0 else _0


@quantizer("Q4_0")
def q4_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest weight onto code 0, which is -8."""
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 32):
            x, o = values[r, 32 * b : 32 * b + 32], out[r, 18 * b : 18 * b + 18]
            d = largest(x) / np.float32(-8)
            put_u16(o, 0, half_bits(d))
            scale = inverse(d)
            for j in range(16):
                low = truncate(x[j] * scale + np.float32(8.5)) & 255
                high = truncate(x[j + 16] * scale + np.float32(8.5)) & 255
                o[2 + j] = np.uint8(min(low, 15) | min(high, 15) << 4)


@quantizer("Q8_0")
def q8_0(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Map the largest magnitude onto 127."""
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 32):
            x, o = values[r, 32 * b : 32 * b + 32], out[r, 34 * b : 34 * b + 34]
            d = np.abs(largest(x)) / np.float32(127)
            put_u16(o, 0, half_bits(d))
            scale = inverse(d)
            for j in range(32):
                o[2 + j] = np.uint8(round_away(x[j] * scale))
