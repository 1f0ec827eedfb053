"""Weights of few bits beside their scales, as checkpoints in FP8 have them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...codec import can_decode, dequantize
from ...errors import ComparisonError
from .rows import OneSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["BYTE_TYPES", "Scaled", "Unpacked"]

BYTE_TYPES = ("F8_E4M3", "F8_E5M2", "I8")
"""Types of weights that have scales beside them; safetensors' names."""
_CODED = (*BYTE_TYPES, "F8_E8M0")
"""Types that are decoded here, by a table."""


@cache
def _values(dtype: str) -> NDArray[np.float32]:
    """Return what each of the 256 bytes stands for.

    E4M3 has no infinity, and NaN where all lower bits are set; E5M2 is the upper half of a float16
    (https://arxiv.org/abs/2209.05433, table 1). E8M0 is a power of two alone, 255 NaN (OCP
    Microscaling Formats, 5.4.1).
    """
    codes = np.arange(256, dtype=np.uint16)
    values: NDArray[np.floating]
    if dtype == "I8":
        values = codes.astype(np.int8).astype(np.float32)
    elif dtype == "F8_E5M2":
        values = (codes << 8).view(np.float16)
    elif dtype == "F8_E8M0":
        values = np.where(codes == 255, np.nan, np.ldexp(1.0, codes.astype(np.int32) - 127))
    else:
        exponent, mantissa = (codes >> 3 & 15).astype(np.int32), codes & 7
        whole = np.where(exponent == 0, mantissa, mantissa + 8)
        values = np.ldexp(whole, np.maximum(exponent, 1) - 10) * np.where(codes >> 7, -1, 1)
        values[codes & 127 == 127] = np.nan
    return values.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Weights and their scales, two tensors, become the numbers that they stand for.

    They are multiplied in float32, as the converter does (``dequant_model``).

    Attributes
    ----------
    block : tuple of int
        How many weights share a scale, along the last dimensions. Empty: the scales say it by their
        shape, one for all weights, or one for each row (or matrix).
    """

    block: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """Such as ``"times its scales, each for 128 × 128 weights"``."""
        if not self.block:
            return "times its scales"
        return f"times its scales, each for {' × '.join(map(str, self.block))} weights"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the weights."""
        weights, scales = shapes
        self._steps(weights, scales)
        return weights

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        weights, scales = dtypes
        if not all(name in _CODED or can_decode(name) for name in dtypes):
            raise ComparisonError(f"weights of type {weights} with scales of type {scales}")
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows and their scales, and multiply."""
        weights, scales = sources
        values = _decoded(weights, start, stop)
        steps = self._steps(weights.shape, scales.shape)
        factors = _factors(weights.shape, scales, steps, start, stop)
        whole = values.shape[1] // steps[-1]  # what is behind them is part of a block
        blocks = values[:, : whole * steps[-1]].reshape(len(values), whole, steps[-1])
        with np.errstate(all="ignore"):  # NaN and infinity in a checkpoint are for the comparison
            blocks *= factors[:, :whole, None]
            values[:, whole * steps[-1] :] *= factors[:, whole:]
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
    return _decoded(scales, first, last).reshape(-1, counts[-1])[of_row - first]


def _decoded(source: Rows, start: int, stop: int) -> NDArray[np.float32]:
    """Read rows as numbers."""
    rows = np.ascontiguousarray(source.read(start, stop))
    if source.dtype in _CODED:
        return _values(source.dtype)[rows]
    return np.asarray(dequantize(rows, source.dtype))


@dataclass(frozen=True, slots=True)
class Unpacked(OneSource):
    """Whole numbers of a few bits, packed into int32, become I8.

    compressed-tensors (``pack_to_int32``) adds half of the range to make them positive, and puts
    the first number of a word into its lowest bits.

    Attributes
    ----------
    bits : {2, 4, 8}
    columns : int
        Numbers of a row; the last word may have room for more.
    """

    bits: int
    columns: int

    @property
    def words(self) -> str:
        """Such as ``"4 bits unpacked"``."""
        return f"{self.bits} bits unpacked"

    def shape(self, *shapes: Shape) -> Shape:
        """Give as many columns as there are numbers."""
        (shape,) = shapes
        if not shape or shape[-1] != -(-self.columns * self.bits // 32):
            raise ComparisonError(
                f"words of shape {shape} do not hold rows of {self.columns} numbers of "
                f"{self.bits} bits, as their scales say"
            )
        return (*shape[:-1], self.columns)

    def dtype(self, *dtypes: str) -> str:
        """Give I8."""
        if dtypes != ("I32",):
            raise ComparisonError(f"packed weights of type {dtypes[0]} instead of I32")
        return "I8"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the words, and take the numbers out of their bytes."""
        (source,) = sources
        packed = source.read(start, stop)
        shifts = np.arange(0, 8, self.bits, dtype=np.uint8)
        numbers = packed[..., None] >> shifts & np.uint8((1 << self.bits) - 1)
        numbers = numbers.reshape(len(packed), -1)[:, : self.columns]
        return numbers - np.uint8(1 << self.bits - 1)  # as int8: it wraps around
