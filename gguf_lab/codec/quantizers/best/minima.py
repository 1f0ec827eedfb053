"""A wider search for Q2_K, Q4_K and Q5_K: an integer scale and an integer minimum per sub-block.

Every sub-block gets its best real scale and minimum. For many pairs of super-scales, integers near
the real ones are tried, each scale with the minimum that follows from the codes, codes rounded
anew. Of the best pair the super-scales are fitted to the codes, in turns, and compared with their
neighbours in half precision.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import half_bits, half_value
from ..vectors import LANES, choose, floor, load, store, vector
from .affine import affine_error, find_affine, take_codes
from .groups import INFINITY, clamp, give, inner, inverse_of, normalise, take, total

__all__ = ["super_minima"]

_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_FITS, _ROUNDS = 3, 2


@inner
def round_pairs(
    x: Any,
    w: Any,
    q: Any,
    top: Any,
    sub_top: Any,
    d: Any,
    m: Any,
    reach: Any,
    real: Any,
    sub: Any,
) -> Any:
    """Store the best integers near the real numbers over d and m; return the error.

    ``real``: scales, minima and weights of the sub-blocks; ``sub``: scales and minima.
    """
    count, error = real.size // 3, _0
    size = x.size // count
    inverse_d = _1 / d if d > _0 else _0
    inverse_m = _1 / m if m > _0 else _0
    for g in range(0, count, LANES):
        at, end = size * g, size * (g + LANES)
        near = floor(load(real, g) * inverse_d + _HALF)
        first = clamp(floor(load(real, count + g) * inverse_m + _HALF), _0, sub_top)
        to_minimum = inverse_of(load(real, 2 * count + g)) * inverse_m
        least, found_s, found_m = vector(INFINITY), vector(_0), vector(_0)
        for step in range(-reach, reach + 1):
            s, minimum = clamp(near + np.float32(step), _0, sub_top), first
            scale = s * d
            for _ in range(reach + 1):
                low = _0 - minimum * m
                take_codes(x, at, end, low, inverse_of(scale), top, q)
                sums, rest = affine_error(x, at, end, w, q, scale, low)
                better = sums < least
                least = choose(better, sums, least)
                found_s, found_m = choose(better, s, found_s), choose(better, minimum, found_m)
                minimum = clamp(floor(_HALF - rest * to_minimum), _0, sub_top)
        store(sub, g, found_s)
        store(sub, count + g, found_m)
        error += total(least)
    return error


@inner
def fitted(x: Any, w: Any, q: Any, top: Any, d: Any, m: Any, sub: Any) -> Any:
    """Return the best super-scales for the codes and integers, as bits of halves."""
    count = sub.size // 2
    size = x.size // count
    aa = ab = bb = ax = bx = _0
    for g in range(0, count, LANES):
        at, end, s, b = size * g, size * (g + LANES), load(sub, g), load(sub, count + g)
        take_codes(x, at, end, _0 - b * m, inverse_of(s * d), top, q)
        sum_aa = sum_ab = sum_bb = sum_ax = sum_bx = vector(_0)
        for i in range(at, end, LANES):
            xi, wi, a = load(x, i), load(w, i), s * load(q, i)
            sum_aa += wi * a * a
            sum_ab += wi * a * b
            sum_bb += wi * b * b
            sum_ax += wi * a * xi
            sum_bx += wi * b * xi
        aa, ab, bb = aa + total(sum_aa), ab + total(sum_ab), bb + total(sum_bb)
        ax, bx = ax + total(sum_ax), bx + total(sum_bx)
    # The least squares of x ~ d * a - m * b.
    det = aa * bb - ab * ab
    if det > np.float32(1e-6) * aa * bb:
        d, m = (bb * ax - ab * bx) / det, (ab * ax - aa * bx) / det
    elif aa > _0:
        d = (ax + m * ab) / aa
    return half_bits(max(d, _0)), half_bits(max(m, _0))


@inner
def neighbour(bits: Any, step: Any) -> Any:
    """Return the half so many steps on, zero at least."""
    return np.uint32(max(np.int64(bits) + step, 0))


def super_minima(
    flat: Any,
    columns: Any,
    importance: Any,
    levels: Any,
    settings: Any,
    allowed: Any,
    codes: Any,
    scales: Any,
) -> None:
    """Search blocks of 256; `allowed`: factors of the super-scales that are tried first.

    Settings: see `best`.
    """
    n, tail = np.int64(settings[0]), np.int64(settings[4]) if importance.size else 0
    how, top = (np.int64(settings[1]), settings[2], settings[3], tail), levels[levels.size - 1]
    sub_top, tries, count = settings[5], allowed.size, 256 // n
    x, w, q = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.float32)
    real = np.empty(3 * count, np.float32)
    sub, best = np.empty(2 * count, np.float32), np.empty(2 * count, np.float32)
    for block in range(codes.size // 256):
        for g in range(0, count, LANES):
            take(flat, importance, columns, 256 * block + n * g, n, LANES, x, w, n * g)
        normalise(w, True)
        for g in range(0, count, LANES):
            scale, low = find_affine(x, n * g, n * (g + LANES), w, q, top, False, how)
            weight = vector(_0)
            for i in range(n * g, n * (g + LANES), LANES):
                weight += load(w, i)
            store(real, g, scale)
            store(real, count + g, _0 - low)
            store(real, 2 * count + g, weight)
        first_d = first_m = _0
        for j in range(count):
            first_d, first_m = max(first_d, real[j]), max(first_m, real[count + j])
            best[j] = best[count + j] = _0
        first_d, first_m = first_d / sub_top, first_m / sub_top
        least, d_bits, m_bits = INFINITY, half_bits(first_d), half_bits(first_m)
        d_tried, m_tried = d_bits, m_bits
        for k in range(2 * tries + _FITS + 4 * _ROUNDS):
            reach = 1
            if k < tries:
                d_tried = half_bits(first_d * allowed[k])
            elif k < 2 * tries:
                d_tried, m_tried = d_bits, half_bits(first_m * allowed[k - tries])
            elif k < 2 * tries + _FITS:
                d, m = half_value(d_bits), half_value(m_bits)
                d_tried, m_tried = fitted(x, w, q, top, d, m, best)
            else:
                reach, step = 2, (k & 1) * 2 - 1
                d_tried = neighbour(d_bits, step if k & 2 else 0)
                m_tried = neighbour(m_bits, 0 if k & 2 else step)
            d, m = half_value(d_tried), half_value(m_tried)
            error = round_pairs(x, w, q, top, sub_top, d, m, reach, real, sub)
            if error < least:
                least, d_bits, m_bits = error, d_tried, m_tried
                for g in range(0, 2 * count, LANES):
                    store(best, g, load(sub, g))
        d, m, at = half_value(d_bits), half_value(m_bits), (2 + 2 * count) * block
        scales[at], scales[at + 1] = np.int32(d_bits), np.int32(m_bits)
        for j in range(2 * count):
            scales[at + 2 + j] = np.int32(best[j])
        for g in range(0, count, LANES):
            at, s, low = n * g, load(best, g), _0 - load(best, count + g) * m
            take_codes(x, at, n * (g + LANES), low, inverse_of(s * d), top, q)
            give(q, at, n, LANES, codes, 256 * block + at)
