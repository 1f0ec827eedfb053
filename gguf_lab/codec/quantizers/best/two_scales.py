"""A wider search for Q4_1 and Q5_1: a scale and a minimum in half precision."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import half_bits
from ..vectors import LANES, choose, load, store, vector
from .affine import affine_error, find_affine, half, next_half, take_codes
from .groups import INFINITY, give, inverse_of, normalise, take

__all__ = ["two_scales"]

_0 = np.float32(0)
_REACH, _TURNS = 2, 3


def two_scales(
    flat: Any,
    columns: Any,
    importance: Any,
    levels: Any,
    settings: Any,
    allowed: Any,
    codes: Any,
    scales: Any,
) -> None:
    """Search real numbers, then try the halves near the scale, and the minima that follow.

    ``settings``: see :func:`~.affine.find_affine`.
    """
    n = np.int64(settings[0])
    tail = np.int64(settings[4]) if importance.size else 0
    how, top = (np.int64(settings[1]), settings[2], settings[3], tail), levels[levels.size - 1]
    x, w = np.empty(n * LANES, np.float32), np.empty(n * LANES, np.float32)
    q, found = np.empty(n * LANES, np.float32), np.empty((2, LANES), np.float32)
    for first in range(0, codes.size // n, LANES):
        groups = min(LANES, codes.size // n - first)
        take(flat, importance, columns, n * first, n, groups, x, w, 0)
        normalise(w, False)
        scale, low = find_affine(x, 0, x.size, w, q, top, True, how)
        weight = vector(_0)
        for i in range(0, x.size, LANES):
            weight += load(w, i)
        least, best_d, best_m = vector(INFINITY), vector(_0), vector(_0)
        for step in range(-_REACH, _REACH + 1):
            d, m = next_half(scale, step), low
            for turn in range(_TURNS):
                take_codes(x, 0, x.size, m, inverse_of(d), top, q)
                error, rest = affine_error(x, 0, x.size, w, q, d, m)
                better = error < least
                if turn:  # the first low is no half
                    least = choose(better, error, least)
                    best_d, best_m = choose(better, d, best_d), choose(better, m, best_m)
                m = half(rest * inverse_of(weight))
        take_codes(x, 0, x.size, best_m, inverse_of(best_d), top, q)
        give(q, 0, n, groups, codes, n * first)
        store(found[0], 0, best_d)
        store(found[1], 0, best_m)
        for lane in range(groups):
            for k in range(2):
                scales[2 * (first + lane) + k] = np.int32(half_bits(found[k, lane]))
