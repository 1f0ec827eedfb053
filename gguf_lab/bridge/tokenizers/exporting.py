"""A checkpoint's tokenizer as the keys that llama.cpp's converter writes for it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CheckpointError, UnsupportedError
from .fingerprints import FINGERPRINTS, TEXT, fingerprint
from .naming import pre_tokenizer_name
from .quirks import adjust, looks_special
from .sentencepiece import BPE
from .source import Source, open_source
from .special import special_metadata
from .vocabulary import CONTINUES, SPACE, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["metadata_of_tokenizer"]

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


def metadata_of_tokenizer(
    source: object,
    *,
    config: Mapping[str, Any],
    vocabulary: int,
    pre_tokenizer: str | None = None,
) -> dict[str, object]:
    """Return the keys `tokenizer.*` of a checkpoint's tokenizer.

    Parameters
    ----------
    source : str, Path or tokenizer of Transformers
        The folder of the checkpoint, or a tokenizer in memory.
    config : mapping
        The contents of `config.json`.
    vocabulary : int
        Rows of the token embedding. Ids without a token get one, "[PAD32001]", of type unused.
    pre_tokenizer : str, optional
        What `tokenizer.ggml.pre` shall say, if a byte-level BPE is not recognized.

    Returns
    -------
    dict
        In the converter's order and with its types: numbers of a token in arrays of NumPy.

    Raises
    ------
    CheckpointError
        If a file is missing or malformed, or there are more tokens than rows.
    UnsupportedError
        If the kind of tokenizer is unknown, or a byte-level BPE is not recognized.

    Notes
    -----
    In one place this is more than the converter does: for a BPE with byte fallback that has merges
    and no scores (`tokenizer.json` without `tokenizer.model`) it writes -1000 for every token, and
    llama.cpp then merges from left to right. Here the scores say the order of the merges.
    """
    with open_source(source, config) as opened:
        found = _metadata(opened, vocabulary, pre_tokenizer)
        return adjust(found, opened, vocabulary)


def _metadata(source: Source, count: int, pre_tokenizer: str | None) -> dict[str, object]:
    kind = source.model.get("type")
    byte_level = kind == "BPE" and not source.model.get("byte_fallback")
    if source.sentencepiece is not None and not byte_level:
        if source.sentencepiece.algorithm == BPE:
            return _sentencepiece(source, count)
        return _unigram(source, count)
    if kind == "Unigram":
        return _unigram(source, count)
    if kind == "BPE" and not byte_level:
        return _merged(source, count)
    if kind in {"BPE", "WordPiece"} or source.json is None:
        return _listed(source, count, pre_tokenizer)
    raise UnsupportedError(
        f"The tokenizer in {source.folder} is a {kind}; BPE, WordPiece and Unigram can be exported."
    )


@dataclass(slots=True)
class _Tokens:
    """Text, score and type of every id; ids without a token are fillers."""

    texts: list[str]
    scores: list[float]
    types: list[int]

    @classmethod
    def fillers(cls, count: int, score: float = -10000.0) -> _Tokens:
        texts = [f"[PAD{place}]" for place in range(count)]
        return cls(texts, [score] * count, [int(TokenType.UNUSED)] * count)

    def put(self, place: int, text: str, score: float, kind: int) -> None:
        if not 0 <= place < len(self.texts):
            raise CheckpointError(
                f"Token {text!r} has the id {place}, but the embedding has {len(self.texts)} rows."
            )
        self.texts[place], self.scores[place], self.types[place] = text, score, int(kind)

    def metadata(self, model: str, pre: str | None, *, scores: bool) -> dict[str, object]:
        found: dict[str, object] = {"tokenizer.ggml.model": model}
        if pre is not None:
            found["tokenizer.ggml.pre"] = pre
        found["tokenizer.ggml.tokens"] = self.texts
        if scores:
            found["tokenizer.ggml.scores"] = np.array(self.scores, np.float32)
        found["tokenizer.ggml.token_type"] = np.array(self.types, np.int32)
        return found


def _listed(source: Source, count: int, pre_tokenizer: str | None) -> dict[str, object]:
    """Byte-level BPE and WordPiece: the vocabulary as Transformers has it."""
    tokenizer = source.tokenizer
    wordpiece = source.model.get("type") == "WordPiece" or (
        source.json is None and (source.folder / "vocab.txt").is_file()
    )
    added = tokenizer.added_tokens_decoder
    tokens = _Tokens.fillers(count)
    for text, place in tokenizer.get_vocab().items():
        kind = TokenType.NORMAL
        shown = text
        if place in added:
            if not added[place].normalized:
                # As the converter does it; but what a byte-level decoder takes for bytes and
                # cannot read ("Ü") stays.
                decoded = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
                shown = text if "\ufffd" in decoded else decoded
            kind = TokenType.CONTROL
            if not (added[place].special or looks_special(shown)):
                kind = TokenType.USER_DEFINED
                shown = shown.replace(SPACE, " ")
        tokens.put(place, shown, 0.0, kind)
    pre = pre_tokenizer_name(source, pre_tokenizer) if not wordpiece else _bert_name(source)
    if not wordpiece:
        found = tokens.metadata("gpt2", pre, scores=False)
        return found | special_metadata(source, merges=True)
    for place, text in enumerate(tokens.texts):
        if tokens.types[place] != TokenType.CONTROL:
            ahead = text.startswith(CONTINUES)
            tokens.texts[place] = text[len(CONTINUES) :] if ahead else SPACE + text
    found = {"tokenizer.ggml.token_type_count": source.config.get("type_vocab_size", 1)}
    found |= tokens.metadata("bert", pre, scores=False)
    return found | special_metadata(source, count=count)


def _sentencepiece(source: Source, count: int) -> dict[str, object]:
    """SentencePiece's BPE: pieces with scores, and tokens that were added to them."""
    tokens = _pieces(source, count)
    phi3 = source.config.get("model_type") == "phi3"
    listed = (source.settings or {}).get("added_tokens_decoder", {})
    more = [(int(place), token) for place, token in listed.items()]
    if phi3:
        more += [(int(token["id"]), token) for token in source.listed]
    for place, token in more:
        text = token["content"]
        if place >= count:
            continue
        kind = TokenType.CONTROL
        if not (token.get("special") or (not phi3 and looks_special(text))):
            kind = TokenType.USER_DEFINED
            text = text if phi3 else text.replace(SPACE, " ")
        tokens.put(place, text, -1000.0, kind)
    found = tokens.metadata("llama", "default", scores=True)
    return found | special_metadata(source, count=count)


def _pieces(source: Source, count: int) -> _Tokens:
    model = source.sentencepiece
    assert model is not None
    tokens = _Tokens.fillers(count)
    # The types have the numbers of llama.cpp's, but what the user defined is a normal token here.
    kinds = {2: TokenType.UNKNOWN, 3: TokenType.CONTROL, 5: TokenType.UNUSED, 6: TokenType.BYTE}
    for place, piece in enumerate(model.pieces[:count]):
        tokens.put(place, piece.text, piece.score, kinds.get(piece.kind, TokenType.NORMAL))
    for text, place in source.added.items():
        if place < count:
            tokens.put(place, text, -1000.0, TokenType.USER_DEFINED)
    return tokens


def _merged(source: Source, count: int) -> dict[str, object]:
    """BPE with byte fallback, of which only `tokenizer.json` is there."""
    gemma4 = str(source.config.get("model_type", "")).startswith("gemma4")
    tokens = _Tokens.fillers(count, -1000.0)
    scores: dict[str, float] = {}
    for rank, pair in enumerate([] if gemma4 else source.model.get("merges") or []):
        scores.setdefault("".join(pair.split(" ") if isinstance(pair, str) else pair), float(-rank))
    for text, place in source.model["vocab"].items():
        byte = re.fullmatch("<0x[0-9A-Fa-f]{2}>", text)
        kind = TokenType.BYTE if byte else TokenType.NORMAL
        tokens.put(place, text, scores.get(text, -1000.0), kind)
    for token in source.listed:
        special = token.get("special") and not (gemma4 and token["content"] in _VISIBLE_IN_GEMMA4)
        kind = TokenType.CONTROL if special else TokenType.USER_DEFINED
        tokens.put(token["id"], token["content"], -1000.0, kind)
    if gemma4:
        found = tokens.metadata("gemma4", None, scores=True)
        return found | special_metadata(source, merges=True)
    found = tokens.metadata("llama", "default", scores=True)
    if not _prepends(source.json or {}):
        found["tokenizer.ggml.add_space_prefix"] = False
    return found | special_metadata(source, count=count)


def _prepends(tokenizer: dict[str, Any]) -> bool:
    """Whether a text gets a space in front, by a normalizer or a pre-tokenizer."""
    text = str([tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")])
    return "'Prepend'" in text or ("'Metaspace'" in text and "'never'" not in text)


def _unigram(source: Source, count: int) -> dict[str, object]:
    model = source.sentencepiece
    aligned = source.config.get("model_type") in {"xlm-roberta", "nomic_bert"}
    if model is not None:
        tokens = _pieces(source, count)
        if aligned:
            # Transformers has four tokens where SentencePiece has three.
            first = [("<s>", 3), ("<pad>", 3), ("</s>", 3), ("<unk>", 2)]
            tokens = _Tokens(
                [text for text, _ in first] + tokens.texts[3:-1],
                [0.0] * 4 + tokens.scores[3:-1],
                [kind for _, kind in first] + tokens.types[3:-1],
            )
        prefix, merge = model.add_dummy_prefix, model.remove_extra_whitespaces
        charsmap = model.charsmap
    else:
        tokens = _unigram_tokens(source, count)
        text = str([(source.json or {}).get(k) for k in ("normalizer", "pre_tokenizer")])
        prefix = _prepends(source.json or {})
        merge = "'WhitespaceSplit'" in text or " {2,}" in text
        charsmap = _charsmap((source.json or {}).get("normalizer"))
    found = tokens.metadata("t5", "default", scores=True)
    found["tokenizer.ggml.add_space_prefix"] = prefix
    if aligned:
        found["tokenizer.ggml.token_type_count"] = source.config.get("type_vocab_size", 1)
    found["tokenizer.ggml.remove_extra_whitespaces"] = merge
    if charsmap:
        found["tokenizer.ggml.precompiled_charsmap"] = np.frombuffer(charsmap, np.uint8)
    return found | special_metadata(source, count=count)


def _unigram_tokens(source: Source, count: int) -> _Tokens:
    tokens = _Tokens.fillers(count)
    unknown = source.model.get("unk_id")
    for place, (text, score) in enumerate(source.model["vocab"]):
        kind = TokenType.UNKNOWN if place == unknown else TokenType.NORMAL
        tokens.put(place, text, score, kind)
    for token in source.listed:
        place = token["id"]
        if place != unknown:
            kind = TokenType.CONTROL if token.get("special") else TokenType.USER_DEFINED
            tokens.put(place, token["content"], tokens.scores[place], kind)
    return tokens


def _charsmap(normalizer: dict[str, Any] | None) -> bytes:
    if not normalizer:
        return b""
    if isinstance(normalizer.get("precompiled_charsmap"), str):
        return base64.b64decode(normalizer["precompiled_charsmap"])
    return next(filter(None, map(_charsmap, normalizer.get("normalizers", []))), b"")


def _bert_name(source: Source) -> str:
    """Return a name for `tokenizer.ggml.pre`, which llama.cpp does not look at for WordPiece."""
    return FINGERPRINTS.get(fingerprint(source.tokenizer.encode(TEXT)), "default")
