"""What llama.cpp takes tokens for by their names, whatever a file says.

The facts are those of `llama_vocab::impl::load` in llama.cpp's `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .token_types import TokenType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ends_of", "forced_types"]

# What ends a reply; it is a control token.
_ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip
# So is what parts a text with a gap, unless a key names another.
_GAPS = {
    "fim_pre": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
        "<|code_prefix|>", "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
        "<|code_suffix|>", "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
        "<|code_middle|>", "<|middle|>",
    ),
    "fim_pad": (
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
    ),
    "fim_rep": (
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
    ),
    "fim_sep": (
        "<|file_sep|>",
    ),
}  # fmt: skip
_OLD = {"fim_pre": "prefix", "fim_suf": "suffix", "fim_mid": "middle"}
_END_TOO = ("fim_pad", "fim_rep", "fim_sep")
# gpt-oss: these are always shown.
_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


def forced_types(
    metadata: Mapping[str, object], tokens: Sequence[str], types: Sequence[int]
) -> list[int]:
    """Return the types as llama.cpp has them."""
    names = [*_ENDS, *_SHOWN, *(name for group in _GAPS.values() for name in group)]
    places = _places(tokens, names)
    result = list(types)
    for name in _ENDS:
        _set(result, places, name, TokenType.CONTROL)
    for kind, group in _GAPS.items():
        keys = [_key(kind), _key(_OLD.get(kind, kind))]
        if not any(key in metadata for key in keys):
            for name in group:
                _set(result, places, name, TokenType.CONTROL)
    for name in _SHOWN:
        _set(result, places, name, TokenType.USER_DEFINED)
    for name, taken in _no_ends(places).items():
        _set(result, places, name, taken)
    return result


def ends_of(metadata: Mapping[str, object], tokens: Sequence[str]) -> list[int]:
    """List the tokens that end a reply in llama.cpp: those that keys name, then those by name."""
    gaps = [kind for kind in _END_TOO if _key(kind) not in metadata]
    names = [*_ENDS, *(name for kind in gaps for name in _GAPS[kind])]
    places = _places(tokens, names)
    found = [metadata.get(_key(kind)) for kind in ("eos", "eot", "eom", *_END_TOO)]
    found += [places.get(name) for name in names]
    none = {places.get(name) for name in _no_ends(places)}
    return [t for t in dict.fromkeys(found) if type(t) is int and t >= 0 and t not in none]


def _no_ends(places: Mapping[str, int]) -> dict[str, TokenType]:
    """Say what names are that would be ends, but for others in the vocabulary."""
    found = {}
    calls = "<|call|>" in places or "<|calls|>" in places
    if calls and ("<|flush|>" in places or "<|return|>" in places):
        found["<|end|>"] = TokenType.USER_DEFINED
    if "<|tool_response>" in places:  # gemma 4 has a word of this form
        found["</s>"] = TokenType.NORMAL
    return found


def _places(tokens: Sequence[str], names: Iterable[str]) -> dict[str, int]:
    wanted = {*names}
    return {token: place for place, token in enumerate(tokens) if token in wanted}


def _key(kind: str) -> str:
    return f"tokenizer.ggml.{kind}_token_id"


def _set(types: list[int], places: Mapping[str, int], name: str, kind: TokenType) -> None:
    if name in places:
        types[places[name]] = kind
