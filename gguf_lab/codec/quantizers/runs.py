"""Runs of neighbouring weights, a multiple of eight: their extremes, and codes without a search."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import inlined
from .vectors import (
    LANES,
    absolute,
    any_lane,
    choose,
    first_lane,
    floor,
    greatest,
    load,
    store,
    vector,
)

__all__ = ["extremes", "inverse_or_zero", "largest", "magnitude", "store_codes"]

_0, _1 = np.float32(0), np.float32(1)


@inlined
def magnitude(x: Any) -> Any:
    """Return the largest magnitude."""
    peak = vector(_0)
    for i in range(0, x.size, LANES):
        xi = absolute(load(x, i))
        peak = choose(xi > peak, xi, peak)
    return greatest(peak)


@inlined
def bounds(x: Any) -> Any:
    """Return the smallest and the largest number."""
    low = high = load(x, 0)
    for i in range(LANES, x.size, LANES):
        xi = load(x, i)
        low = choose(xi < low, xi, low)
        high = choose(xi > high, xi, high)
    return -greatest(_0 - low), greatest(high)


@inlined
def first_of(x: Any, size: Any) -> Any:
    """Return the first number of this magnitude."""
    for i in range(0, x.size, LANES):
        mask = absolute(load(x, i)) == size
        if any_lane(mask):
            return x[i + first_lane(mask)]
    return size


@inlined
def largest(x: Any) -> Any:
    """Return the first of the values with the largest magnitude; 0, not -0, if all are zero."""
    low, high = bounds(x)
    if -low > high:
        return low
    if -low < high:
        return high
    return first_of(x, high) if high > _0 else _0


@inlined
def extremes(x: Any) -> Any:
    """Return the smallest and the largest number; of zeros the first one, for its sign."""
    low, high = bounds(x)
    return first_of(x, _0) if low == _0 else low, first_of(x, _0) if high == _0 else high


@inlined
def inverse_or_zero(d: Any) -> Any:
    """Return 1 / d, and 0 for 0."""
    return _1 / d if d != _0 else _0


@inlined
def store_codes(x: Any, low: Any, scale: Any, shift: Any, top: Any, codes: Any) -> None:
    """Store ``(x - low) * scale + shift``, cut to whole numbers, `top` at most, as float32."""
    limit = np.float32(top)
    for i in range(0, x.size, LANES):
        v = (load(x, i) - low) * scale + shift
        # What fits no integer becomes 0, as on x86: rows of denormals, of infinite inverse scale.
        over = (v > limit) & (v < np.float32(2147483648.0))
        v = choose(over, limit, floor(v))
        store(codes, i, choose(absolute(v) < np.float32(2147483648.0), v, _0))
