"""Quantizers of IQ4_NL and IQ4_XS: sixteen uneven levels, with a scale per 32 weights."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from ..formats import FORMATS
from .arithmetic import GROUP_MAX_EPS, half_bits, helper, mean_square, nearest_int, put_u16
from .legacy import pack
from .registry import quantizer
from .runs import inverse_or_zero, largest
from .search import gather, scatter, weigh
from .vectors import LANES, absolute, choose, load, store, vector

_0, _1 = np.float32(0), np.float32(1)


def _levels() -> np.ndarray:
    return FORMATS["IQ4_NL"].table().view(np.int8).astype(np.int32)


@helper
def level(x: Any, levels: Any) -> Any:
    """Return the level nearest to x, the upper of two: ``best_index_int8``, without the index.

    The middle between two levels is exact in float32, and so are the distances from near it.
    """
    found = vector(levels[0])
    for k in range(15):
        middle = (levels[k] + levels[k + 1]) * np.float32(0.5)
        found = choose(x < middle, found, levels[k + 1])  # the last one for NaN, as in ggml
    return found


@helper
def level_index(x: Any, levels: Any) -> Any:
    """Return its index, as float32."""
    found = vector(_0)
    for k in range(15):
        middle = (levels[k] + levels[k + 1]) * np.float32(0.5)
        found = choose(x < middle, found, np.float32(k + 1))
    return found


@helper
def uneven(x: Any, w: Any, levels: Any) -> Any:
    """Search the scale of eight groups of 32: the largest weight onto about the lowest level."""
    peak = value = vector(_0)
    for i in range(32):
        xi = load(x, LANES * i)
        larger = absolute(xi) > peak
        peak, value = choose(larger, absolute(xi), peak), choose(larger, xi, value)
    scale = best = vector(_0)
    for k in range(16):
        if k == 0:
            trial = _1 / (vector(_0) - value / levels[0])
        else:
            trial = (np.float32(k - 8) + levels[0]) / value
        sum_qx = sum_q2 = vector(_0)
        for i in range(32):
            xi = load(x, LANES * i)
            q = level(trial * xi, levels)
            wq = load(w, LANES * i) * q
            sum_qx += wq * xi
            sum_q2 += wq * q
        if k == 0:
            scale = choose(sum_q2 > _0, sum_qx / sum_q2, _0)
            best = scale * sum_qx
        else:
            better = (sum_q2 > _0) & (sum_qx * sum_qx > best * sum_q2)
            scale = choose(better, sum_qx / sum_q2, scale)
            best = choose(better, scale * sum_qx, best)
    return choose(peak < GROUP_MAX_EPS, _0, scale)


@helper
def own_or_given(values: Any, importance: Any, start: Any, groups: Any, x: Any, w: Any) -> None:
    """Transpose weights and importance; a weight without importance counts as its square."""
    gather(values, start, 32, groups, x)
    if importance.size:
        gather(importance, start, 32, groups, w)
    else:
        for i in range(32 * LANES):
            w[i] = x[i] * x[i]


@helper
def floats(table: Any) -> Any:
    """Return the levels as float32."""
    levels = np.empty(16, np.float32)
    for k in range(16):
        levels[k] = np.float32(table[k])
    return levels


@quantizer("IQ4_NL", table=_levels)
def iq4_nl(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Each block by itself."""
    x, w = np.empty(32 * LANES, np.float32), np.empty(32 * LANES, np.float32)
    scales, mean = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    codes, n, levels = np.empty(32 * LANES, np.float32), values.shape[1] // 32, floats(table)
    for r in range(values.shape[0]):
        for b in range(0, n, LANES):
            groups = min(LANES, n - b)
            own_or_given(values[r], importance, 32 * b, groups, x, w)
            if importance.size:
                for k in range(LANES):
                    first = 32 * (b + min(k, groups - 1))
                    mean[k] = mean_square(values[r, first : first + 32], 2)
                weigh(x, load(mean, 0), 32, w)
            scale = uneven(x, w, levels)
            store(scales, 0, scale)
            inverse = choose(scale == _0, _0, _1 / scale)
            for i in range(32):
                store(x, LANES * i, level_index(inverse * load(x, LANES * i), levels))
            scatter(x, 32, groups, codes)
            for k in range(groups):
                o = out[r, 18 * (b + k) : 18 * (b + k + 1)]
                put_u16(o, 0, half_bits(scales[k]))
                pack(codes[32 * k : 32 * k + 32], False, o[2:])


@quantizer("IQ4_XS", table=_levels)
def iq4_xs(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Eight blocks, whose scales become six bits; the codes follow those, unrounded to half."""
    x, w = np.empty(256, np.float32), np.empty(256, np.float32)
    scales, codes, levels = np.empty(8, np.float32), np.empty(256, np.float32), floats(table)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            v, o = values[r, 256 * b : 256 * b + 256], out[r, 136 * b : 136 * b + 136]
            own_or_given(values[r], importance, 256 * b, 8, x, w)
            if importance.size:
                weigh(x, mean_square(v, 2), 32, w)
            store(scales, 0, uneven(x, w, levels))
            d = -largest(scales) / np.float32(32)
            put_u16(o, 0, half_bits(d))
            inverse_d, high = inverse_or_zero(d), 0
            for k in range(8):
                code = min(max(nearest_int(inverse_d * scales[k]), -32), 31)
                scales[k] = d * np.float32(code)
                high |= ((code + 32) >> 4) << 2 * k
                part = (code + 32) & 15
                o[4 + k // 2] = np.uint8(part if k % 2 == 0 else o[4 + k // 2] | part << 4)
            put_u16(o, 2, np.uint32(high))
            scale = load(scales, 0)
            inverse = choose(scale == _0, _0, _1 / scale)
            for i in range(32):
                store(x, LANES * i, level_index(inverse * load(x, LANES * i), levels))
            scatter(x, 32, 8, codes)
            for k in range(8):
                pack(codes[32 * k : 32 * k + 32], False, o[8 + 16 * k : 24 + 16 * k])
