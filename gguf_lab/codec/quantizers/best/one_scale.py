"""A wider search for blocks of one scale per group: half precision, E8M0 or UE4M3."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..vectors import LANES, load, store
from .groups import (
    INFINITY,
    assign,
    error_of,
    find_scale,
    give,
    indices_of,
    inner,
    inverse_of,
    middles,
    normalise,
    take,
)

__all__ = ["one_scale", "place_of"]

_0 = np.float32(0)


@inner
def place_of(x: Any, allowed: Any) -> Any:
    """Return the index of the nearest of the allowed numbers, which ascend."""
    low, high = 0, allowed.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if allowed[middle] <= x:
            low = middle
        else:
            high = middle
    return high if allowed[high] - x < x - allowed[low] else low


def one_scale(
    flat: Any,
    columns: Any,
    importance: Any,
    levels: Any,
    settings: Any,
    allowed: Any,
    codes: Any,
    scales: Any,
) -> None:
    """Search real scales, then try the `settings`[5] allowed numbers to either side, codes anew.

    A scale is stored as the index of the allowed number, with bit 15 as its sign.
    """
    n = np.int64(settings[0])
    how = np.int64(settings[3]), np.int64(settings[4]) if importance.size else 0
    x, w = np.empty(n * LANES, np.float32), np.empty(n * LANES, np.float32)
    q, middle = np.empty(n * LANES, np.float32), np.empty(levels.size - 1, np.float32)
    tried, errors = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    least, found = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    near, places = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    run, indices = middles(levels, middle), indices_of(levels)

    for first in range(0, flat.size // n, LANES):
        groups = min(LANES, flat.size // n - first)
        take(flat, importance, columns, n * first, n, groups, x, w, 0)
        normalise(w, False)
        store(
            found,
            0,
            find_scale(x, 0, x.size, w, q, levels, middle, run, (settings[1], settings[2]), how),
        )
        for lane in range(LANES):
            near[lane] = place_of(np.abs(found[lane]), allowed)
            least[lane], places[lane] = INFINITY, near[lane]
        reach = np.int64(settings[5])
        for step in range(-reach, reach + 1):
            for lane in range(LANES):
                place = min(max(near[lane] + step, 0), allowed.size - 1)
                tried[lane] = allowed[place] if found[lane] >= _0 else -allowed[place]
            d = load(tried, 0)
            assign(x, 0, x.size, inverse_of(d), middle, run, levels, q)
            store(errors, 0, error_of(x, 0, x.size, w, q, d))
            for lane in range(LANES):
                if errors[lane] < least[lane]:
                    least[lane] = errors[lane]
                    places[lane] = min(max(near[lane] + step, 0), allowed.size - 1)
        for lane in range(LANES):
            tried[lane] = allowed[places[lane]] if found[lane] >= _0 else -allowed[places[lane]]
        assign(x, 0, x.size, inverse_of(load(tried, 0)), middle, run, indices, q)
        give(q, 0, n, groups, codes, n * first)
        for lane in range(groups):
            scales[first + lane] = places[lane] | (0x8000 if found[lane] < _0 else 0)
