"""SentencePiece's precompiled normalization: a trie of texts, and what each is replaced by.

Layout (``string`` of ``normalizer.cc`` in SentencePiece, and its double array ``darts``)::

    0        N, the bytes of the trie: little endian, uint32
    4        N bytes: units of the trie, uint32
    4 + N    the replacements, UTF-8, each ended by a zero byte

The library that walks the trie believes it, and ends the thread where it leads out of the array.
So all of it is followed here first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import GGUFError
from ...file.text import preview

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read_charsmap"]

_KEY = "tokenizer.ggml.precompiled_charsmap"


def read_charsmap(metadata: Mapping[str, object]) -> bytes:
    """Return the precompiled normalization of a file, or nothing if it has none.

    Raises
    ------
    GGUFError
        If it is no array of bytes, or a step in the trie leads out of the trie or the texts.
    """
    if _KEY not in metadata:
        return b""
    value = np.asarray(metadata[_KEY])
    if value.ndim != 1 or value.dtype not in (np.uint8, np.int8):
        raise GGUFError(f"{_KEY} is {preview(metadata[_KEY])}; expected an array of bytes.")
    raw = value.tobytes()
    length = int.from_bytes(raw[:4], "little")
    if not length or length % 4 or 4 + length >= len(raw):
        raise GGUFError(
            f"{_KEY} is malformed: {len(raw)} bytes, of which the trie claims {length} after the"
            " first four."
        )
    _follow(np.frombuffer(raw, "<u4", length // 4, 4).astype(np.int64), raw[4 + length :])
    return raw


def _follow(units: np.ndarray[tuple[int], np.dtype[np.int64]], texts: bytes) -> None:
    """Check every step that a walk can take, from each unit on."""
    places = np.arange(units.size)
    # The first is where walks begin; of the others, those with the highest bit hold values.
    steps = (units < 1 << 31) | (places == 0)
    goals = places ^ (units >> 10 << ((units & 1 << 9) >> 6))
    # The next unit is the goal with its last byte changed to any other.
    lost = np.flatnonzero(steps & (goals | 255 >= units.size))
    if lost.size:
        raise GGUFError(
            f"{_KEY} is malformed: unit {lost[0]} of the trie leads to {goals[lost[0]]}, beyond"
            f" its {units.size} units."
        )
    ends = np.flatnonzero(steps & (units >> 8 & 1 > 0))
    values = units[goals[ends]] & 0x7FFFFFFF
    # A replacement begins within the texts, and not in the middle of a character.
    heads = (np.frombuffer(texts, np.uint8) & 0xC0) != 0x80
    wrong = values >= len(texts)
    wrong[~wrong] = ~heads[values[~wrong]]
    if wrong.any():
        at = int(np.argmax(wrong))
        raise GGUFError(
            f"{_KEY} is malformed: unit {ends[at]} of the trie leads to byte {values[at]} of the"
            f" {len(texts)} bytes of texts, where no text begins."
        )
