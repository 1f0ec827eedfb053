"""What is summed up of a tensor and its reference: mergeable, so that rows can stream by.

All figures are about weights ("weight-space error"). They say how far the numbers are from the
original ones, not how well the model answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

from .exact import difference
from .histogram import BINS, Histogram, bin_index

__all__ = ["STATISTICS_VERSION", "Statistics", "measure"]

STATISTICS_VERSION = 3
"""Raise it by one when the same bytes could give other figures than before.

That is when sums or the histogram are defined or added up in another way (also: other chunks), and
when a definition of a format, a transform or a table of an architecture was wrong and is corrected.
Results that were kept on disk are then measured again.
"""

# Mean squares that float32 sums hold without loss.
_SMALLEST, _LARGEST = 1e-30, 1e30


@dataclass(slots=True, eq=False)
class Statistics:
    """Sums over pairs of a weight `x` and its reference `r`, with error ``e = x - r`` in float32.

    Where float32 has no room for either (I32, I64, F64), the error is taken before it is rounded:
    see `gguf_lab.comparison.exact`.

    Attributes
    ----------
    n : int
        Pairs seen.
    ee, rr, xx, xr, abs_e : float
        Sums of e*e, r*r, x*x, x*r and abs(e), in float64.
    peak : float
        Largest abs(e); NaN if any error is NaN.
    n_nan, n_inf : int
        Pairs with a NaN on either side; pairs without one but with an infinity.
    counts : int64 array (BINS,)
        The error histogram.
    wee, wrr : float or None
        Sums of e*e and r*r, each times the importance of its column; None without importance.
    """

    n: int = 0
    ee: float = 0.0
    rr: float = 0.0
    xx: float = 0.0
    xr: float = 0.0
    abs_e: float = 0.0
    peak: float = 0.0
    n_nan: int = 0
    n_inf: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    wee: float | None = None
    wrr: float | None = None

    def __eq__(self, other: object) -> bool:
        """Whether all sums and counts are the same, NaN and NaN too."""
        if not isinstance(other, Statistics):
            return NotImplemented
        mine, theirs = (
            [getattr(side, f.name) for f in fields(side) if f.name != "counts"]
            for side in (self, other)
        )
        same = all(a == b or (_is_nan(a) and _is_nan(b)) for a, b in zip(mine, theirs, strict=True))
        return same and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def add(self, other: Statistics) -> None:
        """Merge another part in; always in row order, so that the sums depend on nothing else."""
        self.n += other.n
        self.ee += other.ee
        self.rr += other.rr
        self.xx += other.xx
        self.xr += other.xr
        self.abs_e += other.abs_e
        self.peak = float(np.maximum(self.peak, other.peak))  # unlike max(), keeps a NaN
        self.n_nan += other.n_nan
        self.n_inf += other.n_inf
        self.counts += other.counts
        if other.wee is not None and other.wrr is not None:
            self.wee = (self.wee or 0.0) + other.wee
            self.wrr = (self.wrr or 0.0) + other.wrr

    @property
    def fits_float32(self) -> bool:
        """Whether float32 could hold what was summed up; if not, float64 has to do it again.

        Zero error is exact. Else no mean square may be so small or so large that single squares
        were lost, and nothing may be infinite or NaN.
        """
        return (self.peak == 0 == self.ee or self._held(self.ee)) and all(
            map(self._held, (self.rr, self.xx))
        )

    def _held(self, sum_of_squares: float) -> bool:
        return self.n * _SMALLEST < sum_of_squares < self.n * _LARGEST

    @property
    def exact(self) -> bool:
        """Whether every weight is its reference: true too where relative figures are undefined."""
        return self.peak == self.ee == 0

    @property
    def rmse(self) -> float:
        """Root mean square of the error, in units of the weights."""
        return math.sqrt(self.ee / self.n) if self.n else math.nan

    @property
    def reference_rms(self) -> float:
        """Root mean square of the reference."""
        return math.sqrt(self.rr / self.n) if self.n else math.nan

    @property
    def max_abs_error(self) -> float:
        """Largest magnitude of the error; NaN if any error is NaN."""
        return self.peak

    @property
    def mean_abs_error(self) -> float:
        """Mean of the error's magnitude."""
        return self.abs_e / self.n if self.n else math.nan

    @property
    def relative_rmse(self) -> float:
        """``sqrt(sum e*e / sum r*r)``; NaN (undefined) if the reference is all zero or infinite."""
        return _ratio(self.ee, self.rr)

    @property
    def weighted_relative_rmse(self) -> float | None:
        """``sqrt(sum w*e*e / sum w*r*r)`` with the importance w of the column; None without.

        NaN (undefined) if the second sum is zero or infinite.
        """
        return None if self.wee is None or self.wrr is None else _ratio(self.wee, self.wrr)

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise ratio, ``10 log10(sum r*r / sum e*e)`` in dB.

        Infinite where the error is exactly zero; NaN where `relative_rmse` is.
        """
        if math.isnan(self.relative_rmse):
            return math.nan
        if not self.ee:
            return math.inf
        return 10 * (math.log10(self.rr) - math.log10(self.ee)) if self.ee < math.inf else -math.inf

    @property
    def cosine(self) -> float:
        """``sum x*r / sqrt(sum x*x * sum r*r)``; NaN if either side is all zero."""
        norm = math.sqrt(self.xx) * math.sqrt(self.rr)
        return max(-1.0, min(1.0, self.xr / norm)) if norm and math.isfinite(norm) else math.nan

    @property
    def histogram(self) -> Histogram:
        """The error histogram on the fixed grid."""
        return Histogram.of_grid(self.counts)


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


def _ratio(errors: float, references: float) -> float:
    """Return the root of one sum of squares over another; NaN where that says nothing."""
    undefined = not references or (errors and math.isinf(references))
    return math.nan if undefined else math.sqrt(errors / references)


def measure(x: np.ndarray, r: np.ndarray) -> Statistics:
    """Sum up a part in float64: the plain path, and the one for parts with NaN, inf or extremes.

    Parameters
    ----------
    x, r : float32 arrays of the same size, or int64 or float64
        The dequantized weights and their reference.
    """
    x, r = x.ravel(), r.ravel()
    with np.errstate(all="ignore"):
        e = difference(x, r)
        x8, r8, e8 = x.astype(np.float64), r.astype(np.float64), e.astype(np.float64)
        nan = np.isnan(x8) | np.isnan(r8)
        return Statistics(
            n=x.size,
            ee=float((e8 * e8).sum()),
            rr=float((r8 * r8).sum()),
            xx=float((x8 * x8).sum()),
            xr=float((x8 * r8).sum()),
            abs_e=float(np.abs(e8).sum()),
            peak=float(np.abs(e8).max(initial=0.0)),
            n_nan=int(nan.sum()),
            n_inf=int(((np.isinf(x8) | np.isinf(r8)) & ~nan).sum()),
            counts=np.bincount(bin_index(e[~np.isnan(e)]), minlength=BINS),
        )
