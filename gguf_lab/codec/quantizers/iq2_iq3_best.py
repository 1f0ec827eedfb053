"""A wider search for IQ2 and IQ3: less error than ggml's in the same bits (``effort="best"``).

It starts from ggml's choice and measures what counts: the squared error of the values that are read
back, times the importance if there is one. Scales of the block around ggml's are tried, each with
the likely levels of the scales inside and the points listed for each code; from the best, all
points of the grid are tried with neighbouring levels, and the block's scale is fitted anew, in
turns. Of each block the better of ggml's choice and this one is stored.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import bitcast_f32, half_bits, half_value, helper, nearest_int
from .grid_blocks import BLOCK, split_signs
from .grids import FARTHEST, grid_table, list_of
from .iq2_iq3 import (
    buffers,
    encode_iq2_s,
    encode_iq2_xs,
    encode_iq2_xxs,
    encode_iq3_s,
    encode_iq3_xxs,
    pack_iq2_s,
    pack_iq2_xs,
    pack_iq2_xxs,
    pack_iq3_s,
    pack_iq3_xxs,
)
from .lanes import first_least, levels_at, nearest_code, unpack
from .registry import quantizer
from .vectors import LANES, choose, store, vector

_0, _1, _2 = np.float32(0), np.float32(1), np.float32(2)
_HALF, _INFINITY = np.float32(0.5), np.float32(np.inf)


@helper
def distance_of(key: Any) -> Any:
    """Return the distance in what `first_least` gives."""
    return bitcast_f32(np.uint32(key >> 32))


# --- what levels read as: a group has the scale d * (2 * level + 1) * unit -----------------------


@helper
def value_iq2(level: Any) -> Any:
    """Return 8, 25 or 43."""
    return level * (level * _HALF + np.float32(16.5)) + np.float32(8)


@helper
def value_iq3_xxs(level: Any) -> Any:
    """Return 4, 12, 20 ... 52 or 62."""
    even = level * np.float32(8) + np.float32(4)
    return choose(level == np.float32(7), np.float32(62), even)


@helper
def value_iq3_s(level: Any) -> Any:
    """Return 1, 3 ... 15."""
    return level * _2 + _1


def make_improve(dims: int, size: int, points: int, value: Any, unit: float, even: bool) -> Any:
    """Make ``improve(table, values, importance, o, d, found, work)`` for a block.

    It gets what ggml would store (the bits of the half `d`; entries, signs, scales, levels: see
    :func:`~.iq2_iq3.buffers`), leaves the better choice in `work`, and returns the bits of its `d`.
    """
    bits, odd = (2, 8.0) if dims == 8 else (3, 4.0 if unit < 1 else 1.0)
    mask, code_bits, groups = (1 << bits) - 1, bits * dims, size // dims
    one, to_odd, parts = np.float32(unit), np.float32(odd), BLOCK // size
    code_of, levels_of = nearest_code(dims, bits), unpack(bits)
    all_points = 1 << code_bits

    @helper
    def nearest(table: Any, start: Any, n: Any, s: Any, x: Any, w: Any, o: Any) -> Any:
        # The nearest of n entries, see `first_least`.
        best = FARTHEST
        for e in range(start, start + n, LANES):
            distance = vector(_0)
            for i in range(dims):
                difference = value(levels_at(table, e, bits * i, mask)) * s - x[o + i]
                distance += difference * difference * w[o + i]
            best = min(best, first_least(distance, e))
        return best

    @helper
    def read(entries: Any, o: Any, buffer: Any) -> None:
        # Write the values of the eight weights from `o` on.
        code = np.int64(entries[o // dims]) & ((1 << code_bits) - 1)
        if dims == 4:
            code |= np.int64(entries[o // dims + 1]) << code_bits
        store(buffer, 0, value(levels_of(code)))

    @helper
    def error(
        values: Any, o: Any, w: Any, entries: Any, signs: Any, levels: Any, d: Any, buffer: Any
    ) -> Any:
        total = 0.0
        for i in range(BLOCK):
            if not i & 7:
                read(entries, i, buffer)
            y = d * np.float32(2 * np.int32(levels[i // size]) + 1) * one * buffer[i & 7]
            if signs[i >> 3] >> (i & 7) & 1:
                y = -y
            difference = np.float64(values[o + i]) - np.float64(y)
            total += np.float64(w[i]) * difference * difference
        return total

    @helper
    def refit(x: Any, w: Any, entries: Any, levels: Any, d: Any, buffer: Any) -> Any:
        # The best scale of the block for its entries and levels.
        qx, q2 = 0.0, 0.0
        for i in range(BLOCK):
            if not i & 7:
                read(entries, i, buffer)
            q = np.float64(np.float32(2 * np.int32(levels[i // size]) + 1) * one * buffer[i & 7])
            qx += np.float64(w[i]) * q * np.float64(x[i])
            q2 += np.float64(w[i]) * q * q
        if q2 > 0 and qx > 0:
            return half_value(half_bits(np.float32(qx / q2)))
        return d

    @helper
    def likely(table: Any, x: Any, w: Any, d: Any, scales: Any, levels: Any) -> Any:
        # Choose levels for a scale of the block by the points of the lists; return the error.
        total = _0
        for b in range(parts):
            middle: Any = nearest_int(_HALF * (scales[b] / d - _1))
            least = np.float32(np.inf)
            for level in range(max(0, min(14, middle - 1)), max(1, min(15, middle + 1)) + 1):
                s = d * np.float32(2 * level + 1) * one
                inverse, sum_ = _1 / (s * to_odd), _0
                for o in range(b * size, b * size + size, dims):
                    head = np.int64(table[code_of(x, o, inverse)])
                    if head >= 0:  # a point: look at its neighbours by index too
                        start, n = all_points + (head >> 16) // LANES * LANES, LANES
                    else:
                        start, n = list_of(head)
                    sum_ += distance_of(nearest(table, start, n, s, x, w, o))
                if sum_ < least:
                    least = sum_
                    levels[b] = level
            total += least
        return total

    @helper
    def exact(table: Any, x: Any, w: Any, d: Any, trial: Any, entries: Any, levels: Any) -> None:
        # Choose entries among all points, with the levels next to those given.
        for b in range(parts):
            least, middle = np.float32(np.inf), int(levels[b])
            for level in range(max(0, middle - 1), min(15, middle + 1) + 1):
                s, sum_ = d * np.float32(2 * level + 1) * one, _0
                for g in range(groups):
                    key = nearest(table, all_points, points, s, x, w, b * size + g * dims)
                    trial[g] = table[key & 0xFFFFFFFF]
                    sum_ += distance_of(key)
                if sum_ < least:
                    least = sum_
                    levels[b] = level
                    entries[b * groups : (b + 1) * groups] = trial[:groups]

    @helper
    def improve(
        table: Any, values: Any, importance: Any, o: Any, d_bits: Any, work: Any, new: Any
    ) -> Any:
        floats, trial, entries, signs, scales, levels = work
        _, _, new_entries, new_signs, _, new_levels = new
        x, w, buffer = floats[0], floats[1], floats[2]
        first = half_value(d_bits)
        if not (first > _0 and first < _INFINITY):
            return d_bits
        for i in range(BLOCK):
            w[i] = importance[o + i] if importance.size else _1
        least = error(values, o, w, entries, signs, levels, first, buffer)
        split_signs(values, o, w, even, x, new_signs)
        d, lowest = first, _INFINITY
        for step in range(-5, 6):
            tried = half_value(half_bits(first * (_1 + np.float32(0.03) * np.float32(step))))
            if tried > _0:
                sum_ = likely(table, x, w, tried, scales, new_levels)
                if sum_ < lowest:
                    d, lowest = tried, sum_
        likely(table, x, w, d, scales, new_levels)
        for _turn in range(2):
            exact(table, x, w, d, trial, new_entries, new_levels)
            d = refit(x, w, new_entries, new_levels, d, buffer)
        if error(values, o, w, new_entries, new_signs, new_levels, d, buffer) < least:
            entries[:], signs[:], levels[:] = new_entries, new_signs, new_levels
            return half_bits(d)
        return d_bits

    return improve


improve_iq2_xxs = make_improve(8, 32, 256, value_iq2, 0.125, True)
improve_iq2_xs = make_improve(8, 16, 512, value_iq2, 0.125, True)
improve_iq2_s = make_improve(8, 16, 1024, value_iq2, 0.125, False)
improve_iq3_xxs = make_improve(4, 32, 256, value_iq3_xxs, 0.25, True)
improve_iq3_s = make_improve(4, 32, 512, value_iq3_s, 1.0, False)


@quantizer("IQ2_XXS", effort="best", table=grid_table("IQ2_XXS"))
def iq2_xxs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq2_iq3.iq2_xxs` finds."""
    work, new = buffers(8, 32), buffers(8, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            o = k * BLOCK
            d = half_bits(encode_iq2_xxs(table, values[r], importance, o, work))
            d = improve_iq2_xxs(table, values[r], importance, o, d, work, new)
            pack_iq2_xxs(out[r, 66 * k : 66 * k + 66], d, work[2], work[3], work[5])


@quantizer("IQ2_XS", effort="best", table=grid_table("IQ2_XS"))
def iq2_xs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq2_iq3.iq2_xs` finds."""
    work, new = buffers(8, 16), buffers(8, 16)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            o = k * BLOCK
            d = half_bits(encode_iq2_xs(table, values[r], importance, o, work))
            d = improve_iq2_xs(table, values[r], importance, o, d, work, new)
            pack_iq2_xs(out[r, 74 * k : 74 * k + 74], d, work[2], work[3], work[5])


@quantizer("IQ2_S", effort="best", table=grid_table("IQ2_S"))
def iq2_s(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq2_iq3.iq2_s` finds."""
    work, new = buffers(8, 16), buffers(8, 16)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            o = k * BLOCK
            d = half_bits(encode_iq2_s(table, values[r], importance, o, work) * np.float32(0.9875))
            d = improve_iq2_s(table, values[r], importance, o, d, work, new)
            pack_iq2_s(out[r, 82 * k : 82 * k + 82], d, work[2], work[3], work[5])


@quantizer("IQ3_XXS", effort="best", table=grid_table("IQ3_XXS"))
def iq3_xxs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq2_iq3.iq3_xxs` finds."""
    work, new = buffers(4, 32), buffers(4, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            o = k * BLOCK
            d = half_bits(
                encode_iq3_xxs(table, values[r], importance, o, work) * np.float32(1.0125)
            )
            d = improve_iq3_xxs(table, values[r], importance, o, d, work, new)
            pack_iq3_xxs(out[r, 98 * k : 98 * k + 98], d, work[2], work[3], work[5])


@quantizer("IQ3_S", effort="best", table=grid_table("IQ3_S"))
def iq3_s(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Improve what `iq2_iq3.iq3_s` finds."""
    work, new = buffers(4, 32), buffers(4, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            o = k * BLOCK
            d = half_bits(encode_iq3_s(table, values[r], importance, o, work) * np.float32(1.033))
            d = improve_iq3_s(table, values[r], importance, o, d, work, new)
            pack_iq3_s(out[r, 110 * k : 110 * k + 110], d, work[2], work[3], work[5])
