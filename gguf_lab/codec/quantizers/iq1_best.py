"""A wider search for IQ1: less error than ggml's in the same bits (``effort="best"``).

As :mod:`.iq2_iq3_best`, but for signed weights and with a shift to choose: 32 weights have one in
IQ1_S, 8 in IQ1_M. It starts from the bytes that ggml would store.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import bitcast_f32, half_bits, half_value, helper, nearest_int, put_u16
from .grid_blocks import BLOCK
from .grids import FARTHEST, grid_table, list_of
from .iq1 import iq1_m, iq1_s
from .lanes import first_least, levels_at
from .registry import quantizer
from .vectors import LANES, vector

_0, _1, _DELTA = np.float32(0), np.float32(1), np.float32(0.125)
_HALF, _INFINITY = np.float32(0.5), np.float32(np.inf)
_ALL_POINTS, _POINTS, _GROUPS = 1 << 16, 2048, BLOCK // 8


@helper
def nearest(
    table: Any, start: Any, n: Any, s: Any, shift: Any, x: Any, o: Any, w: Any, v: Any
) -> Any:
    """Return the nearest of n entries to x[o : o + 8], see `first_least`; weights w[v : v + 8]."""
    best = FARTHEST
    for e in range(start, start + n, LANES):
        distance = vector(_0)
        for i in range(8):
            difference = (levels_at(table, e, 2 * i, 3) + (shift - _1)) * s - x[o + i]
            distance += difference * difference * w[v + i]
        best = min(best, first_least(distance, e))
    return best


@helper
def listed(table: Any, s: Any, shift: Any, x: Any, o: Any, w: Any, v: Any) -> Any:
    """Return the nearest of the points listed for the levels of x[o : o + 8]."""
    code, inverse = 0, _1 / s
    for i in range(8):
        level = nearest_int(max(-_1 - _1, min(_1 + _1, x[o + i] * inverse - shift))) + 1
        code |= max(0, min(2, level)) << 2 * i
    head = np.int64(table[code])
    if head >= 0:  # a point: look at its neighbours by index too
        start, n = _ALL_POINTS + (head >> 16) // LANES * LANES, LANES
    else:
        start, n = list_of(head)
    return nearest(table, start, n, s, shift, x, o, w, v)


@helper
def value(entry: Any, i: Any, shift: Any) -> Any:
    """Return weight `i` of a point, before its scale."""
    return np.float32(np.int32((entry >> 2 * i) & 3)) + (shift - _1)


@helper
def error(x: Any, w: Any, d: Any, size: Any, entries: Any, shifts: Any, levels: Any) -> Any:
    """Return the error of a block as it is read back."""
    total = 0.0
    for i in range(BLOCK):
        s = d * np.float32(2 * np.int32(levels[i // size]) + 1)
        y = s * value(entries[i >> 3], i & 7, shifts[i >> 3])
        total += np.float64(w[i]) * (np.float64(x[i]) - np.float64(y)) ** 2
    return total


@helper
def refit(x: Any, w: Any, d: Any, size: Any, entries: Any, shifts: Any, levels: Any) -> Any:
    """Return the best scale of the block, as a half."""
    qx, q2 = 0.0, 0.0
    for i in range(BLOCK):
        s = np.float32(2 * np.int32(levels[i // size]) + 1)
        q = np.float64(s * value(entries[i >> 3], i & 7, shifts[i >> 3]))
        qx += np.float64(w[i]) * q * np.float64(x[i])
        q2 += np.float64(w[i]) * q * q
    if q2 > 0 and qx > 0:
        return half_value(half_bits(np.float32(qx / q2)))
    return d


def make_improve(size: int, shifted: int) -> Any:
    """Make the search for `size` weights with a level and `shifted` weights with a shift.

    ``improve(table, x, w, d, entries, shifts, levels, new)`` works in place, from what ggml would
    store to the better choice, and returns its `d`; `new` are three such arrays to work with.
    """
    parts, runs, groups = BLOCK // size, size // shifted, shifted // 8

    @helper
    def search(
        table: Any, x: Any, w: Any, d: Any, level: Any, b: Any, full: Any, entries: Any, shifts: Any
    ) -> Any:
        # Choose shifts and entries of a part at one level; return the error.
        s, total = d * np.float32(2 * level + 1), _0
        for run in range(runs):
            least = _INFINITY
            first = (b * size + run * shifted) // 8
            for shift in (_DELTA, -_DELTA):
                sum_ = _0
                for g in range(first, first + groups):
                    if full:
                        key = nearest(table, _ALL_POINTS, _POINTS, s, shift, x, 8 * g, w, 8 * g)
                    else:
                        key = listed(table, s, shift, x, 8 * g, w, 8 * g)
                    entries[_GROUPS + g] = table[key & 0xFFFFFFFF]
                    sum_ += bitcast_f32(np.uint32(key >> 32))
                if sum_ < least:
                    least = sum_
                    for g in range(first, first + groups):
                        entries[g], shifts[g] = entries[_GROUPS + g], shift
            total += least
        return total

    @helper
    def likely(
        table: Any, x: Any, w: Any, d: Any, scales: Any, entries: Any, shifts: Any, levels: Any
    ) -> Any:
        # Choose levels for a scale of the block by the points of the lists; return the error.
        total = _0
        for b in range(parts):
            middle: Any = nearest_int(_HALF * (scales[b] / d - _1))
            least = _INFINITY
            for level in range(max(0, min(6, middle - 1)), max(1, min(7, middle + 1)) + 1):
                sum_ = search(table, x, w, d, level, b, False, entries, shifts)
                if sum_ < least:
                    least = sum_
                    levels[b] = level
            total += least
        return total

    @helper
    def improve(
        table: Any, x: Any, w: Any, first: Any, entries: Any, shifts: Any, levels: Any, new: Any
    ) -> Any:
        new_entries, new_shifts, new_levels, scales = new
        if not (first > _0 and first < _INFINITY):
            return first
        least = error(x, w, first, size, entries, shifts, levels)
        for b in range(parts):
            scales[b] = first * np.float32(2 * np.int32(levels[b]) + 1)
        d, lowest = first, _INFINITY
        for step in range(-5, 6):
            tried = half_value(half_bits(first * (_1 + np.float32(0.04) * np.float32(step))))
            if tried > _0:
                sum_ = likely(table, x, w, tried, scales, new_entries, new_shifts, new_levels)
                if sum_ < lowest:
                    d, lowest = tried, sum_
        for _turn in range(2):
            likely(table, x, w, d, scales, new_entries, new_shifts, new_levels)
            for b in range(parts):
                level = np.int64(new_levels[b])
                search(table, x, w, d, level, b, True, new_entries, new_shifts)
                scales[b] = d * np.float32(2 * level + 1)
            d = refit(x, w, d, size, new_entries, new_shifts, new_levels)
        if error(x, w, d, size, new_entries, new_shifts, new_levels) < least:
            entries[:], shifts[:] = new_entries[:_GROUPS], new_shifts
            levels[:] = new_levels
            return d
        return first

    return improve


@helper
def buffers(parts: Any) -> Any:
    """Return entries (and as many to try), shifts, levels and scales."""
    return (
        np.empty(2 * _GROUPS, np.int32),
        np.empty(_GROUPS, np.float32),
        np.empty(parts, np.uint8),
        np.empty(parts, np.float32),
    )


@helper
def fill_weights(importance: Any, o: Any, w: Any) -> None:
    """Write how much the error of each weight of a block counts."""
    for i in range(BLOCK):
        w[i] = importance[o + i] if importance.size else _1


ggml_iq1_s, improve_iq1_s = helper(iq1_s), make_improve(32, 32)
ggml_iq1_m, improve_iq1_m = helper(iq1_m), make_improve(16, 8)


@quantizer("IQ1_S", effort="best", table=grid_table("IQ1_S"))
def iq1_s_best(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq1.iq1_s` stores."""
    ggml_iq1_s(values, importance, table, out)
    w, new = np.empty(BLOCK, np.float32), buffers(8)
    entries, shifts, levels, _ = buffers(8)
    entries = entries[:_GROUPS]
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            x, b = values[r, BLOCK * k : BLOCK * k + BLOCK], out[r, 50 * k : 50 * k + 50]
            for g in range(8):
                h = np.int64(b[34 + 2 * g]) | np.int64(b[35 + 2 * g]) << 8
                levels[g] = h >> 12 & 7
                for j in range(4):
                    index = np.int64(b[2 + 4 * g + j]) | (h >> 3 * j & 7) << 8
                    entries[4 * g + j] = table[_ALL_POINTS + index]
                    shifts[4 * g + j] = -_DELTA if h >> 15 else _DELTA
            fill_weights(importance, BLOCK * k, w)
            d = half_value(np.uint32(b[0]) | np.uint32(b[1]) << np.uint32(8))
            d = improve_iq1_s(table, x, w, d, entries, shifts, levels, new)
            put_u16(b, 0, half_bits(d))
            for g in range(8):
                h = np.int64(levels[g]) << 12 | (0 if shifts[4 * g] > _0 else 1 << 15)
                for j in range(4):
                    b[2 + 4 * g + j] = (entries[4 * g + j] >> 16) & 255
                    h |= np.int64(entries[4 * g + j] >> 24) << 3 * j
                put_u16(b, 34 + 2 * g, np.uint32(h))


@quantizer("IQ1_M", effort="best", table=grid_table("IQ1_S"))
def iq1_m_best(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq1.iq1_m` stores."""
    ggml_iq1_m(values, importance, table, out)
    w, new = np.empty(BLOCK, np.float32), buffers(16)
    entries, shifts, levels, _ = buffers(16)
    entries = entries[:_GROUPS]
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            x, b = values[r, BLOCK * k : BLOCK * k + BLOCK], out[r, 56 * k : 56 * k + 56]
            bits = np.uint32(0)
            for g in range(4):
                word = np.uint32(b[48 + 2 * g]) | np.uint32(b[49 + 2 * g]) << np.uint32(8)
                bits |= np.uint32(word >> np.uint32(12)) << np.uint32(4 * g)
                for j in range(4):
                    levels[4 * g + j] = word >> np.uint32(3 * j) & np.uint32(7)
            for g in range(_GROUPS):
                h = np.int64(b[32 + (g >> 1)]) >> 4 * (g & 1)
                entries[g] = table[_ALL_POINTS + (np.int64(b[g]) | (h & 7) << 8)]
                shifts[g] = -_DELTA if h & 8 else _DELTA
            fill_weights(importance, BLOCK * k, w)
            d = improve_iq1_m(table, x, w, half_value(bits), entries, shifts, levels, new)
            bits = half_bits(d)
            for g in range(4):
                word = (bits >> np.uint32(4 * g) & np.uint32(15)) << np.uint32(12)
                for j in range(4):
                    word |= np.uint32(levels[4 * g + j]) << np.uint32(3 * j)
                put_u16(b, 48 + 2 * g, word)
            b[32:48] = 0
            for g in range(_GROUPS):
                b[g] = (entries[g] >> 16) & 255
                h = entries[g] >> 24 | (0 if shifts[g] > _0 else 8)
                b[32 + (g >> 1)] |= h << 4 * (g & 1)
