"""Which of several sizes each item gets, so that all fit and the sum of their errors is least.

The multiple-choice knapsack problem. Relaxed, so that an item may lie between two of its options,
it is solved by one multiplier: go on to the next larger option wherever that saves most error per
byte. That is a lower bound, and where it takes no fraction the answer. What is left is searched
through item by item; a start that even the relaxed rest could not bring below the best answer so
far is dropped, as is one that is neither smaller nor better than another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Allocation", "Option", "allocate", "frontier"]

Option = tuple[int, float]
"""Size in bytes and error."""

_STATES = 20_000
"""Starts that are followed at once."""

_TOLERANCE = 1e-9
"""Answers closer to each other than this, relative to their error, count as equally good."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """An answer.

    Attributes
    ----------
    choice : tuple of int
        For each item the position of its option.
    nbytes : int
        Size of all.
    error : float
        Sum of the errors.
    bound : float
        No choice that fits has a smaller sum.
    """

    choice: tuple[int, ...]
    nbytes: int
    error: float
    bound: float

    @property
    def optimal(self) -> bool:
        """Whether there is no better choice (by more than one part in a thousand million)."""
        return self.error <= self.bound * (1 + _TOLERANCE)


@dataclass(frozen=True, slots=True)
class _Steps:
    """All steps from an option to the next larger one that is worth it, the best first.

    Attributes
    ----------
    item, option : int arrays
        Who takes the step, and to which option.
    nbytes, saved : arrays
        What it adds in bytes, and saves in error.
    """

    item: NDArray[np.int64]
    option: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    saved: NDArray[np.float64]


def _pareto(options: Sequence[Option]) -> list[int]:
    """Return the options that no other beats in size and error, from small to large."""
    kept: list[int] = []
    for index in sorted(range(len(options)), key=lambda i: options[i]):
        if not kept or options[index][1] < options[kept[-1]][1]:
            kept.append(index)
    return kept


def _hull(options: Sequence[Option], kept: Sequence[int]) -> list[int]:
    """Return those on the lower convex hull: each step saves less per byte than the one before."""
    hull: list[int] = []
    for index in kept:
        while len(hull) > 1:
            (x0, y0), (x1, y1), (x2, y2) = (options[i] for i in (*hull[-2:], index))
            if (y0 - y1) * (x2 - x1) > (y1 - y2) * (x1 - x0):
                break
            hull.pop()
        hull.append(index)
    return hull


def _steps(items: Sequence[Sequence[Option]], hulls: Sequence[Sequence[int]]) -> _Steps:
    found = [
        (i, after, options[after][0] - options[before][0], options[before][1] - options[after][1])
        for i, (options, hull) in enumerate(zip(items, hulls, strict=True))
        for before, after in pairwise(hull)
    ]
    found.sort(key=lambda step: -step[3] / step[2])  # stable: of one item in order
    item, option, nbytes, saved = zip(*found, strict=True) if found else ((), (), (), ())
    return _Steps(
        np.array(item, np.int64),
        np.array(option, np.int64),
        np.array(nbytes, np.int64),
        np.array(saved, np.float64),
    )


def frontier(items: Sequence[Sequence[Option]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sizes and errors of choices, of which each is the best of its size.

    One for each step of the relaxed problem, from the smallest choice on. Between two of them
    there may be others, above the straight line that connects them.
    """
    hulls = [_hull(options, _pareto(options)) for options in items]
    return _curve(items, hulls, _steps(items, hulls), range(len(items)))


def allocate(
    items: Sequence[Sequence[Option]], budget: int, *, states: int = _STATES
) -> Allocation | None:
    """Choose an option for each item.

    Parameters
    ----------
    items : sequence of sequences of (size, error)
        The options of each item; at least one each, sizes in bytes.
    budget : int
        What all may take together.
    states : int
        Starts that are followed at once. Where there are more, the least promising are dropped, and
        the answer may miss the best one: `Allocation.optimal` says so.

    Returns
    -------
    Allocation or None
        None if even the smallest options do not fit.

    Examples
    --------
    >>> allocate([[(1, 9.0), (2, 1.0)], [(1, 5.0), (2, 4.0)]], budget=3).choice
    (1, 0)
    """
    kept = [_pareto(options) for options in items]
    hulls = [_hull(options, k) for options, k in zip(items, kept, strict=True)]
    if sum(options[k[0]][0] for options, k in zip(items, kept, strict=True)) > budget:
        return None
    steps = _steps(items, hulls)
    bound = _relaxed(items, hulls, steps, budget)
    first = _greedy(items, hulls, steps, budget)
    least = _error(items, first)
    found, complete = _search(items, kept, hulls, steps, budget=budget, best=least, states=states)
    choice = first if found is None else found
    size = sum(options[c][0] for options, c in zip(items, choice, strict=True))
    error = _error(items, choice)
    return Allocation(tuple(choice), size, error, error if complete else min(bound, error))


def _error(items: Sequence[Sequence[Option]], choice: Sequence[int]) -> float:
    return sum(options[c][1] for options, c in zip(items, choice, strict=True))


def _relaxed(
    items: Sequence[Sequence[Option]], hulls: Sequence[Sequence[int]], steps: _Steps, budget: int
) -> float:
    sizes, errors = _curve(items, hulls, steps, range(len(items)))
    return float(np.interp(budget, sizes, errors))


def _curve(
    items: Sequence[Sequence[Option]],
    hulls: Sequence[Sequence[int]],
    steps: _Steps,
    chosen: Sequence[int],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sizes and least errors of the relaxed problem for some of the items.

    Errors are summed up from the small end: differences of large ones would not tell zero.
    """
    smallest = sum(items[i][hulls[i][0]][0] for i in chosen)
    least = sum(items[i][hulls[i][-1]][1] for i in chosen)
    mask = np.zeros(len(items), bool)
    mask[list(chosen)] = True
    taken = mask[steps.item] if len(steps.item) else np.zeros(0, bool)
    saved = np.cumsum(steps.saved[taken][::-1])[::-1]
    sizes = smallest + np.concatenate([[0], np.cumsum(steps.nbytes[taken])])
    return sizes.astype(np.int64), least + np.concatenate([saved, [0.0]])


def _greedy(
    items: Sequence[Sequence[Option]], hulls: Sequence[Sequence[int]], steps: _Steps, budget: int
) -> list[int]:
    """Take every step that fits, the best first; an item that has skipped one takes no more."""
    choice = [hull[0] for hull in hulls]
    left = budget - sum(options[c][0] for options, c in zip(items, choice, strict=True))
    closed: set[int] = set()
    for item, option, nbytes in zip(
        steps.item.tolist(), steps.option.tolist(), steps.nbytes.tolist(), strict=True
    ):
        if nbytes > left:
            closed.add(item)
        elif item not in closed:
            choice[item], left = option, left - nbytes
    return choice


def _search(
    items: Sequence[Sequence[Option]],
    kept: Sequence[Sequence[int]],
    hulls: Sequence[Sequence[int]],
    steps: _Steps,
    *,
    budget: int,
    best: float,
    states: int,
) -> tuple[list[int] | None, bool]:
    """Return a choice better than `best`, None if there is none, and whether that is sure."""
    spread = [items[i][k[-1]][0] - items[i][k[0]][0] for i, k in enumerate(kept)]
    order = sorted(range(len(items)), key=lambda i: -spread[i])
    sizes, errors = np.zeros(1, np.int64), np.zeros(1)
    trail, complete = [], True
    for depth, item in enumerate(order):
        options = np.array([items[item][c] for c in kept[item]], np.float64)
        size = (sizes[:, None] + options[:, 0].astype(np.int64)).ravel()
        error = (errors[:, None] + options[:, 1]).ravel()
        rest_sizes, rest_errors = _curve(items, hulls, steps, order[depth + 1 :])
        reachable = error + np.interp(budget - size, rest_sizes, rest_errors)
        alive = np.flatnonzero(
            (size + rest_sizes[0] <= budget) & (reachable < best * (1 - _TOLERANCE))
        )
        alive = alive[np.lexsort((error[alive], size[alive]))]
        lowest = np.minimum.accumulate(error[alive])
        alive = alive[np.concatenate([[True], error[alive][1:] < lowest[:-1]])[: len(alive)]]
        if len(alive) > states:
            alive = np.sort(alive[np.argsort(reachable[alive], kind="stable")[:states]])
            complete = False
        if not len(alive):
            return None, complete
        trail.append((alive // len(options), alive % len(options)))
        sizes, errors = size[alive], error[alive]
    return _walk_back(kept, order, trail, int(np.argmin(errors))), complete


def _walk_back(
    kept: Sequence[Sequence[int]],
    order: Sequence[int],
    trail: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    state: int,
) -> list[int]:
    choice = [0] * len(order)
    for item, (parents, options) in zip(reversed(order), reversed(trail), strict=True):
        choice[item] = kept[item][int(options[state])]
        state = int(parents[state])
    return choice
