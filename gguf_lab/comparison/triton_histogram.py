"""The histogram of the fused comparison on a GPU: every weight adds 1 to one of 1,539 counts.

On an NVIDIA GPU a program counts in a table of its own, in the memory that its threads share, and
adds that to the histogram in the end. Triton has no additions in shared memory, so PTX says it.
Elsewhere, and in the interpreter, each weight's addition goes to the device's memory.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl

from ..codec.backends.triton_ import NVIDIA
from .histogram import BINS, BITS, CENTRE, FLOOR

__all__ = ["close_counts", "count_errors", "new_counts", "open_counts", "sort_counts"]

_BITS, _FLOOR, _CENTRE = tl.constexpr(BITS), tl.constexpr(FLOOR), tl.constexpr(CENTRE)
_SMALLEST = tl.constexpr(float(np.uint32(FLOOR << BITS).view(np.float32)))
_LARGEST = tl.constexpr(float(np.uint32((FLOOR + CENTRE) << BITS).view(np.float32)))
"""Errors in the bin around zero, and in those beyond the grid."""
_TABLES = tl.constexpr(32)
"""Histograms that the programs share, so that they seldom wait for each other."""
_SIZE = tl.constexpr(triton.next_power_of_2(2 * (CENTRE + 1)))
"""Counts of a table: of the bins from the centre upwards, then downwards, then unused ones."""


@triton.jit
def open_counts(counts, program):
    """Return the table in which a program counts."""
    table = counts + (program % _TABLES) * _SIZE
    if NVIDIA:
        # An address in shared memory is a number of 32 bits.
        reserve: tl.constexpr = "{ .shared .align 16 .b32 table[2048]; mov.u32 $0, table; }"
        clear: tl.constexpr = "{ st.shared.u32 [$1], 0; mov.u32 $0, 0; }"
        tl.static_assert(_SIZE == 2048)
        table = tl.inline_asm_elementwise(reserve, "=r", [], tl.int32, is_pure=False, pack=1)
        at = table + 4 * tl.arange(0, _SIZE)
        tl.inline_asm_elementwise(clear, "=r,r", [at], tl.int32, is_pure=False, pack=1)
        tl.debug_barrier()
    return table


@triton.jit
def count_errors(table, e):
    """Count errors of float32; in the bin around zero, where NaN goes, the counts mean nothing."""
    e = tl.reshape(e, [e.numel], can_reorder=True)  # without moving any
    size = tl.minimum(tl.maximum(tl.abs(e), _SMALLEST), _LARGEST)
    step = (size.to(tl.int32, bitcast=True) >> _BITS) - _FLOOR
    side = (e.to(tl.uint32, bitcast=True) >> 31).to(tl.int32)
    at = step + side * (_CENTRE + 1)
    if NVIDIA:
        add: tl.constexpr = "{ red.shared.add.u32 [$1], 1; mov.u32 $0, 0; }"
        tl.inline_asm_elementwise(add, "=r,r", [table + 4 * at], tl.int32, is_pure=False, pack=1)
    else:
        # A maximum with NaN is the other number, but for the interpreter.
        tl.atomic_add(table + at, 1, mask=(step > 0) & (e == e), sem="relaxed")  # noqa: PLR0124


@triton.jit
def close_counts(table, counts, program):
    """Add what a program has counted to the histogram."""
    if NVIDIA:
        tl.debug_barrier()
        read: tl.constexpr = "ld.shared.u32 $0, [$1];"
        k = tl.arange(0, _SIZE)
        at = table + 4 * k
        n = tl.inline_asm_elementwise(read, "=r,r", [at], tl.int32, is_pure=False, pack=1)
        counts += (program % _TABLES) * _SIZE
        tl.atomic_add(counts + k, n, mask=n > 0, sem="relaxed")


def new_counts(device: torch.device) -> torch.Tensor:
    """Return what the programs count into, on the device: zeros."""
    return torch.zeros((_TABLES.value, _SIZE.value), dtype=torch.int32, device=device)


def sort_counts(counts: torch.Tensor, n: int) -> np.ndarray:
    """Wait; sort counts into bins, n in all: int64 (BINS,)."""
    found = counts.sum(0).cpu().numpy()
    bins = np.empty(BINS, np.int64)
    bins[CENTRE:] = found[: CENTRE + 1]
    bins[CENTRE::-1] = found[CENTRE + 1 : 2 * (CENTRE + 1)]
    bins[CENTRE] = 0
    bins[CENTRE] = n - bins.sum()
    return bins
