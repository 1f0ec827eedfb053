"""Metadata values to bytes: which type of GGUF a Python value becomes.

==========================  ===================================================
value                       type
==========================  ===================================================
``bool``, ``str``           bool, string
``memoryview``              string, of these bytes
``int``                     uint32; int32 if negative; 64 bits where it must be
``float``                   float32
list of these               array of bool, string, int32 (or int64), float32
NumPy scalar or array       its own dtype
`ArrayValue` of a file      as it was there
==========================  ===================================================

The same choices as ``gguf.GGUFWriter`` makes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import GGUFError
from .header import MAX_KEY_BYTES
from .text import preview, quoted
from .values import ArrayValue, StringArray, ValueType

__all__ = ["check_key", "pack_metadata", "pack_string", "type_of_value"]

_CODES = {
    ValueType.UINT8: "<u1",
    ValueType.INT8: "<i1",
    ValueType.UINT16: "<u2",
    ValueType.INT16: "<i2",
    ValueType.UINT32: "<u4",
    ValueType.INT32: "<i4",
    ValueType.FLOAT32: "<f4",
    ValueType.BOOL: "|b1",
    ValueType.UINT64: "<u8",
    ValueType.INT64: "<i8",
    ValueType.FLOAT64: "<f8",
}
_KINDS = {np.dtype(code): kind for kind, code in _CODES.items()}
_INT32 = range(-(2**31), 2**31)


def pack_metadata(metadata: Mapping[str, object]) -> bytes:
    """Make the bytes of all keys and values.

    Raises
    ------
    GGUFError
        If a key or a value has no form in a GGUF file.
    """
    return b"".join(
        pack_string(check_key(key)) + _pack_value(key, value) for key, value in metadata.items()
    )


def check_key(key: str) -> str:
    """Return a key that may be written: printable ASCII without spaces, not too long.

    Raises
    ------
    GGUFError
        If it may not.
    """
    if not isinstance(key, str) or not key or len(key) > MAX_KEY_BYTES:
        found = f"{len(key):,} characters" if isinstance(key, str) else preview(key)
        raise GGUFError(f"a metadata key is a text of 1 to {MAX_KEY_BYTES:,} bytes; got {found}.")
    if not all("!" <= letter <= "~" for letter in key):
        raise GGUFError(f"metadata key {quoted(key)} has characters other than visible ASCII.")
    return key


def pack_string(text: str | bytes | memoryview) -> bytes:
    """Make the bytes of a string: its length, then UTF-8; bytes are written as they are."""
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else bytes(text)
    return struct.pack("<Q", len(data)) + data


def type_of_value(key: str, value: object) -> str:
    """Name the type that a value is written as: ``"uint32"``, ``"array[string]"``.

    Raises
    ------
    GGUFError
        If it has none.
    """
    if isinstance(value, ArrayValue):
        kind = _kind_of_items(key, value)
        return f"array[{kind.label}]"
    if isinstance(value, np.ndarray) or _is_list(value):
        return f"array[{_kind_of_items(key, value).label}]"
    return _kind_of_scalar(key, value).label


def _pack_value(key: str, value: object) -> bytes:
    if isinstance(value, np.ndarray | ArrayValue) or _is_list(value):
        kind = _kind_of_items(key, value)
        head = struct.pack("<IIQ", ValueType.ARRAY, kind, len(value))  # type: ignore[arg-type]
        return head + _pack_items(key, value, kind)
    kind = _kind_of_scalar(key, value)
    return struct.pack("<I", kind) + _pack_items(key, [value], kind)


def _pack_items(key: str, items: object, kind: ValueType) -> bytes:
    if kind is ValueType.STRING:
        # Those of a file need not be UTF-8.
        texts = items.encoded() if isinstance(items, StringArray) else items
        return b"".join(map(pack_string, texts))  # type: ignore[call-overload]
    try:
        if isinstance(items, np.ndarray):
            return items.astype(_CODES[kind]).tobytes()
        with np.errstate(over="raise"):
            return np.array(list(items), _CODES[kind]).tobytes()  # type: ignore[call-overload]
    except (OverflowError, FloatingPointError):
        raise GGUFError(
            f"metadata key {quoted(key)}: {preview(items)} is beyond the range of {kind.label}."
        ) from None


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(
        value, str | bytes | bytearray | memoryview
    )


def _kind_of_scalar(key: str, value: object) -> ValueType:
    if isinstance(value, bool):
        return ValueType.BOOL
    if isinstance(value, str | memoryview):
        return ValueType.STRING
    if isinstance(value, np.generic) and value.dtype.newbyteorder("<") in _KINDS:
        return _KINDS[value.dtype.newbyteorder("<")]
    if isinstance(value, int):
        for kind, low, high in (
            (ValueType.UINT32, 0, 2**32),
            (ValueType.INT32, -(2**31), 2**31),
            (ValueType.UINT64, 0, 2**64),
            (ValueType.INT64, -(2**63), 2**63),
        ):
            if low <= value < high:
                return kind
    if isinstance(value, float):
        return ValueType.FLOAT32
    raise _no_form(key, value)


def _kind_of_items(key: str, value: object) -> ValueType:
    if isinstance(value, ArrayValue):
        kind = ValueType[value.item_type.upper()]
        if kind is ValueType.ARRAY:
            raise _no_form(key, value)
        return kind
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<")
        if value.ndim != 1 or dtype not in _KINDS:
            raise _no_form(key, value)
        return _KINDS[dtype]
    items = list(value)  # type: ignore[call-overload]
    kinds = {type(item) for item in items}
    if kinds == {bool}:
        return ValueType.BOOL
    if kinds == {str}:
        return ValueType.STRING
    if kinds == {int}:
        return ValueType.INT32 if all(i in _INT32 for i in items) else ValueType.INT64
    if kinds in ({float}, {int, float}):
        return ValueType.FLOAT32
    raise _no_form(key, value)


def _no_form(key: str, value: object) -> GGUFError:
    return GGUFError(
        f"metadata key {quoted(key)}: {preview(value)} has no form in a GGUF file. Expected a text,"
        " a number, a truth value, or a list of one kind of these that is not empty."
    )
