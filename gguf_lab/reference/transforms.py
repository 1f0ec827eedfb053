"""What a converter does to a tensor on its way into the file, row chunk by row chunk.

A `Transform` is symbolic: a small frozen value such as ``UnpermuteRotary(9)``, which knows no
tensor. ``Transformed(transform, sources)`` applies it to tensors and is rows again, so that
transforms nest: ``Transformed(Stack(8), (Transformed(UnpermuteRotary(9), (w0,)), ...))``.

Everything goes forward, from the checkpoint to the file, because that is what the file's numbers
are compared with. Rows are the rows of the result, flattened over all dimensions but the last; a
vector is one row. `Transform.read` reads no more of its sources than it needs, and where rows stay
together it returns a view.

So far transforms move bytes. One that calculates (norm + 1, -exp(A_log)) belongs here too: its
`dtype` is ``"F32"``, and its `read` decodes the rows of its source with `gguf_lab.codec.dequantize`
and repeats the converter's operations in float32 and in the converter's order. One that transposes
or splits is a `shape` and a `read`, like `Part`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["AsStored", "Part", "Rows", "Stack", "Transform", "Transformed", "UnpermuteRotary"]

Shape = tuple[int, ...]


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

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop` of the result, uint8 ``(stop - start, row_bytes)``."""
        return self.transform.read(self.sources, start, stop)


@dataclass(frozen=True, slots=True)
class AsStored:
    """Nothing is done: the rows are those of the checkpoint, as views."""

    words: str = ""

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the only source."""
        (shape,) = shapes
        return shape

    def dtype(self, *dtypes: str) -> str:
        """Give the type of the only source."""
        (dtype,) = dtypes
        return dtype

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Give the same rows."""
        return sources[0].read(start, stop)


@dataclass(frozen=True, slots=True)
class UnpermuteRotary:
    """The rows of Q or K from rotary halves to rotary pairs, head by head.

    Transformers rotates element ``i`` of a head with element ``i + head_size / 2``, llama.cpp's
    "normal" rope rotates neighbours. So llama.cpp's converter (``LlamaModel.permute``) interleaves
    the halves ``s`` of each head ``h``: row ``(h, i, s)`` of the file is row ``(h, s, i)`` of the
    checkpoint. Of a bias, a vector, it interleaves the elements.

    Attributes
    ----------
    n_heads : int
        Heads of this tensor: for K those of keys and values.
    """

    n_heads: int

    @property
    def words(self) -> str:
        """Such as ``"rows un-permuted for rotary halves, 9 heads"``."""
        return f"rows un-permuted for rotary halves, {self.n_heads} heads"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into two halves per head."""
        (shape,) = shapes
        if not shape or self.n_heads < 1 or shape[0] % (2 * self.n_heads):
            raise ComparisonError(
                f"shape {shape} doesn't divide into two rotary halves for each of"
                f" {self.n_heads} heads"
            )
        return shape

    def dtype(self, *dtypes: str) -> str:
        """Give the same type."""
        (dtype,) = dtypes
        return dtype

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows; of the source only the heads that they belong to are read."""
        (source,) = sources
        first, *rest = self.shape(source.shape)
        if start == stop or first == 0:
            return source.read(start, stop)
        if not rest:
            elements = source.read(start, stop).reshape(-1, first, _bytes_per_value(source))
            order = self._order(np.arange(first), first)
            return elements[:, order].reshape(stop - start, -1)
        # with three dimensions the first one still counts the permuted blocks of rows
        block = math.prod(rest[:-1])
        head = first // self.n_heads * block
        low, high = start // head * head, -(-stop // head) * head
        rows = np.arange(start, stop)
        order = self._order(rows // block, first) * block + rows % block
        return source.read(low, high)[order - low]

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """Find which index of the checkpoint's first dimension stands at `rows` of the file."""
        head_size = first // self.n_heads
        head, within = np.divmod(rows, head_size)
        pair, half = np.divmod(within, 2)
        order: NDArray[np.int64] = head * head_size + half * (head_size // 2) + pair
        return order


@dataclass(frozen=True, slots=True)
class Stack:
    """Tensors of one shape, the experts of a layer, become one with a new first dimension."""

    n_experts: int

    @property
    def words(self) -> str:
        """Such as ``"experts 0-7 stacked"``."""
        return f"experts 0-{self.n_experts - 1} stacked"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the common shape with the number of experts before it."""
        if different := {s for s in shapes if s != shapes[0]}:
            raise ComparisonError(
                f"experts of different shapes, {shapes[0]} and {different.pop()}, can't be stacked"
            )
        return (len(shapes), *shapes[0])

    def dtype(self, *dtypes: str) -> str:
        """Give the common type."""
        if different := {d for d in dtypes if d != dtypes[0]}:
            raise ComparisonError(
                f"experts of different types, {dtypes[0]} and {different.pop()}, can't be stacked"
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
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows of a matrix, which stand together.

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
        if len(shape) != 2 or stop is None or not 0 <= self.start <= stop <= shape[0]:
            raise ComparisonError(f"shape {shape} has no rows from {self.start} to {self.stop}")
        return (stop - self.start, *shape[1:])

    def dtype(self, *dtypes: str) -> str:
        """Give the same type."""
        (dtype,) = dtypes
        return dtype

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows, further down in the source."""
        return sources[0].read(self.start + start, self.start + stop)


def _bytes_per_value(vector: Rows) -> int:
    """Count the bytes of one element of a vector that isn't empty."""
    size: int = vector.read(0, 1).shape[1]
    values = vector.shape[0]
    if values == 0 or size % values:
        raise ComparisonError(f"elements of type {vector.dtype} can't be moved one by one")
    return size // values
