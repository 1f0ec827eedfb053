"""Histograms of a comparison made ready to draw on a common scale. Bins are merged, never split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..comparison import Histogram, TensorComparison

__all__ = ["Bins", "common_limit", "merged", "unit_of"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_SPREAD: Final = 3.5  # how many RMSE the common scale covers
_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_SHARE: Final = 0.95  # of the tensors: one outlier must not flatten all the others


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins to draw.

    Attributes
    ----------
    edges : float64, shape (n + 1,)
        Edges in the unit asked for, exact up to that division.
    counts : float64, shape (n,)
        Weights per bin.
    below, above : int
        Weights beyond the first and the last edge, which `counts` leaves out.
    """

    edges: FloatArray
    counts: FloatArray
    below: int
    above: int


def unit_of(row: TensorComparison, mode: str) -> float:
    """Return what an error is divided by: 1, or the RMS of the reference; 0 if that is zero."""
    if mode == "absolute":
        return 1.0
    return float(row.reference_rms or 0.0)


def common_limit(rows: Iterable[TensorComparison], mode: str) -> float:
    """Return the end of an axis on which the errors of most tensors are seen well.

    It covers 3.5 RMSE of 95 % of the tensors that have an error and is rounded up to a
    round number, so that it rarely moves while rows arrive. 0 if no tensor has an error.
    """
    sizes = [
        row.rmse / unit_of(row, mode)
        for row in rows
        if row.measured and row.rmse and unit_of(row, mode)
    ]
    sizes = [size for size in sizes if math.isfinite(size) and size > 0]
    if not sizes:
        return 0.0
    return _round_up(_SPREAD * float(np.quantile(sizes, _SHARE, method="higher")))


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * 0.999999)


def merged(histogram: Histogram, limit: float, bins: int, unit: float = 1.0) -> Bins:
    """Merge the bins of a histogram for an axis from -`limit` to `limit`.

    Parameters
    ----------
    histogram : Histogram
        Counts of signed errors in bins of a fixed grid.
    limit : float
        End of the axis, in units of `unit`.
    bins : int
        Bins that the axis should have at most.
    unit : float
        What errors are divided by.
    """
    coarse = histogram.coarsen(limit * unit, bins)
    edges = np.asarray(coarse.edges, np.float64)
    counts = np.asarray(coarse.counts, np.float64)
    # The outer bins hold what lies beyond and have no end: drawn, they would be false peaks.
    return Bins(edges[1:-1] / unit, counts[1:-1], int(counts[0]), int(counts[-1]))
