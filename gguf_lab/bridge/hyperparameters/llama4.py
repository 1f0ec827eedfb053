"""llama 4, the text part.

Facts: llama.cpp's converter, class ``Llama4Model``, and the graph. No key tells which layers turn
their heads and which see a chunk of the context alone: all but every fourth, chunks of 8192. That
queries and keys are normalized is told by the number of experts, which is 128 where they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import VOCABULARY, base, biased, every, implied, sliding_of
from .config_side import counted, refuse
from .family import Family, Implied, Pair, Rule
from .file_side import REQUIRED
from .llama import WHOLE_HEAD
from .rope import llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["LLAMA4"]

_CHUNK = 8192  # of the context, and of the positions by which scores of attention grow
_EVERY = 4
_UNNORMED = 128  # experts
_STEP = "interleave_moe_layer_step"


def _kinds(chunked: list[bool]) -> list[str]:
    return ["chunked_attention" if item else "full_attention" for item in chunked]


def _attention(config: ConfigSide) -> Mapping[str, object]:
    due = every(_EVERY, config.layers())
    turned = config.need("no_rope_layers")  # 1 where they are turned
    if not isinstance(turned, list | tuple):
        raise config.wrong("no_rope_layers", turned, "a list of 0 and 1")
    if [*map(bool, turned)] != due or config.layer_types() != _kinds(due):
        raise refuse(
            "a llama4 in which not every fourth layer, and no other, sees the whole context and"
            " has no rotary positions: llama.cpp takes it to be so"
        )
    if config.layers() < _EVERY:
        raise refuse(f"a llama4 of {config.layers()} layers: llama.cpp ends without a fourth")
    return {}


def _attention_to_config(file: FileSide) -> Mapping[str, object]:
    if file.count("attention.sliding_window", _CHUNK) == 0:
        raise file.unsupported("no layer sees a chunk of the context alone")
    if file.number("rope.freq_base_swa", same := file.number("rope.freq_base", 10000.0)) != same:
        raise file.unsupported(f"{file.name('rope.freq_base_swa')} is another than that of others")
    return {
        "no_rope_layers": [int(item) for item in every(_EVERY, file.layers())],
        "layer_types": _kinds(sliding_of(file, _EVERY)),
        "use_qk_norm": file.count("expert_count") != _UNNORMED,
    }


def _with_experts(step: int, layers: int) -> list[int]:
    return [*range(step - 1, layers, step)] if step else []


def _experts(config: ConfigSide) -> Mapping[str, object]:
    step = config.count(_STEP)
    if not config.find("num_local_experts"):
        raise refuse("a llama4 without experts: llama.cpp has none")
    if config.need("moe_layers") != _with_experts(step, config.layers()):
        raise refuse(f"a llama4 with experts in other layers than {_STEP} says")
    return {_STEP: step}


def _experts_to_config(file: FileSide) -> Mapping[str, object]:
    step = file.count(_STEP)
    return {_STEP: step, "moe_layers": _with_experts(step, file.layers())}


def _is_long(config: ConfigSide) -> bool:
    return config.count("max_position_embeddings") >= _CHUNK


def _chunks_otherwise(config: ConfigSide) -> bool:
    length, size = config.count("max_position_embeddings"), config.find("attention_chunk_size")
    return length > min(counted(config, "attention_chunk_size", size or length), _CHUNK)


def _untuned(config: ConfigSide) -> bool:
    return _is_long(config) and not config.find("attn_temperature_tuning")


def _normed(config: ConfigSide) -> bool:
    return bool(config.find("num_local_experts") != _UNNORMED)


def _unnormed(config: ConfigSide) -> bool:
    return not _normed(config)


LLAMA4 = Family(
    architectures=("llama4",),
    classes={"llama4_text": "Llama4ForCausalLM"},
    also=("llama4",),
    lines=base(
        VOCABULARY,
        WHOLE_HEAD,
        Pair("expert_feed_forward_length", ("intermediate_size",), needed=True, absent=REQUIRED),
        Rule(_attention, _attention_to_config),
        Rule(_experts, _experts_to_config),
        biased("attention_bias", "blk.*.attn_q.bias"),
        *implied(hidden_act="silu"),
        Implied("use_qk_norm", True, when=_normed),
        Implied("use_qk_norm", False, when=_unnormed),
        Implied("attention_chunk_size", _CHUNK, when=_chunks_otherwise),
        Implied("attn_temperature_tuning", True, when=_untuned),
        Implied("floor_scale", _CHUNK, when=_is_long),
        Implied("attn_scale", 0.1, when=_is_long),
        width_inside=Pair(
            "feed_forward_length", ("intermediate_size_mlp",), needed=True, absent=REQUIRED
        ),
    ),
    factors=llama3_tensor,
)
