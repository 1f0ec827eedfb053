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
_PRE = "tokenizer.ggml.pre"
_ID = re.compile(r"tokenizer\.ggml\.[a-z_]+_token_id")
_FALCONS = 11
# What llama.cpp takes for the beginning and the end of a text where no key says; None: nothing.
_DEFAULTS: dict[str, tuple[int | None, int | None]] = {
    **dict.fromkeys(("llama", "plamo2"), (1, 2)),
    "bert": (101, None),
    "t5": (None, 1),
    **dict.fromkeys(("gpt2", "hybriddna", "whitespace"), (_FALCONS, _FALCONS)),
    **dict.fromkeys(("gemma4", "rwkv", "test"), (None, None)),
}
_MODELS = frozenset((*_DEFAULTS, "none", "no_vocab"))
_NO_BEGINNING = frozenset(("chatglm-bpe", "glm4", "glm5"))  # pre-tokenizers without that default
_NEVER_BEGUN = frozenset(("plamo2", "rwkv", "test"))  # whatever the keys say
_BPE = frozenset(("gpt2", "hybriddna", "whitespace"))  # gemma4 has a pre-tokenizer of its own
_PRE_TOKENIZERS = frozenset((*PRE_TOKENIZERS, "whitespace"))  # the last is not made here
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
    """Expect merges for a BPE, each of two tokens that make up a third."""
    tokens, key = _tokens(subject), "tokenizer.ggml.merges"
    kind = subject.metadata.text(_MODEL)
    if tokens is None or kind not in _BPE | {"gemma4"}:
        return
    value = subject.metadata.get(key)
    if value is None and kind in _BPE and subject.metadata.text(_PRE) == "kimi-k2":
        return  # llama.cpp loads it without
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
    if kind not in _DEFAULTS:
        return
    bos, eos = _DEFAULTS[kind]
    falcons = f"llama.cpp takes token {_FALCONS}, which is Falcon's"
    key = "tokenizer.ggml.eos_token_id"
    if key not in subject.metadata and eos in {None, _FALCONS} and kind != "bert":
        instead = falcons if eos else "llama.cpp takes none in its place"
        yield Found(key, f"the key is missing: {instead}", _CONVERT)
    key, add = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token"
    begun = subject.metadata.get(add) is True or kind == "gemma4"
    if key in subject.metadata or not begun or kind in _NEVER_BEGUN:
        return
    why = "gemma4 begins every text with it" if kind == "gemma4" else f"{add} is true"
    if bos is None or (kind in _BPE and subject.metadata.text(_PRE) in _NO_BEGINNING):
        what = f"the key is missing, but {why}: llama.cpp ends at the first text"
        yield Found(key, what, _CONVERT, "error")
    elif bos == _FALCONS:
        yield Found(key, f"the key is missing, but {why}: {falcons}", _CONVERT)


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


@rule(
    "pre-tokenizer",
    "error",
    "llama-vocab.cpp: 'unknown pre-tokenizer type', 'missing pre-tokenizer type'",
)
def pre_tokenizer(subject: Subject) -> Iterator[Found]:
    """Expect a BPE to say how text is cut into words, in a way that llama.cpp has."""
    if not has_tokenizer(subject.metadata) or subject.metadata.text(_MODEL) not in _BPE:
        return
    value = subject.metadata.get(_PRE)
    if value is None or value == "":
        yield Found(
            _PRE,
            f"the key is {'missing' if value is None else 'empty'}: llama.cpp cuts text by its "
            "default, and tokens differ from those that the model was trained on",
            _CONVERT,
            "warning",
        )
    elif isinstance(value, str) and value not in _PRE_TOKENIZERS:
        yield Found(
            _PRE,
            f"the key is {preview(value)}: the llama.cpp that is known here has no such "
            "pre-tokenizer, and refuses the file",
            "Convert the tokenizer again, or run the model with a newer llama.cpp.",
        )
