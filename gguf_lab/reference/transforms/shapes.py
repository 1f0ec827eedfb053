"""Tensors stacked, cut, joined: what changes a shape and no number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ComparisonError
from .rows import OneSource, bytes_per_value, gather, joined, rearrange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = [
    "Cut",
    "Extended",
    "Half",
    "Join",
    "Part",
    "Reordered",
    "Reshape",
    "Split",
    "Squeeze",
    "Stack",
]


@dataclass(frozen=True, slots=True)
class Stack:
    """Tensors of one shape, the experts of a layer, become one with a new first dimension.

    Attributes
    ----------
    count : int
    what : str
    """

    count: int
    what: str = "experts"

    @property
    def words(self) -> str:
        """Such as ``"experts 0-7 stacked"``."""
        return f"{self.what} 0-{self.count - 1} stacked"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the common shape with the number of experts before it."""
        if different := {s for s in shapes if s != shapes[0]}:
            raise ComparisonError(
                f"{self.what} of different shapes, {shapes[0]} and {different.pop()}, can't be"
                " stacked"
            )
        return (len(shapes), *shapes[0])

    def dtype(self, *dtypes: str) -> str:
        """Give the common type."""
        if different := {d for d in dtypes if d != dtypes[0]}:
            raise ComparisonError(
                f"{self.what} of different types, {dtypes[0]} and {different.pop()}, can't be"
                " stacked"
            )
        return dtypes[0]

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows of the experts that the chunk touches; a view if it is only one."""
        # the new dimension makes a row of what was a vector
        each = math.prod(sources[0].shape[:-1])
        if start == stop or each == 0:
            return sources[0].read(0, 0)
        parts = [
            sources[i].read(max(start - i * each, 0), min(stop - i * each, each))
            for i in range(start // each, -(-stop // each))
        ]
        return joined(parts)


@dataclass(frozen=True, slots=True)
class Part(OneSource):
    """Some of the rows of a matrix, which stand together; of a vector, some of its elements.

    Attributes
    ----------
    start : int
    stop : int, optional
        None: to the end.
    words : str
    """

    start: int
    stop: int | None
    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with fewer rows."""
        (shape,) = shapes
        stop = shape[0] if self.stop is None and shape else self.stop
        if len(shape) not in {1, 2} or stop is None or not 0 <= self.start <= stop <= shape[0]:
            raise ComparisonError(f"shape {shape} has no rows from {self.start} to {self.stop}")
        return (stop - self.start, *shape[1:])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows, further down in the source, or the elements."""
        (source,) = sources
        if len(source.shape) == 1:
            order = np.arange(self.start, self.start + self.shape(source.shape)[0])
            return rearrange(source, start, stop, order)
        return source.read(self.start + start, self.start + stop)


@dataclass(frozen=True, slots=True)
class Extended(OneSource):
    """A matrix gets more rows, all zeros, at its end.

    Attributes
    ----------
    rows : int
        With the new ones.
    """

    rows: int

    @property
    def words(self) -> str:
        """Such as ``"rows of zeros added up to row 262400"``."""
        return f"rows of zeros added up to row {self.rows}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with more rows."""
        (shape,) = shapes
        if len(shape) != 2 or shape[0] > self.rows:
            raise ComparisonError(f"shape {shape} can't be extended to {self.rows} rows")
        return (self.rows, shape[1])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read what rows there are, and zeros after them."""
        (source,) = sources
        end = source.shape[0]
        data = source.read(min(start, end), min(stop, end))
        return np.pad(data, ((0, stop - start - len(data)), (0, 0))) if stop > end else data


@dataclass(frozen=True, slots=True)
class Join:
    """Matrices become one of all their rows, expert by expert; vectors one longer vector.

    Attributes
    ----------
    words : str
    """

    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with the rows, or elements, of all."""
        axis = -1 if len(shapes[0]) == 1 else -2
        others = {s[:axis] + s[axis:][1:] for s in shapes}
        if len(others) > 1 or len({len(s) for s in shapes}) > 1:
            raise ComparisonError(f"shapes {', '.join(map(str, shapes))} can't be joined")
        joined = list(shapes[0])
        joined[axis] = sum(s[axis] for s in shapes)
        return tuple(joined)

    def dtype(self, *dtypes: str) -> str:
        """Give the common type."""
        if len(set(dtypes)) > 1:
            raise ComparisonError(f"types {', '.join(dtypes)} can't be joined")
        return dtypes[0]

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read of each source the rows that belong to the chunk."""
        if len(sources[0].shape) == 1:
            return np.concatenate([source.read(start, stop) for source in sources], axis=1)
        sizes = [source.shape[-2] for source in sources]
        ends = np.cumsum(sizes).tolist()
        if start == stop or ends[-1] == 0:
            return sources[0].read(0, 0)
        parts = []
        for matrix in range(start // ends[-1], -(-stop // ends[-1])):
            low, high = start - matrix * ends[-1], stop - matrix * ends[-1]
            for source, size, end in zip(sources, sizes, ends, strict=True):
                first, last = max(low - end + size, 0), min(high - end + size, size)
                if first < last:
                    parts.append(source.read(matrix * size + first, matrix * size + last))
        return joined(parts)


@dataclass(frozen=True, slots=True)
class Half(OneSource):
    """One half of the rows of each matrix, or of the elements of each row: gate or up of the two.

    Attributes
    ----------
    which : {0, 1}
    alternating : bool
        The even or the odd ones; else the first or the second half.
    axis : {-2, -1}
        Rows or elements.
    """

    which: int
    alternating: bool = False
    axis: int = -2

    @property
    def words(self) -> str:
        """Such as ``"first half of the rows"`` or ``"even rows"``."""
        of = "rows" if self.axis == -2 else "elements"
        if self.alternating:
            return f"{('even', 'odd')[self.which]} {of}"
        return f"{('first', 'second')[self.which]} half of the {of}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with half as many rows or elements."""
        (shape,) = shapes
        if len(shape) < -self.axis or shape[self.axis] % 2:
            raise ComparisonError(f"shape {shape} can't be halved")
        halved = list(shape)
        halved[self.axis] //= 2
        return tuple(halved)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows or the elements."""
        (source,) = sources
        half = self.shape(source.shape)[self.axis]
        if self.axis == -2:
            matrix, row = np.divmod(np.arange(start, stop), max(1, half))
            return gather(source, 2 * half * matrix + self._order(row, half))
        return rearrange(source, start, stop, self._order(np.arange(half), half))

    def _order(self, index: NDArray[np.int64], half: int) -> NDArray[np.int64]:
        return 2 * index + self.which if self.alternating else index + self.which * half


@dataclass(frozen=True, slots=True)
class Squeeze(OneSource):
    """A dimension of 1 before the last is dropped; the rows stay as they are."""

    words: str = "dimension of 1 dropped"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape without its last dimension but one, which must be 1."""
        (shape,) = shapes
        if len(shape) < 3 or shape[-2] != 1:
            raise ComparisonError(f"shape {shape} has no dimension of 1 before the last")
        return (*shape[:-2], shape[-1])


@dataclass(frozen=True, slots=True)
class Split(OneSource):
    """The first dimension becomes two, the first of which counts experts; the rows stay."""

    count: int

    @property
    def words(self) -> str:
        """Such as ``"rows split into 8 experts"``."""
        return f"rows split into {self.count} experts"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with the first dimension divided."""
        (shape,) = shapes
        if len(shape) < 2 or self.count < 1 or shape[0] % self.count:
            raise ComparisonError(f"shape {shape} doesn't divide into {self.count} experts")
        return (self.count, shape[0] // self.count, *shape[1:])


@dataclass(frozen=True, slots=True)
class Cut(OneSource):
    """A vector becomes a matrix: so many values in a row.

    Attributes
    ----------
    size : int
        Values in a row.
    """

    size: int

    @property
    def words(self) -> str:
        """Such as ``"cut into rows of 24"``."""
        return f"cut into rows of {self.size}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give ``(rows, size)``."""
        (shape,) = shapes
        if len(shape) != 1 or self.size < 1 or shape[0] % self.size:
            raise ComparisonError(f"shape {shape} can't be cut into rows of {self.size}")
        return (shape[0] // self.size, self.size)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the vector, which is small, and give some of its rows."""
        (source,) = sources
        rows, _ = self.shape(source.shape)
        return source.read(0, 1).reshape(rows, -1)[start:stop]


@dataclass(frozen=True, slots=True)
class Reordered(OneSource):
    """Equal parts of the first dimension in another order.

    Attributes
    ----------
    order : tuple of int
        Which part of the source stands at each place.
    """

    order: tuple[int, ...]

    @property
    def words(self) -> str:
        """Such as ``"parts in the order 1, 0"``."""
        return f"parts in the order {', '.join(map(str, self.order))}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into the parts."""
        (shape,) = shapes
        if len(shape) < 2 or shape[0] % len(self.order):
            raise ComparisonError(f"shape {shape} doesn't divide into {len(self.order)} parts")
        return shape

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows."""
        (source,) = sources
        each = max(1, math.prod(self.shape(source.shape)[:-1]) // len(self.order))
        part, within = np.divmod(np.arange(start, stop), each)
        return gather(source, np.array(self.order)[part] * each + within)


@dataclass(frozen=True, slots=True)
class Reshape(OneSource):
    """The same values in the same order, other dimensions.

    Attributes
    ----------
    to : tuple of int
        0 keeps the dimension that is there, -1 takes all values that are left, as in ONNX.
    words : str
    """

    to: tuple[int, ...]
    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the dimensions.

        Raises
        ------
        ComparisonError
            If the values don't fill them.
        """
        (shape,) = shapes
        kept = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(self.to)]
        known, values = math.prod(n for n in kept if n != -1), math.prod(shape)
        full = tuple(values // known if n == -1 and known else n for n in kept)
        if math.prod(full) != values or 0 in full:
            raise ComparisonError(f"shape {shape} can't be {self.words}")
        return full

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows in which the values stand."""
        (source,) = sources
        ours, theirs = self.shape(source.shape)[-1], source.shape[-1]
        if ours == theirs:
            return source.read(start, stop)
        first, last = start * ours // theirs, -(-stop * ours // theirs)
        size = bytes_per_value(source)
        skipped = (start * ours - first * theirs) * size
        data = source.read(first, last).reshape(-1)
        values = data[skipped : skipped + (stop - start) * ours * size]
        return values.reshape(stop - start, ours * size)
