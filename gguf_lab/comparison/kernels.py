"""The fused comparison: dequantize a tile, sum it up while it is in the cache, take the next.

Nothing as large as the tensor is ever written. The sums are float32 in 256 lanes, added pairwise
and folded into float64 after every tile: the order is fixed, so the result is the same on every run
and for any number of threads, and agrees with float64 to about 1e-7.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from ..codec import dequantize, find_format
from ..codec.backends.numba_ import BYTES, bitcast_u32, compile_kernel, dequantizer
from ..errors import ComparisonError
from .histogram import BINS, BITS, CENTRE, FLOOR
from .statistics import Statistics, measure

__all__ = ["measure_fused"]

_TILE = 1 << 14
_GRID = f"{BINS}_{BITS}_{FLOOR}"  # constants of another file that the kernels have compiled in
# Mean squares that float32 lanes can hold without loss; outside, the plain path takes over.
_SMALLEST, _LARGEST = 1e-30, 1e30


def _fold(x: Any, r: Any, lanes: Any, peak: Any, index: Any) -> None:
    """Sum up a tile: x, r, index (rows, 256), rows a multiple of 4; lanes (5, 256); peak (256,)."""
    sign = np.uint32(0x7FFFFFFF)
    for k in range(0, x.shape[0], 4):
        for j in range(x.shape[1]):
            x0, x1, x2, x3 = x[k, j], x[k + 1, j], x[k + 2, j], x[k + 3, j]
            r0, r1, r2, r3 = r[k, j], r[k + 1, j], r[k + 2, j], r[k + 3, j]
            e0, e1, e2, e3 = x0 - r0, x1 - r1, x2 - r2, x3 - r3
            lanes[0, j] += (e0 * e0 + e1 * e1) + (e2 * e2 + e3 * e3)
            lanes[1, j] += (r0 * r0 + r1 * r1) + (r2 * r2 + r3 * r3)
            lanes[2, j] += (x0 * x0 + x1 * x1) + (x2 * x2 + x3 * x3)
            lanes[3, j] += (x0 * r0 + x1 * r1) + (x2 * r2 + x3 * r3)
            lanes[4, j] += (abs(e0) + abs(e1)) + (abs(e2) + abs(e3))
            # As integers, magnitudes order like floats, inf and NaN on top.
            m01 = max(bitcast_u32(e0) & sign, bitcast_u32(e1) & sign)
            m23 = max(bitcast_u32(e2) & sign, bitcast_u32(e3) & sign)
            m01 = max(m01, m23)
            peak[j] = max(peak[j], m01)
    for k in range(x.shape[0]):
        for j in range(x.shape[1]):
            bits = bitcast_u32(x[k, j] - r[k, j])
            bin_ = np.int32((bits & sign) >> np.uint32(BITS)) - np.int32(FLOOR)
            bin_ = min(max(bin_, np.int32(0)), np.int32(CENTRE))
            minus = np.int32(bits) >> np.int32(31)
            index[k, j] = np.uint16(np.int32(CENTRE) + ((bin_ ^ minus) - minus))


def _count(index: Any, n: int, counts: Any) -> None:
    """Count bins in four tables, so that neighbours in the same bin do not wait for each other."""
    whole = n & ~3
    for k in range(0, whole, 4):
        counts[0, index[k]] += 1
        counts[1, index[k + 1]] += 1
        counts[2, index[k + 2]] += 1
        counts[3, index[k + 3]] += 1
    for k in range(whole, n):
        counts[0, index[k]] += 1


def _compare(  # noqa: PLR0917
    xb: Any, xt: Any, block: int, width: int, groups: int, rb: Any, rt: Any, sums: Any, hist: Any
) -> Any:
    # xb, rb: bytes; block, width, groups: weights, bytes and groups of a block of x (block 1: a
    # plain type, whose run is one block). Returns the bits of the largest |e|.
    n = xb.size // width * block
    each = rb.size // n
    x, r = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
    index = np.empty(_TILE, np.uint16)
    lanes, total = np.zeros((5, 256), np.float32), np.zeros((5, 256), np.float64)
    peak = np.zeros(256, np.uint32)
    counts = np.zeros((4, BINS), np.uint32)
    for start in range(0, n, _TILE):
        m = min(_TILE, n - start)
        blocks = 1 if block == 1 else m // block
        source = xb[start // block * width : (start + m) // block * width]
        dequantize_x(  # type: ignore[name-defined]  # noqa: F821
            source.reshape(blocks, source.size // blocks),
            xt,
            x[:m].reshape(blocks, groups, m // (blocks * groups)),
        )
        source = rb[start * each : (start + m) * each]
        dequantize_r(  # type: ignore[name-defined]  # noqa: F821
            source.reshape(1, source.size), rt, r[:m].reshape(1, 1, m)
        )
        padded = (m + 1023) & ~1023
        x[m:padded] = 0
        r[m:padded] = 0
        lanes[:] = 0
        rows = padded // 256
        fold(  # type: ignore[name-defined]  # noqa: F821
            x[:padded].reshape(rows, 256),
            r[:padded].reshape(rows, 256),
            lanes,
            peak,
            index[:padded].reshape(rows, 256),
        )
        total += lanes
        count(index, m, counts)  # type: ignore[name-defined]  # noqa: F821
    for k in range(5):
        sums[k] = total[k].sum()
    for k in range(BINS):
        hist[k] = (
            np.int64(counts[0, k])
            + np.int64(counts[1, k])
            + np.int64(counts[2, k])
            + np.int64(counts[3, k])
        )
    return peak.max()


@cache
def _parts() -> dict[str, Any]:
    tile, row = types.float32[:, ::1], types.uint32[::1]
    index, table = types.uint16, types.uint32[:, ::1]
    fold = types.void(tile, tile, tile, row, index[:, ::1])
    count = types.void(index[::1], types.intp, table)
    return {
        "fold": compile_kernel(_fold, f"fold_{_GRID}", {}, fold),
        "count": compile_kernel(_count, "count", {}, count),
    }


@cache
def _kernel(name: str, reference: str) -> Any:
    x, r = dequantizer(find_format(name)), dequantizer(find_format(reference))
    size = types.intp
    signature = types.uint32(
        BYTES, BYTES, size, size, size, BYTES, BYTES, types.float64[::1], types.int64[::1]
    )
    # The names of both carry the digest of their definition.
    kernel = f"compare_{_GRID}_{x.py_func.__name__}_{r.py_func.__name__}"
    environment = {"dequantize_x": x, "dequantize_r": r, **_parts()}
    return compile_kernel(_compare, kernel, environment, signature)


def measure_fused(weights: tuple[str, np.ndarray], reference: tuple[str, np.ndarray]) -> Statistics:
    """Dequantize weights and their reference and sum them up, on one thread, without the GIL.

    Parameters
    ----------
    weights, reference : (str, uint8 array (n_rows, row_bytes))
        Type and little-endian rows of either side, which have the same number of weights. The
        reference's type is a plain one.
    """
    (name, blocks), (reference_name, rows) = weights, reference
    fmt, plain = find_format(name), find_format(reference_name)
    block, width = fmt.qtype.block_size, fmt.qtype.type_size
    n = blocks.size // width * block
    if not plain.plain() or rows.size != n * plain.qtype.type_size:
        raise ComparisonError(
            f"{n} weights of {name} against {rows.size} bytes of {reference_name}: expected "
            f"{n * plain.qtype.type_size} bytes of a plain type"
        )
    if n == 0:
        return Statistics()
    sums, counts = np.empty(5), np.empty(BINS, np.int64)
    xb, rb = np.ascontiguousarray(blocks).reshape(-1), np.ascontiguousarray(rows).reshape(-1)
    kernel = _kernel(fmt.name, plain.name)
    peak = kernel(
        xb, fmt.table(), block, width, block // fmt.group, rb, plain.table(), sums, counts
    )
    means = sums[:4] / n
    within = (means > _SMALLEST) & (means < _LARGEST)
    # Zero error is exact; anything else too small or too large for float32 squares, or not finite,
    # is summed again in float64.
    if not (peak == 0 or within[0]) or not (within[1] and within[2]) or peak >= 0x7F800000:
        return measure(*(dequantize(bytes_, qtype) for qtype, bytes_ in (weights, reference)))
    largest = float(np.uint32(peak).view(np.float32))
    ee, rr, xx, xr, abs_e = map(float, sums)
    return Statistics(n, ee, rr, xx, xr, abs_e, peak=largest, counts=counts)
