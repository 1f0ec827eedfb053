"""Transforms that calculate, in the converter's number format and order of operations.

The converter keeps F16 and F32 as they are and turns every other type into F32 first; so does
`Arithmetic`. Half precision is rounded after each operation, as torch does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...codec import dequantize, quantize
from ...errors import ComparisonError
from .rows import OneSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = [
    "Added",
    "Arithmetic",
    "Centered",
    "Exp",
    "MinusExp",
    "Numbers",
    "Product",
    "Reciprocal",
    "Ternary",
    "Times",
    "UnitColumns",
    "calculated",
    "read_values",
]


def calculated(dtype: str) -> str:
    """Name the format that the converter calculates in."""
    return "F16" if dtype == "F16" else "F32"


def read_values(sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.floating]:
    """Read rows as numbers, in the format that is calculated in."""
    (source,) = sources
    rows = np.ascontiguousarray(source.read(start, stop))
    if source.dtype == "F16":
        return rows.view("<f2")
    return np.asarray(dequantize(rows, source.dtype)).astype("<f4", copy=False)


class Arithmetic(OneSource):
    """An operation on each element: the shape stays, the type is F16 for F16, else F32."""

    __slots__ = ()

    def dtype(self, *dtypes: str) -> str:
        """Give F16 for F16, and F32 for everything else."""
        return calculated(*dtypes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows and calculate."""
        values = read_values(sources, start, stop)
        with np.errstate(all="ignore"):  # NaN and infinity in a checkpoint are for the comparison
            return self._calculate(values).astype(values.dtype).view(np.uint8)

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        raise NotImplementedError

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calculate back from the file's values to the checkpoint's."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Added(Arithmetic):
    """A constant is added, because llama.cpp's norm multiplies by the weight alone."""

    number: float

    @property
    def words(self) -> str:
        """Such as ``"1 added"``."""
        return f"{self.number:.6g} added"

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        return values + values.dtype.type(self.number)

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Subtract the number: exact where adding it was, as it is for weights in bfloat16.

        Where adding it has rounded, several weights have become one value of the file. The
        weight that is returned is one of these.
        """
        return values - np.float32(self.number)


@dataclass(frozen=True, slots=True)
class MinusExp(Arithmetic):
    """``-exp(A_log)``: the decay of a state, which the checkpoint has as a logarithm."""

    words: str = "-exp(A_log)"

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        # rounded once; the exponentials of torch and NumPy in float32 are off by a unit each
        result: NDArray[np.floating] = -np.exp(values.astype(np.float64))
        return result

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the logarithm, rounded once: off by what the rounding of the exponential left."""
        with np.errstate(all="ignore"):  # a value that is no decay becomes NaN, visibly
            return np.log(-values.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Exp(Arithmetic):
    """``exp(A_log)``: as `MinusExp`, where llama.cpp's graph has the sign."""

    words: str = "exp(A_log)"

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        result: NDArray[np.floating] = np.exp(values.astype(np.float64))
        return result

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the logarithm, rounded once."""
        with np.errstate(all="ignore"):
            return np.log(values.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Numbers(OneSource):
    """Whatever the type is, decoded: for what is put together of several types."""

    words: str = ""

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows."""
        return np.ascontiguousarray(read_values(sources, start, stop).astype("<f4")).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Centered(OneSource):
    """The mean of a vector is subtracted, in the vector's own type: both are rounded to it."""

    words: str = "its mean subtracted"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the vector and calculate."""
        dtype, values = sources[0].dtype, read_values(sources, start, stop).astype("<f4")

        def rounded(numbers: NDArray[np.float32]) -> NDArray[np.uint8]:
            return np.asarray(quantize(numbers, dtype))

        with np.errstate(all="ignore"):
            mean = values.mean(dtype=np.float64, keepdims=True).astype("<f4")
            return rounded(values - dequantize(rounded(mean), dtype).reshape(mean.shape))


@dataclass(frozen=True, slots=True)
class Reciprocal(OneSource):
    """One through each number: compressed-tensors divides by the scale of a whole tensor."""

    words: str = ""

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows and divide."""
        values = read_values(sources, start, stop).astype(np.float32)
        with np.errstate(all="ignore"):
            return np.divide(np.float32(1), values).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Product:
    """Two vectors, one of which may be a matrix of one row, multiplied number by number.

    Attributes
    ----------
    words : str
    """

    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of a vector."""
        first, second = shapes
        if math.prod(first) != math.prod(second) or not first or math.prod(first[:-1]) != 1:
            raise ComparisonError(f"shapes {first} and {second} can't be multiplied")
        return first[-1:]

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode both and multiply in float32."""
        first, second = (read_values((source,), start, stop).astype("<f4") for source in sources)
        with np.errstate(all="ignore"):
            product: NDArray[np.float32] = first * second
        return product.view(np.uint8)


@dataclass(frozen=True, slots=True)
class Times(OneSource):
    """The multipliers of a configuration, which llama.cpp's graph does not have.

    Attributes
    ----------
    numbers : tuple of float
        All weights are multiplied with each of them, one after the other.
    runs : tuple of (int, float)
        Then runs of rows with numbers of their own: where a run ends, and its number.
    """

    numbers: tuple[float, ...]
    runs: tuple[tuple[int, float], ...] = ()

    @property
    def words(self) -> str:
        """Such as ``"times 0.7 and 1.3"``."""
        words = f"times {' and '.join(f'{number:.6g}' for number in self.numbers)}"
        return f"{words}, runs of rows with multipliers of their own" if self.runs else words

    def dtype(self, *dtypes: str) -> str:
        """Give F16 for F16, and F32 for everything else."""
        return calculated(*dtypes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows and multiply; each product is rounded."""
        values = read_values(sources, start, stop)
        factors = [np.array(number, np.float32) for number in self.numbers]
        if self.runs:
            ends, own = zip(*self.runs, strict=True)
            run = np.searchsorted(ends, np.arange(start, stop), "right")
            factors.append(np.array(own, np.float32)[run, None])
        with np.errstate(all="ignore"):
            for factor in factors:
                values = np.multiply(values, factor, dtype=np.float32).astype(values.dtype)
        return values.view(np.uint8)


@dataclass(frozen=True, slots=True)
class Ternary(OneSource):
    """Weights that become -1, 0 or 1 times the mean of their absolute values.

    The layers of bitnet calculate with these numbers and not with the weights that training left,
    so the converter writes them (``BitnetModel.weight_quant``). The sum behind the mean is rounded
    once here; torch's, in float32, depends on the processor and its threads. So the numbers of a
    file may differ in their last place or two, and of a hundred million weights in float32, one
    that lies on the very edge, at half the mean, may be 0 on one side only.
    """

    words: str = "ternary: -1, 0 or 1 times the mean of the absolute values"
    needs_whole_matrices: ClassVar[bool] = True

    def dtype(self, *dtypes: str) -> str:
        """Give F16 for F16, and F32 for everything else."""
        return calculated(*dtypes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read all rows for the mean, and round some of them."""
        shape = sources[0].shape
        whole = read_values(sources, 0, math.prod(shape[:-1]))
        weights = whole[start:stop].astype(np.float32)
        with np.errstate(all="ignore"):
            total = np.float32(np.abs(whole).sum(dtype=np.float64))
            # it divides by the inverse of the mean: off by the rounding of that
            inverse = np.float32(1) / np.maximum(total / np.float32(whole.size), np.float32(1e-5))
            ternary = (np.clip(np.rint(weights * inverse), -1, 1) / inverse).astype(whole.dtype)
        rows: NDArray[np.uint8] = ternary.view(np.uint8)
        return rows


_AT_A_TIME = 1024  # rows of which lengths are calculated: no more of them in float32 than these


@dataclass(frozen=True, slots=True)
class UnitColumns(OneSource):
    """The columns of a matrix are divided by their lengths: the normed output of bailing models.

    Any row of the result takes all rows of the source.
    """

    words: str = "columns divided by their lengths"
    needs_whole_matrices: ClassVar[bool] = True

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape, which must be that of a matrix."""
        (shape,) = shapes
        if len(shape) != 2:
            raise ComparisonError(f"shape {shape} has no columns with a length")
        return shape

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read everything for the lengths, and divide the rows."""
        (source,) = sources
        n_rows, columns = self.shape(source.shape)
        squares = np.zeros(columns, np.float32)
        with np.errstate(all="ignore"):
            for first in range(0, n_rows, _AT_A_TIME):
                last = min(first + _AT_A_TIME, n_rows)
                for row in read_values((source,), first, last).astype("<f4").reshape(-1, columns):
                    squares += row * row  # row after row in float32, as torch does
            values = read_values((source,), start, stop).astype("<f4")
            values /= np.sqrt(squares) + np.float32(1e-7)
        return values.view(np.uint8)
