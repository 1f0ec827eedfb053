"""Error histograms on one fixed grid, so that any two of them can be laid over each other.

The grid is logarithmic in the magnitude of the error and signed: 16 bins to the octave (the upper
four bits of the float's mantissa) from 2**-40 to 2**8, one bin around zero, one beyond at each end.
A bin is found by shifting the error's own bits, and no scale has to be known in advance: one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import GGUFLabError

__all__ = [
    "BINS",
    "BITS",
    "CENTRE",
    "FLOOR",
    "PATTERNS",
    "Histogram",
    "bin_index",
    "bin_patterns",
    "grid_edges",
]

OCTAVES = (-40, 8)
BITS = 19
"""Bits of a float32 below the four of the mantissa that choose the bin."""
FLOOR = ((127 + OCTAVES[0]) << 4) - 1
"""What is subtracted from a magnitude's upper bits: the bin around zero is 0."""
CENTRE = (OCTAVES[1] - OCTAVES[0]) * 16 + 1
"""Index of the bin around zero; also the number of bins on either side."""
BINS = 2 * CENTRE + 1
PATTERNS = 1 << 32 - BITS
"""What the upper bits of a float32 can be. Numbers that agree in them are in the same bin."""


@cache
def grid_edges() -> np.ndarray:
    """Return the edges of the grid: float64 (BINS + 1,), from -inf to inf.

    A bin holds magnitudes from its smaller edge (included) to its larger one (excluded).
    """
    octaves = 2.0 ** np.arange(*OCTAVES)
    positive = (octaves[:, None] * (1 + np.arange(16) / 16)).ravel()
    positive = np.concatenate([positive, [2.0 ** OCTAVES[1], np.inf]])
    edges = np.concatenate([-positive[::-1], positive])
    edges.flags.writeable = False
    return edges


def bin_index(error: np.ndarray) -> np.ndarray:
    """Return the bin of each error, rounded to float32: array -> intp array. Not for NaN."""
    bits = np.ascontiguousarray(error, np.float32).view(np.uint32)
    magnitude = ((bits & 0x7FFFFFFF) >> BITS).astype(np.int64)
    bins = np.clip(magnitude - FLOOR, 0, CENTRE)
    return np.where(bits >> 31, CENTRE - bins, CENTRE + bins)


def _in_order(patterns: np.ndarray) -> np.ndarray:
    """Put what belongs to patterns into the order of their numbers: the negative ones first."""
    positive, negative = patterns[: PATTERNS // 2], patterns[PATTERNS // 2 :]
    return np.concatenate([negative[::-1], positive])


@cache
def _starts() -> np.ndarray:
    """Return where each bin starts among the patterns in order."""
    patterns = _in_order(np.arange(PATTERNS, dtype=np.uint32))
    bins = bin_index((patterns << BITS).view(np.float32))
    return np.flatnonzero(np.diff(bins, prepend=-1))


def bin_patterns(counts: np.ndarray) -> np.ndarray:
    """Sort counts by the upper bits of errors into bins: integers (PATTERNS,) -> int64 (BINS,)."""
    return np.add.reduceat(_in_order(counts), _starts(), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many weights have which error.

    Attributes
    ----------
    counts : int64 array (n,)
        Weights per bin; NaN errors are in none.
    edges : float64 array (n + 1,)
        Signed errors, in units of the weights. The same for every histogram of this grid.
    """

    counts: np.ndarray
    edges: np.ndarray

    @classmethod
    def of_grid(cls, counts: np.ndarray) -> Histogram:
        """Take counts of the fixed grid."""
        return cls(counts, grid_edges())

    @property
    def total(self) -> int:
        """Number of weights counted."""
        return int(self.counts.sum())

    def coarsen(self, limit: float, bins: int = 64) -> Histogram:
        """Merge whole bins for drawing: never splits one, so every count stays exact.

        Parameters
        ----------
        limit : float
            The drawn range is [-limit, limit], widened to the next edge of the grid; what lies
            beyond is counted in the first and the last bin, which reach to infinity.
        bins : int, optional
            No bin inside is narrower than ``limit / bins``.

        Returns
        -------
        Histogram
            With its own, fewer edges.
        """
        if not (limit > 0 and bins > 0):
            raise GGUFLabError(f"limit and bins must be positive, not {limit} and {bins}")
        positive = self.edges[CENTRE + 1 :]
        last = min(int(np.searchsorted(positive, limit)), len(positive) - 2)
        kept, width = [], positive[last] / bins
        below = 0.0  # the bin around zero is one bin, half of it on either side
        for i in range(last + 1):
            if positive[i] - below >= width or i == last:
                kept.append(i)
                below = positive[i]
        if len(kept) > 1 and positive[kept[-1]] - positive[kept[-2]] < width:
            del kept[-2]
        right = np.array(kept) + CENTRE + 1
        picked = np.concatenate([[0], BINS - right[::-1], right, [BINS]])
        return Histogram(np.add.reduceat(self.counts, picked[:-1]), self.edges[picked])

    def density(self) -> np.ndarray:
        """Return the share of the weights per unit of error: float64 (n,); 0 for endless bins."""
        with np.errstate(invalid="ignore"):
            return self.counts / max(self.total, 1) / np.diff(self.edges)
