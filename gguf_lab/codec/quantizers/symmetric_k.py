"""Quantizers of the K-quants Q3_K and Q6_K: a signed scale per sub-block of 16, and no minimum."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import (
    GROUP_MAX_EPS,
    half_bits,
    half_value,
    helper,
    mean_square,
    nearest_int,
    put_u16,
)
from .k_quants import pack_q2
from .registry import quantizer
from .runs import largest
from .search import gather, scatter, symmetric, symmetric_code, weigh
from .vectors import LANES, absolute, any_lane, choose, load, nearest, store, vector

__all__ = ["pack_q3", "pack_q6", "pack_scales"]

_0, _1 = np.float32(0), np.float32(1)


@helper
def descend(x: Any, n: Any, top: Any, q: Any) -> Any:
    """Search a scale and store the codes, -top to top - 1: ``make_q3_quants``.

    The first codes map the largest weight onto -top; then, five times over, each code is replaced
    by the best one for the scale that the others give. A weight counts as its square.
    """
    peak = value = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        larger = absolute(xi) > peak
        peak, value = choose(larger, absolute(xi), peak), choose(larger, xi, value)
    zero = peak < GROUP_MAX_EPS
    inverse = np.float32(-top) / value
    low, high = -top, top - np.int32(1)
    sum_lx = sum_l2 = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        code = nearest(inverse * xi, low, high)
        store(q, LANES * i, code)
        sum_lx += xi * xi * xi * code
        sum_l2 += xi * xi * code * code
    for _ in range(5):
        changed = vector(_0) > _0
        for i in range(n):
            xi, old = load(x, LANES * i), load(q, LANES * i)
            w = xi * xi
            lx, l2 = sum_lx - w * xi * old, sum_l2 - w * old * old
            new = nearest(xi * l2 / lx, low, high)
            differs = (lx > _0) & (new != old)
            lx, l2 = lx + w * xi * new, l2 + w * new * new
            better = differs & (l2 > _0) & (lx * lx * sum_l2 > sum_lx * sum_lx * l2)
            store(q, LANES * i, choose(better, new, old))
            sum_lx, sum_l2 = choose(better, lx, sum_lx), choose(better, l2, sum_l2)
            changed = changed | better
        if not any_lane(changed):
            break
    for i in range(n):
        store(q, LANES * i, choose(zero, np.float32(-top), load(q, LANES * i)))
    return choose(sum_l2 > _0, choose(zero, _0, sum_lx / sum_l2), _0)


@helper
def final_codes(x: Any, d: Any, sub: Any, top: Any, q: Any, codes: Any) -> None:
    """Store the codes on the scales ``d * sub``, or those in `q` where that is zero, plus top."""
    scales = np.empty(16, np.float32)
    for j in range(16):
        scales[j] = d * np.float32(sub[j])
    for g in range(0, 16, LANES):
        scale = load(scales, g)
        for i in range(16):
            at = 16 * g + LANES * i
            code = nearest(load(x, at) / scale, -top, top - np.int32(1))
            store(q, at, choose(scale == _0, load(q, at), code) + np.float32(top))
        scatter(q[16 * g : 16 * (g + LANES)], 16, LANES, codes[16 * g : 16 * (g + LANES)])


@helper
def pack_q3(codes: Any, hmask: Any, qs: Any) -> None:
    """Pack 256 codes of three bits: two in `qs`, the third of run k of 32 weights in bits k."""
    low = codes & np.uint8(3)
    pack_q2(low, qs)
    for j in range(32):
        high = 0
        for k in range(8):
            high |= (codes[32 * k + j] >> 2) << k
        hmask[j] = np.uint8(high)


@helper
def pack_scales(sub: Any, o: Any) -> None:
    """Pack 16 scales from -32 to 31 into 12 bytes of a Q3_K."""
    for j in range(8):
        o[j] = np.uint8(((sub[j] + 32) & 15) | ((sub[j + 8] + 32) & 15) << 4)
    for j in range(4):
        high = 0
        for k in range(4):
            high |= ((sub[4 * k + j] + 32) >> 4) << 2 * k
        o[8 + j] = np.uint8(high)


@helper
def pack_q6(codes: Any, ql: Any, qh: Any) -> None:
    """Pack 256 codes of six bits: four in `ql`, two in `qh`."""
    for h in range(2):
        for j in range(32):
            i, o = 128 * h + j, 64 * h + j
            ql[o] = (codes[i] & 15) | (codes[i + 64] & 15) << 4
            ql[o + 32] = (codes[i + 32] & 15) | (codes[i + 96] & 15) << 4
            high = codes[i] >> 4 | (codes[i + 32] >> 4) << 2
            qh[32 * h + j] = high | (codes[i + 64] >> 4) << 4 | (codes[i + 96] >> 4) << 6


@quantizer("Q3_K")
def q3_k(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Codes of three bits; with an importance the scales are searched once more."""
    x, w, q = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.float32)
    scales, sums, sub = np.empty(16, np.float32), np.empty(16, np.float32), np.empty(16, np.int32)
    codes, top, lanes = np.empty(256, np.uint8), np.int32(4), np.empty(LANES, np.float32)
    x8, w8 = np.empty(128, np.float32), np.empty(128, np.float32)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            v, o = values[r, 256 * b : 256 * b + 256], out[r, 110 * b : 110 * b + 110]
            mean = mean_square(v, 2) if importance.size else _0
            for g in range(0, 16, LANES):
                part = slice(16 * g, 16 * (g + LANES))
                gather(v, 16 * g, 16, LANES, x[part])
                if not importance.size:
                    store(scales, g, descend(x[part], 16, top, q[part]))
                    continue
                gather(importance, 256 * b + 16 * g, 16, LANES, w[part])
                store(sums, g, weigh(x[part], mean, 16, w[part]))
                scale, inverse = symmetric(x[part], w[part], 16, top)
                store(scales, g, scale)
                for i in range(16 * g, 16 * (g + LANES), LANES):
                    store(q, i, symmetric_code(load(x, i), inverse, top))
            if importance.size:
                # All lanes search the same: the scale of the scales.
                gather(scales, 0, 16, 1, x8)
                gather(sums, 0, 16, 1, w8)
                scale, inverse = symmetric(x8, w8, 16, np.int32(32))
                store(lanes, 0, scale)
                d = lanes[0]
                for j in range(16):
                    store(lanes, 0, symmetric_code(load(x8, LANES * j), inverse, np.int32(32)))
                    sub[j] = np.int32(lanes[0])
            else:
                peak = largest(scales)
                inverse_d = np.float32(-32) / peak if peak != _0 else _0
                d = _1 / inverse_d if peak != _0 else _0
                for j in range(16):
                    code = min(max(nearest_int(inverse_d * scales[j]), -32), 31)
                    sub[j] = code if peak != _0 else -32
            put_u16(o, 108, half_bits(d))
            pack_scales(sub, o[96:108])
            final_codes(x, half_value(half_bits(d)), sub, top, q, codes)
            pack_q3(codes, o[0:32], o[32:96])


@quantizer("Q6_K")
def q6_k(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Codes of six bits; a weight counts as its square, or as its importance alone."""
    x, w, q = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.float32)
    scales, sub, codes = np.empty(16, np.float32), np.empty(16, np.int32), np.empty(256, np.uint8)
    top = np.int32(32)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            v, o = values[r, 256 * b : 256 * b + 256], out[r, 210 * b : 210 * b + 210]
            for g in range(0, 16, LANES):
                part = slice(16 * g, 16 * (g + LANES))
                gather(v, 16 * g, 16, LANES, x[part])
                if importance.size:
                    gather(importance, 256 * b + 16 * g, 16, LANES, w[part])
                else:
                    for i in range(16 * g, 16 * (g + LANES)):
                        w[i] = x[i] * x[i]
                scale, inverse = symmetric(x[part], w[part], 16, top)
                store(scales, g, scale)
                for i in range(16 * g, 16 * (g + LANES), LANES):
                    store(q, i, symmetric_code(load(x, i), inverse, top))
            peak = largest(scales)
            if np.abs(peak) < GROUP_MAX_EPS:
                o[:] = 0
                continue
            inverse_d = np.float32(-128) / peak
            d = _1 / inverse_d
            put_u16(o, 208, half_bits(d))
            for j in range(16):
                sub[j] = min(nearest_int(inverse_d * scales[j]), 127)
                o[192 + j] = np.uint8(sub[j])
            final_codes(x, half_value(half_bits(d)), sub, top, q, codes)
            pack_q6(codes, o[0:128], o[128:192])
