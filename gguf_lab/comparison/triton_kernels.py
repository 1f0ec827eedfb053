"""The fused comparison on a GPU: decode both sides and sum them up, without writing either.

A program takes a fixed share of the weights, whatever the device, and keeps its sums in one lane
per weight of a tile; the programs' sums are then added up in their order. So the result is the same
on every run. Lanes are float32, as on the CPU; where that cannot hold the squares, or something is
not finite, the same kernel runs again in float64 and counts what is not a number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from ..codec import find_format
from ..codec.backends.triton_ import Side, decode, dequantize, indices, launch
from ..errors import ComparisonError
from .histogram import BINS
from .statistics import Statistics
from .triton_histogram import close_counts, count_errors, new_counts, open_counts, sort_counts

__all__ = ["measure_with_triton", "start"]

TILE = 1024
TILES = 32
"""Tiles to a program: they decide the order of the sums."""
_COLUMNS = tl.constexpr(9)


@triton.jit(do_not_specialize=["n"])
def compare_kernel(
    xb,
    xt,
    rb,
    rt,
    sums,
    hist,
    n,
    x_scale: tl.constexpr,
    x_quant: tl.constexpr,
    r_scale: tl.constexpr,
    r_quant: tl.constexpr,
    X_BYTES: tl.constexpr,
    R_BYTES: tl.constexpr,
    G: tl.constexpr,
    L: tl.constexpr,
    R: tl.constexpr,
    TILES: tl.constexpr,
    WIDE: tl.constexpr,
    COUNT: tl.constexpr,
):
    """Sum up TILES tiles of R of the n blocks: X_BYTES bytes each, R_BYTES in the reference."""
    program = tl.program_id(0).to(tl.int64)
    number: tl.constexpr = tl.float64 if WIDE else tl.float32
    i, g, j = indices(R, G, L)
    ee = tl.zeros((R, G, L), number)
    # Of x and of r, joined: apart they would be laid out over the threads each in its own way, and
    # the compiler would rather decode x a second time than move it.
    squares = tl.zeros((R, G, L, 2), number)
    xr = tl.zeros((R, G, L), number)
    abs_e = tl.zeros((R, G, L), number)
    peak = tl.zeros((R, G, L), tl.float32)
    nan = tl.zeros((R, G, L), tl.int32)
    inf = tl.zeros((R, G, L), tl.int32)
    nan_e = tl.zeros((R, G, L), tl.int32)
    begin = program * (TILES * R)
    table = open_counts(hist, program) if COUNT else hist
    mine = tl.minimum(n - begin, TILES * R).to(tl.int32)
    whole = mine // R
    xb += begin * X_BYTES
    rb += begin * R_BYTES
    for LAST in tl.static_range(2):  # whole tiles, and what is left
        for k in range(whole if LAST else 0, tl.cdiv(mine, R) if LAST else whole):
            row = k * R + i
            # Beyond the end the last block is decoded again, and weighs nothing.
            block = tl.minimum(row, mine - 1) if LAST else row
            x = decode(xb + block * X_BYTES, xt, g, j, x_scale, x_quant)
            r = decode(rb + block * R_BYTES, rt, 0, g * L + j, r_scale, r_quant)
            if LAST:
                x, r = tl.where(row < mine, x, 0.0), tl.where(row < mine, r, 0.0)
            e = x - r
            x_, r_, e_ = x.to(number), r.to(number), e.to(number)
            ee = tl.fma(e_, e_, ee)
            both = tl.join(x_, r_)
            squares = tl.fma(both, both, squares)
            xr = tl.fma(x_, r_, xr)
            abs_e += tl.abs(e_)
            peak = tl.maximum(peak, tl.abs(e))  # of numbers
            if WIDE:
                is_nan = (x != x) | (r != r)  # noqa: PLR0124
                is_inf = (tl.abs(x) == float("inf")) | (tl.abs(r) == float("inf"))
                nan += is_nan.to(tl.int32)
                inf += (is_inf & (is_nan == 0)).to(tl.int32)
                nan_e += (e != e).to(tl.int32)  # noqa: PLR0124
            if COUNT:
                count_errors(table, tl.where(e == e, e, 0.0) if WIDE else e)  # noqa: PLR0124
    if COUNT:
        close_counts(table, hist, program)
    xx, rr = tl.split(squares)
    sums += program * _COLUMNS
    tl.store(sums, tl.sum(tl.ravel(ee).to(tl.float64), 0))
    tl.store(sums + 1, tl.sum(tl.ravel(rr).to(tl.float64), 0))
    tl.store(sums + 2, tl.sum(tl.ravel(xx).to(tl.float64), 0))
    tl.store(sums + 3, tl.sum(tl.ravel(xr).to(tl.float64), 0))
    tl.store(sums + 4, tl.sum(tl.ravel(abs_e).to(tl.float64), 0))
    # Bits of what is positive order like the numbers, and are compared across threads at once.
    tl.store(sums + 5, tl.max(tl.ravel(peak.to(tl.int32, bitcast=True)), 0).to(tl.float64))
    tl.store(sums + 6, tl.sum(tl.ravel(nan), 0).to(tl.float64))
    tl.store(sums + 7, tl.sum(tl.ravel(inf), 0).to(tl.float64))
    tl.store(sums + 8, tl.sum(tl.ravel(nan_e), 0).to(tl.float64))


def measure_with_triton(
    weights: tuple[str, torch.Tensor], reference: tuple[str, torch.Tensor], *, count: bool = True
) -> Statistics:
    """Decode both sides and sum them up, on the device that they are on.

    Parameters
    ----------
    weights, reference : (str, uint8 tensor (n_rows, row_bytes))
        Type and little-endian rows of either side, which have the same number of weights. A
        reference of a quantized type is decoded first.
    count : bool, optional
        Make the histogram; without, its counts are all zero.
    """
    fmt, plain = find_format(weights[0]), find_format(reference[0])
    blocks, rows = weights[1], reference[1]
    n, theirs = (
        side.numel() // f.qtype.type_size * f.qtype.block_size
        for f, side in ((fmt, blocks), (plain, rows))
    )
    if n != theirs:
        raise ComparisonError(
            f"{n} weights of {fmt.name} against {theirs} of {plain.name}: expected as many"
        )
    if not n:
        return Statistics()
    if not plain.plain():
        # The kernel takes the reference in runs of any length, which blocks don't allow.
        values = dequantize(plain, rows.reshape(-1, plain.qtype.type_size))
        plain, rows = find_format("F32"), values.reshape(-1).view(torch.uint8)
    x = Side(fmt, blocks)
    r = Side(plain, rows, run=x.groups * x.group)
    found = _finish(n, *start(x, r, count=count), count=count)
    if found.fits_float32:
        return found
    return _finish(n, *start(x, r, wide=True, count=count), count=count)


def start(
    x: Side, r: Side, *, wide: bool = False, count: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Start the kernel and return its tables, on the device: the programs' sums, the histograms."""
    device = x.blocks.device
    tile = x.blocks_in(TILE)
    programs = -(-x.n // (tile * TILES))
    sums = torch.zeros((programs, _COLUMNS.value), dtype=torch.float64, device=device)
    hist = new_counts(device)
    arguments: tuple[Any, ...] = (x.blocks, x.table, r.blocks, r.table, sums, hist, x.n)
    arguments += (x.scale, x.quant, r.scale, r.quant, x.width, r.width, x.groups, x.group)
    launch(compare_kernel, programs, *arguments, tile, TILES, wide, count, device=device)
    return sums, hist


def _finish(n: int, sums: torch.Tensor, hist: torch.Tensor, *, count: bool) -> Statistics:
    """Wait; add the programs' sums up in their order."""
    parts = sums.cpu().numpy()
    with np.errstate(invalid="ignore"):
        columns = parts.sum(0)
    ee, rr, xx, xr, abs_e = map(float, columns[:5])
    n_nan, n_inf, nan_errors = map(int, columns[6:])
    peak = math.nan if nan_errors else float(np.uint32(parts[:, 5].max()).view(np.float32))
    counts = sort_counts(hist, n - nan_errors) if count else np.zeros(BINS, np.int64)
    return Statistics(n, ee, rr, xx, xr, abs_e, peak, n_nan, n_inf, counts)
