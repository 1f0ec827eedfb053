"""The public face of the quantizers: numbers in, rows of blocks out, over all threads."""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import GGUFLabError, QuantizationError, UnsupportedError
from ..dispatch import can_decode, check_dense, choose_backend, find_format
from ..threads import run_chunks
from .registry import QUANTIZERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from ..formats import Format

__all__ = ["REQUIRES_IMPORTANCE", "can_quantize", "check_effort", "quantize"]

_EFFORTS = ("ggml", "best")

REQUIRES_IMPORTANCE = frozenset({"IQ1_S", "IQ2_XS", "IQ2_XXS"})
"""Types that ggml does not write without an importance (``ggml_quantize_requires_imatrix``)."""

_MOST = np.float32(1e30)
"""Importance of a column: with more of it ggml aborts, or writes zeros."""

# The modules whose import fills the registry.
_FAMILIES = (
    "plain",
    "legacy",
    "k_quants",
    "symmetric_k",
    "iq4",
    "iq1",
    "iq1_best",
    "iq2_iq3",
    "iq2_iq3_best",
    "small_floats",
    "ternary",
)

# How many times longer a weight takes than in decoding, roughly: rows are shared out accordingly.
_COST = 16

# Weights per call of a kernel: checked, quantized and checked again, they stay in a cache; and what
# Python does for each part, 20 us, is little beside it.
_PART = 1 << 18


@cache
def _register() -> None:
    for family in _FAMILIES:
        import_module(f".{family}", __package__)


def can_quantize(qtype: str | int) -> bool:
    """Whether there is a quantizer of a type, given by ggml's name or number."""
    _register()
    return can_decode(qtype) and (find_format(qtype).name, "ggml") in QUANTIZERS


def check_effort(effort: str) -> None:
    """Refuse an effort that there is not; each of them serves all types."""
    if effort not in _EFFORTS:
        raise GGUFLabError(f"effort {effort!r} is unknown: choose one of {', '.join(_EFFORTS)}")


def quantize(
    values: Any,
    qtype: str | int,
    *,
    importance: Any = None,
    effort: str = "ggml",
    threads: int | None = None,
) -> np.ndarray:
    """Quantize rows of numbers.

    Parameters
    ----------
    values : float array-like or CPU tensor, shape (..., n)
        Rows; taken as float32 (rounded, if they are float64). The leading dimensions are flattened.
    qtype : str or int
        ggml's name (``"Q4_K"``, in any case of letters) or number of the tensor type; its block
        size divides `n`.
    importance : float array-like, shape (n,), optional
        A weight per column for the squared error, as from an importance matrix (ggml's
        ``quant_weights``): not negative, at most 1e30, not all zero. Some types ignore it, as in
        ggml; IQ1_S, IQ2_XS and IQ2_XXS require it.
    effort : {"ggml", "best"}, optional
        ``"ggml"`` makes the choices of ggml's reference quantizer, bit for bit (but for IQ3_S in
        rows with 32 zeros in line, which ggml misreads); ``"best"`` searches wider for a lower
        (weighted) squared error in the same bits, and keeps ggml's choice of each block where it
        finds no better one. For plain numbers there is nothing to search.
    threads : int, optional
        At least 1; default: the CPUs that this process may use. The result does not depend on it.

    Returns
    -------
    uint8 array, shape (n_rows, row_bytes)
        Little-endian blocks, which :func:`gguf_lab.dequantize` reads.

    Raises
    ------
    UnsupportedError
        If there is no quantizer for the type.
    QuantizationError
        If values are NaN or infinite, overflow a half-precision scale, are no whole number of
        blocks, or the importance is missing or malformed.
    GGUFLabError
        If the effort is unknown, or `threads` is no number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> blocks = quantize(np.linspace(-1, 1, 32), "Q8_0")
    >>> blocks.shape, blocks[0, 2:6].view(np.int8)
    ((1, 34), array([-127, -119, -111, -102], dtype=int8))
    """
    check_effort(effort)
    fmt = find_format(qtype)
    if not can_quantize(fmt.name):
        able = [name for name, e in QUANTIZERS if e == "ggml"]
        raise UnsupportedError(f"no quantizer for type {fmt.name}: there are {', '.join(able)}")
    rows = _as_rows(values, fmt)
    weights = _check_importance(importance, rows.shape[1], fmt.name)
    choose_backend("cpu", "numba")  # says so if numba cannot be used here
    from .compiler import find_special, kernel_of

    out = np.empty((len(rows), fmt.qtype.row_bytes(rows.shape[1])), np.uint8)
    if not out.size:
        return out
    complete = (fmt.name, effort) in QUANTIZERS
    kernel, table = kernel_of(fmt.name, effort if complete else "ggml")
    improve = None if complete else _improver(fmt)

    step = max(1, _PART // rows.shape[1])

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, step):
            last = min(first + step, stop)
            part, blocks = rows[first:last], out[first:last]
            at = find_special(part)
            if at >= 0:
                row, column = divmod(at, part.shape[1])
                raise QuantizationError(
                    f"cannot quantize to {fmt.name}: the value at row {first + row}, column "
                    f"{column} is {part[row, column]} in float32; all must be finite"
                )
            kernel(part, weights, table, blocks)
            _check_scales(fmt, part, blocks, first)
            if improve:
                improve(part, weights, blocks)

    run_chunks(work, len(rows), _COST * rows.shape[1], threads)
    return out


def _improver(fmt: type[Format]) -> Callable[[Any, Any, Any], None] | None:
    """Return what makes ggml's blocks better, None for plain numbers."""
    from .best import SEARCHES, improve

    return partial(improve, fmt) if fmt.name in SEARCHES else None


def _as_rows(values: Any, fmt: type[Format]) -> np.ndarray:
    """Return float32 rows, contiguous, whose length is a whole number of blocks."""
    if hasattr(values, "detach"):
        values = _from_torch(values)
    array = _as_array(values)
    if array.dtype.kind != "f":
        raise QuantizationError(f"values to quantize must be floats; got {array.dtype}")
    size, shape = fmt.qtype.block_size, array.shape
    if not shape or shape[-1] % size or not shape[-1]:
        raise QuantizationError(
            f"{fmt.name} has blocks of {size} weights: rows must be a multiple of that; got values "
            f"of shape {shape}"
        )
    with np.errstate(all="ignore"):  # who asks NumPy to raise means numbers of their own
        return np.ascontiguousarray(array.reshape(-1, shape[-1]), np.float32)


def _as_array(values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of unlike lengths
        raise QuantizationError(f"no array can be made of the numbers: {error}") from None


def _from_torch(tensor: torch.Tensor) -> np.ndarray:
    expected = "the quantizers take dense tensors on the CPU"
    check_dense(tensor, expected, QuantizationError, on_cpu=True)
    if not tensor.is_floating_point():
        raise QuantizationError(f"values to quantize must be floats; got {tensor.dtype}")
    return tensor.float().numpy(force=True)  # also where torch keeps a sign beside the numbers


def _check_importance(importance: Any, n: int, name: str) -> np.ndarray:
    """Return the importance as float32 (n,), or (0,) if there is none."""
    if importance is None:
        if name in REQUIRES_IMPORTANCE:
            raise QuantizationError(
                f"{name} needs an importance per column: without one it is of no use, and ggml "
                "refuses as well; pass importance=..., from an importance matrix"
            )
        return np.empty(0, np.float32)
    if hasattr(importance, "detach"):
        expected = "importance must be a dense tensor with data"
        check_dense(importance, expected, QuantizationError)
        importance = importance.float().numpy(force=True)
    given = _as_array(importance)
    if given.dtype.kind not in "fiu":
        raise QuantizationError(f"importance must be real numbers; got {given.dtype}")
    with np.errstate(all="ignore"):
        weights = np.ascontiguousarray(given, np.float32)
    if weights.shape != (n,):
        raise QuantizationError(
            f"importance is one weight per column, shape ({n},); got {weights.shape}"
        )
    bad = np.flatnonzero(~((weights >= 0) & (weights <= _MOST)))
    if bad.size:
        raise QuantizationError(
            f"importance of column {bad[0]} is {weights[bad[0]]:g}: it must be finite, not"
            f" negative, and at most {_MOST:g}, or ggml's sums overflow"
        )
    if not weights.any():
        raise QuantizationError("importance is zero for every column: nothing would count")
    return weights


def _check_scales(fmt: type[Format], values: np.ndarray, rows: np.ndarray, start: int) -> None:
    """Refuse blocks whose half-precision numbers are infinite or NaN, as llama-quantize does."""
    blocks = rows.reshape(-1, fmt.qtype.type_size)
    for name, kind, bits in _scale_bits(fmt, blocks):
        exponent = 0x7C00 if kind == "f16" else 0x7F80
        found = bits & np.uint16(exponent)
        if found.max() == exponent:
            block = int((found == exponent).argmax())
            row, column = divmod(block * fmt.qtype.block_size, values.shape[1])
            peak = np.abs(values[row, column : column + fmt.qtype.block_size]).max()
            raise QuantizationError(
                f"cannot quantize to {fmt.name}: in row {start + row}, from column {column} on, "
                f"values up to {peak:g} overflow the {kind} number {name!r}"
            )


def _scale_bits(fmt: type[Format], blocks: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Give the 16-bit floats of blocks: name, kind and bits of each."""
    for field in fmt.fields:
        if field.kind in {"f16", "bf16"}:
            yield field.name, field.kind, blocks[:, field.offset : field.offset + 2].view("<u2")
    if fmt.name == "IQ1_M":  # the half is spread over the top nibbles of four words
        nibbles = blocks[:, 48:56].view("<u2") >> 12
        yield "d", "f16", nibbles @ np.array([1, 1 << 4, 1 << 8, 1 << 12], np.uint16)
