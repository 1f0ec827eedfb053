"""The head of a GGUF file: version, metadata and the list of tensors, read in one bounded pass.

Source of the layout: the GGUF specification (``docs/gguf.md`` of ggml) and ``gguf.cpp``.

========================  ===========================================================
magic                     the bytes ``GGUF``, whatever the byte order
version                   uint32: 1, 2 or 3; the byte order of a file is the one that
                          makes it small (its low 16 bits are not 0)
tensor count              count: uint64, in version 1 uint32
metadata count            count
per metadata key          string (count, bytes), type uint32, value
per tensor                name string, number of dimensions uint32, each dimension as a
                          count (fastest first), type uint32, offset uint64
padding                   to ``general.alignment`` (default 32)
tensor data               offsets count from here
========================  ===========================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .layout import Status, TensorInfo, lay_out
from .metadata import Entry, Metadata
from .qtypes import qtype
from .scan import Cursor, Dialect, malformed
from .text import decode, quoted
from .values import ValueType

if TYPE_CHECKING:
    from .source import ByteSource

__all__ = ["Header", "parse_header"]

MAGIC = b"GGUF"
VERSIONS = (1, 2, 3)
DEFAULT_ALIGNMENT = 32
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
# Fewer elements than this: their number, their bytes and their float32 values then all have sizes
# that fit a signed 64-bit number, which is what every reader counts with.
ELEMENT_LIMIT = 2**61

# What people hand to a GGUF reader by mistake.
_OTHER_FILES = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"lmgg", "a GGML file from before GGUF; convert the original model again"),
    (b"fmgg", "a GGML file from before GGUF; convert the original model again"),
    (b"tjgg", "a GGJT file from before GGUF; convert the original model again"),
    (
        b"PK\x03\x04",
        "a zip archive, perhaps a PyTorch checkpoint; only safetensors are read",
    ),
    (b"<", "a web page or XML; perhaps a failed download was saved under this name"),
    (b"{", "JSON, not a model"),
    (b"\x00\x00\x00\x00", "empty space; a download may have reserved the file without filling it"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself.

    Attributes
    ----------
    version : int
        1, 2 or 3.
    byteorder : str
        "little" or "big", of everything in the file.
    metadata : Metadata
        Keys and values.
    tensors : tuple of TensorInfo
        In the order of the list in the file.
    alignment : int
        Offsets of tensors are multiples of it, in bytes.
    data_offset : int
        Where the tensor data begins, in bytes from the start of the file.
    """

    version: int
    byteorder: str
    metadata: Metadata
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int


def parse_header(source: ByteSource, *, shard: int = 0) -> Header:
    """Read the head of a GGUF file and check it against the bytes that are there.

    Parameters
    ----------
    source : ByteSource
        The file.
    shard : int
        Which file of a shard set this is, from 0; noted in each `TensorInfo`.

    Returns
    -------
    Header

    Raises
    ------
    GGUFError
        If the file is not well formed. A file whose tensor data is merely cut short is read; its
        tensors say so (see `lay_out`).
    """
    dialect = _dialect(source)
    cursor = Cursor(source, dialect, 8)
    at = cursor.position
    n_tensors = cursor.count("the number of tensors")
    n_keys = cursor.count("the number of metadata keys")
    width = dialect.count.size
    _check_count(cursor, at, n_tensors, "tensors", width + 4 + 4 + 8)
    _check_count(cursor, at + width, n_keys, "metadata keys", width + 1 + 4 + 1)

    entries = _entries(cursor, n_keys)
    alignment = _alignment(source.name, entries)
    listed = _tensors(cursor, n_tensors, shard)
    data_offset = cursor.position + -cursor.position % alignment
    tensors = lay_out(source.name, source.size, listed, alignment, data_offset)
    metadata = Metadata(source.name, entries)
    return Header(
        dialect.version, dialect.byteorder, metadata, tuple(tensors), alignment, data_offset
    )


def _dialect(source: ByteSource) -> Dialect:
    start = bytes(source.read(0, min(32, source.size)))
    if start[:4] != MAGIC:
        if len(start) < 4:
            found = f"the file has only {len(start)} bytes"
        else:
            found = f"the file begins with {start[:4]!r}"
            guess = next((what for sign, what in _OTHER_FILES if start.startswith(sign)), None)
            if guess is None and start[8:9] == b"{":
                guess = "a safetensors checkpoint; give it as reference instead"
            found += f", which looks like {guess}" if guess else ""
        raise malformed(source.name, 0, found, f"the magic {MAGIC!r}", "This is not a GGUF file.")
    if len(start) < 8:
        raise malformed(source.name, 4, "the file ends before its version", "4 bytes")
    number = int.from_bytes(start[4:8], "little")
    byteorder = "little"
    if number & 0xFFFF == 0:
        number = int.from_bytes(start[4:8], "big")
        byteorder = "big"
    if number not in VERSIONS:
        advice = (
            "Get a newer reader, or convert the model again."
            if number > max(VERSIONS)
            else "The file is damaged; fetch it again."
        )
        raise malformed(source.name, 4, f"GGUF version {number}", "1, 2 or 3", advice)
    return Dialect(number, byteorder)


def _check_count(cursor: Cursor, at: int, count: int, what: str, least: int) -> None:
    if count * least > cursor.left:
        raise malformed(
            cursor.name,
            at,
            f"{count:,} {what} are claimed, which take at least {count * least:,} bytes, "
            f"but {cursor.left:,} are left",
            "a count that fits the file",
        )


def _entries(cursor: Cursor, count: int) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for index in range(count):
        at = cursor.position
        key = decode(cursor.text(f"metadata key {index} of {count}", MAX_KEY_BYTES))
        if not key:
            raise malformed(cursor.name, at, f"metadata key {index} of {count} is empty", "a name")
        if key in entries:
            raise malformed(
                cursor.name,
                at,
                f"metadata key {quoted(key)} appears a second time (first at byte "
                f"{entries[key].offset:,})",
                "each key once",
                "Write the file again with one value for it.",
            )
        what = f"metadata key {quoted(key)}"
        at = cursor.position
        kind = cursor.kind(what)
        entries[key] = Entry(kind, at, cursor.value(kind, what))
    return entries


def _alignment(name: str, entries: dict[str, Entry]) -> int:
    entry = entries.get("general.alignment")
    if entry is None:
        return DEFAULT_ALIGNMENT
    value = entry.value
    if entry.kind is not ValueType.UINT32 or not isinstance(value, int):
        found = f"has the type {entry.kind.label}"
    elif value == 0 or value & (value - 1):
        found = f"is {value}"
    else:
        return value
    raise malformed(
        name,
        entry.offset,
        f"metadata key 'general.alignment' {found}",
        "a uint32 that is a power of two",
        "Without it the tensor data cannot be found; write the file again.",
    )


def _tensors(cursor: Cursor, count: int, shard: int) -> list[tuple[int, TensorInfo]]:
    """Read the list of tensors, each with where its entry begins and its offset as listed."""
    listed: list[tuple[int, TensorInfo]] = []
    seen: dict[str, int] = {}
    for index in range(count):
        at = cursor.position
        name = decode(cursor.text(f"the name of tensor {index} of {count}", MAX_NAME_BYTES))
        what = f"tensor {quoted(name)}"
        if name in seen:
            raise malformed(
                cursor.name,
                at,
                f"{what} appears a second time (first at byte {seen[name]:,})",
                "each name once",
                "Write the file again with distinct names.",
            )
        seen[name] = at
        shape = _shape(cursor, what)
        type_at = cursor.position
        kind = qtype(cursor.number(ValueType.UINT32, f"the type of {what}"))
        n_elements = math.prod(shape)
        nbytes: int | None = None
        if kind.known:
            row = shape[-1] if shape else 1
            if row % kind.block_size:
                raise malformed(
                    cursor.name,
                    type_at,
                    f"{what} of type {kind.name} has rows of {row:,} values",
                    f"a multiple of its block of {kind.block_size}",
                )
            nbytes = n_elements // kind.block_size * kind.type_size
        offset = cursor.number(ValueType.UINT64, f"the offset of {what}")
        status: Status = "ok" if kind.known else "opaque"
        listed.append((at, TensorInfo(name, shape, kind, offset, nbytes, shard, status)))
    return listed


def _shape(cursor: Cursor, what: str) -> tuple[int, ...]:
    at = cursor.position
    n_dimensions = cursor.number(ValueType.UINT32, f"the number of dimensions of {what}")
    if n_dimensions > MAX_DIMENSIONS:
        raise malformed(
            cursor.name, at, f"{what} has {n_dimensions:,} dimensions", f"at most {MAX_DIMENSIONS}"
        )
    dimensions = []
    for number in range(n_dimensions):
        at = cursor.position
        size = cursor.count(f"dimension {number} of {what}")
        if size >= 2**63:
            raise malformed(
                cursor.name, at, f"{what} has the dimension {size - 2**64:,}", "0 or more"
            )
        dimensions.append(size)
    # An empty dimension makes the product 0, but must not hide one that overflows.
    if math.prod(size or 1 for size in dimensions) >= ELEMENT_LIMIT:
        raise malformed(
            cursor.name,
            at,
            f"{what} of dimensions {' × '.join(f'{d:,}' for d in dimensions)} overflows: its size "
            "in bytes does not fit 64 bits",
            f"fewer than 2^{ELEMENT_LIMIT.bit_length() - 1} values",
        )
    return tuple(reversed(dimensions))
