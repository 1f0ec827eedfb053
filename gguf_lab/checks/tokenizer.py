"""Rules about the tokenizer: lists of one length, ids in range, tokens that are what they seem."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ..bridge.tokenizers import has_tokenizer
from ..bridge.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from ..bridge.tokenizers.vocabulary import TokenType
from ..file import ArrayValue, preview, quoted
from ..file.text import decode
from ..reference.architectures.plan import has_name_map
from .rules import Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rules import Subject

__all__: list[str] = []

_CONVERT = "Convert the tokenizer again from the original checkpoint."
_MODEL, _TOKENS = "tokenizer.ggml.model", "tokenizer.ggml.tokens"
_ID = re.compile(r"tokenizer\.ggml\.[a-z_]+_token_id")
_MODELS = frozenset(
    (
        *("llama", "gpt2", "bert", "t5", "gemma4", "rwkv", "plamo2", "hybriddna", "whitespace"),
        *("none", "no_vocab"),
    )
)
# Texts by which llama.cpp knows the end of a text or a turn (llama-vocab.cpp, `special_eot_id`).
_ENDS = frozenset(
    (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"),
        *("<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]", "<|eom_id|>", "<end_of_utterance>"),
    )
)


def _tokens(subject: Subject) -> list[str] | None:
    """Return the tokens, None if there is no tokenizer; a token is told by its bytes."""
    value = subject.metadata.get(_TOKENS)
    if not has_tokenizer(subject.metadata) or not isinstance(value, ArrayValue):
        return None
    return list(value) if value.item_type == "string" else None


def _types(subject: Subject, count: int) -> np.ndarray | None:
    value = subject.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(value, ArrayValue) or len(value) != count or value.item_type != "int32":
        return None
    return np.asarray(value)


@rule("tokenizer", "error", "llama-vocab.cpp: 'unknown tokenizer', 'cannot find tokenizer vocab'")
def tokenizer(subject: Subject) -> Iterator[Found]:
    """Expect a known kind of tokenizer, and a list of texts."""
    told, value = _MODEL in subject.metadata, subject.metadata.get(_TOKENS)
    kind = subject.metadata.text(_MODEL)
    if _TOKENS in subject.metadata and not told:
        yield Found(_MODEL, "the key is missing though there are tokens", _CONVERT)
    elif (
        not told
        and (subject.model.kind == "model" and subject.model.tensors)
        and has_name_map(subject.architecture)
    ):
        yield Found(
            _MODEL,
            "the key is missing: llama.cpp loads no model without it",
            'Convert again with the tokenizer; "none" is for models that need none.',
        )
    elif told and kind not in _MODELS:
        known, found = ", ".join(sorted(_MODELS)), preview(subject.metadata[_MODEL])
        yield Found(_MODEL, f"the key is {found}; llama.cpp knows {known}", _CONVERT)
    elif kind not in {None, "none", "no_vocab"} and _TOKENS not in subject.metadata:
        yield Found(_TOKENS, "the key is missing though there is a tokenizer", _CONVERT)
    if value is not None and not (isinstance(value, ArrayValue) and value.item_type == "string"):
        yield Found(_TOKENS, f"the key is {preview(value)}, expected a list of texts", _CONVERT)


@rule("token-lists", "error", "llama-vocab.cpp: 'invalid gguf type', 'Index out of array bounds'")
def token_lists(subject: Subject) -> Iterator[Found]:
    """Expect scores and types for as many tokens as there are."""
    tokens = subject.metadata.get(_TOKENS)
    if not isinstance(tokens, ArrayValue):
        return
    for name, kinds in (("scores", ("float32", "int32")), ("token_type", ("int32",))):
        key = f"tokenizer.ggml.{name}"
        value = subject.metadata.get(key)
        if value is None:
            continue
        if not isinstance(value, ArrayValue) or value.item_type not in kinds:
            due = " or ".join(kinds)
            yield Found(key, f"the key is {preview(value)}, expected a list of {due}", _CONVERT)
        elif len(value) != len(tokens):
            yield Found(
                key,
                f"it has {len(value):,} items, but there are {len(tokens):,} tokens",
                _CONVERT,
                None if len(value) < len(tokens) else "warning",  # more are not read
            )
    types = _types(subject, len(tokens))
    if types is not None:
        odd = np.flatnonzero((types < 0) | (types > max(TokenType)))
        if odd.size:
            at = int(odd[0])
            yield Found(
                "tokenizer.ggml.token_type",
                f"{counted(odd.size, 'types are')} not among 0 to {max(TokenType)}, the first is "
                f"{int(types[at])} at {at:,}",
                _CONVERT,
                "warning",
            )


@rule("duplicate-token", "error", "llama-vocab.cpp asserts that no two tokens have one text")
def duplicate_token(subject: Subject) -> Iterator[Found]:
    """Expect a different text for every token."""
    value = subject.metadata.get(_TOKENS)
    if not hasattr(value, "encoded"):
        return
    first: dict[bytes, int] = {}
    count, example = 0, ""
    for index, token in enumerate(value.encoded()):
        # An empty token is given a name by llama.cpp.
        if token and first.setdefault(token, index) != index:
            count += 1
            example = example or f"{quoted(decode(token))} is {first[token]:,} and {index:,}"
    if count:
        yield Found(
            _TOKENS,
            f"{counted(count, 'tokens have')} a text that an earlier one has: {example}",
            _CONVERT,
        )


@rule("merges", "error", "llama-vocab.cpp: 'cannot find tokenizer merges in model file'")
def merges(subject: Subject) -> Iterator[Found]:
    """Expect merges for a byte-level BPE, each of two tokens that make up a third."""
    tokens, key = _tokens(subject), "tokenizer.ggml.merges"
    if tokens is None or subject.metadata.text(_MODEL) not in {"gpt2", "gemma4"}:
        return
    value = subject.metadata.get(key)
    if not isinstance(value, ArrayValue) or value.item_type != "string":
        found = "is missing" if value is None else f"is {preview(value)}"
        yield Found(key, f"the key {found}: without merges a BPE cannot join letters", _CONVERT)
        return
    known, count, example = {*tokens}, 0, ""
    for text in value:
        cut = text.find(" ", 1)
        left, right = text[:cut], text[cut + 1 :]
        if cut < 0 or left not in known or right not in known or left + right not in known:
            count += 1
            example = example or quoted(text)
    if count:
        yield Found(
            key,
            f"{count:,} of {len(value):,} merges are not of two tokens that make up a third, the "
            f"first is {example}",
            _CONVERT,
            "warning",
        )


@rule("special-ids", "warning", "llama-vocab.cpp: 'bad special token', the default is used")
def special_ids(subject: Subject) -> Iterator[Found]:
    """Expect the ids of special tokens to be ids of tokens."""
    tokens = subject.metadata.get(_TOKENS)
    if not isinstance(tokens, ArrayValue):
        return
    for key in subject.metadata:
        if not _ID.fullmatch(key):
            continue
        number = subject.metadata.integer(key)
        if number is None or not 0 <= number < len(tokens):
            yield Found(
                key,
                f"the key is {preview(subject.metadata[key])}; there are {len(tokens):,} tokens",
                _CONVERT,
            )


@rule("end-token", "warning", "without a token that ends the text a model does not stop")
def end_token(subject: Subject) -> Iterator[Found]:
    """Expect a token that ends a text, and one for the beginning if texts are to begin with it."""
    if not has_tokenizer(subject.metadata) or subject.model.kind not in {"model", "vocabulary"}:
        return
    kind = subject.metadata.text(_MODEL)
    has = {name: f"tokenizer.ggml.{name}_token_id" in subject.metadata for name in ("bos", "eos")}
    if not (has["eos"] or kind in {"bert", "t5", "llama"}):
        yield Found(
            "tokenizer.ggml.eos_token_id",
            "the key is missing: llama.cpp takes token 11, which is Falcon's",
            _CONVERT,
        )
    add = subject.metadata.get("tokenizer.ggml.add_bos_token")
    if add is True and not (has["bos"] or kind in {"bert", "llama"}):
        yield Found(
            "tokenizer.ggml.bos_token_id",
            "the key is missing, but tokenizer.ggml.add_bos_token is true",
            _CONVERT,
        )


@rule("special-type", "warning", "llama-vocab.cpp: 'control-looking token is not control-type'")
def special_type(subject: Subject) -> Iterator[Found]:
    """Expect tokens that end a turn to be special ones."""
    tokens = _tokens(subject)
    types = None if tokens is None else _types(subject, len(tokens))
    if tokens is None or types is None:
        return
    special = {TokenType.CONTROL, TokenType.USER_DEFINED}
    odd = [t for i, t in enumerate(tokens) if t in _ENDS and int(types[i]) not in special]
    if odd:
        yield Found(
            "tokenizer.ggml.token_type",
            f"{examples(odd)} should end a text or a turn, but {'is' if len(odd) == 1 else 'are'} "
            "no control token: llama.cpp warns and makes it one, other programs cut it into pieces",
            _CONVERT,
        )


@rule("pre-tokenizer", "warning", "llama-vocab.cpp: 'missing pre-tokenizer type'")
def pre_tokenizer(subject: Subject) -> Iterator[Found]:
    """Expect a byte-level BPE to say how text is cut into words."""
    if not has_tokenizer(subject.metadata):
        return
    if subject.metadata.text(_MODEL) != "gpt2":
        return
    key = "tokenizer.ggml.pre"
    value = subject.metadata.get(key)
    if value is None:
        yield Found(
            key,
            "the key is missing: llama.cpp cuts text by its default, and tokens differ from those "
            "that the model was trained on",
            _CONVERT,
        )
    elif isinstance(value, str) and value not in PRE_TOKENIZERS:
        yield Found(
            key,
            f"the key is {preview(value)}, which is not known here; an older llama.cpp refuses it",
            severity="note",
        )
