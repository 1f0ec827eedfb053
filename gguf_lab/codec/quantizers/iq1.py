"""Quantizers of IQ1: weights -1, 0, 1, shifted up or down by an eighth, from one grid of 2048.

The weights that share a scale are sorted, and every split into low, middle and high ones is tried
with every shift: the best in squared error, were the grid complete (``quantize_row_iq1_s_impl`` and
``quantize_row_iq1_m_impl`` in ggml-quants.c). Then each eight take the nearest point of their list.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, helper, put_u16
from .grid_blocks import BLOCK, block_scales, block_weights
from .grids import FARTHEST, grid_table, list_of
from .lanes import first_least, levels_at
from .registry import quantizer
from .vectors import LANES, any_lane, load, vector

_0, _1, _DELTA = np.float32(0), np.float32(1), np.float32(0.125)
_LOWEST = np.float32(np.finfo(np.float32).min)


@helper
def sort(x: Any, o: Any, order: Any) -> None:
    """Write the positions of ``x[o : o + order.size]`` by value; equal ones stay in order."""
    for i in range(order.size):
        value, at = x[o + i], i
        while at and x[o + order[at - 1]] > value:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i


@helper
def to_codes(order: Any, first: Any, second: Any, flip: bool, codes: Any) -> None:
    """Pack levels: 0 before `first` in the order, 1 before `second`, then 2; to `flip`, 2 to 0."""
    codes[:] = 0
    for j in range(order.size):
        level = 0 if j < first else 1 if j < second else 2
        if flip:
            level = 2 - level
        codes[order[j] >> 3] |= level << 2 * (order[j] & 7)


@helper
def look_up(table: Any, code: Any, scale: Any, shift: Any, x: Any, o: Any, w: Any) -> Any:
    """Return the entry of a code, or else of its list the one nearest to x[o : o + 8]."""
    head = np.int64(table[code])
    if head >= 0:
        return head
    start, n = list_of(head)
    best = FARTHEST
    for e in range(start, start + n, LANES):
        distance = vector(_0)
        for i in range(8):
            difference = (levels_at(table, e, 2 * i, 3) + (shift - _1)) * scale - x[o + i]
            distance += difference * w[o + i] * difference
        best = min(best, first_least(distance, e))
    return np.int64(table[best & 0xFFFFFFFF])


@helper
def fit(entry: Any, factor: Any, shift: Any, x: Any, o: Any, w: Any, qx: Any, q2: Any) -> Any:
    """Add ``sum(w q x)`` and ``sum(w q^2)`` of a point, its values times `factor`."""
    for i in range(8):
        q = (np.float32(np.int32((entry >> 2 * i) & 3)) + (shift - _1)) * factor
        qx += w[o + i] * q * x[o + i]
        q2 += w[o + i] * q * q
    return qx, q2


@helper
def refit(
    table: Any, codes: Any, shifts: Any, scale: Any, x: Any, o: Any, w: Any, entries: Any
) -> Any:
    """Write the entries of codes; return the scale, a better one if not all are on the grid."""
    exact = True
    qx, q2 = _0, _0
    for k in range(codes.size):
        entry = look_up(table, codes[k], scale, shifts[k], x, o + 8 * k, w)
        exact &= (entry & 0xFFFF) == codes[k]
        entries[k] = entry
        qx, q2 = fit(entry, _1, shifts[k], x, o + 8 * k, w, qx, q2)
    if not exact and qx > _0 and q2 > _0:
        return qx / q2
    return scale


@helper
def is_zero(x: Any, o: Any, size: Any, epsilon: Any) -> Any:
    """Return whether all of the weights are smaller than epsilon."""
    largest = _0
    for i in range(o, o + size):
        largest = max(largest, np.abs(x[i]))
    return largest < epsilon


@helper
def zero_if_finite(x: Any, w: Any) -> Any:
    """Return the scale of weights without a split: none counts, or the sums overflowed (NaN)."""
    return (x - x) + (w - w)


# --- IQ1_S ----------------------------------------------------------------------------------------


@helper
def candidate(x1: Any, w1: Any, x2: Any, w2: Any, x3: Any, w3: Any, shift: Any) -> Any:
    """Return ``sum(w q x)`` and ``sum(w q^2)`` of a split, from prefix sums at its two ends.

    Numbers, or vectors of them, in the order of ggml's operations.
    """
    a, b, c = shift - _1, shift, shift + _1
    qx = x1 * a + (x2 - x1) * b + (x3 - x2) * c
    q2 = w1 * a * a + (w2 - w1) * b * b + (w3 - w2) * c * c
    return qx, q2


@helper
def is_better(qx: Any, q2: Any, best: Any) -> Any:
    """Return which lanes of candidates beat the best ``(sum(w q x))^2 / sum(w q^2)``."""
    return (q2 > _0) & (qx * qx > q2 * best)


@helper
def best_split(sx: Any, sw: Any) -> Any:
    """Return the best split of 32 sorted weights: (first, second, shift, scale).

    The prefix sums go on with copies of the last one. As improvements are few, the splits are
    looked at eight at a time, and singly where one of them is better.
    """
    n = 32
    best, scale = _LOWEST, _0
    best_first, best_second, best_shift = 0, -1, _DELTA
    for first in range(n + 1):
        x1, w1, x3, w3 = sx[first], sw[first], sx[n], sw[n]
        for start in range(first, n + 1, LANES):
            x2, w2 = load(sx, start), load(sw, start)
            up, up2 = candidate(x1, w1, x2, w2, x3, w3, _DELTA)
            down, down2 = candidate(x1, w1, x2, w2, x3, w3, -_DELTA)
            if not any_lane(is_better(up, up2, best) | is_better(down, down2, best)):
                continue
            for second in range(start, min(start + LANES, n + 1)):
                for shift in (_DELTA, -_DELTA):
                    qx, q2 = candidate(x1, w1, sx[second], sw[second], x3, w3, shift)
                    if q2 > _0 and qx * qx > best * q2:
                        scale = qx / q2
                        best = scale * qx
                        best_first, best_second, best_shift = first, second, shift
    return best_first, best_second, best_shift, scale


@quantizer("IQ1_S", table=grid_table("IQ1_S"))
def iq1_s(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Give 32 weights a scale and a shift."""
    w = np.empty(BLOCK, np.float32)
    order, codes, entries = np.empty(32, np.int32), np.empty(4, np.int32), np.empty(4, np.int32)
    sx, sw = np.zeros(33 + LANES, np.float32), np.zeros(33 + LANES, np.float32)
    scales, levels = np.empty(8, np.float32), np.empty(8, np.uint8)
    shifts, shift4 = np.empty(8, np.float32), np.empty(4, np.float32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            x, b = values[r, BLOCK * k : BLOCK * k + BLOCK], out[r, 50 * k : 50 * k + 50]
            b[:] = 0
            block_weights(values[r], importance, BLOCK * k, np.float32(2), _0, w)
            for g in range(8):
                o = 32 * g
                scales[g], shifts[g] = _0, _DELTA
                if is_zero(x, o, 32, np.float32(1e-12)):
                    continue
                sort(x, o, order)
                for j in range(32):
                    i = o + order[j]
                    sx[j + 1] = sx[j] + w[i] * x[i]
                    sw[j + 1] = sw[j] + w[i]
                sx[33:], sw[33:] = sx[32], sw[32]
                first, second, shift, scale = best_split(sx, sw)
                if second < 0:
                    scales[g] = zero_if_finite(sx[32], sw[32])
                    continue
                to_codes(order, first, second, scale < _0, codes)
                if scale < _0:
                    scale, shift = -scale, -shift
                shift4[:] = shift
                scales[g] = refit(table, codes, shift4, scale, x, o, w, entries)
                shifts[g] = shift
                high = 0
                for j in range(4):
                    b[2 + 4 * g + j] = (entries[j] >> 16) & 255
                    high |= (entries[j] >> 24) << 3 * j
                put_u16(b, 34 + 2 * g, np.uint32(high))
            d = block_scales(scales, 7, levels)
            put_u16(b, 0, half_bits(d * np.float32(1.125)))
            if scales.max() > _0:  # d may have become 0
                for g in range(8):
                    b[35 + 2 * g] |= levels[g] << 4 | (0 if shifts[g] > _0 else 128)


# --- IQ1_M ----------------------------------------------------------------------------------------

# Which shift the halves of a pair have, by two bits: the first half's is the higher one; 1 is down.


@helper
def shift_of(pair: Any, half: Any) -> Any:
    """Return the shift of the first (0) or second (1) eight weights."""
    return -_DELTA if pair >> (1 - half) & 1 else _DELTA


@helper
def half_candidate(x1: Any, w1: Any, x2: Any, w2: Any, x3: Any, w3: Any, shift: Any) -> Any:
    """Return one half's part of ``sum(w q x)`` and ``sum(w q^2)``.

    As the values are 1 apart, these are the totals at the highest value less the prefix sums.
    """
    a, b, c = shift - _1, shift, shift + _1
    return x3 * c - (x2 + x1), w3 * c * c + w1 * (a * a - b * b) + w2 * (b * b - c * c)


@helper
def best_pair_split(sx: Any, sw: Any) -> Any:
    """Return the best split of 16 sorted weights: (first, second, pair of shifts, scale).

    Prefix sums of the first half and, from 32 on, of the second; see :func:`best_split`.
    """
    n, other = 16, 32
    best, scale = _LOWEST, _0
    best_first, best_second, best_pair = 0, -1, 0
    for first in range(n + 1):
        x1, w1, x3, w3 = sx[first], sw[first], sx[n], sw[n]
        y1, v1, y3, v3 = sx[other + first], sw[other + first], sx[other + n], sw[other + n]
        for start in range(first, n + 1, LANES):
            x2, w2 = load(sx, start), load(sw, start)
            y2, v2 = load(sx, other + start), load(sw, other + start)
            up, up2 = half_candidate(x1, w1, x2, w2, x3, w3, _DELTA)
            down, down2 = half_candidate(x1, w1, x2, w2, x3, w3, -_DELTA)
            other_up, other_up2 = half_candidate(y1, v1, y2, v2, y3, v3, _DELTA)
            other_down, other_down2 = half_candidate(y1, v1, y2, v2, y3, v3, -_DELTA)
            better = is_better(up + other_up, up2 + other_up2, best)
            better = better | is_better(up + other_down, up2 + other_down2, best)
            better = better | is_better(down + other_up, down2 + other_up2, best)
            better = better | is_better(down + other_down, down2 + other_down2, best)
            if not any_lane(better):
                continue
            for second in range(start, min(start + LANES, n + 1)):
                p2, u2, r2, t2 = sx[second], sw[second], sx[other + second], sw[other + second]
                for pair in range(4):
                    ax, a2 = half_candidate(x1, w1, p2, u2, x3, w3, shift_of(pair, 0))
                    bx, b2 = half_candidate(y1, v1, r2, t2, y3, v3, shift_of(pair, 1))
                    qx, q2 = ax + bx, a2 + b2
                    if q2 > _0 and qx * qx > best * q2:
                        scale = qx / q2
                        best = scale * qx
                        best_first, best_second, best_pair = first, second, pair
    return best_first, best_second, best_pair, scale


@quantizer("IQ1_M", table=grid_table("IQ1_S"))
def iq1_m(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Give 16 weights a scale and eight of them a shift; fit the block's scale in the end."""
    w = np.empty(BLOCK, np.float32)
    order, codes, entries = np.empty(16, np.int32), np.empty(2, np.int32), np.empty(32, np.int32)
    sx, sw = np.zeros(64, np.float32), np.zeros(64, np.float32)
    scales, levels = np.empty(16, np.float32), np.empty(16, np.uint8)
    pairs, shift2 = np.empty(16, np.int32), np.empty(2, np.float32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            x, b = values[r, BLOCK * k : BLOCK * k + BLOCK], out[r, 56 * k : 56 * k + 56]
            b[:] = 0
            block_weights(values[r], importance, BLOCK * k, np.float32(2), _0, w)
            for g in range(16):
                o = 16 * g
                scales[g], pairs[g] = _0, 0
                entries[2 * g : 2 * g + 2] = table[0]
                if is_zero(x, o, 16, np.float32(1e-7)):
                    continue
                sort(x, o, order)
                for j in range(16):
                    i, half = o + order[j], order[j] >> 3
                    sx[j + 1], sx[j + 33] = sx[j], sx[j + 32]
                    sw[j + 1], sw[j + 33] = sw[j], sw[j + 32]
                    sx[32 * half + j + 1] += w[i] * x[i]
                    sw[32 * half + j + 1] += w[i]
                for j in range(17, 17 + LANES):
                    sx[j], sx[j + 32], sw[j], sw[j + 32] = sx[16], sx[48], sw[16], sw[48]
                first, second, pair, scale = best_pair_split(sx, sw)
                if second < 0:
                    scales[g] = zero_if_finite(sx[16] + sx[48], sw[16] + sw[48])
                    continue
                to_codes(order, first, second, scale < _0, codes)
                if scale < _0:
                    scale, pair = -scale, 3 - pair
                shift2[0], shift2[1] = shift_of(pair, 0), shift_of(pair, 1)
                found = entries[2 * g : 2 * g + 2]
                scales[g] = refit(table, codes, shift2, scale, x, o, w, found)
                pairs[g] = pair
                b[2 * g], b[2 * g + 1] = (found[0] >> 16) & 255, (found[1] >> 16) & 255
                b[32 + g] = found[0] >> 24 | (found[1] >> 24) << 4
            d = block_scales(scales, 7, levels)
            if scales.max() == _0:
                continue
            qx, q2 = _0, _0
            for g in range(16):
                factor = np.float32(np.int32(2 * levels[g] + 1))
                for half in range(2):
                    e, shift = 2 * g + half, shift_of(pairs[g], half)
                    qx, q2 = fit(entries[e], factor, shift, x, 8 * e, w, qx, q2)
                b[32 + g] |= (pairs[g] & 2) << 2 | (pairs[g] & 1) << 7
            if q2 > _0:
                d = qx / q2
            d_bits = half_bits(d * np.float32(1.1125))
            for g in range(4):
                word = (d_bits >> np.uint32(4 * g) & np.uint32(15)) << np.uint32(12)
                for j in range(4):
                    word |= np.uint32(levels[4 * g + j]) << np.uint32(3 * j)
                put_u16(b, 48 + 2 * g, word)
