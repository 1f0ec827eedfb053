"""SentencePiece's own file (`tokenizer.model`, `spiece.model`): a protocol buffer, read by hand.

The fields are those of `sentencepiece_model.proto`; the few that matter here need no library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Piece", "SentencePieceModel", "read_sentencepiece"]

UNIGRAM, BPE = 1, 2

# fields of `TrainerSpec`, and their defaults
_IDS = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}


@dataclass(frozen=True, slots=True)
class Piece:
    """A token: its text, its score, its type (the numbers of `ModelProto.SentencePiece.Type`)."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A trained model.

    Attributes
    ----------
    algorithm : int
        `UNIGRAM` or `BPE` (the numbers of `TrainerSpec.ModelType`).
    pieces : list of Piece
        In the order of their ids.
    charsmap : bytes
        The precompiled normalization, or nothing.
    add_dummy_prefix, remove_extra_whitespaces, whitespace_as_suffix : bool
        What is done to the spaces of a text.
    byte_fallback : bool
        Characters without a piece become bytes.
    special : dict of str to int
        Ids of "unk", "bos", "eos" and "pad"; -1 if there is none.
    """

    algorithm: int
    pieces: list[Piece]
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    whitespace_as_suffix: bool
    byte_fallback: bool
    special: dict[str, int]


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read a SentencePiece model.

    Raises
    ------
    CheckpointError
        If the file is not one, or is cut short.
    """
    try:
        return _model(path.read_bytes())
    except (ValueError, IndexError, struct.error) as error:
        raise CheckpointError(f"{path} is not a SentencePiece model: {error}.") from None


def _model(data: bytes) -> SentencePieceModel:
    pieces = []
    trainer: dict[int, bytes | int] = {}
    normalizer: dict[int, bytes | int] = {}
    for field, value in _fields(data):
        if field == 1:
            piece = dict(_fields(_message(value)))
            (score,) = struct.unpack("<f", _message(piece.get(2, b"\0" * 4)))
            kind = piece.get(3, 1)
            if not isinstance(kind, int):
                raise ValueError("the type of a piece is not a number")
            pieces.append(Piece(_message(piece.get(1, b"")).decode(), score, kind))
        elif field == 2:
            trainer = dict(_fields(_message(value)))
        elif field == 3:
            normalizer = dict(_fields(_message(value)))
    if not pieces:
        raise ValueError("it has no pieces")
    return SentencePieceModel(
        algorithm=int(trainer.get(3, UNIGRAM)),
        pieces=pieces,
        charsmap=_message(normalizer.get(2, b"")),
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
        byte_fallback=bool(trainer.get(35, 0)),
        special={name: _signed(trainer.get(field, value)) for name, (field, value) in _IDS.items()},
    )


def _signed(value: bytes | int) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes stand where a number is expected")  # noqa: TRY004 - of the file
    return value - (1 << 64) if value >> 63 else value


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes are expected")  # noqa: TRY004 - of the file
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the number and value of each field; fixed-size values as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            number, at = _varint(data, at)
            yield field, number
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {at} reaches beyond the end")
        yield field, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {at}")
