"""Quantizers of IQ2 and IQ3: magnitudes from a grid, signs apart.

All five search alike (``quantize_row_iq2_xxs_impl`` and its siblings in ggml-quants.c). For each
group of weights that shares a scale, some twenty scales are tried: round every weight to a level,
where the levels are no point of the grid take the nearest of the points listed for them, and keep
the scale with the largest ``sum(w x q)^2 / sum(w q^2)``. The levels stand for the odd numbers, as
if the grid were even; what is stored reads slightly different values.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, helper, put_u16
from .grid_blocks import BLOCK, block_scales, block_weights, first_scale, split_signs
from .grids import FARTHEST, grid_table, list_of
from .lanes import first_least, levels_at, nearest_code, sum_in_order, unpack
from .registry import quantizer
from .vectors import LANES, load, vector

_0, _1, _2 = np.float32(0), np.float32(1), np.float32(2)
_BITS = {8: 2, 4: 3}  # of a level, by weights of a group

# --- the search -----------------------------------------------------------------------------------


def _make_look_up(dims: int) -> tuple[Any, Any]:
    """Make the two parts of the search that know how levels are packed.

    ``look_up(table, code, scale, x, root, o)`` returns the entry of a code, or else the nearest of
    its list; ``fit(entries, e, n, w, wx, o)`` returns ``sum(w x q)`` and ``sum(w q^2)``.
    """
    bits = _BITS[dims]
    levels, mask = unpack(bits), (1 << bits) - 1

    @helper
    def look_up(table: Any, code: Any, scale: Any, x: Any, root: Any, o: Any) -> Any:
        head = np.int64(table[code])
        if head >= 0:
            return head
        start, n = list_of(head)
        best = FARTHEST
        for e in range(start, start + n, LANES):
            distance = vector(_0)
            for i in range(dims):
                q = levels_at(table, e, bits * i, mask) * _2 + _1
                difference = q * scale - x[o + i]
                distance += difference * root[o + i] * difference
            best = min(best, first_least(distance, e))
        return np.int64(table[best & 0xFFFFFFFF])

    @helper
    def fit(entries: Any, e: Any, n: Any, w: Any, wx: Any, o: Any) -> Any:
        qx, q2 = _0, _0
        for k in range(n * dims // 8):
            if dims == 8:
                code = np.int64(entries[e + k])
            else:
                code = (entries[e + 2 * k] & 0xFFF) | np.int64(entries[e + 2 * k + 1]) << 12
            q = levels(code) * _2 + _1
            qx = sum_in_order(qx, load(wx, o + 8 * k) * q)
            q2 = sum_in_order(q2, load(w, o + 8 * k) * q * q)
        return qx, q2

    return look_up, fit


def make_encode(
    dims: int,
    size: int,
    *,
    steps: int,
    width: float,
    epsilon: float,
    factor: float = 2.0,
    base: float = 0.0,
    even: bool = False,
    plain_start: bool = False,
    retry_all: bool = False,
) -> Any:
    """Make ``encode(table, values, importance, o, work)``: the search of one type, for a block.

    Parameters
    ----------
    dims, size : int
        Weights of a grid point, and weights that share a scale.
    steps, width : int, float
        Scales that are tried to each side, and how far apart.
    epsilon : float
        Weights that share a scale are zero if none is as large as this.
    factor, base : float
        See :func:`block_weights`.
    even : bool
        Whether signs are stored in 7 bits.
    plain_start : bool
        Whether the scales lie around that of :func:`first_scale`, not around the largest weight's,
        and all groups are looked up once more at the best scale.
    retry_all : bool
        Whether all groups are, if one of them was not on the grid; otherwise only those are.
    """
    bits = _BITS[dims]
    code_mask, groups = (1 << dims * bits) - 1, size // dims
    top, apart = np.float32(5 if bits == 2 else 15), np.float32(width)
    least, mean_factor, mean_base = np.float32(epsilon), np.float32(factor), np.float32(base)
    code_of, (look_up, fit) = nearest_code(dims, bits), _make_look_up(dims)

    @helper
    def search(table: Any, floats: Any, o: Any, largest: Any, trial: Any, entries: Any) -> Any:
        # Choose the entries of the weights from `o` on; return their scale, and whether there are
        # none to choose from.
        x, w, root, wx = floats[0], floats[1], floats[2], floats[3]
        e = o // dims
        scale, divisor = largest / top, largest
        if plain_start:
            scale = first_scale(x, w, o, largest, trial)
            divisor = scale * np.float32(3)
            if divisor <= np.float32(0):
                return np.float32(0), True
        best, missed = np.float32(0), np.int64(-1 if plain_start or retry_all else 0)
        entries[e : e + groups] = table[0]
        for step in range(-steps, steps + 1):
            inverse = (top + np.float32(step) * apart) / divisor
            tried, off = np.float32(1) / inverse, np.int64(0)
            for g in range(groups):
                code = code_of(x, o + g * dims, inverse)
                trial[g] = look_up(table, code, tried, x, root, o + g * dims)
                off |= np.int64((trial[g] & code_mask) != code) << g
            qx, q2 = fit(trial, 0, groups, w, wx, o)
            if q2 > np.float32(0) and qx * qx > best * q2:
                scale = qx / q2
                best = scale * qx
                entries[e : e + groups] = trial[:groups]
                if not plain_start:
                    missed = np.int64(-1) if retry_all and off else off
        if missed and scale > np.float32(0):
            inverse = np.float32(1) / scale
            for g in range(groups):
                if missed >> g & 1:
                    code = code_of(x, o + g * dims, inverse)
                    entries[e + g] = look_up(table, code, scale, x, root, o + g * dims)
            qx, q2 = fit(entries, e, groups, w, wx, o)
            if q2 > np.float32(0):
                scale = qx / q2
        return scale, False

    @helper
    def encode(table: Any, values: Any, importance: Any, o: Any, work: Any) -> Any:
        floats, trial, entries, signs, scales, levels = work
        x, w = floats[0], floats[1]
        block_weights(values, importance, o, mean_factor, mean_base, w)
        split_signs(values, o, w, even, x, signs)
        for i in range(BLOCK):
            floats[2, i] = np.sqrt(w[i])
            floats[3, i] = w[i] * x[i]
        for b in range(BLOCK // size):
            start = b * size
            largest, scale, empty = x[start], np.float32(0), True
            for i in range(start + 1, start + size):
                largest = max(largest, x[i])
            if largest >= least:
                scale, empty = search(table, floats, start, largest, trial, entries)
            if empty:
                entries[start // dims : (start + size) // dims] = 0
                signs[start // 8 : (start + size) // 8] = 0
            if scale < np.float32(0):
                scale = -scale
                for k in range(start // 8, (start + size) // 8):
                    signs[k] = ~signs[k]
            scales[b] = scale
        d = block_scales(scales, 15, levels)
        if even and scales.max() == np.float32(0):  # d may have become 0
            entries[:] = 0
            signs[:] = 0
        return d

    return encode


@helper
def buffers(dims: Any, size: Any) -> Any:
    """Return the working arrays of a block.

    Floats (magnitudes, weights, their roots, weights times magnitudes); entries tried; entries;
    sign bits; scales; levels of scales.
    """
    return (
        np.empty((4, BLOCK), np.float32),
        np.empty(32, np.int32),
        np.empty(BLOCK // dims, np.int32),
        np.empty(BLOCK // 8, np.uint8),
        np.empty(BLOCK // size, np.float32),
        np.empty(BLOCK // size, np.uint8),
    )


# --- the types ------------------------------------------------------------------------------------

encode_iq2_xxs = make_encode(
    8, 32, steps=6, width=0.1, epsilon=1e-15, factor=1, even=True, plain_start=True
)
encode_iq2_xs = make_encode(8, 16, steps=9, width=0.1, epsilon=1e-15, factor=1, even=True)
encode_iq2_s = make_encode(8, 16, steps=9, width=0.1, epsilon=1e-8, base=0.25)
encode_iq3_xxs = make_encode(4, 32, steps=15, width=0.2, epsilon=1e-8, even=True)
encode_iq3_s = make_encode(4, 32, steps=9, width=0.2, epsilon=1e-45, retry_all=True)


@helper
def put_signs_and_scale(b: Any, o: Any, signs: Any, i: Any, level: Any) -> None:
    """Store four times 7 sign bits and a 4-bit scale, as IQ2_XXS and IQ3_XXS do."""
    word = np.uint32(level) << np.uint32(28)
    for j in range(4):
        word |= np.uint32(signs[4 * i + j] & 127) << np.uint32(7 * j)
    put_u16(b, o, word)
    put_u16(b, o + 2, word >> np.uint32(16))


@helper
def pack_iq2_xxs(b: Any, d: Any, entries: Any, signs: Any, levels: Any) -> None:
    """Per 32 weights: four grid bytes, then signs and a scale in a word."""
    put_u16(b, 0, d)
    for i in range(8):
        put_signs_and_scale(b, 6 + 8 * i, signs, i, levels[i])
        for j in range(4):
            b[2 + 8 * i + j] = entries[4 * i + j] >> 16


@helper
def pack_iq2_xs(b: Any, d: Any, entries: Any, signs: Any, levels: Any) -> None:
    """Per 8 weights: a 9-bit index and 7 signs in a word."""
    put_u16(b, 0, d)
    for i in range(32):
        put_u16(b, 2 + 2 * i, np.uint32(entries[i] >> 16 | (signs[i] & 127) << 9))
    for i in range(8):
        b[66 + i] = levels[2 * i] | levels[2 * i + 1] << 4


@helper
def pack_iq2_s(b: Any, d: Any, entries: Any, signs: Any, levels: Any) -> None:
    """Per 8 weights: an index of 8 + 2 bits, 8 signs."""
    put_u16(b, 0, d)
    for i in range(8):
        high = 0
        for j in range(4 * i, 4 * i + 4):
            b[2 + j] = (entries[j] >> 16) & 255
            b[34 + j] = signs[j]
            high |= (entries[j] >> 24) << 2 * (j & 3)
        b[66 + i] = high
        b[74 + i] = levels[2 * i] | levels[2 * i + 1] << 4


@helper
def pack_iq3_xxs(b: Any, d: Any, entries: Any, signs: Any, levels: Any) -> None:
    """Per 4 weights: a grid byte; per 32: signs and a scale in a word."""
    put_u16(b, 0, d)
    for i in range(64):
        b[2 + i] = entries[i] >> 16
    for i in range(8):
        put_signs_and_scale(b, 66 + 4 * i, signs, i, levels[i])


@helper
def pack_iq3_s(b: Any, d: Any, entries: Any, signs: Any, levels: Any) -> None:
    """Per 4 weights: an index of 8 + 1 bits, 4 signs."""
    put_u16(b, 0, d)
    for i in range(8):
        high = 0
        for j in range(8):
            b[2 + 8 * i + j] = (entries[8 * i + j] >> 16) & 255
            high |= (entries[8 * i + j] >> 24) << j
        b[66 + i] = high
    b[74:106] = signs
    for i in range(4):
        b[106 + i] = levels[2 * i] | levels[2 * i + 1] << 4


@quantizer("IQ2_XXS", table=grid_table("IQ2_XXS"))
def iq2_xxs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Try 13 scales per 32 weights."""
    work = buffers(8, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            d = encode_iq2_xxs(table, values[r], importance, k * BLOCK, work)
            b = out[r, 66 * k : 66 * k + 66]
            pack_iq2_xxs(b, half_bits(d), work[2], work[3], work[5])


@quantizer("IQ2_XS", table=grid_table("IQ2_XS"))
def iq2_xs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Try 19 scales per 16 weights."""
    work = buffers(8, 16)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            d = encode_iq2_xs(table, values[r], importance, k * BLOCK, work)
            b = out[r, 74 * k : 74 * k + 74]
            pack_iq2_xs(b, half_bits(d), work[2], work[3], work[5])


@quantizer("IQ2_S", table=grid_table("IQ2_S"))
def iq2_s(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Try 19 scales per 16 weights; all signs are free."""
    work = buffers(8, 16)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            d = encode_iq2_s(table, values[r], importance, k * BLOCK, work)
            b = out[r, 82 * k : 82 * k + 82]
            pack_iq2_s(b, half_bits(d * np.float32(0.9875)), work[2], work[3], work[5])


@quantizer("IQ3_XXS", table=grid_table("IQ3_XXS"))
def iq3_xxs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Try 31 scales per 32 weights."""
    work = buffers(4, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            d = encode_iq3_xxs(table, values[r], importance, k * BLOCK, work)
            b = out[r, 98 * k : 98 * k + 98]
            pack_iq3_xxs(b, half_bits(d * np.float32(1.0125)), work[2], work[3], work[5])


@quantizer("IQ3_S", table=grid_table("IQ3_S"))
def iq3_s(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Try 19 scales per 32 weights; all signs are free.

    Not as ggml where 32 weights with one scale are all zero and others of the block are not: there
    ggml stores the later indices and signs (not their high bits) 32 weights too early, and reads
    back weights that have nothing to do with what they were.
    """
    work = buffers(4, 32)
    for r in range(values.shape[0]):
        for k in range(values.shape[1] // BLOCK):
            d = encode_iq3_s(table, values[r], importance, k * BLOCK, work)
            b = out[r, 110 * k : 110 * k + 110]
            pack_iq3_s(b, half_bits(d * np.float32(1.033)), work[2], work[3], work[5])
