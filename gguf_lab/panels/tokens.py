"""The tokens of a vocabulary as a table would show them: read, searched and ordered in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np

from ..bridge.tokenizers.vocabulary import CONTINUES, MATCHED, SPACE, TokenType
from ..errors import GGUFError
from ..file.text import preview, printable

__all__ = ["Piece", "TokenList", "pieces"]

Piece = tuple[str, str]

MOST_MERGES: Final = 4_000_000
_STEP: Final = 4096
_LONGEST: Final = 120  # characters of a token that are shown
_OPEN_BOX: Final = "\u2423"
_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")

# Printable as Python sees it, and yet nothing is seen: fillers, joiners, variation selectors.
_UNSEEN: Final = frozenset(
    [
        *"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0",
        *map(chr, range(0xFE00, 0xFE10)),
        *map(chr, range(0xE0100, 0xE01F0)),
    ]
)


@cache
def _alphabet() -> dict[int, str | int]:
    """Return a table that turns GPT-2's alphabet into Latin-1 (`bytes_to_unicode`, backwards).

    Bytes that can be seen in Latin-1 stand for themselves, the others for U+0100 and on. What else
    there is below that stands for nothing: it becomes what Latin-1 does not have.
    """
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unseen = [byte for byte in range(256) if byte not in seen]
    return dict.fromkeys(unseen, "\uffff") | {256 + i: byte for i, byte in enumerate(unseen)}


def pieces(text: str | bytes, limit: int = _LONGEST) -> list[Piece]:
    r"""Take a text apart into what is seen and signs for what is not.

    Parameters
    ----------
    text : str or bytes
        Bytes are read as UTF-8; those that are not show as ``\xNN``.
    limit : int
        Most characters; what is left out becomes a last sign.

    Returns
    -------
    list of (str, str)
        Text and its kind: "" for text as it is, "sign" for what stands for something else: an open
        box for a space, an escape for what cannot be seen.

    Examples
    --------
    >>> pieces(" the\n")
    [('␣', 'sign'), ('the', ''), ('\\n', 'sign')]
    >>> pieces(b"\xf0\x9f")
    [('\\xf0\\x9f', 'sign')]
    """
    words = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    found: list[Piece] = []
    for character in words[:limit]:
        piece = _piece(character)
        if found and found[-1][1] == piece[1]:
            found[-1] = (found[-1][0] + piece[0], piece[1])
        else:
            found.append(piece)
    if len(words) > limit:
        found.append((f"\u2026 {len(words):,} characters", "sign"))
    return found


def _piece(character: str) -> Piece:
    if character == " ":
        return _OPEN_BOX, "sign"
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}", "sign"
    if character in _UNSEEN:
        return f"\\u{ord(character):04x}", "sign"
    return (character, "") if character.isprintable() else (repr(character)[1:-1], "sign")


class TokenList:
    """The vocabulary of a file, of which only what is looked at is read.

    Parameters
    ----------
    metadata : mapping
        The file's metadata.

    Attributes
    ----------
    types : int array (n,) or None
        A `TokenType` for each token, -1 where the file has none.
    scores : float array (n,) or None
        A score for each token, NaN where the file has none.
    merged : int32 array (n,) or None
        Which merge makes the token, -1 if none does; None until `index_merges` has ended.
    problems : list of str
        What of the metadata does not fit together.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self.model = str(metadata.get("tokenizer.ggml.model", ""))
        self._tokens: Sequence[str] = self._strings(metadata, "tokenizer.ggml.tokens")
        self.merges: Sequence[str] = self._strings(metadata, "tokenizer.ggml.merges")
        self.types = self._numbers(metadata, "tokenizer.ggml.token_type", np.int64, -1)
        self.scores = self._numbers(metadata, "tokenizer.ggml.scores", np.float64, np.nan)
        self.merged: np.ndarray[Any, np.dtype[np.int32]] | None = None
        if len(self.merges) > MOST_MERGES:
            self.problems.append(
                f"tokenizer.ggml.merges has {len(self.merges):,} items; which of them makes a token"
                f" is looked up for {MOST_MERGES:,} at most."
            )

    def _strings(self, metadata: Mapping[str, Any], key: str) -> Sequence[str]:
        value: object = metadata.get(key, ())
        if isinstance(value, Sequence) and not isinstance(value, str):
            strings: Sequence[str] = value
            if all(isinstance(item, str) for item in strings[:1]):
                return strings
        self.problems.append(f"{key} is {preview(value)}; expected an array of strings.")
        return ()

    def _numbers(
        self, metadata: Mapping[str, Any], key: str, dtype: type, missing: float
    ) -> np.ndarray[Any, np.dtype[Any]] | None:
        if key not in metadata:
            return None
        try:
            given = np.asarray(metadata[key])
        except ValueError:
            given = np.empty(0, object)
        if given.ndim != 1 or given.dtype.kind not in "iuf":
            self.problems.append(
                f"{key} is {preview(metadata[key])}; expected an array of numbers."
            )
            return None
        n = len(self._tokens)
        if len(given) != n:
            self.problems.append(f"{key} has {len(given):,} items for {n:,} tokens.")
        numbers: np.ndarray[Any, np.dtype[Any]] = np.full(n, missing, dtype)
        numbers[: len(given)] = given[:n]
        return numbers

    def __len__(self) -> int:
        return len(self._tokens)

    # -- one token

    def stored(self, start: int, stop: int) -> list[str]:
        """Return tokens as the file has them."""
        return list(self._tokens[start:stop])

    def type_of(self, token: int) -> int:
        """Return the type of a token; what has none is a normal one."""
        return TokenType.NORMAL if self.types is None else int(self.types[token])

    def meaning(self, token: int, stored: str) -> str | bytes:
        """Return the text that a token stands for in this kind of vocabulary.

        Byte-level BPE writes bytes in an alphabet of its own, SentencePiece a space as "\u2581",
        and WordPiece, as llama.cpp stores it, a "\u2581" before what begins a word.
        """
        kind = self.type_of(token)
        byte = _BYTE.fullmatch(stored) if kind == TokenType.BYTE else None
        if byte:
            return bytes([int(byte[1], 16)])
        if kind in {*MATCHED, TokenType.UNUSED}:
            return stored
        if self.model == "gpt2":
            try:
                return stored.translate(_alphabet()).encode("latin-1")
            except UnicodeEncodeError:  # not of this alphabet
                return stored
        elif self.model == "bert":
            return stored[1:] if stored.startswith(SPACE) else CONTINUES + stored
        elif self.model in {"llama", "t5", "gemma4"}:
            return stored.replace(SPACE, " ")
        return stored

    def merge_of(self, token: int) -> tuple[int, str] | None:
        """Return number and parts of the merge that makes a token, if one is known to."""
        if self.merged is None or self.merged[token] < 0:
            return None
        rank = int(self.merged[token])
        return rank, printable(self.merges[rank], 2 * _LONGEST)

    # -- all of them

    def find(self, text: str, kind: int | None) -> Iterator[tuple[list[int], int]]:
        """Yield the tokens that contain a text, in parts of the vocabulary.

        Parameters
        ----------
        text : str
            Looked for in what is stored and in what that stands for, in any case; empty: all.
        kind : int, optional
            Only tokens of this type.

        Yields
        ------
        found : list of int
            The tokens of this part.
        looked_at : int
            How many tokens have been looked at now.
        """
        wanted = text.lower()
        for low, high in pairwise([*range(0, len(self), _STEP), len(self)]):
            chosen = np.arange(low, high)
            if kind is not None:
                types = np.full(high - low, TokenType.NORMAL)
                chosen = chosen[(types if self.types is None else self.types[low:high]) == kind]
            if not wanted or not chosen.size:
                yield chosen.tolist(), high
                continue
            stored = self.stored(low, high)
            found = [i for i in chosen.tolist() if self._has(i, stored[i - low], wanted)]
            yield found, high

    def _has(self, token: int, stored: str, wanted: str) -> bool:
        if wanted in stored.lower():
            return True
        meaning = self.meaning(token, stored)
        words = meaning.decode("utf-8", "replace") if isinstance(meaning, bytes) else meaning
        return wanted in words.lower()

    def ordered(
        self, found: np.ndarray[Any, np.dtype[np.int64]], by: str, *, down: bool
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Order tokens by "id", "type", "score" or "merge"; what has no value comes last."""
        columns = {"type": self.types, "score": self.scores, "merge": self.merged}
        if by == "id":
            return found[::-1] if down else found
        if by not in columns:
            raise GGUFError(f"tokens cannot be ordered by {preview(by)}: choose id, {[*columns]}")
        column = columns[by]
        if column is None:
            return found
        values = column[found].astype(np.float64)
        gone = np.isnan(values) | ((values < 0) & (by != "score"))
        values = np.where(gone, np.inf, -values if down else values)
        return found[np.argsort(values, kind="stable")]

    def index_merges(self) -> Iterator[float]:
        """Find out which merge makes which token, in steps; yields the share that is done.

        As tokenizers do, the first merge that makes a text counts.
        """
        if len(self.merges) > MOST_MERGES:
            return
        first: dict[str, int] = {}
        work = len(self.merges) + len(self) or 1
        for low in range(0, len(self.merges), _STEP):
            for rank, text in enumerate(self.merges[low : low + _STEP], low):
                # The separator is the first space that is not the first character.
                cut = text.find(" ", 1)
                if cut > 0:
                    first.setdefault(text[:cut] + text[cut + 1 :], rank)
            yield low / work
        merged = np.full(len(self), -1, np.int32)
        for low in range(0, len(self), _STEP):
            for token, text in enumerate(self.stored(low, low + _STEP), low):
                merged[token] = first.get(text, -1)
            yield (len(self.merges) + low) / work
        self.merged = merged
