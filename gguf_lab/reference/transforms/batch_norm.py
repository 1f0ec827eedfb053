"""A batch norm as what it is once trained: each channel is multiplied, then a number is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...codec import dequantize
from ...errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["FoldedBatchNorm"]

_PARTS = ("weight", "running_var", "bias", "running_mean")


@dataclass(frozen=True, slots=True)
class FoldedBatchNorm:
    """What a batch norm has counted in training, folded into its weight or its bias.

    The sources are weight and variance; and, for the bias, bias and mean. The converter calculates
    ``weight / sqrt(variance + epsilon)`` and ``bias - mean * that``, as is done here: in float32,
    or, if all are in half precision, in that, rounded after each operation. Where torch has MKL
    calculate the root, it is off by a unit in the last place at times, and the result by two.

    Attributes
    ----------
    of : {"weight", "bias"}
    epsilon : float
    """

    of: str
    epsilon: float = 1e-5

    @classmethod
    def of_all(cls, of: str, _: int) -> FoldedBatchNorm:
        """Make it for a row's ``join``, which gives the number of sources: `shape` checks it."""
        return cls(of)

    @property
    def words(self) -> str:
        """Such as ``"weight of a batch norm, its variance folded in"``."""
        what = "variance" if self.of == "weight" else "mean and variance"
        return f"{self.of} of a batch norm, its {what} folded in"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape that all have."""
        wanted = _PARTS[: 2 if self.of == "weight" else 4]
        if len(shapes) != len(wanted) or len(set(shapes)) > 1:
            raise ComparisonError(
                f"shapes {', '.join(map(str, shapes))} are not those of {', '.join(wanted)}"
            )
        return shapes[0]

    def dtype(self, *dtypes: str) -> str:
        """Give F16 if all are, else F32."""
        return "F16" if set(dtypes) == {"F16"} else "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode all and calculate."""
        exact = np.dtype("<f2" if self.dtype(*(s.dtype for s in sources)) == "F16" else "<f4")

        def rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
            return values.astype(exact).astype(np.float32)

        weight, variance, *more = (
            np.asarray(dequantize(np.ascontiguousarray(s.read(start, stop)), s.dtype), np.float32)
            for s in sources
        )
        with np.errstate(all="ignore"):  # NaN and infinity are for the comparison
            deviation = rounded(np.sqrt(rounded(variance + np.float32(self.epsilon))))
            result = rounded(weight / deviation)
            if self.of == "bias":
                bias, mean = more
                result = rounded(bias - rounded(mean * result))
        return result.astype(exact).view(np.uint8)
