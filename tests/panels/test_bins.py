from __future__ import annotations

import itertools

import numpy as np
import pytest

from gguf_lab.comparison.histogram import Histogram
from gguf_lab.panels.bins import common_limit, merged

from .support import StubModel, StubTensor, compared, missing, rows_of

TENSOR = StubTensor("t.weight", 0, "t", "Q4_0", (100, 32), 4.5)


@pytest.mark.parametrize("unit", [1.0, 0.05])
def test_bins_hold_exactly_the_errors_between_their_edges(unit: float) -> None:
    error = np.random.default_rng(1).standard_t(3, 20_000).astype(np.float32) * np.float32(0.01)
    row = compared(TENSOR, error)
    assert isinstance(row.histogram, Histogram)
    bins = merged(row.histogram, 0.04 / unit, 56, unit)
    edges = bins.edges * unit
    expected = [
        np.count_nonzero((error >= low) & (error < high)) if high > 0 else
        np.count_nonzero((error > low) & (error <= high))
        for low, high in itertools.pairwise(edges)
    ]  # fmt: skip
    middle = np.flatnonzero((edges[:-1] < 0) & (edges[1:] > 0))
    for i, count in enumerate(expected):
        if i not in middle:
            assert bins.counts[i] == count
    assert bins.counts.sum() + bins.below + bins.above == error.size
    assert bins.below == np.count_nonzero(error <= edges[0])
    assert bins.above == np.count_nonzero(error >= edges[-1])
    assert len(bins.counts) <= 120


def test_the_common_range_is_round_and_ignores_one_outlier() -> None:
    rows = rows_of(StubModel(layers=8))
    limit = common_limit(rows, "absolute")
    largest = max(row.rmse for row in rows if row.rmse)
    assert largest < limit < 8 * largest
    wild = compared(TENSOR, np.full(3200, 5.0))
    assert common_limit([*rows, wild], "absolute") <= 2 * limit
    assert common_limit([], "absolute") == 0
    assert common_limit([missing(TENSOR, "unmatched", "")], "relative") == 0


def test_relative_means_in_units_of_the_reference() -> None:
    row = compared(TENSOR, np.linspace(-1, 1, 999) * 0.01, reference_rms=0.02)
    absolute, relative = common_limit([row], "absolute"), common_limit([row], "relative")
    assert relative == pytest.approx(absolute / 0.02, rel=0.6)
    zero = compared(TENSOR, np.ones(10), reference_rms=1e-30)
    zero.reference_rms = 0.0
    assert common_limit([zero], "relative") == 0
