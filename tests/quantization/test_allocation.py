"""The knapsack against all of its choices, tried one by one."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_lab.quantization.allocation import allocate, frontier

if TYPE_CHECKING:
    from gguf_lab.quantization.allocation import Option

# Few different numbers: ties, and options that are worse in both, are to be frequent.
ERRORS = st.one_of(st.integers(0, 12).map(float), st.floats(0, 1e6))
OPTIONS = st.lists(st.tuples(st.integers(0, 15), ERRORS), min_size=1, max_size=5)
ITEMS = st.lists(OPTIONS, min_size=1, max_size=5)


def least(items: list[list[Option]], budget: int) -> float | None:
    """Return the least sum of errors of all choices that fit, None if none does."""
    sums = [tuple(map(sum, zip(*choice, strict=True))) for choice in product(*items)]
    return min((error for size, error in sums if size <= budget), default=None)


@settings(max_examples=300)
@given(ITEMS, st.integers(-1, 80))
def test_no_choice_is_better(items, budget):
    expected, found = least(items, budget), allocate(items, budget)
    if expected is None or found is None:
        assert found is expected
        return
    chosen = [options[c] for options, c in zip(items, found.choice, strict=True)]
    assert found.nbytes == sum(size for size, _ in chosen) <= budget
    assert found.error == pytest.approx(sum(error for _, error in chosen), rel=1e-12)
    assert found.optimal
    assert found.error == pytest.approx(expected, rel=2e-9)


@settings(max_examples=200)
@given(ITEMS, st.integers(0, 80))
def test_where_the_search_is_cut_short_the_bound_still_holds(items, budget):
    """With one start followed at a time the answer may be worse: then it does not say optimal."""
    expected, found = least(items, budget), allocate(items, budget, states=1)
    if expected is None or found is None:
        assert found is expected
        return
    assert found.nbytes <= budget
    assert found.bound * (1 - 1e-9) - 1e-6 <= expected <= found.error * (1 + 1e-9)
    if found.optimal:
        assert found.error == pytest.approx(expected, rel=2e-9, abs=1e-6)


@settings(max_examples=100)
@given(ITEMS)
def test_the_frontier_has_best_choices(items):
    sizes, errors = frontier(items)
    assert sizes[0] == sum(min(options)[0] for options in items)
    assert (np.diff(sizes) > 0).all()
    for size, error in zip(sizes.tolist(), errors.tolist(), strict=True):
        assert least(items, size) == pytest.approx(error, rel=1e-9, abs=1e-6)


def test_the_relaxed_problem_is_not_the_answer():
    """By error per byte the first step is that of the first item; then the second fits no more."""
    items = [[(0, 10.0), (2, 0.0)], [(0, 9.0), (3, 0.0)]]
    assert allocate(items, 3).choice == (1, 0)  # 9 left; the other way 10
    assert allocate(items, 4).choice == (1, 0)
    assert allocate(items, 5).choice == (1, 1)
    assert allocate([[(0, 10.0), (3, 3.0), (4, 0.0)], [(0, 5.0), (1, 4.0)]], 4).choice == (2, 0)


def test_large_errors_do_not_hide_small_ones():
    """One item dwarfs the others until it is at its best, which leaves nothing."""
    items = [[(0, 1e9), (1, 0.0)], [(0, 3e-9), (2, 0.0)], [(0, 2e-9), (1, 1e-9)]]
    assert [allocate(items, budget).choice for budget in (0, 1, 2, 3, 4)] == [
        *((0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1))
    ]
    assert frontier(items)[1].tolist()[-1] == 1e-9


def test_a_model_of_many_tensors_is_solved():
    """As large a problem as a model of 80 layers: 560 matrices of four sizes, twelve types."""
    rng = np.random.default_rng(1)
    bits = np.array([2.625, 3.4375, 4.25, 4.5, 5.0, 5.5, 6.0, 6.5625, 8.5, 16.0])
    items: list[list[Option]] = []
    for n in rng.choice([2**20, 2**22, 11 * 2**20, 28 * 2**18], 560).tolist():
        errors = n * rng.lognormal(0, 1) * 4.0**-bits * rng.uniform(0.8, 1.2, len(bits))
        items.append([(int(n * b) // 8, float(e)) for b, e in zip(bits, errors, strict=True)])
    budget = int(4.8 / 8 * sum(options[-1][0] / 2 for options in items))
    found = allocate(items, budget)
    assert found.nbytes <= budget
    assert found.error <= found.bound * (1 + 1e-4)
