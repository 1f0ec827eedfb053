"""Tokens that were added to SentencePiece's: three files may tell of them, and each alone does.

`added_tokens.json` has texts and ids. The fourth Transformers described them in
`tokenizer_config.json` ("added_tokens_decoder"); the fifth does so in `tokenizer.json` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ...file.text import few, preview
from .quirks import looks_special
from .vocabulary import SPACE, TokenType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Source
    from .tokens import Tokens

__all__ = ["flags_of", "listed_tokens", "put_added"]

_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


@dataclass(frozen=True, slots=True)
class _Added:
    place: int
    text: str
    special: bool


def put_added(tokens: Tokens, source: Source) -> None:
    """Put the tokens that were added in their places.

    Raises
    ------
    CheckpointError
        If one of the files is malformed.
    """
    phi3 = source.config.get("model_type") == "phi3"
    described, listed = list(_described(source)), list(listed_tokens(source))
    if not phi3:  # there the converter lets the last word to tokenizer.json
        told = {token.place for token in described}
        listed = [t for t in listed if t.place not in told and not _is_there(tokens, t)]
    beyond = []
    for token in _plain(source):
        if token.place < len(tokens.texts):
            tokens.put(token.place, token.text, -1000.0, TokenType.USER_DEFINED)
        else:
            beyond.append(token)
    for token in [*described, *listed]:
        if token.place >= len(tokens.texts):
            beyond.append(token)
            continue
        text, kind = token.text, TokenType.CONTROL
        if not (token.special or (not phi3 and looks_special(text))):
            kind = TokenType.USER_DEFINED
            text = text if phi3 else text.replace(SPACE, " ")
        tokens.put(token.place, text, -1000.0, kind)
    if beyond:
        source.notes.append(
            f"the embedding has {len(tokens.texts)} rows, and the file goes without the tokens"
            f" added beyond: {few(preview(text) for text in dict.fromkeys(t.text for t in beyond))}"
        )


def _is_there(tokens: Tokens, token: _Added) -> bool:
    """Whether a token is a piece already, of a type that says what it is."""
    return (
        token.place < len(tokens.texts)
        and tokens.texts[token.place] == token.text
        and tokens.types[token.place] in {TokenType.UNKNOWN, TokenType.CONTROL}
    )


def _plain(source: Source) -> Iterator[_Added]:
    for text, place in source.added.items():
        yield _token(source, "added_tokens.json", place, text)


def _described(source: Source) -> Iterator[_Added]:
    file = "tokenizer_config.json"
    described = (source.settings or {}).get("added_tokens_decoder") or {}
    if not isinstance(described, dict):
        raise CheckpointError(
            f"{source.folder / file}: added_tokens_decoder is {preview(described)}; expected an"
            " object with a token for each id."
        )
    for place, token in described.items():
        number = int(place) if place.isdecimal() else place
        inner = token if isinstance(token, dict) else {}
        yield _token(source, file, number, inner.get("content"), special=inner.get("special"))


def listed_tokens(source: Source) -> Iterator[_Added]:
    """Yield the added tokens of `tokenizer.json`."""
    for token in source.listed:
        place, text = token.get("id"), token.get("content")
        yield _token(source, "tokenizer.json", place, text, special=token.get("special"))


def flags_of(source: Source) -> dict[str, list[str]]:
    """Return the texts of added tokens by what Transformers heeds when it looks for them."""
    if source.is_loaded:
        tokens = source.tokenizer.added_tokens_decoder.values()
        told = [{"content": t.content, **{f: getattr(t, f) for f in _FLAGS}} for t in tokens]
    else:
        described = (source.settings or {}).get("added_tokens_decoder") or {}
        told = [*source.listed, *(t for t in described.values() if isinstance(t, dict))]
    last = {str(token.get("content")): token for token in told}
    return {flag: [t for t in last if last[t].get(flag) is True] for flag in _FLAGS}


def _token(source: Source, file: str, place: Any, text: Any, *, special: Any = False) -> _Added:
    if type(place) is not int or place < 0 or not isinstance(text, str):
        raise CheckpointError(
            f"{source.folder / file}: an added token is {preview(text)} with the id"
            f" {preview(place)}; expected a text and a whole number."
        )
    return _Added(place, text, special is True)
