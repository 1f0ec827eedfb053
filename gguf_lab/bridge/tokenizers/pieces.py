"""Tokenizers of pieces with scores: SentencePiece's BPE and Unigram, with or without its file."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

import numpy as np

from ...errors import CheckpointError, UnsupportedError
from ...file.text import preview
from .added import listed_tokens, put_added
from .normalizing import check_merged, check_unigram, parts_of
from .sentencepiece import BPE
from .special import special_metadata
from .tokens import Tokens
from .vocabulary import SPACE, TokenType

if TYPE_CHECKING:
    from .sentencepiece import SentencePieceModel
    from .source import Source

__all__ = ["merged_metadata", "sentencepiece_metadata", "unigram_metadata"]

# gemma 4 shows these, though they are special, so that replies can be taken apart.
_VISIBLE_IN_GEMMA4 = (
    "<|channel>",
    "<channel|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
)


def sentencepiece_metadata(source: Source, count: int) -> dict[str, object]:
    """SentencePiece's BPE: pieces with scores, and tokens that were added to them."""
    tokens = _pieces(source, count)
    put_added(tokens, source)
    _check_bytes(source, tokens)
    found = tokens.metadata("llama", "default", scores=True)
    model, settings = source.sentencepiece, source.settings or {}
    assert model is not None
    _check_spaces(source, model)
    if not (model.add_dummy_prefix or isinstance(settings.get("add_prefix_space"), bool)):
        found["tokenizer.ggml.add_space_prefix"] = False
    # a tokenizer.json beside it counts more: it is what Transformers goes by
    done = _what_is_done(source) if source.json is not None else None
    if model.charsmap and (done is None or "'Precompiled'" in done):
        source.notes.append("llama.cpp does not normalize characters as its SentencePiece does")
    if model.remove_extra_whitespaces and (done is None or " {2,}" in done):
        source.notes.append("llama.cpp keeps spaces that its SentencePiece removes")
    return found | special_metadata(source, tokens, "llama")


def _pieces(source: Source, count: int) -> Tokens:
    model = source.sentencepiece
    assert model is not None
    tokens = Tokens.fillers(count)
    kinds = {2: TokenType.UNKNOWN, 3: TokenType.CONTROL, 5: TokenType.UNUSED, 6: TokenType.BYTE}
    # A BPE would never merge its way up to what the user defined. A Unigram finds it, and the
    # converter, whose library does not tell, writes it as a normal token.
    if model.algorithm == BPE:
        kinds[4] = TokenType.USER_DEFINED
    for place, piece in enumerate(model.pieces[:count]):
        kind = kinds.get(piece.kind, TokenType.NORMAL)
        text = piece.text.replace(SPACE, " ") if kind == TokenType.USER_DEFINED else piece.text
        tokens.put(place, text, piece.score, kind)
    if len(model.pieces) > count:
        source.notes.append(
            f"the embedding has {count} rows for {len(model.pieces)} pieces of SentencePiece, and"
            " the file goes without those beyond"
        )
    return tokens


def _check_bytes(source: Source, tokens: Tokens) -> None:
    """Refuse a BPE with which llama.cpp ends the process at a character that no token has."""
    texts = {*tokens.texts}
    if absent := [name for b in range(256) if (name := f"<0x{b:02X}>") not in texts]:
        raise UnsupportedError(
            f"The tokenizer in {source.folder} has no tokens for bytes such as {absent[0]}"
            f" ({len(absent)} of 256 are missing), and llama.cpp ends the process at the first"
            " character without a token. Only a BPE with byte fallback can be exported."
        )


def _check_spaces(source: Source, model: SentencePieceModel) -> None:
    if model.whitespace_as_suffix:
        raise UnsupportedError(
            f"The SentencePiece in {source.folder} puts the space behind a word"
            " (treat_whitespace_as_suffix), llama.cpp before it: it would cut every text otherwise."
        )


def merged_metadata(source: Source, count: int) -> dict[str, object]:
    """BPE with byte fallback, of which only `tokenizer.json` is there."""
    gemma4 = str(source.config.get("model_type", "")).startswith("gemma4")
    tokens = Tokens.fillers(count, -1000.0)
    scores: dict[str, float] = {}
    for rank, pair in enumerate([] if gemma4 else source.model.get("merges") or []):
        scores.setdefault("".join(pair.split(" ") if isinstance(pair, str) else pair), float(-rank))
    for text, place in source.vocabulary.items():
        byte = re.fullmatch("<0x[0-9A-Fa-f]{2}>", text)
        kind = TokenType.BYTE if byte else TokenType.NORMAL
        tokens.put(place, text, scores.get(text, -1000.0), kind)
    for token in listed_tokens(source):
        special = token.special and not (gemma4 and token.text in _VISIBLE_IN_GEMMA4)
        kind = TokenType.CONTROL if special else TokenType.USER_DEFINED
        tokens.put(token.place, token.text, -1000.0, kind)
    if gemma4:
        found = tokens.metadata("gemma4", None, scores=True)
        return found | special_metadata(source, tokens, "gemma4", merges=True)
    check_merged(source)
    _check_bytes(source, tokens)
    found = tokens.metadata("llama", "default", scores=True)
    if not _prepends(source):
        found["tokenizer.ggml.add_space_prefix"] = False
    return found | special_metadata(source, tokens, "llama")


def _what_is_done(source: Source) -> str:
    return str([source.part("normalizer"), source.part("pre_tokenizer")])


def _prepends(source: Source) -> bool:
    """Whether a text gets a space in front, by a normalizer or a pre-tokenizer."""
    text = _what_is_done(source)
    return "'Prepend'" in text or ("'Metaspace'" in text and "'never'" not in text)


def unigram_metadata(source: Source, count: int) -> dict[str, object]:
    """Unigram, of SentencePiece's file or of `tokenizer.json`."""
    model = source.sentencepiece
    aligned = source.config.get("model_type") in {"xlm-roberta", "nomic_bert"}
    if model is not None:
        tokens = _pieces(source, count)
        if aligned:
            # Transformers has four tokens where SentencePiece has three.
            first = [("<s>", 3), ("<pad>", 3), ("</s>", 3), ("<unk>", 2)]
            tokens = Tokens(
                [text for text, _ in first] + tokens.texts[3:-1],
                [0.0] * 4 + tokens.scores[3:-1],
                [kind for _, kind in first] + tokens.types[3:-1],
            )
        put_added(tokens, source)
        prefix, merge = model.add_dummy_prefix, model.remove_extra_whitespaces
        charsmap = model.charsmap
        _check_spaces(source, model)
        if model.byte_fallback:
            source.notes.append(
                "llama.cpp takes the unknown token for characters that its"
                " SentencePiece writes as bytes"
            )
        if merge and not prefix:
            source.notes.append(
                "llama.cpp puts a space before a text where it merges spaces, its"
                " SentencePiece does not"
            )
    else:
        tokens = _unigram_tokens(source, count)
        check_unigram(source)
        text = _what_is_done(source)
        prefix = _prepends(source)
        merge = "'WhitespaceSplit'" in text or " {2,}" in text
        charsmap = _charsmap(source)
    found = tokens.metadata("t5", "default", scores=True)
    found["tokenizer.ggml.add_space_prefix"] = prefix
    if aligned:
        found["tokenizer.ggml.token_type_count"] = source.config.get("type_vocab_size", 1)
    found["tokenizer.ggml.remove_extra_whitespaces"] = merge
    if charsmap:
        found["tokenizer.ggml.precompiled_charsmap"] = np.frombuffer(charsmap, np.uint8)
    return found | special_metadata(source, tokens, "t5")


def _unigram_tokens(source: Source, count: int) -> Tokens:
    tokens = Tokens.fillers(count)
    unknown = source.model.get("unk_id")
    for place, (text, score) in enumerate(source.scored):
        kind = TokenType.UNKNOWN if place == unknown else TokenType.NORMAL
        tokens.put(place, text, score, kind)
    for token in listed_tokens(source):
        if token.place != unknown:
            kind = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
            score = tokens.scores[token.place] if token.place < count else 0.0
            tokens.put(token.place, token.text, score, kind)
    return tokens


def _charsmap(source: Source) -> bytes:
    for part in parts_of(source.part("normalizer")):
        encoded = part.get("precompiled_charsmap")
        if isinstance(encoded, str):
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise CheckpointError(
                    f"{source.folder / 'tokenizer.json'}: precompiled_charsmap is"
                    f" {preview(encoded)}; expected base64 ({error})."
                ) from None
    return b""
