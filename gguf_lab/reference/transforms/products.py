"""Numbers that a table has for each byte, times factors: what weights and their scales become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...codec import choose_backend
from ...codec.backends.compiling import compile_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["look_up_and_multiply", "multiply"]


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
