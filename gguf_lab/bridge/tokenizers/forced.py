"""Types that llama.cpp gives tokens by their names, whatever a file says.

The facts are those of `llama_vocab::impl::load` in llama.cpp's `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .token_types import TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["forced_types"]

# What ends a reply is a control token.
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
# gpt-oss: these are always shown.
_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


def forced_types(
    metadata: Mapping[str, object], tokens: Sequence[str], types: Sequence[int]
) -> list[int]:
    """Return the types as llama.cpp has them."""
    names = [*_ENDS, *_SHOWN, *(name for group in _GAPS.values() for name in group)]
    wanted = {*names}
    places = {token: place for place, token in enumerate(tokens) if token in wanted}
    result = list(types)
    for name in _ENDS:
        _set(result, places, name, TokenType.CONTROL)
    for kind, group in _GAPS.items():
        keys = [f"tokenizer.ggml.{kind}_token_id", f"tokenizer.ggml.{_OLD.get(kind)}_token_id"]
        if not any(key in metadata for key in keys):
            for name in group:
                _set(result, places, name, TokenType.CONTROL)
    for name in _SHOWN:
        _set(result, places, name, TokenType.USER_DEFINED)
    calls = "<|call|>" in places or "<|calls|>" in places
    if calls and ("<|flush|>" in places or "<|return|>" in places):
        _set(result, places, "<|end|>", TokenType.USER_DEFINED)
    if "<|tool_response>" in places:  # gemma 4 has a word of this form
        _set(result, places, "</s>", TokenType.NORMAL)
    return result


def _set(types: list[int], places: Mapping[str, int], name: str, kind: TokenType) -> None:
    if name in places:
        types[places[name]] = kind
