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

_BITS, _FLOOR = tl.constexpr(BITS), tl.constexpr(FLOOR)
_LARGEST = tl.constexpr(float(np.uint32((FLOOR + CENTRE) << BITS).view(np.float32)))
"""An error in the bin of those beyond the grid."""
_TABLES = tl.constexpr(32)
"""Histograms that the programs share, so that they seldom wait for each other."""
_HALF = tl.constexpr(triton.next_power_of_2(CENTRE + 1))
_SIZE = tl.constexpr(2 * _HALF.value)
"""Counts of a table: of the bins from the centre upwards, then downwards; of each half some are
unused."""

# In shared memory the upper bits of an error are the place of its count. What is below the smallest
# bin is counted there too, and never cleared or read: cheaper than to leave it out.
_SIGN = tl.constexpr(1 << (31 - BITS))
_WORDS = _SIGN.value + FLOOR + _HALF.value
_RESERVE = tl.constexpr(f"{{ .shared .align 16 .b32 table[{_WORDS}]; mov.u32 $0, table; }}")


@triton.jit
def _place(k):
    """Return where in shared memory the k-th count of a table is."""
    return k % _HALF + _FLOOR + k // _HALF * _SIGN


@triton.jit
def open_counts(counts, program):
    """Return the table in which a program counts."""
    table = counts + (program % _TABLES) * _SIZE
    if NVIDIA:
        # An address in shared memory is a number of 32 bits.
        clear: tl.constexpr = "{ st.shared.u32 [$1], 0; mov.u32 $0, 0; }"
        table = tl.inline_asm_elementwise(_RESERVE, "=r", [], tl.int32, is_pure=False, pack=1)
        at = table + 4 * _place(tl.arange(0, _SIZE))
        tl.inline_asm_elementwise(clear, "=r,r", [at], tl.int32, is_pure=False, pack=1)
        tl.debug_barrier()
    return table


@triton.jit
def count_errors(table, e):
    """Count errors of float32; in the bin around zero, and if one is NaN, counts mean nothing."""
    size = tl.minimum(tl.abs(e), _LARGEST).to(tl.uint32, bitcast=True)
    sign = e.to(tl.uint32, bitcast=True) & 0x80000000
    if NVIDIA:
        at = ((sign | size) >> _BITS).to(tl.int32)
        add: tl.constexpr = "{ red.shared.add.u32 [$1], 1; mov.u32 $0, 0; }"
        tl.inline_asm_elementwise(add, "=r,r", [table + 4 * at], tl.int32, is_pure=False, pack=1)
    else:
        step = (size >> _BITS).to(tl.int32) - _FLOOR
        at = step + (sign >> 31).to(tl.int32) * _HALF
        # A minimum with NaN is the other number, but for the interpreter.
        tl.atomic_add(table + at, 1, mask=(step > 0) & (e == e), sem="relaxed")  # noqa: PLR0124


@triton.jit
def close_counts(table, counts, program):
    """Add what a program has counted to the histogram."""
    if NVIDIA:
        tl.debug_barrier()
        read: tl.constexpr = "ld.shared.u32 $0, [$1];"
        k = tl.arange(0, _SIZE)
        at = table + 4 * _place(k)
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
    bins[CENTRE::-1] = found[_HALF.value : _HALF.value + CENTRE + 1]
    bins[CENTRE] = 0
    bins[CENTRE] = n - bins.sum()
    return bins
