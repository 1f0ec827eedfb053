"""The worst rows and blocks of a tensor, found in one walk through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .sides import CHUNK, read

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..comparison.weighting import Weights
    from .sides import Sides

__all__ = ["Span", "Worst", "find_worst"]

_KEPT: Final = 12


@dataclass(frozen=True, slots=True)
class Span:
    """A row, or a block of a row.

    Attributes
    ----------
    row, left, right : int
        Row, and columns [left, right).
    squared : float
        Sum of squared errors.
    relative : float
        Root of `squared` over the sum of squared originals; infinite where only these are zero.
    crest : float
        Largest magnitude of the originals over their RMS; 0 where all are zero.
    peak : int
        Column of the largest error.
    importance : float
        Sum of squared errors, each times the importance of its column; NaN without importance.
    """

    row: int
    left: int
    right: int
    squared: float
    relative: float
    crest: float
    peak: int
    importance: float


@dataclass(frozen=True, slots=True)
class Worst:
    """What was found.

    Attributes
    ----------
    rows, blocks : tuple of Span
        With the largest squared error (weighted by importance where there is one), the worst first;
        without error none.
    squared : float
        Sum of squared errors of the tensor; that weighted by importance where there is one.
    relative, crest : float
        Medians of all rows, of those that are not zero.
    n_strange : int
        Pairs that are not both finite, which count nothing.
    """

    rows: tuple[Span, ...]
    blocks: tuple[Span, ...]
    squared: float
    relative: float
    crest: float
    n_strange: int


class _Top:
    """The spans with the largest figures so far."""

    def __init__(self) -> None:
        self._found: list[tuple[float, Span]] = []

    def take(self, keys: np.ndarray, make: Any) -> None:
        least = self._found[-1][0] if len(self._found) == _KEPT else 0.0
        flat = keys.reshape(-1)
        some = np.flatnonzero(flat > least)
        if len(some) > _KEPT:
            some = some[np.argpartition(-flat[some], _KEPT - 1)[:_KEPT]]
        self._found += [(float(flat[k]), make(int(k))) for k in some]
        self._found.sort(key=lambda item: (-item[0], item[1].row, item[1].left))
        del self._found[_KEPT:]

    def spans(self) -> tuple[Span, ...]:
        return tuple(span for _, span in self._found)


def find_worst(
    sides: Sides, name: str, weights: Weights | None = None
) -> Generator[float, None, Worst]:
    """Walk a tensor and its original once; yield the share that is done, and return the finds.

    Parameters
    ----------
    sides : Sides
    name : str
        A tensor that has an original.
    weights : float64 array (parts, columns), optional
        What a squared error counts in each column, in each of the equal parts of the rows.
    """
    tensor = sides.tensor(name)
    readers = sides.readers(name, ("original", "difference"))
    n, wide, size = tensor.n_rows, tensor.row_values, sides.block_size(name)
    per_part = n if weights is None else n // len(weights)
    rows, blocks = _Top(), _Top()
    relative, crests = np.zeros(n), np.zeros(n)
    total, n_strange = 0.0, 0
    step = max(1, CHUNK // max(1, wide))
    a = 0
    while a < n:
        b = min(a + step, n, (a // per_part + 1) * per_part)
        found = read(readers, [(a, b)], 0, wide)
        e, r = found["difference"].astype(np.float64), found["original"].astype(np.float64)
        strange = ~(np.isfinite(e) & np.isfinite(r))
        if strange.any():
            n_strange += int(strange.sum())
            e[strange] = r[strange] = 0.0
        ee, rr, size_of = e * e, r * r, np.abs(r)
        counted = ee if weights is None else ee * weights[a // per_part]
        total += float(counted.sum())
        whole = _Figures.of(ee, rr, size_of, counted, wide)
        relative[a:b], crests[a:b] = whole.relative[:, 0], whole.crest[:, 0]
        rows.take(whole.counted, whole.maker(ee, a, weights is not None))
        if size > 1:
            parts = _Figures.of(ee, rr, size_of, counted, size)
            blocks.take(parts.counted, parts.maker(ee, a, weights is not None))
        a = b
        yield a / n
    return Worst(rows.spans(), blocks.spans(), total, _median(relative), _median(crests), n_strange)


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures of some rows, cut into spans of `size` columns: float64 arrays (rows, spans)."""

    size: int
    squared: np.ndarray
    counted: np.ndarray
    relative: np.ndarray
    crest: np.ndarray

    @classmethod
    def of(
        cls, ee: np.ndarray, rr: np.ndarray, magnitude: np.ndarray, counted: np.ndarray, size: int
    ) -> _Figures:
        shape = (len(ee), -1, size)
        squared, power = ee.reshape(shape).sum(axis=2), rr.reshape(shape).sum(axis=2)
        top = magnitude.reshape(shape).max(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.sqrt(squared / power)
            crest = top / np.sqrt(power / size)
        relative[(squared == 0) & (power == 0)] = 0.0
        crest[power == 0] = 0.0
        return cls(size, squared, counted.reshape(shape).sum(axis=2), relative, crest)

    def maker(self, ee: np.ndarray, first: int, weighted: bool) -> Any:
        def make(k: int) -> Span:
            row, at = divmod(k, self.counted.shape[1])
            left = at * self.size
            return Span(
                row=first + row,
                left=left,
                right=left + self.size,
                squared=float(self.squared[row, at]),
                relative=float(self.relative[row, at]),
                crest=float(self.crest[row, at]),
                peak=left + int(ee[row, left : left + self.size].argmax()),
                importance=float(self.counted[row, at]) if weighted else float("nan"),
            )

        return make


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values) & (values > 0)]
    return float(np.median(known)) if len(known) else 0.0
