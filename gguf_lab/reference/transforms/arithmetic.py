"""Transforms that calculate, in the converter's number format and order of operations.

The converter keeps F16 and F32 as they are and turns every other type into F32 first; so does
`Arithmetic`. Half precision is rounded after each operation, as torch does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...codec import dequantize
from .rows import OneSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows

__all__ = ["Added", "Arithmetic", "MinusExp"]


class Arithmetic(OneSource):
    """An operation on each element: the shape stays, the type is F16 for F16, else F32."""

    __slots__ = ()

    def dtype(self, *dtypes: str) -> str:
        """Give F16 for F16, and F32 for everything else."""
        (dtype,) = dtypes
        return "F16" if dtype == "F16" else "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows and calculate."""
        (source,) = sources
        rows = np.ascontiguousarray(source.read(start, stop))
        if source.dtype == "F16":
            values: NDArray[np.floating] = rows.view("<f2")
        else:
            values = dequantize(rows, source.dtype)
        with np.errstate(all="ignore"):  # NaN and infinity in a checkpoint are for the comparison
            result = self._calculate(values).astype("<f2" if source.dtype == "F16" else "<f4")
        return result.view(np.uint8)

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        raise NotImplementedError

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calculate back from the file's values to the checkpoint's."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Added(Arithmetic):
    """A constant is added, because llama.cpp's norm multiplies by the weight alone."""

    number: int

    @property
    def words(self) -> str:
        """Such as ``"1 added"``."""
        return f"{self.number} added"

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
