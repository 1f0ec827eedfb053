"""Runs of neighbouring weights, a multiple of eight: their extremes, and codes without a search."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import helper
from .vectors import (
    LANES,
    absolute,
    any_lane,
    choose,
    first_lane,
    greatest,
    load,
    store_bytes,
    vector,
)

__all__ = ["extremes", "first_equal", "inverse_or_zero", "largest", "magnitude", "store_codes"]

_0, _1 = np.float32(0), np.float32(1)


@helper
def magnitude(x: Any) -> Any:
    """Return the largest magnitude."""
    peak = vector(_0)
    for i in range(0, x.size, LANES):
        xi = absolute(load(x, i))
        peak = choose(xi > peak, xi, peak)
    return greatest(peak)


@helper
def first_equal(x: Any, value: Any) -> Any:
    """Return the first number equal to `value`: a zero may have either sign."""
    for i in range(0, x.size, LANES):
        mask = load(x, i) == value
        if any_lane(mask):
            return x[i + first_lane(mask)]
    return value


@helper
def largest(x: Any) -> Any:
    """Return the first of the values with the largest magnitude; 0, not -0, if all are zero."""
    peak = magnitude(x)
    if peak == _0:
        return peak
    for i in range(0, x.size, LANES):
        mask = absolute(load(x, i)) == peak
        if any_lane(mask):
            return x[i + first_lane(mask)]
    return peak


@helper
def extremes(x: Any) -> Any:
    """Return the smallest and the largest number, the first of those that are equal."""
    low = high = load(x, 0)
    for i in range(LANES, x.size, LANES):
        xi = load(x, i)
        low = choose(xi < low, xi, low)
        high = choose(xi > high, xi, high)
    return first_equal(x, -greatest(_0 - low)), first_equal(x, greatest(high))


@helper
def inverse_or_zero(d: Any) -> Any:
    """Return 1 / d, and 0 for 0."""
    return _1 / d if d != _0 else _0


@helper
def store_codes(x: Any, low: Any, scale: Any, shift: Any, top: Any, codes: Any) -> None:
    """Store ``(x - low) * scale + shift``, cut to whole numbers, `top` at most, as bytes."""
    limit = np.float32(top)
    for i in range(0, x.size, LANES):
        v = (load(x, i) - low) * scale + shift
        # What fits no integer becomes 0, as on x86: rows of denormals, of infinite inverse scale.
        over = (v > limit) & (v < np.float32(2147483648.0))
        store_bytes(codes, i, choose(over, limit, v))
