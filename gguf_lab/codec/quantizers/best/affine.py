"""What the wider searches of ``scale * code + low`` share (``effort="best"``)."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..vectors import LANES, absolute, choose, floor, load, store, vector
from .groups import INFINITY, clamp, inner

__all__ = ["affine_error", "find_affine", "half", "next_half", "take_codes"]

_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_TURNS = 4


@inner
def half(x: Any) -> Any:
    """Round to half precision, in lanes; what is too large stays."""
    split = x * np.float32(8193)  # Veltkamp: the upper 11 bits
    normal = split - (split - x)
    denormal = (x + np.float32(0.75)) - np.float32(0.75)  # multiples of 2**-24
    return choose(absolute(x) < np.float32(2**-14), denormal, normal)


@inner
def next_half(x: Any, steps: Any) -> Any:
    """Return the half so many steps on, about; away from zero if positive."""
    step = absolute(x) * np.float32(0.75 * 2**-10)
    step = choose(step < np.float32(2**-24), np.float32(2**-24), step)
    return half(x + choose(x < _0, _0 - step, step) * np.float32(steps))


@inner
def take_codes(x: Any, at: Any, end: Any, low: Any, inverse: Any, top: Any, q: Any) -> None:
    """Write the nearest codes, 0 to top, of weights on a scale that starts at `low`."""
    for i in range(at, end, LANES):
        store(q, i, floor(clamp((load(x, i) - low) * inverse, _0, top) + _HALF))


@inner
def affine_error(x: Any, at: Any, end: Any, w: Any, q: Any, scale: Any, low: Any) -> Any:
    """Return the weighted squared error, and the weighted sum of ``x - scale * q``, by lane."""
    sums = rest = vector(_0)
    for i in range(at, end, LANES):
        wi, residue = load(w, i), load(x, i) - scale * load(q, i)
        sums += wi * (residue - low) * (residue - low)
        rest += wi * residue
    return sums, rest


@inner
def regress(x: Any, at: Any, end: Any, w: Any, q: Any, base: Any, free: Any) -> Any:
    """Return scale and low of the least error for the codes; low is not above 0 unless `free`."""
    sum_w = sum_q = sum_q2 = sum_y = sum_yq = vector(_0)
    for i in range(at, end, LANES):
        wi, qi, yi = load(w, i), load(q, i), load(x, i) - base  # y, for the precision
        wq = wi * qi
        sum_w += wi
        sum_q += wq
        sum_q2 += wq * qi
        sum_y += wi * yi
        sum_yq += wq * yi
    det = sum_w * sum_q2 - sum_q * sum_q
    scale = (sum_w * sum_yq - sum_y * sum_q) / det
    low = base + (sum_q2 * sum_y - sum_q * sum_yq) / det
    if not free:
        above = low > _0
        scale = choose(above, (sum_yq + base * sum_q) / sum_q2, scale)
        low = choose(above, _0, low)
    return choose(det > _0, scale, _0), choose(det > _0, low, base)


@inner
def find_affine(x: Any, at: Any, end: Any, w: Any, q: Any, top: Any, free: Any, how: Any) -> Any:
    """Search scales and lows of eight groups, real numbers.

    The ends of the range are moved inwards, each in ``how[0]`` steps from ``how[1]`` on, so many
    ``how[2]`` of a code's width. For each range the codes are rounded, and from the codes the best
    scale and low follow by regression; of the best ones this is repeated. ``how[3]`` further
    ranges, each 15 % shorter, cut large weights, which pays where those hardly count.
    """
    steps, first, step, tail = how
    low, high = vector(INFINITY), vector(-INFINITY)
    sum_w = sum_x = vector(_0)
    for i in range(at, end, LANES):
        xi, wi = load(x, i), load(w, i)
        low = choose((wi > _0) & (xi < low), xi, low)
        high = choose((wi > _0) & (xi > high), xi, high)
        sum_w += wi
        sum_x += wi * xi
    if not free:
        low, high = choose(low > _0, _0, low), choose(high < _0, _0, high)
    ends = high >= low  # else nothing counts
    low, high = choose(ends, low, _0), choose(ends, high, _0)
    mean = choose(ends, sum_x / sum_w, _0)
    width = (high - low) / top
    scale, origin, least = width, low, vector(INFINITY)
    start, length = low, high - low
    for k in range(steps * steps + tail + _TURNS):
        if k < steps * steps:
            start = low + width * (first + step * np.float32(k // steps))
            length = high - width * (first + step * np.float32(k % steps)) - start
        elif k < steps * steps + tail:
            if k == steps * steps:
                start, length = low, high - low
            start = mean + (start - mean) * np.float32(0.85)
            length = length * np.float32(0.85)
        else:
            start, length = origin, scale * top
        take_codes(x, at, end, start, choose(length == _0, _0, top / length), top, q)
        this_scale, this_low = regress(x, at, end, w, q, low, free)
        error, _ = affine_error(x, at, end, w, q, this_scale, this_low)
        better = error < least
        least = choose(better, error, least)
        scale, origin = choose(better, this_scale, scale), choose(better, this_low, origin)
    return scale, origin
