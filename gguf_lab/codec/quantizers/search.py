"""ggml's searches for scales, on eight groups of weights at a time.

Weights and their importance lie transposed, ``x[LANES * i + lane]``. A search returns what it takes
to compute the codes again, rather than the codes: they are rarely wanted.
"""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import GROUP_MAX_EPS, helper
from .vectors import LANES, absolute, any_lane, choose, floor, load, nearest, root, store, vector

__all__ = [
    "affine",
    "affine_code",
    "gather",
    "positive",
    "scatter",
    "symmetric",
    "symmetric_code",
    "weigh",
]

_0, _1 = np.float32(0), np.float32(1)


@helper
def gather(source: Any, start: Any, n: Any, groups: Any, out: Any) -> None:
    """Transpose groups of `n` neighbouring weights; lanes beyond `groups` repeat the last one."""
    for lane in range(LANES):
        first = start + min(lane, groups - 1) * n
        for i in range(n):
            out[LANES * i + lane] = source[first + i]


@helper
def scatter(source: Any, n: Any, groups: Any, out: Any) -> None:
    """Undo `gather`, for codes, as float32 or uint8."""
    for lane in range(groups):
        for i in range(n):
            out[n * lane + i] = np.uint8(np.int32(source[LANES * i + lane]))


@helper
def weigh(x: Any, mean: Any, n: Any, w: Any) -> Any:
    """Let a weight count as its importance (in `w`) times sqrt(mean + square); return the sums."""
    total = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        wi = load(w, LANES * i) * root(mean + xi * xi)
        store(w, LANES * i, wi)
        total += wi
    return total


@helper
def affine_code(x: Any, low: Any, inverse: Any, top: Any) -> Any:
    """Return the codes of weights on a scale that starts at `low`."""
    return nearest(inverse * (x - low), np.int32(0), top)


@helper
def affine(
    x: Any, w: Any, n: Any, top: Any, first: Any, step: Any, steps: Any, mad: Any, codes: Any
) -> Any:
    """Search the two of ``scale * code + low``: ``make_qkx2_quants``, ``make_qkx3_quants``.

    From each of the inverse scales ``(first + step * k + top) / (largest - low)`` the codes follow,
    from the codes the best scale and minimum by regression, and then the error, of which the least
    is kept. A minimum is not above zero.

    Parameters
    ----------
    x, w : float32 arrays (LANES * n,)
        Weights and their importance.
    top : int32
        The largest code.
    first, step : float32
    steps : int
        Inverse scales to try, less one.
    mad : bool
        Whether the error is absolute, not squared.
    codes : float32 array (LANES * n,)
        Scratch.

    Returns
    -------
    scale, low : vectors
    inverse, origin : vectors
        The codes are ``affine_code(x, origin, inverse, top)``; an inverse of zero is that of a
        group of equal weights, codes zero.
    """
    low = high = load(x, 0)
    sum_w = load(w, 0)
    sum_x = sum_w * low
    for i in range(1, n):
        xi, wi = load(x, LANES * i), load(w, LANES * i)
        low = choose(xi < low, xi, low)
        high = choose(xi > high, xi, high)
        sum_w += wi
        sum_x += wi * xi
    low = choose(low > _0, _0, low)
    flat = high == low
    inverse = np.float32(top) / (high - low)
    scale = _1 / inverse
    best = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        diff = scale * affine_code(xi, low, inverse, top) + low - xi
        best += load(w, LANES * i) * (absolute(diff) if mad else diff * diff)
    origin = low
    for k in range(steps + 1):
        trial = (first + step * np.float32(k) + np.float32(top)) / (high - low)
        sum_l = sum_l2 = sum_xl = vector(_0)
        for i in range(n):
            xi = load(x, LANES * i)
            code = affine_code(xi, low, trial, top)
            store(codes, LANES * i, code)
            wl = load(w, LANES * i) * code
            sum_l += wl
            sum_l2 += wl * code
            sum_xl += wl * xi
        det = sum_w * sum_l2 - sum_l * sum_l
        this_scale = (sum_w * sum_xl - sum_x * sum_l) / det
        this_low = (sum_l2 * sum_x - sum_l * sum_xl) / det
        above = this_low > _0
        this_low = choose(above, _0, this_low)
        this_scale = choose(above, sum_xl / sum_l2, this_scale)
        error = vector(_0)
        for i in range(n):
            diff = this_scale * load(codes, LANES * i) + this_low - load(x, LANES * i)
            error += load(w, LANES * i) * (absolute(diff) if mad else diff * diff)
        better = (det > _0) & (error < best)
        best = choose(better, error, best)
        scale = choose(better, this_scale, scale)
        inverse = choose(better, trial, inverse)
        origin = choose(better, low, origin)
        low = choose(better, this_low, low)
    return choose(flat, _0, scale), low, choose(flat, _0, inverse), origin


@helper
def symmetric_code(x: Any, inverse: Any, top: Any) -> Any:
    """Return the codes, -top to top - 1, of weights on a scale through zero; -top for no scale."""
    return choose(inverse == _0, np.float32(-top), nearest(inverse * x, -top, top - np.int32(1)))


@helper
def symmetric(x: Any, w: Any, n: Any, top: Any) -> Any:
    """Search the scale of ``scale * code``: ``make_qx_quants``.

    The inverse scales map the largest weight onto about -top, in 19 steps; from the codes the best
    scale follows by regression, and the least error is kept.

    Returns
    -------
    scale, inverse : vectors
        The codes are ``symmetric_code(x, inverse, top)``. An inverse of zero is that of a group of
        zeros, which ggml gives the codes -top.
    """
    peak = value = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        larger = absolute(xi) > peak
        peak = choose(larger, absolute(xi), peak)
        value = choose(larger, xi, value)
    zero = peak < GROUP_MAX_EPS
    scale = best = inverse = vector(_0)
    for k in range(19):
        # The middle one comes first, then the others in order.
        s = np.float32(0 if k == 0 else k - 10 if k < 10 else k - 9)
        trial = -(np.float32(top) + np.float32(0.1) * s) / value
        sum_lx = sum_l2 = vector(_0)
        for i in range(n):
            xi, wi = load(x, LANES * i), load(w, LANES * i)
            code = nearest(trial * xi, -top, top - np.int32(1))
            sum_lx += wi * xi * code
            sum_l2 += wi * code * code
        if k == 0:
            scale = choose(sum_l2 == _0, _0, sum_lx / sum_l2)
            best, inverse = scale * sum_lx, trial
        else:
            better = (sum_l2 > _0) & (sum_lx * sum_lx > best * sum_l2)
            scale = choose(better, sum_lx / sum_l2, scale)
            best = choose(better, scale * sum_lx, best)
            inverse = choose(better, trial, inverse)
    return choose(zero, _0, scale), choose(zero, _0, inverse)


_ANY = np.int32(-(1 << 22))  # below what `nearest` returns: no bound


@helper
def as_byte(code: Any) -> Any:
    """Return a whole number modulo 256."""
    return code - np.float32(256) * floor(code * np.float32(0.00390625))


@helper
def positive(x: Any, w: Any, n: Any, top: Any, codes: Any) -> Any:
    """Search the scale of numbers that are not negative, codes 0 to top: ``make_qp_quants``.

    Nine inverse scales around the one that maps the largest onto `top`; then, five times over, each
    code is replaced by the best one for the scale that the others give. The scale is returned, the
    codes are stored: as bytes, since where the regression before was negative, ggml wraps them.
    """
    peak = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        peak = choose(xi > peak, xi, peak)
    zero = peak < GROUP_MAX_EPS
    best = inverse = vector(_0)
    for k in range(9):
        # The middle one comes first, then the others in order.
        s = np.float32(0 if k == 0 else k - 5 if k < 5 else k - 4)
        trial = (np.float32(0.1) * s + np.float32(top)) / peak
        scale = _1 / trial
        error = vector(_0)
        for i in range(n):
            xi = load(x, LANES * i)
            code = nearest(trial * xi, _ANY, top)
            diff = xi - scale * (as_byte(code) if k == 0 else code)
            error += load(w, LANES * i) * diff * diff
        if k == 0:
            best, inverse = error, trial
        else:
            better = error < best
            best, inverse = choose(better, error, best), choose(better, trial, inverse)
    sum_lx = sum_l2 = vector(_0)
    for i in range(n):
        xi, wi = load(x, LANES * i), load(w, LANES * i)
        code = nearest(inverse * xi, _ANY, top)
        store(codes, LANES * i, as_byte(code))
        sum_lx += wi * xi * code
        sum_l2 += wi * code * code
    for _ in range(5):
        changed = vector(_0) > _0
        for i in range(n):
            xi, wi, old = load(x, LANES * i), load(w, LANES * i), load(codes, LANES * i)
            lx, l2 = sum_lx - wi * xi * old, sum_l2 - wi * old * old
            new = nearest(xi * l2 / lx, _ANY, top)
            differs = (lx > _0) & (l2 > _0) & (new != old)
            lx, l2 = lx + wi * xi * new, l2 + wi * new * new
            better = differs & (lx * lx * sum_l2 > sum_lx * sum_lx * l2)
            store(codes, LANES * i, choose(better, as_byte(new), old))
            sum_lx, sum_l2 = choose(better, lx, sum_lx), choose(better, l2, sum_l2)
            changed = changed | better
        if not any_lane(changed):
            break
    for i in range(n):
        store(codes, LANES * i, choose(zero, _0, load(codes, LANES * i)))
    return choose(sum_l2 > _0, choose(zero, _0, sum_lx / sum_l2), _0)
