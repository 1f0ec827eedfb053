"""A GGUF file before it is written: every tensor with its type, and all metadata."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import dequantize
from ..file.file_types import FILE_TYPES
from ..file.text import few, printable
from ..quantization.imatrix import importance_of
from .general import file_name
from .storage import read_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ..file.qtypes import QType
    from ..reference.transforms import Rows
    from .storage import Stored

__all__ = ["Draft", "DraftTensor"]


@dataclass(frozen=True, slots=True)
class DraftTensor:
    """A tensor of the file that is to be written.

    Attributes
    ----------
    name : str
    shape : tuple of int
        NumPy order.
    stored : Stored
        Its type, and why it isn't the one that was asked for.
    names : tuple of str
        The tensors of the checkpoint that it is made of; none if it is calculated.
    transform : str
        What is done to them, in words.
    """

    name: str
    shape: tuple[int, ...]
    stored: Stored
    names: tuple[str, ...]
    transform: str
    _rows: Rows = field(repr=False, compare=False)

    @property
    def qtype(self) -> QType:
        """The type it is stored as."""
        return self.stored.qtype

    @property
    def source_qtype(self) -> str:
        """The type of its numbers in the checkpoint."""
        return self._rows.dtype

    def numbers(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read rows `start` to `stop` as numbers: float32 ``(stop - start, columns)``."""
        data = np.ascontiguousarray(self._rows.read(start, stop))
        values: NDArray[np.float32] = dequantize(data, self.source_qtype)
        return values.reshape(stop - start, -1)

    def chunks(
        self, imatrix: Mapping[str, Any] | None = None, effort: str = "ggml"
    ) -> Iterator[NDArray[np.uint8]]:
        """Read it, portion by portion, as the bytes of the file."""
        importance = importance_of(imatrix, self.name, self.shape) if self.quantized else None
        return read_as(self.name, self._rows, self.qtype, importance, effort)

    @property
    def quantized(self) -> bool:
        """Whether numbers become blocks."""
        return self.qtype.block_size > 1 and self.qtype.name != self.source_qtype


@dataclass(frozen=True, slots=True)
class Draft:
    """A GGUF file before it is written.

    Attributes
    ----------
    metadata : dict
        All keys, in their order.
    tensors : tuple of DraftTensor
        In the order of the file: as the tensors of the checkpoint are sorted by name.
    left_out : dict of str to str
        Tensors of the checkpoint that have no place in the file, and why.
    unsaid : dict of str to str
        Settings of ``config.json`` that no key of the file tells and llama.cpp takes differently,
        in words; and what it does otherwise whatever a file says.
    """

    metadata: dict[str, object]
    tensors: tuple[DraftTensor, ...]
    left_out: dict[str, str]
    unsaid: dict[str, str]

    @property
    def file_name(self) -> str:
        """The name by the naming convention."""
        number = self.metadata["general.file_type"]
        return file_name(self.metadata, FILE_TYPES[int(number)])  # type: ignore[call-overload]

    def left_out_by_reason(self) -> dict[str, list[str]]:
        """Gather the tensors that have no place in the file by why they have none."""
        found: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            found.setdefault(why, []).append(name)
        return found

    def __repr__(self) -> str:
        counts = Counter(tensor.qtype.name for tensor in self.tensors)
        types = ", ".join(f"{n} {name}" for name, n in counts.most_common())
        lines = [f"{self.metadata['general.name']}: {len(self.tensors)} tensors ({types})"]
        lines += [
            f"  {t.name}: {t.qtype.name}, {t.stored.reason}"
            for t in self.tensors
            if t.stored.fallback
        ]
        lines += [
            f"  left out: {few(map(printable, names))}: {why}"
            for why, names in self.left_out_by_reason().items()
        ]
        lines += [f"  can't be told: {name}: {words}" for name, words in self.unsaid.items()]
        return "\n".join(lines)
