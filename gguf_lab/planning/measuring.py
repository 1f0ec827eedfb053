"""What each type would do to each tensor: measured once, and kept with the plans made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import REQUIRES_IMPORTANCE, can_quantize
from ..errors import GGUFLabError, QuantizationError
from ..file import qtype
from ..quantization.choices import NEED_IMPORTANCE
from ..quantization.imatrix import importance_of
from ..quantization.measuring import chunks_of, restored, squared_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..quantization.measuring import Chunk, Matrix

__all__ = ["Errors", "Measured", "measure", "why_not"]

_NEED_IMPORTANCE = REQUIRES_IMPORTANCE | NEED_IMPORTANCE


@dataclass(frozen=True, slots=True)
class Errors:
    """What was measured of a tensor.

    Attributes
    ----------
    signal : float
        Sum of squares of its weights, weighted; all rows, also where a sample was measured.
    by_type : dict of str to float
        For each type the sum of squared errors, in the same way.
    why_not : dict of str to str
        Types that it cannot have, and why.
    """

    signal: float
    by_type: dict[str, float]
    why_not: dict[str, str] = field(default_factory=dict)


Measured = dict[str, Errors]
"""By the name of the tensor."""


def why_not(matrix: Matrix, name: str, *, importance: bool) -> str:
    """Return why a tensor cannot have a type; empty if it can, or has it already."""
    if name == matrix.qtype:
        return ""
    block = qtype(name).block_size
    if matrix.row_values % block:
        return f"rows of {matrix.row_values} are no multiple of {block}"
    if not can_quantize(name):
        return "no quantizer"
    if name in _NEED_IMPORTANCE and not importance:
        return "needs an importance matrix with an entry for it"
    return ""


def measure(
    matrix: Matrix,
    types: set[str],
    *,
    imatrix: Mapping[str, Any] | None,
    effort: str,
    rows: int | None,
    on_chunk: Callable[[int], object],
) -> Errors:
    """Measure the squared error of each type on a tensor.

    An importance is divided by its mean: the squared errors of a tensor with one weigh as much, on
    the whole, as those of a tensor without.

    Parameters
    ----------
    matrix : Matrix
    types : set of str
        Those that it cannot have are said in the result.
    imatrix : mapping, optional
    effort : str
    rows : int, optional
        Size of the sample.
    on_chunk : callable
        Called with the weights that were encoded.

    Raises
    ------
    QuantizationError
        If a weight is not finite, or the importance is of another size.
    """
    importance = importance_of(imatrix, matrix.name, matrix.shape)
    refused = {
        name: why
        for name in types
        if (why := why_not(matrix, name, importance=importance is not None))
    }
    if not matrix.n_elements:
        return Errors(0.0, dict.fromkeys(sorted(types - set(refused)), 0.0), refused)
    sample = matrix.sample(rows)
    factor = matrix.n_rows / len(sample)
    if importance is not None:
        factor /= float(np.mean(importance, dtype=np.float64))
    signal, sums = 0.0, dict.fromkeys(sorted(types - set(refused)), 0.0)
    for chunk in chunks_of(matrix, importance, sample):
        signal += _either(squared_error(chunk.weights, 0.0, chunk.importance))
        for name in list(sums):
            try:
                sums[name] += _error(matrix, chunk, name, effort)
            except QuantizationError as error:
                refused[name] = str(error)
                del sums[name]
            on_chunk(chunk.weights.size)
    return Errors(factor * signal, {n: factor * e for n, e in sums.items()}, refused)


def _error(matrix: Matrix, chunk: Chunk, name: str, effort: str) -> float:
    if name == matrix.qtype:  # its bytes are copied
        return 0.0
    return _either(squared_error(chunk.weights, restored(chunk, name, effort), chunk.importance))


def _either(sums: tuple[float, float]) -> float:
    plain, weighted = sums
    found = plain if math.isnan(weighted) else weighted
    if not math.isfinite(found):
        raise GGUFLabError("squared errors are too large to be summed up")
    return found
