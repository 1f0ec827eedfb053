"""Rows: what transforms are applied to, and what they give.

A `Transform` is symbolic: a small frozen value such as ``UnpermuteRotary(9)``, which knows no
tensor. ``Transformed(transform, sources)`` applies it to tensors and is rows again, so that
transforms nest: ``Transformed(Stack(8), (Transformed(UnpermuteRotary(9), (w0,)), ...))``.

Everything goes forward, from the checkpoint to the file, because that is what the file's numbers
are compared with. Rows are the rows of the result, flattened over all dimensions but the last; a
vector is one row. `Transform.read` reads no more of its sources than it needs, and where rows stay
together it copies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...errors import ComparisonError
from ...file.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "AsStored",
    "Chain",
    "Decoded",
    "NamedRows",
    "OneSource",
    "Rows",
    "Shape",
    "Transform",
    "Transformed",
    "bytes_per_value",
    "gather",
    "joined",
    "rearrange",
]

Shape = tuple[int, ...]

# rows that lie this far apart at most are read together with what lies between them
_SPREAD = 4


class Rows(Protocol):
    """Something with a shape whose rows can be read as bytes: a tensor, or transformed tensors."""

    @property
    def shape(self) -> Shape:
        """NumPy order."""

    @property
    def dtype(self) -> str:
        """Name of the type, as the codec knows it."""

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop`: uint8 ``(stop - start, row_bytes)``, little endian."""


class NamedRows(Rows, Protocol):
    """Rows with a name: a tensor of a checkpoint, a parameter of a model."""

    @property
    def name(self) -> str:
        """Its name in the checkpoint."""


class Transform(Protocol):
    """What is done to one or more tensors to make one."""

    @property
    def words(self) -> str:
        """What is shown to the user; empty if nothing is done."""

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the result.

        Raises
        ------
        ComparisonError
            If the transform can't be applied to tensors of these shapes.
        """

    def dtype(self, *dtypes: str) -> str:
        """Give the type of the result, by the codec's name."""

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop` of the result."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """A transform applied to its sources: rows again."""

    transform: Transform
    sources: tuple[Rows, ...]

    @property
    def shape(self) -> Shape:
        """The shape of the result; a ComparisonError if the sources don't suit the transform."""
        return self.transform.shape(*(s.shape for s in self.sources))

    @property
    def dtype(self) -> str:
        """The codec's name of what `read` gives."""
        return self.transform.dtype(*(s.dtype for s in self.sources))

    @property
    def words(self) -> str:
        """What was done to the tensors, innermost first; empty if nothing was."""
        inner = [s.words for s in self.sources if isinstance(s, Transformed) and s.words]
        steps = [*dict.fromkeys(inner), self.transform.words]
        return "; ".join(step for step in steps if step)

    @property
    def rows_per_read(self) -> int:
        """How many rows of the result are best read at once: those that need the same bytes."""
        if isinstance(self.transform, Chain):
            first = Transformed(self.transform.first, self.sources)
            return Transformed(self.transform.second, (first,)).rows_per_read
        if getattr(self.transform, "needs_whole_matrices", False):
            return max(1, self.shape[-2])
        inner = (s.rows_per_read for s in self.sources if isinstance(s, Transformed))
        return max(inner, default=1)

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop` of the result, uint8 ``(stop - start, row_bytes)``."""
        return self.transform.read(self.sources, start, stop)


@dataclass(frozen=True, slots=True)
class Decoded(Transformed):
    """What stands for a tensor where a checkpoint has it in parts, such as weights and scales.

    Attributes
    ----------
    name : str
        What the tensor would be called if it were one.
    names : tuple of str
        The tensors that it is in.
    """

    name: str
    names: tuple[str, ...]

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows of the tensor; where its parts do not belong together, say which they are."""
        try:
            return self.transform.read(self.sources, start, stop)
        except ComparisonError as error:
            raise ComparisonError(f"{' + '.join(map(printable, self.names))}: {error}") from error


class OneSource:
    """What transforms of a single tensor have in common: what they leave, stays."""

    __slots__ = ()

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape."""
        (shape,) = shapes
        return shape

    def dtype(self, *dtypes: str) -> str:
        """Give the same type."""
        (dtype,) = dtypes
        return dtype

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Give the same rows."""
        return sources[0].read(start, stop)


@dataclass(frozen=True, slots=True)
class AsStored(OneSource):
    """Nothing is done: the rows are those of the checkpoint."""

    words: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """One transform after the other; the first may join several tensors.

    Attributes
    ----------
    first, second : Transform
    """

    first: Transform
    second: Transform

    @property
    def words(self) -> str:
        """What both do, in order."""
        return "; ".join(words for words in (self.first.words, self.second.words) if words)

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the result."""
        return self.second.shape(self.first.shape(*shapes))

    def dtype(self, *dtypes: str) -> str:
        """Give the type of the result."""
        return self.second.dtype(self.first.dtype(*dtypes))

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows of the second, which reads rows of the first."""
        return self.second.read((Transformed(self.first, tuple(sources)),), start, stop)


def gather(source: Rows, order: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read rows in any order: a view if they stand together, else as few reads as is sensible."""
    if len(order) == 0:
        return source.read(0, 0)
    low, high = int(order.min()), int(order.max()) + 1
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    if len(breaks) == 0:
        return source.read(low, high)
    if high - low <= _SPREAD * len(order):
        return source.read(low, high)[order - low]
    runs = np.split(order, breaks)
    return np.concatenate([source.read(int(run[0]), int(run[-1]) + 1) for run in runs])


def rearrange(source: Rows, start: int, stop: int, order: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read rows, and give of each the elements at `order`.

    Raises
    ------
    ComparisonError
        If the elements are no whole bytes.
    """
    data = source.read(start, stop)
    if source.shape[-1] == 0:
        return data
    size = bytes_per_value(source)
    elements = data.reshape(stop - start, source.shape[-1], size)
    return elements[:, order].reshape(stop - start, len(order) * size)


def bytes_per_value(source: Rows) -> int:
    """Count the bytes of one element of a tensor that has rows.

    Raises
    ------
    ComparisonError
        If the elements are no whole bytes.
    """
    size: int = source.read(0, 1).shape[1]
    values = source.shape[-1]
    if values == 0 or size % values:
        raise ComparisonError(f"elements of type {source.dtype} can't be moved one by one")
    return size // values


def joined(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put rows together; those of one part are not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
