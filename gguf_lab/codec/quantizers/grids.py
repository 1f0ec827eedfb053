"""The grids of the I-quants as a quantizer looks them up: the point itself, or points near by.

A quantizer first rounds each weight of a group by itself. The levels that it finds, packed into one
number (the code), are often no point of the grid: for each such code there is a list of the points
nearest to it, made once. ggml takes the points of the least two squared distances between levels
(three, or only the least one, for some types), and so the lists are of very different lengths.
"""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ..backends.compiling import compile_once
from ..backends.numba_ import compile_kernel
from ..formats import FORMATS
from .arithmetic import helper
from .vectors import LANES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FARTHEST", "grid_table", "levels", "list_of"]

# Above whatever `first_least` gives for a finite distance; it refers to entry 0.
FARTHEST = np.int64(0x7F800000 << 32)


# Entries of all lists of a grid together: at most 0.35 million (IQ1_S).
_ROOM = 1 << 19

# How many distances (ggml's ``nwant``), by the type whose grid it is.
_DISTANCES = {"IQ1_S": 3, "IQ2_XXS": 2, "IQ2_XS": 2, "IQ2_S": 1, "IQ3_XXS": 2, "IQ3_S": 3}
_POINTS = {
    "IQ1_S": 2048,
    "IQ2_XXS": 256,
    "IQ2_XS": 512,
    "IQ2_S": 1024,
    "IQ3_XXS": 256,
    "IQ3_S": 512,
}


def levels(name: str) -> np.ndarray:
    """Return the grid of a type as levels: 0 for the smallest value that occurs, 1 for the next.

    Returns
    -------
    uint8 array, shape (points, weights of a group)
    """
    dims = 4 if name.startswith("IQ3") else 8
    grid = FORMATS[name].table().view(np.int8)[: _POINTS[name] * dims]
    return np.searchsorted(np.unique(grid), grid).astype(np.uint8).reshape(-1, dims)


def grid_table(name: str) -> Callable[[], np.ndarray]:
    """Return what makes the look-up table of a type's grid, on first call.

    Returns
    -------
    callable
        Gives an int32 array. An entry is a point: its code (level `i` shifted left by `bits * i`;
        3 bits in groups of four weights, 2 in groups of eight), and from bit 16 on its index in the
        grid. The array starts with one number per code: the entry if the code is a point, else
        ``~(start // 8 << 6 | count // 8)`` of its list of entries. All entries follow, by index,
        and then the lists, by distance and then by index; the first entry fills a list up to a
        multiple of 8. Sizes: 0.1 MB (IQ3) to
        1.6 MB (IQ1).
    """
    return partial(_table, name)


@helper
def list_of(head: Any) -> Any:
    """Return where the list of a code that is no point starts, and its length."""
    return (~head >> 6) * LANES, (~head & 63) * LANES


@cache
def _table(name: str) -> np.ndarray:
    points = levels(name)
    bits = 3 if points.shape[1] == 4 else 2
    codes = points.astype(np.int32) @ (1 << bits * np.arange(points.shape[1])).astype(np.int32)
    size = 1 << bits * points.shape[1]
    heads = np.full(size, -1, np.int32)
    heads[codes] = codes | np.arange(len(codes), dtype=np.int32) << 16
    entries = heads[codes]
    lists = np.empty(_ROOM, np.int32)
    lists[: len(entries)] = entries
    length = _compiled()(points, entries, bits, _DISTANCES[name], heads, lists)
    table = np.concatenate([heads, lists[:length]])
    table.flags.writeable = False
    return table


@compile_once
def _compiled() -> Any:
    points, numbers, size = types.uint8[:, ::1], types.int32[::1], types.intp
    signature = size(points, numbers, size, size, numbers, numbers)
    return compile_kernel(_write_lists, "write_lists", {}, signature)


def _write_lists(points: Any, entries: Any, bits: int, wanted: int, heads: Any, lists: Any) -> Any:
    n, dims = points.shape
    mask, top, at = (1 << bits) - 1, points.max(), n
    distance = np.empty(n, np.int32)
    for code in range(heads.size):
        highest = 0
        for i in range(dims):
            highest = max(highest, (code >> bits * i) & mask)
        if heads[code] >= 0 or highest > top:  # a point, or no code
            continue
        distance[:] = 0
        for j in range(n):
            for i in range(dims):
                difference = ((code >> bits * i) & mask) - np.int32(points[j, i])
                distance[j] += difference * difference
        start, limit = at, np.int32(-1)
        for _ in range(wanted):
            following = np.int32(1 << 30)
            for j in range(n):
                if limit < distance[j] < following:
                    following = distance[j]
            for j in range(n):
                if distance[j] == following:
                    lists[at] = entries[j]
                    at += 1
            limit = following
        while at % LANES:
            lists[at] = lists[start]
            at += 1
        heads[code] = ~((heads.size + start) // LANES << 6 | (at - start) // LANES)
    return at
