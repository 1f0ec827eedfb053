"""What a format is, and the primitives that its definition is written in.

A format is one class with two functions::

    weight[g, j] = d * q - m      d, m = scale(b, t, g)      q = quant(b, t, g, j)

``b`` holds the bytes of one block, ``t`` the format's lookup table, ``g`` counts the groups of
weights that share a scale and ``j`` the weights within a group. The functions are plain Python on
the bytes of one block, which is how they are taught; :mod:`gguf_lab.codec.bind` runs the very same
code on another backend's primitives. Hence the three rules of a definition:

* only the primitives below, helpers made of them, and integer arithmetic that fits 32 bits (but for
  `i64`), in which nothing negative is shifted to the right;
* no ``if`` on data: ``where`` evaluates both sides;
* every float operation in the order and the precision (float32) of ggml, or the bits differ; and
  no unary minus on floats, which Triton takes as ``0 - x``: it loses the sign of zero.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...file.qtypes import QType, qtype

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FORMATS",
    "Field",
    "Format",
    "at",
    "bits",
    "bits64",
    "f16",
    "f32",
    "half",
    "i8",
    "i64",
    "nibble",
    "u8",
    "u16",
    "u32",
    "where",
]

# --- the primitives, in plain Python: b is the bytes of one block ---------------------------------


def u8(b: Any, o: Any) -> Any:
    """One byte of the block."""
    return int(b[o])


def u16(b: Any, o: Any) -> Any:
    """Two bytes, little endian."""
    return int(b[o]) | int(b[o + 1]) << 8


def u32(b: Any, o: Any) -> Any:
    """Four bytes, little endian."""
    return u16(b, o) | u16(b, o + 2) << 16


def i64(b: Any, o: Any) -> Any:
    """Eight bytes, little endian, two's complement."""
    u = u32(b, o) | u32(b, o + 4) << 32
    return u - (1 << 64) if u >> 63 else u


def at(t: Any, i: Any) -> Any:
    """One byte of the lookup table."""
    return int(t[i])


def f32(x: Any) -> Any:
    """An integer (or a double) as float32."""
    return np.float32(x)


def half(h: Any) -> Any:
    """IEEE binary16 bits as float32."""
    return np.float32(np.uint16(h).view(np.float16))


def bits(u: Any) -> Any:
    """The float32 that has this bit pattern."""
    return np.uint32(u).view(np.float32)


def bits64(i: Any) -> Any:
    """The float64 that has this bit pattern, given as a signed 64-bit integer."""
    return np.int64(i).view(np.float64)


def where(c: Any, x: Any, y: Any) -> Any:
    """Return `x` if `c`, else `y`; both have been evaluated."""
    return x if c else y


# --- helpers made of them: bound along with whatever calls them -----------------------------------


def i8(b: Any, o: Any) -> Any:
    """One byte, two's complement."""
    return (u8(b, o) ^ 128) - 128


def f16(b: Any, o: Any) -> Any:
    """Two bytes as IEEE binary16."""
    return half(u16(b, o))


def nibble(b: Any, o: Any, high: Any) -> Any:
    """The low (0) or high (1) half of a byte."""
    return (u8(b, o) >> (4 * high)) & 15


# --- the class ------------------------------------------------------------------------------------

FORMATS: dict[str, type[Format]] = {}
"""Every format that can be decoded, by ggml's name."""

_WIDTH = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "f16": 2, "bf16": 2, "u32": 4, "i32": 4, "f32": 4}
_WIDTH |= {"i64": 8, "f64": 8}


class Field:
    """A named run of bytes in a block.

    Attributes
    ----------
    name : str
        ggml's name of the struct member; of one that ggml's code reads as several, what it is.
    kind : str
        Type of one element: u8, i8, u16, i16, f16, bf16, u32, i32, f32, i64 or f64.
    offset : int
        First byte within the block.
    count : int
        Number of elements.
    width : int
        Bytes per element.
    """

    __slots__ = ("count", "kind", "name", "offset", "width")

    def __init__(self, name: str, kind: str, offset: int, count: int) -> None:
        self.name, self.kind, self.offset, self.count = name, kind, offset, count
        self.width = _WIDTH[kind]

    @property
    def stop(self) -> int:
        """First byte after the field."""
        return self.offset + self.count * self.width

    def __repr__(self) -> str:
        return f"{self.offset} {self.name}:{self.kind}" + (
            f"[{self.count}]" if self.count > 1 else ""
        )


def _parse_fields(layout: str) -> tuple[Field, ...]:
    fields: list[Field] = []
    for name, kind, count in re.findall(r"(\w+):(\w+)(?:\[(\d+)\])?", layout):
        fields.append(
            Field(name, kind, fields[-1].stop if fields else 0, int(count) if count else 1)
        )
    return tuple(fields)


def _no_table() -> np.ndarray:
    return np.zeros(1, np.uint8)


class Format:
    """Base class of the definitions; a subclass registers itself under its own name.

    Parameters (class keywords)
    ---------------------------
    fields : str
        The block as ggml's struct, in order: ``"d:f16 qs:u8[16]"``; bytes that ggml's code reads
        as a number are that number (``qh:u32`` of Q5_0). Checked against the block's size in
        :mod:`gguf_lab.file.qtypes`; it is also the docstring's byte map.
    group : int
        Weights that share a scale, chosen so that byte addresses are affine in ``j``.
    table : callable, optional
        Gives the lookup table (uint8), on first use.
    """

    name: ClassVar[str]
    qtype: ClassVar[QType]
    fields: ClassVar[tuple[Field, ...]]
    group: ClassVar[int]
    scale: ClassVar[Callable[[Any, Any, Any], Any]]
    quant: ClassVar[Callable[[Any, Any, Any, Any], Any]]
    _make_table: ClassVar[Callable[[], np.ndarray]]
    _table: ClassVar[np.ndarray | None]

    def __init_subclass__(
        cls, *, fields: str, group: int, table: Callable[[], np.ndarray] = _no_table
    ) -> None:
        cls.name = cls.__name__
        cls.qtype = qtype(cls.name)
        cls.fields = _parse_fields(fields)
        cls.group = group
        if cls.fields[-1].stop != cls.qtype.type_size or cls.qtype.block_size % group:
            raise TypeError(
                f"{cls.name}: fields end at byte {cls.fields[-1].stop}, groups of {group}; "
                f"ggml has {cls.qtype.block_size} weights in {cls.qtype.type_size} bytes"
            )
        cls._make_table, cls._table = staticmethod(table), None
        if cls.qtype.block_size & (cls.qtype.block_size - 1) or group & (group - 1):
            raise TypeError(
                f"{cls.name}: {cls.qtype.block_size} weights in groups of {group}; Triton counts "
                "in powers of two only"
            )
        # A definition is two functions of a namespace, not of an object.
        cls.scale, cls.quant = staticmethod(cls.scale), staticmethod(cls.quant)
        cls.__doc__ = f"{' | '.join(map(repr, cls.fields))}.  {cls.__doc__ or ''}".strip()
        FORMATS[cls.name] = cls

    @classmethod
    def plain(cls) -> bool:
        """Whether a block is a single number, so that a whole row can be taken as one block."""
        return cls.qtype.block_size == 1

    @classmethod
    def table(cls) -> np.ndarray:
        """Return the lookup table: uint8, read-only, of any length."""
        if cls._table is None:
            table = np.ascontiguousarray(cls._make_table(), np.uint8)
            table.flags.writeable = False
            cls._table = table
        return cls._table
