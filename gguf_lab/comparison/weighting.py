"""Errors weighted by an importance matrix: a column counts as much as what it is multiplied with.

The error of a layer's output is, in the mean over inputs whose columns are independent, the sum of
squared errors of the weights, each times the mean square of its column's input: an importance
matrix has these mean squares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ComparisonError
from .exact import decode, difference

if TYPE_CHECKING:
    from contextlib import ExitStack
    from os import PathLike

    from ..model import Model, Tensor

__all__ = ["Importance", "Weights", "digest_of", "open_importance", "weigh", "weights_of"]

Importance = Mapping[str, Any]
Weights = np.ndarray
"""float64 (parts, columns): importance of each column, in each of the equal parts of the rows."""


def open_importance(
    given: Importance | str | PathLike[str] | None, model: Model, opened: ExitStack, client: Any
) -> Importance | None:
    """Open an importance matrix, or take an open one, and check that it knows the model.

    Raises
    ------
    GGUFError
        If the file is missing or malformed.
    QuantizationError
        If it is none, or no tensor of the model is in it.
    ComparisonError
        If a cluster is to measure, which does not know it.
    """
    if given is None:
        return None
    if client is not None:
        raise ComparisonError("importance is not for a cluster: leave out client=...")
    from ..quantization.given import check_knows, given_imatrix

    found = given_imatrix(given, opened)
    check_knows(found, model.tensors, model.path.name)
    return found


def weights_of(importance: Importance | None, tensor: Tensor) -> Weights | None:
    """Return the weights of a tensor's columns; None without an entry that could be used.

    That is one that a quantizer leaves aside or refuses because nothing in it counts.

    Raises
    ------
    QuantizationError
        If an entry does not fit: see `gguf_lab.quantization.imatrix.entry_of`.
    """
    if importance is None or not tensor.n_elements:
        return None
    from ..quantization.imatrix import entry_of

    weights = entry_of(importance, tensor.name, tensor.shape or (1,), np.float64)
    return None if weights is None or not weights.any(axis=1).all() else weights


def digest_of(importance: Importance | None, model: Model) -> str:
    """Return a digest of all weights that count; "" without importance."""
    if importance is None:
        return ""
    from ..quantization.imatrix import numbers_of

    found = hashlib.sha256()
    for name in model.tensors:
        if name in importance:
            found.update(name.encode() + b"\0")
            found.update(np.ascontiguousarray(numbers_of(importance[name], np.float64)).tobytes())
    return found.hexdigest()


def weigh(
    sides: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]],
    weights: Weights,
    start: int,
    n_rows: int,
) -> tuple[float, float]:
    """Sum up squared errors, and squared reference weights, each times the weight of its column.

    Parameters
    ----------
    sides : pair of (str, uint8 array (rows, row_bytes))
        Type and little-endian rows of the weights and of their reference.
    weights : float64 array (parts, columns)
    start : int
        The first of the rows in the tensor.
    n_rows : int
        Rows of the tensor.

    Returns
    -------
    tuple of float
        The two sums: errors as in `Statistics`, squares and sums in float64.
    """
    columns = weights.shape[1]
    x, r = (decode(qtype, rows).reshape(-1, columns) for qtype, rows in sides)
    with np.errstate(all="ignore"):
        e = difference(x, r)
        sums = [0.0, 0.0]
        part = n_rows // len(weights)
        for number in range(start // part, (start + max(1, len(e)) - 1) // part + 1):
            rows = slice(max(0, number * part - start), (number + 1) * part - start)
            for k, values in enumerate((e[rows], r[rows])):
                squares = np.square(values, dtype=np.float64).sum(axis=0)
                sums[k] += float(squares @ weights[number])
    return sums[0], sums[1]
