"""One block taken apart: its fields, the weights they make, and which bits drive which weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import GGUFLabError
from ..file.text import aligned
from ..markup import Html, card, fold, grid, mark, note, preformatted
from .backends import numpy_
from .dispatch import find_format
from .explanation import Explanation, explain
from .influence import Influence, check_index, flip_each, influence_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from ..file.qtypes import QType
    from .formats import Field

__all__ = ["Anatomy", "FieldValue", "dissect"]

_COLUMNS = ("field", "kind", "bytes", "a bit drives", "values")
_PER_LINE = 16
_FLOATS = {"f16": "<f2", "f32": "<f4", "f64": "<f8"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FieldValue:
    """A field of a block and what is in it.

    Attributes
    ----------
    field : Field
        Name, kind of element, place.
    raw : bytes
        The bytes as they are stored, little endian.
    bits : tuple of str
        Per element, the highest bit first: ``"00111100"``.
    integers : numpy.ndarray of int64, shape (count,)
        Per element the bits as an integer: two's complement if the kind is signed, or has 64 bits.
    values : numpy.ndarray of float64, shape (count,)
        What an element means as a number: the float of a float's bits, else the integer.
    """

    field: Field
    raw: bytes
    bits: tuple[str, ...]
    integers: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @property
    def name(self) -> str:
        """Its name in ggml's struct."""
        return self.field.name

    def brief(self, limit: int = 6) -> str:
        """Return the first values as text, floats as briefly as their kind allows."""
        if self.field.kind in _FLOATS:
            shown = self.values[:limit].astype(_FLOATS[self.field.kind])
        elif self.field.kind == "bf16":
            shown = self.values[:limit].astype(np.float32)
        else:
            shown = self.integers[:limit]
        return " ".join(map(str, shown)) + (" …" if self.field.count > limit else "")

    def __repr__(self) -> str:
        return f"{self.field!r} = {self.brief()}"


def _field_value(field: Field, block: npt.NDArray[np.uint8]) -> FieldValue:
    raw = block[field.offset : field.stop].tobytes()
    sign = "i" if field.kind.startswith("i") else "u"
    numbers = np.frombuffer(raw, f"<{sign}{field.width}")
    bits = tuple(
        f"{int.from_bytes(raw[k : k + field.width], 'little'):0{8 * field.width}b}"
        for k in range(0, len(raw), field.width)
    )
    with np.errstate(all="ignore"):
        if field.kind == "bf16":
            values = (numbers.astype("<u4") << 16).view("<f4").astype(np.float64)
        else:
            values = np.frombuffer(raw, _FLOATS.get(field.kind, numbers.dtype)).astype(np.float64)
        integers = numbers.astype(np.int64)  # of a double's 64 bits: two's complement
    for array in (integers, values):
        array.flags.writeable = False
    return FieldValue(field, raw, bits, integers, values)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Anatomy:
    """A block taken apart.

    Attributes
    ----------
    qtype : QType
        The format.
    block : numpy.ndarray of uint8, shape (type_size,)
        The bytes, little endian; a read-only copy, as are all arrays here.
    fields : tuple of FieldValue
        The block as ggml's struct, in order and without a gap.
    weights : numpy.ndarray of float32, shape (block_size,)
        The dequantized values.
    influence : Influence
        Which bits drive which weights, in this format: its ``matrix`` is boolean, of shape
        (8 * type_size, block_size). Found by flipping bits in some hundred blocks, not in this one.

    Examples
    --------
    >>> import numpy as np
    >>> block = np.frombuffer(np.float16(0.5).tobytes() + bytes(range(32)), np.uint8)
    >>> anatomy = dissect(block, "Q8_0")
    >>> anatomy.explain(3)
    Q8_0 block, weight 3 (group 0, position 3): 1.5
      driven by d bits 0-15, qs[3] bits 0-7
      block.d      bytes 0-1  0x3800 = 14336
      block.qs[3]  byte 5     0x03 = 3
      d = f16(block.d) = 0.5
      q = i8(block.qs[3]) = 3
      weight = d * q = 0.5 * 3 = 1.5
    """

    qtype: QType
    block: npt.NDArray[np.uint8]
    fields: tuple[FieldValue, ...]
    weights: npt.NDArray[np.float32]
    influence: Influence

    def __getitem__(self, name: str) -> FieldValue:
        for field in self.fields:
            if field.name == name:
                return field
        raise GGUFLabError(
            f"a {self.qtype.name} block has no field {name!r}: it has "
            f"{', '.join(self._ipython_key_completions_())}"
        )

    def __iter__(self) -> Iterator[FieldValue]:
        return iter(self.fields)

    def __contains__(self, name: object) -> bool:
        return name in self._ipython_key_completions_()

    def _ipython_key_completions_(self) -> list[str]:
        return [field.name for field in self.fields]

    def explain(self, i: int) -> Explanation:
        """Return the arithmetic of one weight, step by step, as the definition does it.

        Parameters
        ----------
        i : int
            Which weight of the block.

        Raises
        ------
        GGUFLabError
            If there is no such weight.
        """
        check_index(i, self.qtype.block_size, f"weights of a {self.qtype.name} block")
        return explain(find_format(self.qtype.name), self.block, int(i))

    def flip_each(self) -> npt.NDArray[np.float32]:
        """Return the weights that this very block would have with one bit flipped.

        Returns
        -------
        numpy.ndarray of float32, shape (8 * type_size, block_size)
            Row ``8 * byte + bit``. What differs from `weights` is what the bit does here; under a
            scale of zero or NaN that is less than `influence` says of the format.
        """
        return flip_each(find_format(self.qtype.name), self.block)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per element of a field.

        Returns
        -------
        pandas.DataFrame
            Columns ``field, index, kind, byte, n_bytes, raw, bits, integer, value, drives``: the
            first byte, the bytes in hexadecimal, the highest bit first, and in words which weights
            a single bit of the element drives.
        """
        import pandas as pd

        rows = []
        for part in self.fields:
            f = part.field
            for k in range(f.count):
                first, start = k * f.width, f.offset + k * f.width
                rows.append(
                    {
                        "field": f.name,
                        "index": k,
                        "kind": f.kind,
                        "byte": start,
                        "n_bytes": f.width,
                        "raw": part.raw[first : first + f.width].hex(" "),
                        "bits": part.bits[k],
                        "integer": int(part.integers[k]),
                        "value": float(part.values[k]),  # noqa: PD011
                        "drives": self.influence.reach(start, start + f.width),
                    }
                )
        return pd.DataFrame(rows)

    @property
    def title(self) -> str:
        """The format in one line."""
        q, group = self.qtype, find_format(self.qtype.name).group
        return (
            f"{q.name} block: {q.block_size} weight{'s' * (q.block_size > 1)} in {q.type_size} "
            f"byte{'s' * (q.type_size > 1)}, {q.bits_per_weight:.4g} bits per weight, "
            f"groups of {group}"
        )

    @property
    def summary(self) -> str:
        """The weights in one line: the first ones, the range, how many are not finite."""
        finite = self.weights[np.isfinite(self.weights)]
        parts = [" ".join(map(str, self.weights[:4])) + " …" * (len(self.weights) > 4)]
        if finite.size > 1:
            parts.append(f"from {finite.min()!s} to {finite.max()!s}")
        if finite.size < self.weights.size:
            parts.append(f"{self.weights.size - finite.size} not finite")
        return "; ".join(parts)

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                part.name,
                f"{part.field.kind}[{part.field.count}]"
                if part.field.count > 1
                else part.field.kind,
                f"{part.field.offset}"
                + f"-{part.field.stop - 1}" * (part.field.stop - part.field.offset > 1),
                self.influence.reach(part.field.offset, part.field.stop),
                part.brief(),
            )
            for part in self.fields
        ]

    def __repr__(self) -> str:
        lines = [*aligned([_COLUMNS, *self._rows()]), f"weights  {self.summary}"]
        return "\n".join([self.title, *(f"  {line}" for line in lines)])

    def _repr_html_(self) -> str:
        runs = [(part.name, part.field.offset, part.raw) for part in self.fields]
        rows = [(mark(row[0], k), *row[1:]) for k, row in enumerate(self._rows())]
        return card(
            self.title,
            _byte_map(runs),
            grid(_COLUMNS, rows),
            note(f"weights  {self.summary}"),
            fold("the first weight, step by step", preformatted(str(self.explain(0)))),
        )


def _byte_map(fields: Sequence[tuple[str, int, bytes]]) -> Html:
    """Write 16 bytes to a line; a run of one field is one coloured piece."""
    size = fields[-1][1] + len(fields[-1][2])
    lines = []
    for start in range(0, size, _PER_LINE):
        pieces = []
        for k, (name, offset, raw) in enumerate(fields):
            a, b = max(start, offset), min(start + _PER_LINE, offset + len(raw))
            if a < b:
                text = raw[a - offset : b - offset].hex(" ")
                pieces.append(mark(text, k, f"{name}: bytes {a}-{b - 1}"))
        lines.append(f"{start:>4}  {' '.join(pieces)}")
    return preformatted(Html("\n".join(lines)))


def dissect(block: npt.NDArray[np.uint8], qtype: str | int) -> Anatomy:
    """Take one block apart.

    Parameters
    ----------
    block : uint8 array, shape (type_size,)
        One little-endian block. The k-th block of a row r of a tensor is
        ``tensor.blocks(slice(r, r + 1))[0, k * size : (k + 1) * size]``.
    qtype : str or int
        ggml's name (``"Q4_K"``, in any case of letters) or number of the tensor type.

    Returns
    -------
    Anatomy
        Its fields, its weights, the bits that drive them, and the arithmetic of each weight.

    Raises
    ------
    UnsupportedError
        If the type has no definition.
    GGUFLabError
        If that is not one block.
    """
    fmt = find_format(qtype)
    size = fmt.qtype.type_size
    array = np.asarray(block)
    if array.dtype != np.uint8 or array.shape != (size,):
        raise GGUFLabError(
            f"one block of {fmt.name} is uint8 of shape ({size},); got {array.dtype} of shape "
            f"{array.shape}: take the k-th block of a row as row[k * {size} : (k + 1) * {size}]"
        )
    own = array.copy()
    weights = numpy_.dequantize(fmt, own[None])[0]
    own.flags.writeable = weights.flags.writeable = False
    fields = tuple(_field_value(field, own) for field in fmt.fields)
    return Anatomy(fmt.qtype, own, fields, weights, influence_of(fmt))
