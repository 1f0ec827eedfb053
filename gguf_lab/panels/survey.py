"""What a tensor is row by row, found in one walk through it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..comparison import Histogram
from ..comparison.histogram import BITS, PATTERNS, bin_patterns
from .sides import CHUNK, SIDES, read

if TYPE_CHECKING:
    from collections.abc import Generator

    from .sides import Sides

__all__ = ["Survey", "survey"]


@dataclass(slots=True)
class Survey:
    """Row by row, what a tensor is: float64 arrays (n_rows,) of finite or NaN figures.

    Attributes
    ----------
    norms : float64 array
        Euclidean norm of the stored row.
    relative : float64 array or None
        Norm of the row's difference over that of the original row: 0 where both are zero, infinite
        where only the original is.
    histogram : Histogram
        Of the stored values; NaN is in no bin.
    rms : float
        Root mean square of the stored values that are finite; NaN if there are none.
    n_nan, n_inf : int
        Values that are not finite.
    """

    norms: np.ndarray
    relative: np.ndarray | None
    histogram: Histogram
    rms: float
    n_nan: int = 0
    n_inf: int = 0

    def worst(self, n: int = 12) -> list[tuple[int, float]]:
        """Return the rows with the largest relative error, NaN first; rows without error aside."""
        if self.relative is None:
            return []
        size = np.where(np.isnan(self.relative), np.inf, self.relative)
        order = np.argsort(-size, kind="stable")[:n]
        return [(int(row), float(self.relative[row])) for row in order if size[row] > 0]


def survey(sides: Sides, name: str) -> Generator[float, None, Survey]:
    """Walk a tensor once; yield the share that is done."""
    readers = sides.readers(name, SIDES)
    tensor = sides.tensor(name)
    n, wide = tensor.n_rows, tensor.row_values
    compared = "difference" in readers
    squares = {side: np.zeros(n) for side in readers}
    counts = np.zeros(PATTERNS, np.int64)
    n_nan = n_inf = 0
    total = 0.0
    step = max(1, CHUNK // max(1, wide))
    for a in range(0, n, step):
        b = min(a + step, n)
        for side, values in read(readers, [(a, b)], 0, wide).items():
            with np.errstate(invalid="ignore", over="ignore"):
                double = values.astype(np.float64)
                squares[side][a:b] = np.einsum("ij,ij->i", double, double)
            if side == "quantized":
                sums = squares[side][a:b]
                if not np.isfinite(sums).all():
                    n_inf += int(np.isinf(values).sum())
                    n_nan += int(np.isnan(values).sum())
                    values = values[~np.isnan(values)]  # noqa: PLW2901
                    sums = np.square(double[np.isfinite(double)])
                total += float(sums.sum())
                bits = np.ascontiguousarray(values).reshape(-1).view(np.uint32) >> BITS
                counts += np.bincount(bits, minlength=PATTERNS)
        yield b / n
    n_finite = n * wide - n_nan - n_inf
    return Survey(
        np.sqrt(squares["quantized"]),
        _ratio(squares["difference"], squares["original"]) if compared else None,
        Histogram.of_grid(bin_patterns(counts)),
        math.sqrt(total / n_finite) if n_finite else math.nan,
        n_nan,
        n_inf,
    )


def _ratio(errors: np.ndarray, originals: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: np.ndarray = np.sqrt(errors / originals)
    ratio[(errors == 0) & (originals == 0)] = 0.0
    return ratio
