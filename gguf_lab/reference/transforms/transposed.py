"""Matrices whose rows become columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import ComparisonError
from .rows import OneSource, bytes_per_value, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["Transpose", "Upright"]

_TILE = 256  # rows that are transposed at a time: they stay in the cache


@dataclass(frozen=True, slots=True)
class Transpose(OneSource):
    """The last two dimensions change places.

    A row of the result is a column of the source: any of them takes all bytes of the matrix.
    """

    words: str = "transposed"
    needs_whole_matrices: ClassVar[bool] = True

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with the last two dimensions exchanged."""
        (shape,) = shapes
        if len(shape) < 2:
            raise ComparisonError(f"shape {shape} can't be transposed")
        return (*shape[:-2], shape[-1], shape[-2])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read columns of each matrix that the rows belong to."""
        (source,) = sources
        *_, columns, rows = self.shape(source.shape)
        if start == stop or rows == 0:
            return np.empty((stop - start, 0), np.uint8)
        # whole elements move much faster than their bytes
        size = bytes_per_value(source)
        element = np.dtype(f"u{size}") if size in {1, 2, 4, 8} else np.dtype(f"V{size}")
        parts = []
        for matrix in range(start // columns, -(-stop // columns)):
            low = max(start - matrix * columns, 0)
            high = min(stop - matrix * columns, columns)
            data = np.ascontiguousarray(source.read(matrix * rows, (matrix + 1) * rows))
            part = np.empty((high - low, rows), element)
            for first in range(0, rows, _TILE):
                tile = slice(first, first + _TILE)
                part[:, tile] = data.view(element)[tile, low:high].T
            parts.append(part.view(np.uint8))
        return joined(parts)


@dataclass(frozen=True, slots=True)
class Upright(OneSource):
    """Matrices that lie on their sides are transposed; others stay.

    Attributes
    ----------
    columns : int
        Of a matrix that stands. A square one is taken to lie.
    """

    columns: int
    words: str = "transposed where it lies on its side"
    needs_whole_matrices: ClassVar[bool] = True

    def _stands(self, shape: Shape) -> bool:
        return len(shape) > 1 and shape[-1] == self.columns != shape[-2]

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of what stands."""
        return shapes[0] if self._stands(shapes[0]) else Transpose().shape(*shapes)

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows as they are, or columns."""
        if self._stands(sources[0].shape):
            return sources[0].read(start, stop)
        return Transpose().read(sources, start, stop)
