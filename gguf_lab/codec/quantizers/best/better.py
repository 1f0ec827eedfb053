"""Of two encodings of the same rows, the better one of each block: by the values they read as."""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ...backends.compiling import compile_once
from ...backends.numba_ import as_blocks, compile_kernel, dequantizer
from ..compiler import IMPORTANCE, VALUES, sources

if TYPE_CHECKING:
    from ...formats import Format

__all__ = ["keep_better"]

_READ, _BLOCKS = types.float32[:, ::1], types.uint8[:, ::1]


def _keep_better(
    values: Any, importance: Any, read: Any, other_read: Any, blocks: Any, other: Any
) -> None:
    flat, columns, n = values.reshape(values.size), values.shape[1], read.shape[1]
    for b in range(read.shape[0]):
        error, other_error = 0.0, 0.0
        for i in range(n):
            x, w = np.float64(flat[b * n + i]), 1.0
            if importance.size:
                w = np.float64(importance[(b * n) % columns + i])
            d, e = x - np.float64(read[b, i]), x - np.float64(other_read[b, i])
            error, other_error = error + w * d * d, other_error + w * e * e
        # A smaller difference may be that of the order of the sums.
        if other_error < error * (1 - 1e-9):
            for i in range(blocks.shape[1]):
                blocks[b, i] = other[b, i]


@compile_once
def _kernel() -> Any:
    signature = types.void(VALUES, IMPORTANCE, _READ, _READ, _BLOCKS, _BLOCKS)
    return compile_kernel(_keep_better, f"keep_better_{sources('best')}", {}, signature)


def keep_better(
    fmt: type[Format],
    values: np.ndarray,
    importance: np.ndarray,
    rows: np.ndarray,
    other: np.ndarray,
) -> None:
    """Replace blocks of `rows` by those of `other` that have a lower squared error.

    Parameters
    ----------
    fmt : type of Format
    values : float32 array (n_rows, n)
        What was encoded.
    importance : float32 array (n,) or (0,)
        The weights of the squares; 1 if there are none.
    rows, other : uint8 arrays (n_rows, row_bytes)
        Two encodings; `rows` becomes the better one.
    """
    size, type_size = fmt.qtype.block_size, fmt.qtype.type_size
    both, decode = [], dequantizer(fmt)
    for encoded in (rows, other):
        read = np.empty((values.size // size, size), np.float32)
        src, target = as_blocks(fmt, encoded.reshape(-1, type_size), read)
        decode(src, fmt.table(), target)
        both.append(read)
    blocks = (encoded.reshape(-1, type_size) for encoded in (rows, other))
    _kernel()(values, importance, *both, *blocks)
