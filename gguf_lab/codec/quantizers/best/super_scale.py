"""A wider search for Q3_K, Q6_K and IQ4_XS: a signed integer scale per sub-block, and no minimum.

Every sub-block gets its best real scale. For each of many scales of the super-block, integers near
the real scales are tried, codes rounded anew, and the least error of all is kept; that scale is
fitted to the codes, in turns, and compared with its neighbours in half precision.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import half_bits, half_value
from ..vectors import LANES, choose, floor, load, store, vector
from .groups import (
    INFINITY,
    assign,
    clamp,
    error_of,
    find_scale,
    give,
    indices_of,
    inner,
    inverse_of,
    middles,
    normalise,
    take,
    total,
)

__all__ = ["super_scale"]

_0, _HALF = np.float32(0), np.float32(0.5)
_FITS, _NEIGHBOURS = 3, 3


@inner
def round_scales(
    x: Any,
    w: Any,
    q: Any,
    levels: Any,
    middle: Any,
    run: Any,
    d: Any,
    bounds: Any,
    reach: Any,
    real: Any,
    sub: Any,
) -> Any:
    """Store the best integers within `reach` of the real scales over d; return the error."""
    size, error = x.size // real.size, _0
    inverse = np.float32(1) / d if d != _0 else _0
    for g in range(0, real.size, LANES):
        at, end = size * g, size * (g + LANES)
        near = floor(load(real, g) * inverse + _HALF)
        least, found = vector(INFINITY), vector(_0)
        for step in range(-reach, reach + 1):
            tried = clamp(near + np.float32(step), bounds[0], bounds[1])
            scale = tried * d
            assign(x, at, end, inverse_of(scale), middle, run, levels, q)
            sums = error_of(x, at, end, w, q, scale)
            better = sums < least
            least, found = choose(better, sums, least), choose(better, tried, found)
        store(sub, g, found)
        error += total(least)
    return error


@inner
def fitted(x: Any, w: Any, q: Any, levels: Any, middle: Any, run: Any, d: Any, sub: Any) -> Any:
    """Return the best scale of the super-block for the codes and integers, as bits of a half."""
    size, xq, q2 = x.size // sub.size, _0, _0
    for g in range(0, sub.size, LANES):
        at, end, s = size * g, size * (g + LANES), load(sub, g)
        assign(x, at, end, inverse_of(s * d), middle, run, levels, q)
        sum_xq = sum_q2 = vector(_0)
        for i in range(at, end, LANES):
            qi = load(q, i) * s
            wq = load(w, i) * qi
            sum_xq += wq * load(x, i)
            sum_q2 += wq * qi
        xq, q2 = xq + total(sum_xq), q2 + total(sum_q2)
    return half_bits(xq / q2 if q2 > _0 else _0)


def super_scale(
    flat: Any,
    columns: Any,
    importance: Any,
    levels: Any,
    settings: Any,
    allowed: Any,
    codes: Any,
    scales: Any,
) -> None:
    """Search blocks of 256; `allowed`: the smallest and the largest integer.

    Settings: see `best`.
    """
    n = np.int64(settings[0])
    how = np.int64(settings[3]), np.int64(settings[4]) if importance.size else 0
    tries, count = np.int64(settings[5]), 256 // n
    x, w, q = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.float32)
    middle, real = np.empty(levels.size - 1, np.float32), np.empty(count, np.float32)
    sub, best = np.empty(count, np.float32), np.empty(count, np.float32)
    run, indices = middles(levels, middle), indices_of(levels)
    for b in range(codes.size // 256):
        for g in range(0, count, LANES):
            take(flat, importance, columns, 256 * b + n * g, n, LANES, x, w, n * g)
        normalise(w, True)
        for g in range(0, count, LANES):
            at, end, ratios = n * g, n * (g + LANES), (settings[1], settings[2])
            store(real, g, find_scale(x, at, end, w, q, levels, middle, run, ratios, how))
            store(best, g, vector(_0))
        peak, least, bits, fit = _0, INFINITY, np.uint32(0), np.uint32(0)
        for j in range(count):
            peak = real[j] if np.abs(real[j]) > np.abs(peak) else peak
        for k in range(tries + _FITS + 2 * _NEIGHBOURS + 1):
            reach = 1
            if k < tries:
                ratio = settings[6] + np.float32(k) * settings[7]
                fit = half_bits(peak / (allowed[0] * ratio))
            elif k < tries + _FITS:
                fit = fitted(x, w, q, levels, middle, run, half_value(bits), best)
            else:
                reach = 2
                fit = bits - np.uint32(_NEIGHBOURS) if k == tries + _FITS else fit + np.uint32(1)
            d = half_value(fit)
            error = round_scales(x, w, q, levels, middle, run, d, allowed, reach, real, sub)
            if error < least:
                least, bits = error, fit
                for g in range(0, count, LANES):
                    store(best, g, load(sub, g))
        scales[(1 + count) * b] = np.int32(bits)
        for j in range(count):
            scales[(1 + count) * b + 1 + j] = np.int32(best[j])
        for g in range(0, count, LANES):
            at, end, inverse = n * g, n * (g + LANES), inverse_of(load(best, g) * half_value(bits))
            assign(x, at, end, inverse, middle, run, indices, q)
            give(q, at, n, LANES, codes, 256 * b + at)
