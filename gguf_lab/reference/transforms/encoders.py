"""What is done to image and sound encoders: fused attention, convolutions and norms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import ComparisonError
from .arithmetic import Arithmetic, calculated, read_values
from .heads import Regrouped
from .rows import OneSource, bytes_per_value, gather, rearrange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = [
    "FoldedNorm",
    "HalvesAdded",
    "Permute",
    "Pick",
    "Softplus",
    "Third",
    "UnpermuteRotaryAxes",
]


@dataclass(frozen=True, slots=True)
class Pick(OneSource):
    """One place of a dimension, which is dropped: a frame of a convolution over two.

    Attributes
    ----------
    axis : int
        Not the last.
    index : int
    words : str
    """

    axis: int
    index: int
    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape without the dimension."""
        (shape,) = shapes
        if self.axis >= len(shape) - 1 or self.index >= shape[self.axis]:
            raise ComparisonError(f"shape {shape} has no place {self.index} in axis {self.axis}")
        return shape[: self.axis] + shape[self.axis + 1 :]

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows."""
        (source,) = sources
        inner = math.prod(source.shape[self.axis + 1 : -1])
        outer, place = np.divmod(np.arange(start, stop), inner)
        return gather(source, (outer * source.shape[self.axis] + self.index) * inner + place)


@dataclass(frozen=True, slots=True)
class Permute(OneSource):
    """Dimensions in another order, as ``torch.permute``: for tensors that are small.

    Attributes
    ----------
    axes : tuple of int
    words : str
    """

    axes: tuple[int, ...]
    words: str
    needs_whole_matrices: ClassVar[bool] = True

    def shape(self, *shapes: Shape) -> Shape:
        """Give the dimensions in their new order."""
        (shape,) = shapes
        if len(shape) != len(self.axes):
            raise ComparisonError(f"shape {shape} has not {len(self.axes)} dimensions")
        return tuple(shape[axis] for axis in self.axes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read all, move it, and give some of its rows."""
        (source,) = sources
        shape, size = source.shape, bytes_per_value(source)
        values = source.read(0, math.prod(shape[:-1])).reshape(*shape, size)
        moved = values.transpose(*self.axes, len(shape))
        rows = moved.reshape(-1, shape[self.axes[-1]] * size)
        return np.ascontiguousarray(rows[start:stop])


@dataclass(frozen=True, slots=True)
class Third(OneSource):
    """The rows of q, k or v, of which a fused matrix has as many of each; or elements of a bias.

    Attributes
    ----------
    which : {0, 1, 2}
    """

    which: int

    @property
    def words(self) -> str:
        """Such as ``"k of q, k and v"``."""
        return f"{'qkv'[self.which]} of q, k and v"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with a third of the first dimension."""
        (shape,) = shapes
        if not shape or shape[0] % 3:
            raise ComparisonError(f"shape {shape} doesn't divide into q, k and v")
        return (shape[0] // 3, *shape[1:])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows, further down in the source, or the elements."""
        (source,) = sources
        first, *more = self.shape(source.shape)
        if not more:
            order = np.arange(self.which * first, (self.which + 1) * first)
            return rearrange(source, start, stop, order)
        skipped = self.which * first * math.prod(more[:-1])
        return source.read(skipped + start, skipped + stop)


@dataclass(frozen=True, slots=True)
class Softplus(Arithmetic):
    """``log(1 + exp(x))``: a scale that is positive whatever the weight is."""

    words: str = "log(1 + exp(x))"

    def _calculate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        # rounded once; beyond 20 torch takes x itself, which is the same number in float32
        result: NDArray[np.floating] = np.logaddexp(values.astype(np.float64), 0)
        return result

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Solve for x, rounded once: off by what the rounding of the logarithm left."""
        exact = values.astype(np.float64)
        with np.errstate(all="ignore"):  # what is not positive becomes NaN, visibly
            return (exact + np.log(-np.expm1(-exact))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class FoldedNorm:
    """A batch norm as one factor and one summand: mean and variance are those of training.

    Attributes
    ----------
    which : {"factor", "summand"}
        The factor is made of weight and variance, the summand of these and bias and mean before
        them.
    epsilon : float
    """

    which: str
    epsilon: float = 1e-5

    @property
    def words(self) -> str:
        """Such as ``"the factor of a batch norm"``."""
        return f"the {self.which} of a batch norm"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the common shape of the vectors."""
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ComparisonError(f"shapes {', '.join(map(str, shapes))} make no batch norm")
        return shapes[0]

    def dtype(self, *dtypes: str) -> str:
        """Give F16 if all are F16, else F32."""
        return "F16" if set(dtypes) == {"F16"} else "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode all and calculate; torch's square root is off by a unit at times."""
        *before, weight, variance = (read_values((source,), start, stop) for source in sources)
        with np.errstate(all="ignore"):
            total = variance.astype("<f4") + np.float32(self.epsilon)
            result = weight / np.sqrt(total.astype(variance.dtype))
            if self.which == "summand":
                bias, mean = before
                result = bias - mean * result
        return result.view(np.uint8)


@dataclass(frozen=True, slots=True)
class HalvesAdded(OneSource):
    """The two halves of each row added: what a patch does in two frames that are the same.

    Attributes
    ----------
    words : str
    """

    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with rows of half the length."""
        (shape,) = shapes
        if not shape or shape[-1] % 2:
            raise ComparisonError(f"the rows of shape {shape} have no halves")
        return (*shape[:-1], shape[-1] // 2)

    def dtype(self, *dtypes: str) -> str:
        """Give F16 for F16, and F32 for everything else."""
        return calculated(*dtypes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the rows and add."""
        values = read_values(sources, start, stop)
        half = values.shape[1] // 2
        with np.errstate(all="ignore"):
            return (values[:, :half] + values[:, half:]).view(np.uint8)


@dataclass(frozen=True, slots=True)
class UnpermuteRotaryAxes(Regrouped):
    """The rotary halves of three axes, time, height and width, brought together axis by axis.

    In the checkpoint the first halves of all axes come first, then the second halves, then what
    is not rotated; llama.cpp rotates the halves of an axis that follow each other
    (``MiniMaxM3VisionModel``).

    Attributes
    ----------
    n_heads : int
    """

    n_heads: int

    @property
    def words(self) -> str:
        """Such as ``"rotary halves brought together axis by axis, 4 heads"``."""
        return f"rotary halves brought together axis by axis, {self.n_heads} heads"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into the heads."""
        (shape,) = shapes
        n = self.n_heads
        if not 1 <= len(shape) <= 2 or n < 1 or shape[0] % n or shape[0] < 6 * n:
            raise ComparisonError(f"shape {shape} doesn't divide into {n} heads of three axes")
        return shape

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        size = first // self.n_heads
        half = size // 2 * 2 // 3 // 2
        within = rows % size
        axis, place = np.divmod(within, 2 * half)
        order: NDArray[np.int64] = rows + np.where(
            axis < 3, place // half * 3 * half + axis * half + place % half - within, 0
        )
        return order
