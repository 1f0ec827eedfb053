"""Weights of few bits beside their scales, as checkpoints in FP8 have them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...codec import can_decode, dequantize
from ...errors import ComparisonError
from .products import look_up_and_multiply, multiply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["BYTE_TYPES", "Scaled"]

BYTE_TYPES = ("F8_E4M3", "F8_E5M2", "I8")
"""Types of weights that have scales beside them; safetensors' names."""


_PACKED = {"int2": (2, "I32"), "int4": (4, "I32"), "int8": (8, "I32"), "e2m1": (4, "U8")}
"""Packed numbers: their bits, and the type of the words that hold them."""


@cache
def _table(dtype: str, packed: str = "") -> NDArray[np.float32] | None:
    """Return what each of the 256 bytes stands for, (256, numbers of a byte); None: ask the codec.

    E4M3 has no infinity, and NaN where all lower bits are set; E5M2 is the upper half of a float16
    (https://arxiv.org/abs/2209.05433, table 1). E8M0 is a power of two alone, 255 NaN (OCP
    Microscaling Formats, 5.4.1). Of packed numbers the first one is in the lowest bits; whole ones
    have half of their range added, to make them positive (compressed-tensors, ``pack_to_int32``),
    E2M1 has the sign in its highest bit (5.3.3).
    """
    codes = np.arange(256)
    values: NDArray[Any]
    if packed:
        bits, _ = _PACKED[packed]
        values = codes[:, None] >> np.arange(0, 8, bits) & (1 << bits) - 1
        if packed == "e2m1":
            doubled = np.array([0, 1, 2, 3, 4, 6, 8, 12])[values & 7]
            values = np.where(values > 7, -doubled, doubled) / 2  # as in ggml no zero is negative
        else:
            values -= 1 << bits - 1
    elif dtype == "I8":
        values = codes.astype(np.int8)
    elif dtype == "F8_E5M2":
        values = (codes << 8).astype(np.uint16).view(np.float16)
    elif dtype in {"F8_E8M0", "U8"}:  # bytes by themselves are scales, before the type had a name
        values = np.where(codes == 255, np.nan, np.ldexp(1.0, codes - 127))
    elif dtype == "F8_E4M3":
        exponent, mantissa = codes >> 3 & 15, codes & 7
        whole = np.where(exponent == 0, mantissa, mantissa + 8)
        values = np.ldexp(whole, np.maximum(exponent, 1) - 10) * np.where(codes >> 7, -1, 1)
        values[codes & 127 == 127] = np.nan
    else:
        return None
    return values.astype(np.float32).reshape(256, -1)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Weights and their scales, two tensors, become the numbers that they stand for.

    They are multiplied in float32, as the converter does (``dequant_model``).

    Attributes
    ----------
    block : tuple of int
        How many weights share a scale, along the last dimensions. Empty: the scales say it by their
        shape, one for all weights, or one for each row (or matrix).
    packed : {"", "int2", "int4", "int8", "e2m1"}
        What several to a word are, whole numbers in 32 bits or floats in 8; empty: they are not
        packed. The last word of a row may have room for more.
    """

    block: tuple[int, ...] = ()
    packed: str = ""

    @property
    def words(self) -> str:
        """Such as ``"times its scales, each for 128 × 128 weights"``."""
        unpacked = f"{self.packed} unpacked; " if self.packed else ""
        each = f", each for {' × '.join(map(str, self.block))} weights" if self.block else ""
        return f"{unpacked}times its scales{each}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the weights."""
        weights, scales = shapes
        if self.packed:
            bits, words = _PACKED[self.packed]
            columns = scales[-1] * self.block[-1] if scales else 0
            if not weights or weights[-1] != -(-columns * bits // (8 if words == "U8" else 32)):
                raise ComparisonError(
                    f"{words} of shape {weights} do not hold rows of {columns} numbers of {bits}"
                    " bits, as their scales say"
                )
            weights = (*weights[:-1], columns)
        self._steps(weights, scales)
        return weights

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        weights, scales = dtypes
        words = _PACKED[self.packed][1] if self.packed else weights
        if weights != words and (weights, words) != ("I8", "U8"):
            raise ComparisonError(f"packed weights of type {weights} instead of {words}")
        numbers = (scales,) if self.packed else dtypes
        if not all(can_decode(name) or _table(name) is not None for name in numbers):
            raise ComparisonError(f"weights of type {weights} with scales of type {scales}")
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows and their scales, and multiply."""
        weights, scales = sources
        shape = self.shape(weights.shape, scales.shape)
        steps = self._steps(shape, scales.shape)
        rows = np.ascontiguousarray(weights.read(start, stop))
        factors = _factors(shape, scales, steps, start, stop)
        table = _table(weights.dtype, self.packed)
        if table is None:
            values = np.asarray(dequantize(rows, weights.dtype)).reshape(len(rows), shape[-1])
            multiply(values, factors, steps[-1])
        else:
            values = look_up_and_multiply(rows, table, factors, steps[-1], shape[-1])
        return values.astype("<f4", copy=False).view(np.uint8)

    def _steps(self, weights: Shape, scales: Shape) -> Shape:
        """Return how many weights share a scale along each dimension."""
        free = len(weights) - len(self.block)
        if weights and free >= 0 and len(scales) <= len(weights):
            counts = _lengthened(scales, weights)
            alone = zip(weights[:free], counts[:free], strict=True)
            steps = (*(1 if n == count else max(n, 1) for n, count in alone), *self.block)
            if counts == tuple(-(-n // step) for n, step in zip(weights, steps, strict=True)):
                return steps
        raise ComparisonError(f"scales of shape {scales} do not fit weights of shape {weights}")


def _lengthened(scales: Shape, weights: Shape) -> Shape:
    """Return the shape of scales with as many dimensions as the weights have."""
    return scales + (1,) * (len(weights) - len(scales))


def _factors(
    weights: Shape, scales: Rows, steps: Shape, start: int, stop: int
) -> NDArray[np.float32]:
    """Read the scales of some rows of weights: float32 (rows, scales of a row)."""
    counts = _lengthened(scales.shape, weights)
    of_row, rest, stride = np.zeros(stop - start, np.int64), np.arange(start, stop), 1
    for n, step, count in zip(weights[-2::-1], steps[-2::-1], counts[-2::-1], strict=True):
        of_row += rest % n // step * stride
        rest, stride = rest // n, stride * count
    first, last = 0, math.prod(scales.shape[:-1])
    if len(scales.shape) == len(weights) and len(of_row):  # else they are few
        first, last = int(of_row.min()), int(of_row.max()) + 1
    rows, table = np.ascontiguousarray(scales.read(first, last)), _table(scales.dtype)
    factors = np.asarray(dequantize(rows, scales.dtype)) if table is None else table[rows]
    n = last - first if len(scales.shape) == len(weights) else math.prod(counts[:-1])
    return factors.reshape(n, counts[-1])[of_row - first]
