"""Whole numbers, or what a table has for each byte, times factors: weights and their scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...codec import choose_backend
from ...codec.backends.compiling import compile_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Whole = NDArray[np.int32]

__all__ = ["look_up_and_multiply", "multiply", "shift_and_multiply", "unpack"]


def multiply(values: Floats, factors: Floats, step: int) -> None:
    """Multiply values, in place, with factors that are each for `step` of a row.

    Parameters
    ----------
    values : float32 array (n, columns)
    factors : float32 array (n, columns / step, rounded up)
    step : int
    """
    whole = values.shape[1] // step  # what is behind them is part of a block
    end = whole * step
    blocks = values[:, :end].reshape(len(values), whole, step)
    with np.errstate(all="ignore"):  # NaN and infinity in a checkpoint are for the comparison
        blocks *= factors[:, :whole, None]
        values[:, end:] *= factors[:, whole:]


def look_up_and_multiply(
    rows: NDArray[np.uint8], table: Floats, factors: Floats, step: int, columns: int
) -> Floats:
    """Decode bytes by a table, and multiply: on one thread, and if compiled without the GIL.

    Parameters
    ----------
    rows : uint8 array (n, bytes)
    table : float32 array (256, numbers of a byte)
    factors, step
        See `multiply`.
    columns : int
        Numbers of a row; its last byte may have more.

    Returns
    -------
    float32 array (n, columns)
    """
    each = table.shape[1]
    values = np.empty((len(rows), rows.shape[1] * each), np.float32)
    if choose_backend() == "numba":
        whole = np.dtype(_WHOLE[each])
        _kernel(each)(
            *(rows, table.view(whole).reshape(-1), values.view(whole)),
            *(values, np.ascontiguousarray(factors), step),
        )
    else:
        values[:] = table[rows].reshape(values.shape)
        multiply(values[:, :columns], factors, step)
    return np.ascontiguousarray(values[:, :columns])


_WHOLE = {1: "float32", 2: "complex64", 4: "complex128"}
"""The type that holds all numbers of a byte: one at a time they take three times as long."""


def _look_up_and_multiply(  # noqa: PLR0917
    rows: Any, table: Any, out: Any, values: Any, factors: Any, step: int
) -> None:
    # out: the values, but all numbers of a byte as one
    for i in range(values.shape[0]):
        row, found, numbers = rows[i], out[i], values[i]
        for at in range(row.size):
            found[at] = table[row[at]]
        for g in range(factors.shape[1]):
            factor = factors[i, g]
            for j in range(g * step, min((g + 1) * step, numbers.size)):
                numbers[j] *= factor


@compile_once
def _kernel(each: int) -> Any:
    from numba import types

    from ...codec.backends.numba_ import compile_kernel

    whole = getattr(types, _WHOLE[each])
    rows = types.Array(types.uint8, 2, "C", readonly=True)
    table = types.Array(whole, 1, "C", readonly=True)
    factors = types.Array(types.float32, 2, "C", readonly=True)
    values = types.float32[:, ::1]
    signature = types.void(rows, table, whole[:, ::1], values, factors, types.intp)
    return compile_kernel(_look_up_and_multiply, f"look_up_{each}", {}, signature)


def unpack(words: NDArray[np.uint32], bits: int) -> Whole:
    """Take numbers out of words, the first in the lowest bits: (n, words) -> (n, numbers)."""
    places = np.arange(0, 32, bits, dtype=np.uint32)
    numbers = words[..., None] >> places & np.uint32((1 << bits) - 1)
    return numbers.astype(np.int32).reshape(len(words), words.shape[1] * len(places))


def shift_and_multiply(
    words: NDArray[np.uint32], bits: int, shifts: Whole, factors: Floats, group_of: Whole
) -> Floats:
    """Take numbers out of words, subtract and multiply: on one thread, if compiled without the GIL.

    Parameters
    ----------
    words : uint32 array (n, words)
        Numbers of so many bits, the first one in the lowest; the last word may have room for more.
    bits : {2, 4, 8}
    shifts, factors : int32, float32 arrays (n, groups)
        What is subtracted from the numbers of a group, and what they are multiplied with.
    group_of : int32 array (columns,)

    Returns
    -------
    float32 array (n, columns)
    """
    shape = len(words), len(group_of)
    if choose_backend() == "numba":
        values = np.empty(shape, np.float32)
        given = map(np.ascontiguousarray, (shifts.astype(np.float32), factors, group_of))
        _shifting_kernel(bits)(np.ascontiguousarray(words), *given, values)
        return values
    numbers = unpack(words, bits)[:, : shape[1]] - shifts[:, group_of]
    with np.errstate(all="ignore"):
        return numbers.astype(np.float32) * factors[:, group_of]


def _shift_and_multiply(words: Any, shifts: Any, factors: Any, group_of: Any, out: Any) -> None:
    # in two loops for each row: the first one is vectorized
    bits = BITS  # type: ignore[name-defined]  # noqa: F821
    each, mask = np.uint32(32 // bits), np.uint32((1 << bits) - 1)
    for i in range(out.shape[0]):
        row, shift, factor, found = words[i], shifts[i], factors[i], out[i]
        for j in range(found.size):
            at = np.uint32(j)
            found[j] = np.float32(row[at // each] >> at % each * np.uint32(bits) & mask)
        for j in range(found.size):
            group = group_of[j]
            found[j] = (found[j] - shift[group]) * factor[group]


@compile_once
def _shifting_kernel(bits: int) -> Any:
    from numba import types

    from ...codec.backends.numba_ import compile_kernel

    def table(dtype: Any) -> Any:
        return types.Array(dtype, 2, "C", readonly=True)

    group_of = types.Array(types.int32, 1, "C", readonly=True)
    given = table(types.uint32), table(types.float32), table(types.float32), group_of
    signature = types.void(*given, types.float32[:, ::1])
    return compile_kernel(_shift_and_multiply, f"shift_{bits}", {"BITS": bits}, signature)
