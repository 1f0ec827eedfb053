"""Many values into one cell of a picture: exactly, and in any number of pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from .numbers import exact

__all__ = ["HAS_INF", "HAS_NAN", "How", "Pool", "Region"]

Floats = np.ndarray[Any, np.dtype[np.float32]]
Marks = np.ndarray[Any, np.dtype[np.uint8]]
How = Literal["extreme", "mean"]

HAS_NAN: Final = 1
HAS_INF: Final = 2


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a tensor and the cells it is shown in.

    Rows are those of the tensor flattened over all dimensions but the last. Cells lie on one grid
    for the whole tensor, so that panning does not change them: `top` and `left` are multiples of
    the size of a cell; the last cells may be smaller.

    Attributes
    ----------
    top, bottom, left, right : int
        Rows [top, bottom) and columns [left, right), in weights.
    tall, wide : int
        Rows and columns of a cell.
    """

    top: int
    bottom: int
    left: int
    right: int
    tall: int
    wide: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return (
            -(-(self.bottom - self.top) // self.tall),
            -(-(self.right - self.left) // self.wide),
        )

    @property
    def n_weights(self) -> int:
        """Weights in it."""
        return (self.bottom - self.top) * (self.right - self.left)


class Pool:
    """The cells of a region, filled by rows.

    Values that are not finite are left out and marked.

    Parameters
    ----------
    region : Region
    how : {"extreme", "mean"}
        The value of the largest magnitude with its sign (of two equal ones the positive), or the
        mean, summed in float64.
    """

    def __init__(self, region: Region, how: How) -> None:
        self.region, self.how = region, how
        shape = region.shape
        self._marks: Marks = np.zeros(shape, np.uint8)
        if how == "mean":
            self._sum, self._count = np.zeros(shape), np.zeros(shape, np.int64)
        else:
            self._high: Floats = np.full(shape, -np.inf, np.float32)
            self._low: Floats = np.full(shape, np.inf, np.float32)

    def add(self, values: Floats, cell: int, each: int) -> None:
        """Take in rows.

        Parameters
        ----------
        values : float32 array (n, right - left)
        cell : int
            Row of cells that the first row belongs to.
        each : int
            Rows that belong to one row of cells; the last one may get fewer.
        """
        whole = len(values) // each
        if whole:
            part = values[: whole * each].reshape(whole, each, -1)
            self._merge(part, slice(cell, cell + whole))
        if len(values) > whole * each:
            self._merge(values[whole * each :][None], slice(cell + whole, cell + whole + 1))

    def _merge(self, part: Floats, cells: slice) -> None:
        """Merge (cell rows, rows, columns): rows first, which leaves little for the columns."""
        starts = np.arange(0, part.shape[2], self.region.wide)
        with np.errstate(invalid="ignore", over="ignore"):
            if self.how == "mean":
                sums = part.sum(axis=1, dtype=np.float64)
                finite = bool(np.isfinite(sums).all())
            else:
                high, low = part.max(axis=1), part.min(axis=1)
                finite = bool(np.isfinite(high).all() and np.isfinite(low).all())
        counts = np.full((len(part), part.shape[2]), part.shape[1], np.int64)
        if not finite:
            known = np.isfinite(part)
            nan, inf = np.isnan(part).any(axis=1), np.isinf(part).any(axis=1)
            marks = (nan * HAS_NAN | inf * HAS_INF).astype(np.uint8)
            self._marks[cells] |= np.bitwise_or.reduceat(marks, starts, axis=1)
            counts = known.sum(axis=1)
            if self.how == "mean":
                sums = np.where(known, part, np.float32(0)).sum(axis=1, dtype=np.float64)
            else:
                high = np.where(known, part, np.float32(-np.inf)).max(axis=1)
                low = np.where(known, part, np.float32(np.inf)).min(axis=1)
        if self.how == "mean":
            self._sum[cells] += np.add.reduceat(sums, starts, axis=1)
            self._count[cells] += np.add.reduceat(counts, starts, axis=1)
        else:
            mine = self._high[cells], self._low[cells]
            np.maximum(mine[0], np.maximum.reduceat(high, starts, axis=1), out=mine[0])
            np.minimum(mine[1], np.minimum.reduceat(low, starts, axis=1), out=mine[1])

    def cells(self) -> Floats:
        """Return the cells: float32, NaN where nothing finite is (or has been taken in)."""
        if self.how == "mean":
            with np.errstate(invalid="ignore"):
                mean: Floats = (self._sum / self._count).astype(np.float32)
            return mean
        picked = np.where(self._high >= -self._low, self._high, self._low)
        found: Floats = np.where(np.isfinite(picked), picked, np.float32(np.nan))
        return found

    def marks(self) -> Marks:
        """Return uint8 per cell: the sum of `HAS_NAN` and `HAS_INF`."""
        return self._marks.copy()

    def words(self, row: int, column: int) -> str:
        """Tell one cell: its value, and what is in it that is not finite."""
        value, marks = self.cells()[row, column], int(self._marks[row, column])
        found = [word for bit, word in ((HAS_NAN, "NaN"), (HAS_INF, "inf")) if marks & bit]
        if np.isnan(value):
            return " and ".join(found) or "nothing"
        return exact(value) + (f" (and {' and '.join(found)})" if found else "")
