"""bloom, falcon and gpt-neox (pythia).

Facts: llama.cpp's converter, classes ``BloomModel``, ``FalconModel`` and ``GPTNeoXModel``; its
graphs, which know of bloom only the norm before the residual, of falcon no biases, no ALiBi, and
attention and feed forward side by side, and of gpt-neox no layers without biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import CONTEXT, HEADS, LAYERS, WIDTH, WIDTH_INSIDE, implied, other_base
from .config_side import refuse
from .family import Family, Pair, Rule, Written
from .file_side import REQUIRED
from .rope import PARTIAL_ROPE, ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["BLOOM", "FALCON", "GPTNEOX"]

_EPSILON = Pair("attention.layer_norm_epsilon", ("layer_norm_epsilon",), float, True, REQUIRED)


def _four_times(config: ConfigSide) -> Mapping[str, object]:
    return {"feed_forward_length": 4 * config.count("hidden_size", "n_embed")}


def _bloom_sizes(config: ConfigSide) -> Mapping[str, object]:
    if config.find("apply_residual_connection_post_layernorm"):
        raise refuse("a bloom with apply_residual_connection_post_layernorm")
    length = config.find("seq_length")
    return {
        "context_length": config.count("hidden_size") if length is None else length,
        "attention.head_count_kv": config.heads(),
    }


def _seq_length(file: FileSide) -> Mapping[str, object]:
    length = file.count("context_length")
    return {} if length == file.count("embedding_length") else {"seq_length": length}


BLOOM = Family(
    architectures=("bloom",),
    classes={"bloom": "BloomForCausalLM"},
    lines=(
        Rule(_bloom_sizes, _seq_length),
        WIDTH,
        Rule(_four_times),
        LAYERS,
        Pair("attention.head_count", ("n_head",), needed=True, absent=REQUIRED),
        _EPSILON,
        *implied(apply_residual_connection_post_layernorm=False),
    ),
    spelled={"num_hidden_layers": "n_layer"},
)


def _falcon_heads(config: ConfigSide) -> Mapping[str, object]:
    for name, due in (("alibi", False), ("bias", False), ("parallel_attn", True)):
        if bool(config.find(name)) is not due and not config.find("new_decoder_architecture"):
            raise refuse(f"a falcon with {name}={not due}".lower())
        if name != "parallel_attn" and config.find(name):
            raise refuse(f"a falcon with {name}=true")
    # the class of the configuration says num_kv_heads also where one head is shared by all
    shared = config.find("multi_query") and not config.find("new_decoder_architecture")
    return {"attention.head_count_kv": 1 if shared else config.count("num_kv_heads", "n_head_kv")}


def _falcon_heads_to_config(file: FileSide) -> Mapping[str, object]:
    heads, groups = file.count("attention.head_count"), file.count("attention.head_count_kv", 1)
    two_norms = file.tensor("blk.*.attn_norm_2.weight")
    new = two_norms or groups not in {1, heads}
    return {
        "num_kv_heads": groups,
        "new_decoder_architecture": new,
        "num_ln_in_parallel_attn": (2 if two_norms else 1) if new else None,
        "multi_query": new or groups == 1,
        "ffn_hidden_size": file.shape("blk.0.ffn_up.weight")[0],
    }


FALCON = Family(
    architectures=("falcon",),
    classes={"falcon": "FalconForCausalLM"},
    lines=(
        Written("context_length", 2048),
        Rule(to_config=Pair("context_length", ("max_position_embeddings",)).to_config),
        Written("tensor_data_layout", "jploski"),
        WIDTH,
        Rule(_four_times),
        LAYERS,
        Pair(
            "attention.head_count",
            ("num_attention_heads", "n_head"),
            needed=True,
            absent=REQUIRED,
        ),
        Rule(_falcon_heads, _falcon_heads_to_config),
        _EPSILON,
        other_base(),
        Rule(to_config=ROPE.to_config),
        *implied(activation="gelu", alibi=False, bias=False, parallel_attn=True),
    ),
)


def _neox_turned(config: ConfigSide) -> Mapping[str, object]:
    # published configurations call it rotary_pct, which their class moves
    part = config.rope.get("partial_rotary_factor", 0.25)
    return {"rope.dimension_count": int(part * (config.count("hidden_size") // config.heads()))}


GPTNEOX = Family(
    architectures=("gptneox",),
    classes={"gpt_neox": "GPTNeoXForCausalLM"},
    lines=(
        CONTEXT,
        WIDTH,
        LAYERS,
        WIDTH_INSIDE,
        Rule(_neox_turned, PARTIAL_ROPE.to_config),
        HEADS,
        Pair("use_parallel_residual", ("use_parallel_residual",), bool, True, REQUIRED),
        Pair("attention.layer_norm_epsilon", ("layer_norm_eps",), float, True, REQUIRED),
        other_base(),
        *implied(hidden_act="gelu"),
    ),
)
