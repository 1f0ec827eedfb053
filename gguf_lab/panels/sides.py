"""What there is to see of a tensor: its values, those of the original, and the difference."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..codec import can_decode, find_format
from ..comparison.exact import decode, difference
from ..errors import UnsupportedError
from ..file.remote import Address
from ..file.text import quoted
from ..model import Model
from ..reference import line_up, open_reference
from ..reference.stored import second_scale_of, stored_rows, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..model import Tensor
    from ..reference import Alignment, Checkpoint, Pair
    from .pooling import Floats

__all__ = ["CHUNK", "SIDES", "Reader", "Sides", "read"]

SIDES: Final = ("quantized", "original", "difference")
CHUNK: Final = 1 << 20
"""Weights that are read at once."""

_COMPILED: Final = f"{__package__.rpartition('.')[0]}.codec.backends.numba_"
_QUICK: Final = 1 << 21  # weights that NumPy decodes sooner than compiled kernels are loaded


class Sides:
    """Reads a model and, where there is one, its reference, rectangle by rectangle.

    Parameters
    ----------
    model : Model
    reference : Checkpoint, Model, path or Address, optional
    alignment : Alignment, optional
        Of the two, if it is known already.

    Raises
    ------
    ComparisonError
        If the two do not belong together.
    """

    def __init__(
        self,
        model: Model,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        alignment: Alignment | None = None,
    ) -> None:
        self.model = model
        self._owned: Any = None
        self._pairs: dict[str, Pair] = {}
        if isinstance(reference, str | PathLike | Address):
            reference = self._owned = open_reference(reference)
        if reference is not None:
            try:
                if alignment is None:
                    alignment = line_up(model, reference)
            except BaseException:
                self.close()
                raise
            self._pairs = {pair.name: pair for pair in alignment.pairs}
        self.given = reference is not None
        self._of_file = isinstance(reference, Model)

    def called(self, side: str) -> str:
        """Return what to call a side: any GGUF file is no original."""
        return "reference" if side == "original" and self._of_file else side

    def close(self) -> None:
        """Close the reference if it was opened here."""
        if self._owned is not None:
            self._owned.close()

    def pair(self, name: str) -> Pair | None:
        """Return what a tensor is compared with, None if there is nothing to read."""
        pair = self._pairs.get(name)
        return pair if pair is not None and pair.readable else None

    def why_not(self, name: str) -> str:
        """Say why a tensor has no original, or what is to be kept in mind of it; or nothing."""
        pair = self._pairs.get(name)
        if pair is None:
            return "no reference was given" if not self.given else "not in the reference"
        return "" if pair.status == "matched" else f"{pair.status}: {pair.reason}"

    def tensor(self, name: str) -> Tensor:
        """Return a tensor that can be decoded.

        Raises
        ------
        UnsupportedError
            If it cannot, with the reason.
        """
        tensor = self.model.tensors[name]
        if tensor.status != "ok" or not can_decode(tensor.qtype):
            why = tensor.status if tensor.status != "ok" else f"of type {tensor.qtype}"
            raise UnsupportedError(
                f"tensor {quoted(name)} is {why}: its values cannot be shown. "
                "`gguf-lab tensors` lists the state of every tensor."
            )
        return tensor

    def scale(self, name: str) -> Tensor | None:
        """Return what the stored weights of a tensor are multiplied with, None if with nothing."""
        tensor, pair = self.model.tensors[name], self.pair(name)
        if pair is not None:
            return self.model.tensors[pair.scale] if pair.scale else None
        scale = second_scale_of(self.model, tensor)
        return scale if not why_unreadable(tensor, scale, "file") else None

    def block_size(self, name: str) -> int:
        """Return how many weights a block of a tensor holds."""
        return find_format(self.tensor(name).qtype).qtype.block_size

    def readers(self, name: str, sides: Sequence[str]) -> dict[str, Reader]:
        """Return a reader for each side asked for, without those that need a missing original."""
        ours, pair = self.tensor(name), self.pair(name)
        stored = stored_rows(ours, self.scale(name))
        found = {"quantized": Reader(stored.dtype, stored.read)}
        if pair is not None:
            found["original"] = original = Reader(pair.dtype, pair.read)
            found["difference"] = Reader("", None, (found["quantized"], original))
        return {side: found[side] for side in SIDES if side in sides and side in found}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a side of a tensor as numbers; a difference as that of two others."""

    qtype: str
    rows: Callable[[int, int], np.ndarray] | None
    parts: tuple[Reader, Reader] | None = None

    def blocks(self, spans: Sequence[tuple[int, int]], left: int, right: int) -> np.ndarray:
        """Return the blocks of some rows that hold the columns [left, right)."""
        assert self.rows is not None
        fmt = find_format(self.qtype).qtype
        first, last = left // fmt.block_size, -(-right // fmt.block_size)
        cut = slice(first * fmt.type_size, last * fmt.type_size)
        parts = [self.rows(a, b)[:, cut] for a, b in spans]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def read(
    readers: dict[str, Reader], spans: Sequence[tuple[int, int]], left: int, right: int
) -> dict[str, Floats]:
    """Return the values of every side: rows of all spans, columns [left, right); float32.

    A difference is stored minus original, taken as the comparison does.
    """
    known: dict[int, np.ndarray] = {}
    for reader in readers.values():
        for one in (*(reader.parts or ()), reader):
            if id(one) not in known:
                known[id(one)] = _values(one, known, spans, left, right)
    with np.errstate(over="ignore"):
        return {
            side: known[id(reader)].astype(np.float32, copy=False)
            for side, reader in readers.items()
        }


def _values(
    reader: Reader,
    known: dict[int, np.ndarray],
    spans: Sequence[tuple[int, int]],
    left: int,
    right: int,
) -> np.ndarray:
    if reader.parts is not None:
        ours, original = (known[id(part)] for part in reader.parts)
        with np.errstate(invalid="ignore", over="ignore"):
            return difference(ours, original)
    fmt = find_format(reader.qtype).qtype
    size = fmt.block_size
    blocks = reader.blocks(spans, left, right)
    backend = _backend(blocks.size // fmt.type_size * size)
    values = decode(reader.qtype, blocks, backend)
    return values[:, left % size : left % size + right - left]


def _backend(n_weights: int) -> str | None:
    # The first picture of a session does not wait for numba, whose import takes a second.
    return "numpy" if n_weights <= _QUICK and _COMPILED not in sys.modules else None
