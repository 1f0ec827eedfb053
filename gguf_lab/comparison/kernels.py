"""The fused comparison: dequantize a tile, sum it up while it is in the cache, take the next.

Nothing as large as the tensor is ever written. The sums are float32 in 256 lanes, added pairwise
and folded into float64 after every tile: the order is fixed, so the result is the same on every run
and for any number of threads, and agrees with float64 to about 1e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ..codec import dequantize, find_format
from ..codec.backends.numba_ import (
    BYTES,
    FUNCTION,
    as_function,
    bitcast_u32,
    compile_kernel,
    compile_once,
    select,
)
from ..errors import ComparisonError
from .histogram import BINS, BITS, CENTRE, FLOOR
from .statistics import Statistics, measure

__all__ = ["measure_fused"]

_TILE = 1 << 12  # both sides, bins and lanes fit the first-level cache of 48 KiB
_GRID = f"{BINS}_{BITS}_{FLOOR}"  # constants of another file that the kernels have compiled in
# Mean squares that float32 lanes can hold without loss; outside, the plain path takes over.
_SMALLEST, _LARGEST = 1e-30, 1e30


def _fold(x: Any, r: Any, lanes: Any) -> None:
    """Sum up a tile: x and r (steps, 4, 256), lanes (6, 256).

    Four rows are added up before they touch a lane. Rows are taken apart before the inner loop:
    then LLVM needs few checks that they do not overlap, and vectorizes. NaN loses every comparison
    and so leaves the largest error alone; the sums of squares tell that it was there.
    """
    ee, rr, xx, xr, abs_e, peak = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5]
    for k in range(x.shape[0]):
        xa, xb, xc, xd = x[k, 0], x[k, 1], x[k, 2], x[k, 3]
        ra, rb, rc, rd = r[k, 0], r[k, 1], r[k, 2], r[k, 3]
        for j in range(ee.size):
            x0, x1, x2, x3 = xa[j], xb[j], xc[j], xd[j]
            r0, r1, r2, r3 = ra[j], rb[j], rc[j], rd[j]
            e0, e1, e2, e3 = x0 - r0, x1 - r1, x2 - r2, x3 - r3
            ee[j] += (e0 * e0 + e1 * e1) + (e2 * e2 + e3 * e3)
            rr[j] += (r0 * r0 + r1 * r1) + (r2 * r2 + r3 * r3)
            xx[j] += (x0 * x0 + x1 * x1) + (x2 * x2 + x3 * x3)
            xr[j] += (x0 * r0 + x1 * r1) + (x2 * r2 + x3 * r3)
            e0, e1, e2, e3 = abs(e0), abs(e1), abs(e2), abs(e3)
            abs_e[j] += (e0 + e1) + (e2 + e3)
            e0, e2 = select(e0 > e1, e0, e1), select(e2 > e3, e2, e3)
            e0 = select(e0 > e2, e0, e2)
            peak[j] = select(e0 > peak[j], e0, peak[j])


def _index_bins(x: Any, r: Any, index: Any) -> None:
    """Find the bin of each error. Every step is cast back to 32 bits, or the loop runs in 64."""
    zero, centre = np.int32(0), np.int32(CENTRE)
    for k in range(x.size):
        bits = bitcast_u32(x[k] - r[k])
        magnitude = np.uint32(np.uint32(bits << np.uint32(1)) >> np.uint32(BITS + 1))
        bin_ = np.int32(np.int32(magnitude) - np.int32(FLOOR))
        bin_ = select(bin_ > zero, bin_, zero)
        bin_ = select(bin_ < centre, bin_, centre)
        minus = np.int32(np.int32(bits) >> np.int32(31))
        index[k] = np.uint16(np.int32(centre + np.int32(np.int32(bin_ ^ minus) - minus)))


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


def _decode(  # noqa: PLR0917
    dequantize_side: Any,
    src: Any,
    table: Any,
    block: int,
    width: int,
    groups: int,
    start: int,
    out: Any,
) -> None:
    """Decode the weights from `start` on, as many as `out` holds: whole blocks.

    block, width, groups: weights, bytes and groups of a block (block 1: a plain type, whose run is
    one block).
    """
    n = out.size
    blocks = 1 if block == 1 else n // block
    part = src[start // block * width : (start + n) // block * width]
    values = out.reshape((blocks, groups, n // (blocks * groups)))
    dequantize_side(part.reshape((blocks, part.size // blocks)), table, values)


def _compare(  # noqa: PLR0917
    dequantize_x: Any,
    xb: Any,
    xt: Any,
    x_block: int,
    x_width: int,
    x_groups: int,
    dequantize_r: Any,
    rb: Any,
    rt: Any,
    r_block: int,
    r_width: int,
    r_groups: int,
    tile: Any,
    index: Any,
    lanes: Any,
    totals: Any,
    counts: Any,
) -> None:
    # For both sides, see _decode; a tile is a whole number of blocks of any type. tile, index: room
    # for a tile of both sides. lanes, totals, counts: see _fold and _count; the caller has zeroed
    # them.
    n = xb.size // x_width * x_block
    for start in range(0, n, _TILE):
        m = min(_TILE, n - start)
        x, r = tile[0], tile[1]
        decode(dequantize_x, xb, xt, x_block, x_width, x_groups, start, x[:m])  # type: ignore[name-defined]  # noqa: F821
        decode(dequantize_r, rb, rt, r_block, r_width, r_groups, start, r[:m])  # type: ignore[name-defined]  # noqa: F821
        index_bins(x[:m], r[:m], index)  # type: ignore[name-defined]  # noqa: F821
        count(index, m, counts)  # type: ignore[name-defined]  # noqa: F821
        steps = (m + 1023) // 1024
        for k in range(m, steps * 1024):  # two zeros add nothing
            x[k] = 0
            r[k] = 0
        fold(  # type: ignore[name-defined]  # noqa: F821
            x[: steps * 1024].reshape((steps, 4, 256)),
            r[: steps * 1024].reshape((steps, 4, 256)),
            lanes,
        )
        if (start // _TILE + 1) % 16 == 0 or start + m == n:
            for k in range(5):
                for j in range(256):
                    totals[k, j] += lanes[k, j]
                    lanes[k, j] = 0


_RUN, _STEPS = types.float32[::1], types.float32[:, :, ::1]
_LANES, _INDEX, _TABLE = types.float32[:, ::1], types.uint16[::1], types.uint32[:, ::1]


@compile_once
def _kernel() -> Any:
    return _build(_index_bins, _count, _GRID)


def _build(index_bins: Any, count: Any, name: str) -> Any:
    """Compile the one kernel for all formats: they come in as functions."""
    size = types.intp
    side = FUNCTION, BYTES, BYTES, size, size, size
    parts = {
        "fold": compile_kernel(_fold, "fold", {}, types.void(_STEPS, _STEPS, _LANES)),
        "index_bins": compile_kernel(
            index_bins, f"index_bins_{name}", {}, types.void(_RUN, _RUN, _INDEX)
        ),
        "count": compile_kernel(count, f"count_{name}", {}, types.void(_INDEX, size, _TABLE)),
        "decode": compile_kernel(_decode, "decode", {}, types.void(*side, size, _RUN)),
    }
    room = _LANES, _INDEX, _LANES, types.float64[:, ::1], _TABLE
    return compile_kernel(_compare, f"compare_{name}", parts, types.void(*side, *side, *room))


def measure_fused(weights: tuple[str, np.ndarray], reference: tuple[str, np.ndarray]) -> Statistics:
    """Dequantize weights and their reference and sum them up, on one thread, without the GIL.

    Parameters
    ----------
    weights, reference : (str, uint8 array (n_rows, row_bytes))
        Type and little-endian rows of either side, which have the same number of weights.

    Raises
    ------
    ComparisonError
        If they don't.
    """
    n, theirs = _size(*weights), _size(*reference)
    if n != theirs:
        raise ComparisonError(
            f"{n} weights of {weights[0]} against {theirs} of {reference[0]}: expected as many"
        )
    if n == 0:
        return Statistics()
    lanes, totals = np.zeros((6, 256), np.float32), np.zeros((5, 256))
    counts = np.zeros((4, BINS), np.uint32)
    _kernel()(
        *_side(*weights),
        *_side(*reference),
        np.empty((2, _TILE), np.float32),
        np.empty(_TILE, np.uint16),
        lanes,
        totals,
        counts,
    )
    ee, rr, xx, xr, abs_e = totals.sum(axis=1).tolist()
    peak = float(lanes[5].max())
    histogram = counts.sum(axis=0, dtype=np.int64)
    found = Statistics(n, ee, rr, xx, xr, abs_e, peak=peak, counts=histogram)
    if found.fits_float32:
        return found
    r = dequantize(reference[1], reference[0])
    if found.ee == found.rr == found.xx == found.peak == 0 and not r.any():
        return found  # zero on both sides, as in rows that only pad: exact too
    return measure(dequantize(weights[1], weights[0]), r)


def _size(qtype: str, blocks: np.ndarray) -> int:
    """Count the weights in blocks."""
    fmt = find_format(qtype)
    return blocks.size // fmt.qtype.type_size * fmt.qtype.block_size


def _side(qtype: str, blocks: np.ndarray) -> tuple[Any, ...]:
    """Return what the kernel takes of one side, see `_decode`."""
    fmt = find_format(qtype)
    size = fmt.qtype.block_size
    flat = np.ascontiguousarray(blocks).reshape(-1)
    return as_function(fmt.name), flat, fmt.table(), size, fmt.qtype.type_size, size // fmt.group
