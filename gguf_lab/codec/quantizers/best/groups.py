"""What the wider searches share (``effort="best"``): groups of weights in lanes, levels, scales.

A format's levels are the numbers that its codes stand for, in ascending order; a code is the index
of a level here. A group of weights has one scale, and eight groups are searched side by side.
"""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numba import njit

from ..lanes import sum_in_order
from ..vectors import LANES, absolute, choose, floor, greatest, load, store, vector

__all__ = [
    "INFINITY",
    "assign",
    "clamp",
    "error_of",
    "find_scale",
    "give",
    "indices_of",
    "inner",
    "inverse_of",
    "middles",
    "normalise",
    "take",
    "total",
]

_Function = TypeVar("_Function")
_NEVER_FROM_PYTHON: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: _Function) -> _Function:
    """Compile as `arithmetic.helper` does, but not to be called from Python: half the time."""
    options: Any = {"error_model": "numpy", **_NEVER_FROM_PYTHON}
    compiled: _Function = njit(**options)(function)
    return compiled


_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
INFINITY = np.float32(np.inf)
_TURNS = 3


@inner
def take(
    flat: Any,
    importance: Any,
    columns: Any,
    start: Any,
    n: Any,
    groups: Any,
    x: Any,
    w: Any,
    at: Any,
) -> None:
    """Transpose groups of `n` neighbours and their importance; absent groups repeat the last."""
    for lane in range(LANES):
        first = start + min(lane, groups - 1) * n
        for i in range(n):
            x[at + LANES * i + lane] = flat[first + i]
        column = first % columns
        for i in range(n):
            w[at + LANES * i + lane] = importance[column + i] if importance.size else _1


@inner
def give(q: Any, at: Any, n: Any, groups: Any, codes: Any, start: Any) -> None:
    """Write the codes of groups, transposed, to where they belong."""
    for lane in range(groups):
        for i in range(n):
            codes[start + n * lane + i] = np.uint8(np.int32(q[at + LANES * i + lane]))


@inner
def normalise(w: Any, together: Any) -> None:
    """Divide the importance by the largest, of the lane or of all, so that no sum overflows."""
    peak = load(w, 0)
    for i in range(0, w.size, LANES):
        wi = load(w, i)
        peak = choose(wi > peak, wi, peak)
    if together:
        peak = vector(greatest(peak))
    inverse = choose(peak > _0, _1 / peak, _0)
    for i in range(0, w.size, LANES):
        store(w, i, load(w, i) * inverse)


@inner
def clamp(v: Any, low: Any, high: Any) -> Any:
    """Return v, `low` at least and `high` at most."""
    v = choose(v < low, low, v)
    return choose(v > high, high, v)


@inner
def inverse_of(d: Any) -> Any:
    """Return 1 / d, and 0 for 0."""
    return choose(d == _0, _0, _1 / d)


@inner
def total(x: Any) -> Any:
    """Return the sum of all lanes."""
    return sum_in_order(_0, x)


@inner
def middles(levels: Any, out: Any) -> Any:
    """Write the middles between levels; return whether the levels are a run of many integers."""
    run = levels.size > 4
    for k in range(levels.size - 1):
        out[k] = (levels[k] + levels[k + 1]) * _HALF
        run = run and levels[k] + _1 == levels[k + 1]
    return run


@inner
def indices_of(levels: Any) -> Any:
    """Return 0, 1, 2 ..., as float32, as many as there are levels."""
    indices = np.empty(levels.size, np.float32)
    for k in range(levels.size):
        indices[k] = np.float32(k)
    return indices


@inner
def assign(
    x: Any, at: Any, end: Any, inverse: Any, middle: Any, run: Any, values: Any, q: Any
) -> None:
    """Write, for each weight, the value of the nearest level: the levels, or their indices."""
    if run:
        low, high = middle[0] - _HALF, middle[middle.size - 1] + _HALF
        shift = values[0] - low
        for i in range(at, end, LANES):
            v = floor(clamp(load(x, i) * inverse, low, high) + _HALF)
            store(q, i, v + shift)
        return
    for i in range(at, end, LANES):
        v, found = load(x, i) * inverse, vector(values[0])
        for k in range(middle.size):
            found = choose(v >= middle[k], values[k + 1], found)
        store(q, i, found)


@inner
def error_of(x: Any, at: Any, end: Any, w: Any, q: Any, scale: Any) -> Any:
    """Return the weighted squared error of ``scale * q``, by lane."""
    sums = vector(_0)
    for i in range(at, end, LANES):
        difference = load(x, i) - load(q, i) * scale
        sums += load(w, i) * difference * difference
    return sums


@inner
def find_scale(
    x: Any,
    at: Any,
    end: Any,
    w: Any,
    q: Any,
    levels: Any,
    middle: Any,
    run: Any,
    ratios: Any,
    how: Any,
) -> Any:
    """Search the scales of eight groups, real numbers.

    The largest weight becomes ``ratios[0]`` to ``ratios[1]`` times the scale, in ``how[0]`` steps,
    with either sign unless the levels are symmetric. For each scale the codes are rounded, and from
    the codes the best scale follows by regression; of the best one this is repeated. ``how[1]``
    further scales, each 15 % smaller, cut large weights, which pays where those hardly count.
    """
    (first, last), (steps, tail) = ratios, how
    peak = vector(_0)
    for i in range(at, end, LANES):
        xi = choose(load(w, i) > _0, absolute(load(x, i)), _0)
        peak = choose(xi > peak, xi, peak)
    signs = 1 if levels[0] == -levels[levels.size - 1] else 2
    step = (_1 / last - _1 / first) / np.float32(max(1, steps - 1))
    best = d = tried = vector(_0)
    for k in range(signs * (steps + tail) + _TURNS):
        if k >= signs * (steps + tail):
            tried = d
        elif signs == 2 and k & 1:
            tried = _0 - tried
        elif k < signs * steps:
            tried = peak * (_1 / first + step * np.float32(k // signs))
        else:
            tried = absolute(tried) * np.float32(0.85)
        assign(x, at, end, inverse_of(tried), middle, run, levels, q)
        xq = q2 = vector(_0)
        for i in range(at, end, LANES):
            qi = load(q, i)
            wq = load(w, i) * qi
            xq += wq * load(x, i)
            q2 += wq * qi
        fitted = xq / q2
        better = (q2 > _0) & (xq * fitted > best)
        d = choose(better, fitted, d)
        best = choose(better, xq * fitted, best)
    return d
