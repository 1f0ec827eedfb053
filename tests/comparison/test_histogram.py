from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab import GGUFLabError
from gguf_lab.comparison import Histogram
from gguf_lab.comparison.histogram import (
    BINS,
    BITS,
    CENTRE,
    PATTERNS,
    bin_index,
    bin_patterns,
    grid_edges,
)

floats = st.floats(width=32, allow_nan=False)


@given(floats)
def test_an_error_lies_between_the_edges_of_its_bin(error):
    k = int(bin_index(np.array([error], np.float32))[0])
    low, high = grid_edges()[k : k + 2]
    if k == CENTRE:
        assert abs(error) < high == -low
    elif error > 0:
        assert low <= error < high or error == high == np.inf
    else:
        assert low < error <= high or error == low == -np.inf


def test_the_grid_is_symmetric_and_rises():
    edges = grid_edges()
    assert len(edges) == BINS + 1
    assert (np.diff(edges) > 0).all()
    assert (edges == -edges[::-1]).all()
    inner = edges[CENTRE + 1 : -1]
    assert inner[0] == 2.0**-40
    assert inner[-1] == 2.0**8
    assert (inner[1:] / inner[:-1] <= 1 + 1 / 16).all()


@given(st.lists(floats, max_size=60))
def test_counts_by_the_upper_bits_are_those_by_the_bin(errors):
    errors = np.array(errors, np.float32)
    patterns = np.bincount(errors.view(np.uint32) >> BITS, minlength=PATTERNS)
    want = np.bincount(bin_index(errors), minlength=BINS)
    assert (bin_patterns(patterns) == want).all()


@given(
    st.lists(floats, max_size=300),
    st.floats(1e-9, 1e4),
    st.integers(1, 200),
)
def test_coarsening_merges_whole_bins_and_loses_nothing(errors, limit, bins):
    errors = np.array(errors, np.float32)
    fine = Histogram.of_grid(np.bincount(bin_index(errors), minlength=BINS))
    coarse = fine.coarsen(limit, bins)
    assert coarse.total == fine.total == len(errors)
    assert set(coarse.edges) <= set(fine.edges)
    assert (np.diff(coarse.edges) > 0).all()
    assert (coarse.edges == -coarse.edges[::-1]).all()
    # Counted again on the coarse edges: bins hold their smaller magnitude, exclude the larger.
    outside = coarse.edges[-2]
    assert coarse.counts[-1] == (errors >= outside).sum()
    assert coarse.counts[0] == (errors <= -outside).sum()
    inner = coarse.edges[1:-1]
    widths = np.diff(inner)
    assert len(widths) == 1 or widths.min() >= inner[-1] / bins * (1 - 1e-12)
    assert inner[-1] >= min(limit, 2.0**8)


def test_a_normal_distribution_keeps_its_shape():
    errors = np.random.default_rng(0).normal(0, 0.01, 400_000).astype(np.float32)
    part = Histogram.of_grid(np.bincount(bin_index(errors), minlength=BINS)).coarsen(0.04)
    middles = (part.edges[1:-2] + part.edges[2:-1]) / 2
    normal = np.exp(-((middles / 0.01) ** 2) / 2) / (0.01 * np.sqrt(2 * np.pi))
    density = part.density()[1:-1]
    assert np.abs(density - normal).max() < 0.03 * normal.max()
    assert np.isclose((density * np.diff(part.edges[1:-1])).sum(), 1, atol=1e-3)


@pytest.mark.parametrize(("limit", "bins"), [(0, 10), (-1, 10), (1, 0), (float("nan"), 3)])
def test_coarsen_refuses_nonsense(limit, bins):
    with pytest.raises(GGUFLabError, match="must be positive"):
        Histogram.of_grid(np.zeros(BINS, np.int64)).coarsen(limit, bins)
