"""Quantizers of plain numbers: a rounding each."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import bitcast_u32, half_bits
from .registry import quantizer


@quantizer("F32")
def f32(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Copy."""
    for r in range(values.shape[0]):
        o = out[r].view(np.float32)
        for i in range(values.shape[1]):
            o[i] = values[r, i]


@quantizer("F16")
def f16(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Round to IEEE binary16, ties to even."""
    for r in range(values.shape[0]):
        o = out[r].view(np.uint16)
        for i in range(values.shape[1]):
            o[i] = np.uint16(half_bits(values[r, i]))


@quantizer("BF16")
def bf16(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Round to the upper half of a binary32, ties to even."""
    for r in range(values.shape[0]):
        o = out[r].view(np.uint16)
        for i in range(values.shape[1]):
            u = bitcast_u32(values[r, i])  # no NaN: see the driver
            even = (u >> np.uint32(16)) & np.uint32(1)
            o[i] = np.uint16((u + np.uint32(0x7FFF) + even) >> np.uint32(16))
