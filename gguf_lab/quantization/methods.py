"""The ways to store weights in few bits that are compared: ggml's types, and the simplest of all.

A method turns a chunk of rows into the values that are read back, and counts the bits that it
stores for them: codes, scales, offsets, everything. (Of other packages: see `others`.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..codec import REQUIRES_IMPORTANCE, can_quantize
from ..file import QTYPES, known_qtype
from .measuring import Chunk, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from ..file import QType

__all__ = ["Encode", "Method", "baselines", "default_types", "ggml_methods"]

Encode: TypeAlias = "Callable[[Chunk], tuple[NDArray[np.float32], float]]"
"""Chunk to the values that are read back, and the bits stored."""

_SCALE_BITS = 32
_MOST_BITS = 16


@dataclass(frozen=True, slots=True)
class Method:
    """A way to store weights.

    Attributes
    ----------
    name : str
        Unique: "Q4_K", "int8 per tensor", "bitsandbytes NF4".
    family : str
        "ggml", "baseline" or the name of a package.
    encode : callable, optional
        See `Encode`; None if it cannot be done here.
    qtype : str
        ggml's type, if it is one.
    bits_per_tensor : int
        Stored once for a tensor, beside what `encode` counts.
    why_not : str
        Why it cannot be done here.
    """

    name: str
    family: str
    encode: Encode | None
    qtype: str = ""
    bits_per_tensor: int = 0
    why_not: str = ""


def default_types() -> tuple[str, ...]:
    """Return all types of at most 16 bits that can be written, the smallest first."""
    found = [t for t in QTYPES.values() if t.bits_per_weight <= _MOST_BITS and can_quantize(t.name)]
    return tuple(t.name for t in sorted(found, key=lambda t: (t.bits_per_weight, t.name)))


def ggml_methods(
    names: Iterable[str], columns: int, effort: str, *, weighted: bool
) -> list[Method]:
    """Return a method for each type of ggml, for rows of so many weights.

    Raises
    ------
    UnsupportedError
        If a type is unknown.
    """
    names = [names] if isinstance(names, str) else names
    types = dict.fromkeys(known_qtype(name) for name in names)
    return [_ggml(stored, columns, effort, weighted=weighted) for stored in types]


def _ggml(stored: QType, columns: int, effort: str, *, weighted: bool) -> Method:
    name, why = stored.name, ""
    if not can_quantize(name):
        why = "no quantizer"
    elif name in REQUIRES_IMPORTANCE and not weighted:
        why = "needs importance=..."
    elif columns % stored.block_size:
        why = f"rows of {columns} are no multiple of {stored.block_size}, its block"

    def encode(chunk: Chunk) -> tuple[NDArray[np.float32], float]:
        return restored(chunk, name, effort), 8 * stored.row_bytes(chunk.weights.size)

    return Method(name, "ggml", None if why else encode, name, why_not=why)


def baselines(peak: float) -> list[Method]:
    """Return the simplest methods: one scale, for the largest value, per tensor or per row.

    Parameters
    ----------
    peak : float
        Largest magnitude of the tensor.
    """
    return [
        Method(
            f"int{bits} per {what}",
            "baseline",
            _absmax(bits, peak if what == "tensor" else None),
            bits_per_tensor=_SCALE_BITS if what == "tensor" else 0,
        )
        for bits in (8, 4)
        for what in ("tensor", "channel")
    ]


def _absmax(bits: int, peak: float | None) -> Encode:
    """Round to whole multiples of a scale: -127 to 127 in 8 bits, -7 to 7 in 4; halves to even."""
    largest = np.float32(2 ** (bits - 1) - 1)

    def encode(chunk: Chunk) -> tuple[NDArray[np.float32], float]:
        values = chunk.weights
        if peak is None:
            top, scales = np.abs(values).max(axis=1, keepdims=True), len(values)
        else:
            top, scales = np.full((1, 1), peak, np.float32), 0  # counted once, with the tensor
        scale = top / largest
        codes = np.rint(np.divide(values, scale, out=np.zeros_like(values), where=scale > 0))
        return np.clip(codes, -largest, largest) * scale, bits * values.size + _SCALE_BITS * scales

    return encode
