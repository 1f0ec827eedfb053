"""Weights as rows of numbers, a chunk at a time, and the squared error of what is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import dequantize, quantize
from ..errors import GGUFLabError, QuantizationError
from ..file import quoted
from ..file.layout import Shaped
from ..model import Tensor
from .imatrix import fitting, numbers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = [
    "Chunk",
    "Matrix",
    "chunks_of",
    "matrix_of",
    "matrix_of_tensor",
    "restored",
    "squared_error",
]

_FLOATS = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}

_CHUNK = 1 << 20
"""Weights held at once: 4 MiB of float32, and a few times that while errors are summed up."""


@dataclass(frozen=True, slots=True)
class Matrix(Shaped):
    """A tensor whose rows can be read as numbers.

    Attributes
    ----------
    name : str
        What messages call it.
    shape : tuple of int
        In NumPy's order; the last dimension is a row.
    qtype : str
        The type that it is stored as.
    read : callable
        Gives rows `start` to `stop` as float32 (stop - start, columns).
    """

    name: str
    shape: tuple[int, ...]
    qtype: str
    read: Callable[[int, int], NDArray[np.float32]]

    def sample(self, rows: int | None) -> NDArray[np.int64]:
        """Return the positions of at most `rows` rows, evenly spaced; of all if None."""
        n = self.n_rows if self.row_values else 0  # empty rows may be 2^60
        if rows is not None and (not isinstance(rows, Integral) or rows < 1):
            raise GGUFLabError(
                f"rows is {rows!r}: measure at least one, a whole number, or None for all."
            )
        if rows is None or rows >= n:
            return np.arange(n)
        return (2 * np.arange(rows) + 1) * n // (2 * rows)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a matrix.

    Attributes
    ----------
    weights : float32 array (rows, columns)
    importance : float32 array (columns,), optional
        What a squared error in each column counts.
    """

    weights: NDArray[np.float32]
    importance: NDArray[np.float32] | None = None


def matrix_of(values: Any) -> Matrix:
    """See a tensor of a model, an array or a torch tensor as a matrix.

    Raises
    ------
    GGUFLabError
        If it has no weights, or they are no floats.
    """
    if isinstance(values, Tensor):
        matrix = matrix_of_tensor(values)
    else:
        rows: Any = values.detach().cpu() if hasattr(values, "detach") else np.asarray(values)
        dtype = str(rows.dtype).removeprefix("torch.")
        shape, qtype = tuple(rows.shape) or (1,), _FLOATS.get(dtype, "")
        if not qtype:
            raise GGUFLabError(
                f"weights are given as {dtype}. Expected floats, or a tensor of a model."
            )
        rows = rows.reshape(-1, shape[-1]) if math.prod(shape) else rows

        def read(start: int, stop: int) -> NDArray[np.float32]:
            part = rows[start:stop]
            part = part.float().numpy() if hasattr(part, "numpy") else part
            return np.ascontiguousarray(part, np.float32)

        matrix = Matrix("weights", shape, qtype, read)
    if not matrix.n_elements:
        raise GGUFLabError(
            f"{quoted(matrix.name)} has shape {matrix.shape}: there is nothing to measure."
        )
    return matrix


def matrix_of_tensor(tensor: Tensor) -> Matrix:
    """See a tensor of a model as a matrix, an empty one too."""
    shape = tensor.shape or (1,)

    def read(start: int, stop: int) -> NDArray[np.float32]:
        return tensor.to_numpy(slice(start, stop)).reshape(-1, shape[-1])

    return Matrix(tensor.name, shape, tensor.qtype, read)


def chunks_of(
    matrix: Matrix, importance: Any = None, rows: NDArray[np.int64] | None = None
) -> Iterator[Chunk]:
    """Read a matrix in chunks of rows.

    Parameters
    ----------
    matrix : Matrix
    importance : array (columns,) or (experts, columns), optional
        No chunk has rows of two experts.
    rows : array of int, optional
        Positions of the rows to read, in order; all if not given.

    Raises
    ------
    QuantizationError
        If a value is NaN or infinite, or the importance is of another size.
    """
    rows = np.arange(matrix.n_rows) if rows is None else rows
    weights = None
    if importance is not None:
        weights = fitting(numbers_of(importance), matrix.name, matrix.shape)
    part = matrix.shape[-2] if len(matrix.shape) > 1 else 1
    starts = np.arange(0, matrix.n_rows, part) if weights is not None and len(weights) > 1 else [0]
    step = max(1, _CHUNK // matrix.row_values)
    bounds = np.searchsorted(rows, [*starts, matrix.n_rows])
    for expert, (first, last) in enumerate(pairwise(bounds.tolist())):
        for start in range(first, last, step):
            positions = rows[start : min(start + step, last)]
            values = _read(matrix, positions)
            if not np.isfinite(values).all():
                row, column = np.argwhere(~np.isfinite(values))[0]
                raise QuantizationError(
                    f"tensor {quoted(matrix.name)}, row {positions[row]}, column {column}: the "
                    f"value is {values[row, column]}. Expected finite numbers."
                )
            yield Chunk(values, None if weights is None else weights[expert % len(weights)])


def _read(matrix: Matrix, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    first, last = int(positions[0]), int(positions[-1])
    if last - first + 1 == len(positions):
        return matrix.read(first, last + 1)
    return np.concatenate([matrix.read(int(row), int(row) + 1) for row in positions])


def restored(chunk: Chunk, qtype: str, effort: str = "ggml") -> NDArray[np.float32]:
    """Quantize a chunk to a type of ggml, with its importance, and read the values back."""
    blocks = quantize(chunk.weights, qtype, importance=chunk.importance, effort=effort)
    values: NDArray[np.float32] = dequantize(blocks, qtype)
    return values.reshape(chunk.weights.shape)


def squared_error(
    values: NDArray[np.float32],
    other: NDArray[np.float32] | float,
    importance: NDArray[np.float32] | None = None,
) -> tuple[float, float]:
    """Sum up the squared differences in float64: as they are, and weighted (NaN without)."""
    difference = np.subtract(values, other, dtype=np.float64)
    columns = np.einsum("ij,ij->j", difference, difference)
    weighted = math.nan if importance is None else float(columns @ importance.astype(np.float64))
    return float(columns.sum()), weighted
