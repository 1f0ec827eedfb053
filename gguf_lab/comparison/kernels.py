"""The fused comparison: dequantize a tile, sum it up while it is in the cache, take the next.

Nothing as large as the tensor is ever written. The sums are float32 in 256 lanes, added pairwise
and folded into float64 after every third tile: the order is fixed, so the result is the same on
every run and for any number of threads. It agrees with float64 to about 1e-7, and to 1e-6 where all
weights are alike, so that roundings do not cancel.
"""

from __future__ import annotations

from threading import local
from typing import Any

import numpy as np
from numba import types

from ..codec import dequantize, find_format
from ..codec.backends.compiling import compile_once
from ..codec.backends.numba_ import (
    BYTES,
    FUNCTION,
    as_function,
    bitcast_u32,
    compile_kernel,
    select,
)
from ..errors import ComparisonError
from .histogram import BITS, PATTERNS, bin_patterns
from .statistics import Statistics, measure

__all__ = ["measure_fused"]

# Both sides, patterns and lanes fit a first-level cache of 48 KiB. Where that has 32, half as many
# weights at a time are slower all the same.
_TILE = 1 << 12
# Tiles between two foldings: 14 roundings of a weight on its way, which cannot make up 1e-6.
_FOLDED = 3
# Tables a power of two apart would share their places in the cache.
_TABLE_ROOM = PATTERNS + 16


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
            # The old peak must not be the last choice: LLVM would store where it loses and nowhere
            # else, with an instruction that takes AMD's CPUs as long as all the rest.
            e0 = select(e0 > peak[j], e0, peak[j])
            peak[j] = select(e2 > e0, e2, e0)


def _take_patterns(x: Any, r: Any, n: int, patterns: Any) -> None:
    """Take the upper bits of each error: what decides its bin."""
    for k in range(n):
        patterns[k] = np.uint16(np.uint32(bitcast_u32(x[k] - r[k]) >> np.uint32(BITS)))


def _count(patterns: Any, n: int, counts: Any) -> None:
    """Count in two tables, so that neighbours with the same pattern do not wait for each other.

    More would take more of the cache than they save.
    """
    whole = n & ~1
    for k in range(0, whole, 2):
        counts[0, patterns[k]] += 1
        counts[1, patterns[k + 1]] += 1
    for k in range(whole, n):
        counts[0, patterns[k]] += 1


def _shape(room: Any, n: int, block: int, groups: int) -> Any:
    """See the first `n` weights of a tile as (blocks, groups, weights of a group).

    block, groups: weights and groups of a block (block 1: a plain type, whose run is one block).
    """
    blocks = 1 if block == 1 else n // block
    return room[:n].reshape((blocks, groups, n // (blocks * groups)))


def _decode(  # noqa: PLR0917
    dequantize_side: Any, src: Any, table: Any, block: int, width: int, start: int, values: Any
) -> None:
    """Decode the weights from `start` on, as many as `values` holds; a block has `width` bytes."""
    part = src[start // block * width : (start + values.size) // block * width]
    blocks = values.shape[0]
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
    patterns: Any,
    lanes: Any,
    totals: Any,
    counts: Any,
) -> None:
    # For both sides, see _shape and _decode; a tile is a whole number of blocks of any type. tile,
    # patterns: room for a tile of both sides. lanes, totals, counts: see _fold and _count; the
    # caller has zeroed them. Views are made once, not for every tile: each costs 10 ns.
    n = xb.size // x_width * x_block
    x, r = tile[0], tile[1]
    steps = x.reshape((_TILE // 1024, 4, 256)), r.reshape((_TILE // 1024, 4, 256))
    xv, rv = shape(x, _TILE, x_block, x_groups), shape(r, _TILE, r_block, r_groups)  # type: ignore[name-defined]  # noqa: F821
    for start in range(0, n, _TILE):
        m = min(_TILE, n - start)
        if m < _TILE:  # the last one; two zeros add nothing to a sum
            x[:] = 0
            r[:] = 0
            xv, rv = shape(x, m, x_block, x_groups), shape(r, m, r_block, r_groups)  # type: ignore[name-defined]  # noqa: F821
        decode(dequantize_x, xb, xt, x_block, x_width, start, xv)  # type: ignore[name-defined]  # noqa: F821
        decode(dequantize_r, rb, rt, r_block, r_width, start, rv)  # type: ignore[name-defined]  # noqa: F821
        take_patterns(x, r, m, patterns)  # type: ignore[name-defined]  # noqa: F821
        count(patterns, m, counts)  # type: ignore[name-defined]  # noqa: F821
        fold(steps[0], steps[1], lanes)  # type: ignore[name-defined]  # noqa: F821
        if (start // _TILE + 1) % _FOLDED == 0 or start + m == n:
            for k in range(5):
                for j in range(256):
                    totals[k, j] += lanes[k, j]
                    lanes[k, j] = 0


_RUN, _STEPS = types.float32[::1], types.float32[:, :, ::1]
_LANES, _PATTERN, _TABLE = types.float32[:, ::1], types.uint16[::1], types.uint32[:, ::1]


@compile_once
def _kernel() -> Any:
    return _build(_take_patterns, _count, f"by_{BITS}")


def _build(take_patterns: Any, count: Any, name: str) -> Any:
    """Compile the one kernel for all formats: they come in as functions.

    `name` tells these two kernels, and what of other files they have compiled in, from others.
    """
    size = types.intp
    decoded = FUNCTION, BYTES, BYTES, size, size
    kernels = {
        "fold": (_fold, types.void(_STEPS, _STEPS, _LANES)),
        "take_patterns": (take_patterns, types.void(_RUN, _RUN, size, _PATTERN)),
        "count": (count, types.void(_PATTERN, size, _TABLE)),
        "shape": (_shape, _STEPS(_RUN, size, size, size)),
        "decode": (_decode, types.void(*decoded, size, _STEPS)),
    }
    parts = {
        part: compile_kernel(kernel, f"{part}_{name}", {}, signature)
        for part, (kernel, signature) in kernels.items()
    }
    side = *decoded, size
    room = _LANES, _PATTERN, _LANES, types.float64[:, ::1], _TABLE
    return compile_kernel(_compare, f"compare_{name}", parts, types.void(*side, *side, *room))


class _Room(local):
    """What a thread works in, made once: new memory is as slow as 100,000 weights."""

    def __init__(self) -> None:
        self.tile = np.empty((2, _TILE), np.float32)
        self.patterns = np.empty(_TILE, np.uint16)
        self.lanes = np.empty((6, 256), np.float32)
        self.totals = np.empty((5, 256))
        self.counts = np.empty((2, _TABLE_ROOM), np.uint32)

    def cleared(self) -> tuple[np.ndarray, ...]:
        """Return everything, as the kernel takes it, with empty sums and counts."""
        for sums in (self.lanes, self.totals, self.counts):
            sums.fill(0)
        return self.tile, self.patterns, self.lanes, self.totals, self.counts


_room = _Room()


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
    *_, lanes, totals, counts = room = _room.cleared()
    _kernel()(*_side(*weights), *_side(*reference), *room)
    with np.errstate(invalid="ignore"):  # infinities of both signs: the plain one measures then
        ee, rr, xx, xr, abs_e = totals.sum(axis=1).tolist()
    peak = float(lanes[5].max())
    number = np.uint32 if n < 1 << 32 else np.int64  # the former is three times as fast
    histogram = bin_patterns(counts.sum(axis=0, dtype=number)[:PATTERNS])
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
