"""Quantizers of the K-quants Q2_K, Q4_K and Q5_K: a scale and a minimum per sub-block.

Each goes through a super-block in the same steps: transpose it, so that a sub-block is a lane;
search a scale and a minimum per sub-block; quantize those; take the codes anew from what is left
of the scales; pack. A sub-block whose quantized scale is zero keeps the codes of the search.
"""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import half_bits, half_value, helper, mean_square, nearest_int, put_u16
from .registry import quantizer
from .search import affine, affine_code, gather, positive, scatter, weigh
from .vectors import LANES, absolute, choose, load, nearest, root, store, vector

__all__ = ["pack_q2", "pack_q4", "pack_q5", "pack_scales_and_minima"]

_0, _1 = np.float32(0), np.float32(1)


@helper
def weigh_itself(x: Any, n: Any, w: Any) -> None:
    """Let a weight count as the root mean square of its group plus its own magnitude."""
    squares = vector(_0)
    for i in range(n):
        xi = load(x, LANES * i)
        squares += xi * xi
    mean = root(squares / np.float32(n))
    for i in range(n):
        store(w, LANES * i, mean + absolute(load(x, LANES * i)))


@helper
def search(
    values: Any, importance: Any, n: Any, top: Any, how: Any, x: Any, w: Any, q: Any, found: Any
) -> None:
    """Search the sub-blocks of `n` weights; `found`: scales, -minima, inverses, origins, weights.

    `how` gives first inverse scale, step, and number of steps without an importance.
    """
    mean = _0
    if importance.size:
        mean = mean_square(values, 2 if n == 32 else 1)
    for g in range(0, 256 // n, LANES):
        part = slice(n * g, n * (g + LANES))
        gather(values, n * g, n, LANES, x[part])
        sums = vector(_0)
        first, step, steps = how
        mad = False
        if importance.size:
            first, step, steps = np.float32(-0.9), np.float32(0.05), 36
            gather(importance, n * g, n, LANES, w[part])
            sums = weigh(x[part], mean, n, w[part])
        elif n == 32:
            weigh_itself(x[part], n, w[part])
        else:
            mad = True
            for i in range(n * g, n * (g + LANES)):
                w[i] = np.abs(x[i])
        scale, low, inverse, origin = affine(
            x[part], w[part], n, top, first, step, steps, mad, q[part]
        )
        store(found[0], g, scale)
        store(found[1], g, _0 - low)
        store(found[2], g, inverse)
        store(found[3], g, origin)
        store(found[4], g, sums)


@helper
def quantize_scales(scales: Any, top: Any, codes: Any) -> Any:
    """Quantize numbers of which the largest, if above zero, becomes `top`; return the scale."""
    largest = _0
    for j in range(scales.size):
        largest = max(largest, scales[j])
    inverse = np.float32(top) / largest if largest > _0 else _0
    for j in range(scales.size):
        codes[j] = min(nearest_int(inverse * scales[j]) & 255, top)
    return largest / np.float32(top)


@helper
def search_scales(found: Any, top: Any, scratch: Any, codes: Any) -> Any:
    """Quantize scales and minima by their importance; return the two scales of theirs."""
    n = found.shape[1]
    x, w, q = scratch[0], scratch[1], scratch[2]
    for j in range(n):
        for lane in range(LANES):
            x[LANES * j + lane] = found[lane & 1, j]
            w[LANES * j + lane] = found[4, j]
    store(x, 128, positive(x, w, n, top, q))
    for j in range(n):
        codes[0, j], codes[1, j] = np.int32(q[LANES * j]), np.int32(q[LANES * j + 1])
    return x[128], x[129]


@helper
def final_codes(
    x: Any, n: Any, d: Any, m: Any, found: Any, sub: Any, top: Any, q: Any, codes: Any
) -> None:
    """Store the codes on the final scales ``d * sub[0]`` and minima ``m * sub[1]``."""
    for j in range(sub.shape[1]):
        found[0, j], found[1, j] = d * np.float32(sub[0, j]), m * np.float32(sub[1, j])
    for g in range(0, 256 // n, LANES):
        scale, low = load(found[0], g), load(found[1], g)
        inverse, origin = load(found[2], g), load(found[3], g)
        for i in range(n):
            xi = load(x, n * g + LANES * i)
            searched = affine_code(xi, origin, inverse, top)
            final = nearest((xi + low) / scale, np.int32(0), top)
            store(q, n * g + LANES * i, choose(scale == _0, searched, final))
        scatter(q[n * g : n * (g + LANES)], n, LANES, codes[n * g : n * (g + LANES)])


@helper
def blocks(
    values: Any, importance: Any, out: Any, size: Any, n: Any, top: Any, sub_top: Any, how: Any
) -> None:
    """Write blocks of `size` bytes: sub-blocks of `n`, codes to `top`, their scales `sub_top`."""
    x, w, q = np.empty(256, np.float32), np.empty(256, np.float32), np.empty(256, np.float32)
    found, scratch = np.empty((5, 256 // n), np.float32), np.empty((3, 136), np.float32)
    sub, codes = np.empty((2, 256 // n), np.int32), np.empty(256, np.uint8)
    for r in range(values.shape[0]):
        for b in range(values.shape[1] // 256):
            columns = slice(256 * b, 256 * b + 256)
            o = out[r, size * b : size * b + size]
            search(values[r, columns], importance[columns], n, top, how, x, w, q, found)
            if importance.size:
                d, m = search_scales(found, sub_top, scratch, sub)
            else:
                d = quantize_scales(found[0], sub_top, sub[0])
                m = quantize_scales(found[1], sub_top, sub[1])
            at = 80 if size == 84 else 0
            put_u16(o, at, half_bits(d))
            put_u16(o, at + 2, half_bits(m))
            d, m = half_value(half_bits(d)), half_value(half_bits(m))
            if size == 84:
                for j in range(16):
                    o[j] = np.uint8(sub[0, j] | sub[1, j] << 4)
                    sub[0, j], sub[1, j] = o[j] & 15, o[j] >> 4
            else:
                if size == 176:
                    sub[:] = np.minimum(sub, sub_top)
                pack_scales_and_minima(sub, o[4:16])
                unpack_scales_and_minima(o[4:16], sub)
            final_codes(x, n, d, m, found, sub, top, q, codes)
            if size == 84:
                pack_q2(codes, o[16:80])
            elif size == 144:
                pack_q4(codes, o[16:144])
            else:
                pack_q5(codes, o[16:48], o[48:176])


@helper
def pack_scales_and_minima(sub: Any, o: Any) -> None:
    """Pack eight 6-bit pairs into 12 bytes: the inverse of `formats.k_quants.packed_scale`."""
    s, m = sub[0], sub[1]
    for j in range(4):
        o[j] = np.uint8(s[j] | (s[j + 4] >> 4) << 6)
        o[j + 4] = np.uint8(m[j] | (m[j + 4] >> 4) << 6)
        o[j + 8] = np.uint8((s[j + 4] & 15) | (m[j + 4] & 15) << 4)


@helper
def unpack_scales_and_minima(o: Any, sub: Any) -> None:
    """Read them back: what does not fit six bits, which takes a negative scale, is mixed up."""
    for j in range(4):
        sub[0, j], sub[1, j] = o[j] & 63, o[j + 4] & 63
        sub[0, j + 4] = (o[j + 8] & 15) | (o[j] >> 6) << 4
        sub[1, j + 4] = (o[j + 8] >> 4) | (o[j + 4] >> 6) << 4


@helper
def pack_q2(codes: Any, qs: Any) -> None:
    """Pack 256 codes of two bits, four runs of 32 weights to a run of bytes."""
    for h in range(2):
        for j in range(32):
            i = 128 * h + j
            qs[32 * h + j] = codes[i] | codes[i + 32] << 2 | codes[i + 64] << 4 | codes[i + 96] << 6


@helper
def pack_q4(codes: Any, qs: Any) -> None:
    """Pack the low four bits of 256 codes, two runs of 32 weights to a run of bytes."""
    for h in range(4):
        for j in range(32):
            i = 64 * h + j
            qs[32 * h + j] = (codes[i] & 15) | (codes[i + 32] & 15) << 4


@helper
def pack_q5(codes: Any, qh: Any, qs: Any) -> None:
    """As `pack_q4`, and the fifth bits of run k of 32 weights into the bits k of `qh`."""
    pack_q4(codes, qs)
    for j in range(32):
        high = 0
        for k in range(8):
            high |= (codes[32 * k + j] >> 4) << k
        qh[j] = np.uint8(high)


@quantizer("Q2_K")
def q2_k(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Sixteen sub-blocks of 16, absolute error."""
    how = (np.float32(-0.5), np.float32(0.1), 15)
    blocks(values, importance, out, 84, 16, np.int32(3), np.int32(15), how)


@quantizer("Q4_K")
def q4_k(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Eight sub-blocks of 32, codes of four bits."""
    how = (np.float32(-1.0), np.float32(0.1), 20)
    blocks(values, importance, out, 144, 32, np.int32(15), np.int32(63), how)


@quantizer("Q5_K")
def q5_k(values: Any, importance: Any, table: Any, out: Any) -> None:
    """Eight sub-blocks of 32, codes of five bits."""
    how = (np.float32(-0.5), np.float32(0.1), 15)
    blocks(values, importance, out, 176, 32, np.int32(31), np.int32(63), how)
