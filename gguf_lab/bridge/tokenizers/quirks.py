"""What llama.cpp's converter does to the tokenizer of one family and to no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .source import Source

__all__ = ["NAMED", "adjust", "looks_special"]

# Families that go by `LlamaModel.set_vocab` of `conversion/llama.py`.
_LLAMA = frozenset(
    (
        *("llama", "mistral", "mistral3", "ministral3", "mixtral", "granite", "granitemoe"),
        "apertus",
    )
)

_BOS = "tokenizer.ggml.add_bos_token"
_PREFIX = "tokenizer.ggml.add_space_prefix"
_EOS = "tokenizer.ggml.eos_token_id"
_EOT = "tokenizer.ggml.eot_token_id"
_SEQUENCES = "tokenizer.ggml.token_type_count"


# Special tokens that a family names by their text, where nothing else names them.
NAMED = {
    "glm4": {
        "eos": "<|endoftext|>",
        "eot": "<|user|>",
        "unk": "<|endoftext|>",
        "bos": "<|endoftext|>",
    },
    "glm4_moe": {
        "bos": "[gMASK]",
        "eot": "<|user|>",
        "unk": "<|endoftext|>",
        "eom": "<|observation|>",
    },
}


def looks_special(token: str) -> bool:
    """Whether the converter takes an added token for special, whatever the tokenizer says.

    `ModelBase.does_token_look_special` of `conversion/base.py`.
    """
    return (
        token in {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}
        or (token.startswith("<|") and token.endswith("|>"))
        or (token.startswith("<｜") and token.endswith("｜>"))
        or (token.startswith("<unused") and token.endswith(">"))
    )


def adjust(found: dict[str, object], source: Source, count: int) -> dict[str, object]:
    """Return the keys with what the family adds or overrides, in the converter's order."""
    family = str(source.config.get("model_type"))
    if family in _LLAMA:
        return _llama(found, source, count)
    if family == "phi":
        return {_BOS: False} | found
    if family == "nemotron":
        return found | {"tokenizer.ggml.padding_token_id": 0, "tokenizer.ggml.unknown_token_id": 1}
    if family in {"ernie4_5", "ernie4_5_moe"}:
        return found | _prefix(source)
    if family == "hunyuan_v1_dense":
        return found | _hunyuan(found, source)
    if family == "roberta":
        return found | {_SEQUENCES: source.config.get("type_vocab_size", 1)}
    if family.startswith("gemma4"):
        return found | {_PREFIX: False, _BOS: True}
    if family.startswith("gemma"):
        more = {_EOT: 107} if family == "gemma" and count > 107 else {}
        return found | more | {_PREFIX: False}
    return found


def _prefix(source: Source) -> dict[str, object]:
    prefix = (source.settings or {}).get("add_prefix_space")
    return {_PREFIX: prefix} if isinstance(prefix, bool) else {}


def _hunyuan(found: dict[str, object], source: Source) -> dict[str, object]:
    # its class says 3 where config.json is silent; of several ends the first is that of a turn
    ends, several = source.config.get("eod_token_id", 3), source.generation.get("eos_token_id")
    # a tokenizer with another end than the model was published with has the last word
    told = source.config.get("eos_token_id")
    is_other = told is not None and found.get(_EOS) not in (told if type(told) is list else [told])
    more: dict[str, object] = {}
    if type(ends) is int and ends >= 0 and not is_other:
        more[_EOS] = ends
    if isinstance(several, list) and len(several) > 1 and type(several[0]) is int:
        more[_EOT] = several[0]
    return more


def _llama(found: dict[str, object], source: Source, count: int) -> dict[str, object]:
    found = _prefix(source) | found
    if count == 32016:  # CodeLlama
        found = found | {_EOT: 32010}
    if count == 49152:  # the small ones of granite
        found = found | {_BOS: False}
    return found
