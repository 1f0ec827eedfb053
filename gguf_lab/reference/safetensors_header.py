"""The header of a safetensors file: 8 bytes of length, JSON, then the data of all tensors.

Layout (https://github.com/huggingface/safetensors, section Format)::

    0          N, the length of the header: little endian, 8 bytes
    8          N bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    8 + N      the data; the offsets count from here, little endian, rows after rows, without gaps

The file comes from somewhere on the internet: everything that the header claims is checked against
the bytes that are there before it is believed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from reprlib import repr as short_repr
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..file.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..file.source import ByteSource

__all__ = ["DTYPE_BITS", "HEADER_LIMIT", "HeaderEntry", "parse_json", "parse_safetensors", "shown"]

HEADER_LIMIT = 100_000_000
"""The longest header in bytes; safetensors' own limit."""

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits per element of the types of safetensors 0.6; any other type is kept, but not decoded."""

_LARGEST = 2**63 - 1
_MOST_DIMENSIONS = 64  # numpy's limit; without one, the product of a long list takes forever


def shown(value: object) -> str:
    """Show a value of the header in a message: on one line, short however long it is."""
    return quoted(value) if isinstance(value, str) else printable(short_repr(value))


@dataclass(frozen=True, slots=True)
class HeaderEntry:
    """What a header says of one tensor.

    Attributes
    ----------
    name : str
    dtype : str
        As written in the file, such as ``"BF16"``.
    shape : tuple of int
    offset : int
        Of the first byte, from the beginning of the file.
    nbytes : int
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def parse_json(data: bytes, where: str, what: str) -> dict[str, object]:
    """Parse JSON whose root must be an object without duplicate keys.

    Parameters
    ----------
    data : bytes
    where, what : str
        The file and the part of it, for messages.

    Raises
    ------
    CheckpointError
        If it is not JSON, nested too deeply, not an object, or has the same key twice.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) < len(pairs):
            seen: set[str] = set()
            twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            raise CheckpointError(f"{where}: {what}: the key {shown(twice)} occurs twice.")
        return result

    try:
        root = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except CheckpointError:
        raise
    except RecursionError:
        raise CheckpointError(f"{where}: {what} is nested too deeply.") from None
    except ValueError as error:
        raise CheckpointError(f"{where}: {what} is not JSON: {shown(str(error))}.") from None
    if not isinstance(root, dict):
        raise CheckpointError(
            f"{where}: {what} should be a JSON object, but is a {type(root).__name__}."
        )
    return root


def parse_safetensors(source: ByteSource) -> tuple[dict[str, HeaderEntry], dict[str, str]]:
    """Read and check the header of a safetensors file.

    Parameters
    ----------
    source : ByteSource
        Made with ``error=CheckpointError``.

    Returns
    -------
    entries : dict of str to HeaderEntry
        In the order of the header.
    metadata : dict of str to str
        The strings under ``__metadata__``.

    Raises
    ------
    CheckpointError
        If the file is cut short, or its header contradicts itself or the size of the file.
    """
    where = source.name
    if source.size < 8:
        raise CheckpointError(
            f"{where}: {source.size} bytes are too few for a safetensors file, which begins with"
            " 8 bytes of header length. Is the download complete?"
        )
    first = source.read(0, 8).tobytes()
    if first == b"version ":
        raise CheckpointError(
            f"{where} is a Git LFS pointer: fetch the file itself with `git lfs pull`."
        )
    length = int.from_bytes(first, "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(
            f"{where}: the header claims {length:,} bytes (offset 0), more than the"
            f" {HEADER_LIMIT:,} that safetensors allows. Is it a safetensors file?"
        )
    if length > source.size - 8:
        raise CheckpointError(
            f"{where}: the header claims {length:,} bytes (offset 0), but only"
            f" {source.size - 8:,} follow. Is it a safetensors file, and is the download complete?"
        )
    root = parse_json(source.read(8, length).tobytes(), where, "the header")
    metadata = root.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{where}: __metadata__ in the header should be an object.")
    start = 8 + length
    entries = {name: _entry(where, name, value, start, source.size) for name, value in root.items()}
    _check_gapless(where, entries, start, source.size)
    return entries, {str(k): str(v) for k, v in metadata.items()}


def _entry(where: str, name: str, value: object, start: int, size: int) -> HeaderEntry:
    """Check one tensor of the header on its own."""
    here = f"{where}: tensor {shown(name)}"
    if not isinstance(value, dict):
        raise CheckpointError(f"{here} should be described by an object, not by {shown(value)}.")
    dtype, shape, offsets = (value.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise CheckpointError(f"{here}: dtype should be a string, but is {shown(dtype)}.")
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(_is_size(n) for n in shape)
    ):
        raise CheckpointError(
            f"{here}: shape should be a list of at most {_MOST_DIMENSIONS} sizes from 0 to"
            f" 2^63 - 1, but is {shown(shape)}."
        )
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        raise CheckpointError(
            f"{here}: data_offsets should be two numbers, but is {shown(offsets)}."
        )
    begin, end = offsets
    if not begin <= end <= size - start:
        raise CheckpointError(
            f"{here}: data_offsets [{begin}, {end}] lie outside of the {size - start:,} bytes of"
            " data in the file. Is the download complete?"
        )
    # an empty tensor may still have a dimension that no array could have
    if math.prod(n for n in shape if n) * 8 > _LARGEST:
        raise CheckpointError(f"{here}: shape {shown(shape)} is beyond any memory.")
    bits = DTYPE_BITS.get(dtype)
    if bits is not None and math.prod(shape) * bits != 8 * (end - begin):
        raise CheckpointError(
            f"{here}: shape {shown(shape)} of {dtype} takes {math.prod(shape) * bits / 8:,.10g}"
            f" bytes, but data_offsets [{begin}, {end}] give it {end - begin:,}."
        )
    return HeaderEntry(name, dtype, tuple(shape), start + begin, end - begin)


def _is_size(value: object) -> bool:
    # bool is an int in Python, but not a size
    return type(value) is int and 0 <= value <= _LARGEST


def _check_gapless(where: str, entries: dict[str, HeaderEntry], start: int, size: int) -> None:
    """Check that the data is covered exactly once, as safetensors demands: nothing can hide."""
    position, before = start, "the header"
    for entry in sorted(entries.values(), key=lambda e: (e.offset, e.nbytes)):
        if entry.offset < position:
            raise CheckpointError(
                f"{where}: tensor {shown(entry.name)} begins at offset {entry.offset:,} of the"
                f" file and overlaps {before}, which ends at {position:,}."
            )
        if entry.offset > position:
            raise CheckpointError(
                f"{where}: a gap of {entry.offset - position:,} bytes that belong to no tensor"
                f" lies before tensor {shown(entry.name)}, at offset {position:,} of the file."
            )
        if entry.nbytes:
            position, before = entry.offset + entry.nbytes, f"tensor {shown(entry.name)}"
    if position != size:
        raise CheckpointError(
            f"{where}: {size - position:,} bytes after the last tensor, from offset {position:,}"
            " on, belong to no tensor."
        )
