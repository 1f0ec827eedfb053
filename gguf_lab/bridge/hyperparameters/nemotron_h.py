"""nemotron-h, dense and with experts: a layer is mamba2, attention or feed forward.

Facts: llama.cpp's converter, class ``NemotronHModel``, and the graph. What a layer is, is told by
its numbers of heads and of inner values: none of both is mamba2. Attention knows no positions.
Transformers lets no time step be shorter than ``time_step_min``; llama.cpp knows no such limit, of
which a warning tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import (
    HEAD_DIM,
    VOCABULARY,
    WIDTH,
    biased,
    heads_of_state,
    implied,
    without_predictors,
)
from .config_side import refuse
from .family import Family, Implied, Pair, Rule, Written
from .file_side import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["NEMOTRON_H"]

_KV_HEADS, _INNER = "attention.head_count_kv", "feed_forward_length"
_EXPERT_WIDTH = "expert_feed_forward_length"
_EPSILON, _RMS_EPSILON = "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"
_OLD_NAMES = {"mamba": "linear_attention", "attention": "full_attention"}


def _kinds(config: ConfigSide) -> list[str]:
    kinds = config.need("layers_block_type")
    if not isinstance(kinds, list | tuple):
        raise config.wrong("layers_block_type", kinds, "a list of names")
    return [_OLD_NAMES.get(str(kind), str(kind)) for kind in kinds]


def _has_experts(config: ConfigSide) -> bool:
    return "moe" in _kinds(config)


def _architecture(config: ConfigSide) -> str:
    return "nemotron_h_moe" if _has_experts(config) else "nemotron_h"


def _layers(config: ConfigSide) -> Mapping[str, object]:
    kinds = _kinds(config)
    if {"mlp", "moe"} <= {*kinds}:
        raise refuse("a nemotron_h of which some layers are dense and others have experts")
    for kind in ("linear_attention", "full_attention"):
        if kind not in kinds:
            raise refuse(f"a nemotron_h without {kind}: llama.cpp ends without both kinds")
    if any(name.startswith("mtp.") for name in config.names):
        raise refuse("a nemotron_h with layers that predict further tokens")
    heads = config.count("num_key_value_heads")
    inner = config.count("moe_intermediate_size" if "moe" in kinds else "intermediate_size")
    return {
        "block_count": len(kinds),
        _KV_HEADS: [heads if kind == "full_attention" else 0 for kind in kinds],
        _INNER: [inner if kind in {"mlp", "moe"} else 0 for kind in kinds],
    }


def _layers_to_config(file: FileSide) -> Mapping[str, object]:
    layers = without_predictors(file)
    heads, inner = (file.per_layer(key)[:layers] for key in (_KV_HEADS, _INNER))
    forward = "moe" if file.count("expert_count", 0) else "mlp"
    pairs = [*zip(heads, inner, strict=True)]
    kinds = [
        forward if wide else ("full_attention" if some else "linear_attention")
        for some, wide in pairs
    ]
    found: dict[str, object] = {"layers_block_type": kinds}
    sizes = {
        "num_key_value_heads": (_KV_HEADS, {some for some, wide in pairs if some and not wide}),
        "intermediate_size": (_INNER, {wide for _, wide in pairs if wide}),
    }
    for name, (key, values) in sizes.items():
        if len(values) > 1:
            raise file.unsupported(f"{file.name(key)} differs from layer to layer")
        if values:
            found[name] = values.pop()
    return found


def _mamba2(config: ConfigSide) -> Mapping[str, object]:
    heads = config.count("mamba_num_heads")
    return {
        "ssm.inner_size": heads * config.count("mamba_head_dim"),
        # no part of a head is turned; the converter writes what it would write of granite
        "rope.dimension_count": config.count("hidden_size") // config.heads(),
    }


def _mamba2_to_config(file: FileSide) -> Mapping[str, object]:
    return {"mamba_head_dim": heads_of_state(file)[1]}


def _epsilon_to_config(file: FileSide) -> Mapping[str, object]:
    key = _RMS_EPSILON if file.has(_RMS_EPSILON) else _EPSILON
    return {"layer_norm_epsilon": file.number(key)}


def _head_dim(config: ConfigSide) -> Mapping[str, object]:
    size = config.count("head_dim", "attention_head_dim")
    return {"attention.key_length": size, "attention.value_length": size}


_EXPERTS = (
    Pair("expert_count", ("n_routed_experts",), needed=True),
    Pair("expert_used_count", ("num_experts_per_tok",), needed=True),
    Pair("expert_group_count", ("n_group",), needed=True),
    Pair("expert_group_used_count", ("topk_group",)),
    Pair(_EXPERT_WIDTH, ("moe_intermediate_size",), needed=True),
    Pair(
        "expert_shared_feed_forward_length", ("moe_shared_expert_intermediate_size",), needed=True
    ),
    Pair("expert_shared_count", ("n_shared_experts",), needed=True),
    Pair("expert_weights_norm", ("norm_topk_prob",), bool, True, False),
    Pair("expert_weights_scale", ("routed_scaling_factor",), float, True, 1.0),
    Pair("moe_latent_size", ("moe_latent_size",)),
)


def _experts(config: ConfigSide) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for line in _EXPERTS if _has_experts(config) else ():
        found |= line.to_file(config)
    return found


def _experts_to_config(file: FileSide) -> Mapping[str, object]:
    if not file.count("expert_count", 0):
        return {}
    found: dict[str, object] = {}
    for line in _EXPERTS:
        found |= line.to_config(file)
    # as wide as all that are used together, in files without the key
    width = max(file.per_layer(_INNER)) // file.count("expert_used_count", least=1)
    return {"moe_intermediate_size": width, **found}


def _limits_time_steps(config: ConfigSide) -> bool:
    # nothing is added to a state by steps that are shorter than a float32 is precise
    return "time_step_min" in config.values and config.number("time_step_min") > 1e-7


NEMOTRON_H = Family(
    architectures=("nemotron_h", "nemotron_h_moe"),
    classes={"nemotron_h": "NemotronHForCausalLM"},
    architecture=_architecture,
    lines=(
        Written("context_length", 2**20),  # any length will do
        Rule(to_config=Pair("context_length", ("max_position_embeddings",)).to_config),
        WIDTH,
        VOCABULARY,
        Rule(_layers, _layers_to_config),
        Pair("attention.head_count", ("num_attention_heads",), needed=True, absent=REQUIRED),
        Rule(Pair(_EPSILON, ("layer_norm_epsilon",), float, True).to_file, _epsilon_to_config),
        Rule(Pair(_RMS_EPSILON, ("rms_norm_eps",), float).to_file),
        Pair("rope.freq_base", ("rope_theta",), float),  # some say it, and nobody asks for it
        Written("rope.scaling.finetuned", False),
        Pair("ssm.conv_kernel", ("conv_kernel",), needed=True, absent=REQUIRED),
        Pair("ssm.state_size", ("ssm_state_size",), needed=True, absent=REQUIRED),
        Pair("ssm.group_count", ("n_groups",), needed=True, absent=REQUIRED),
        Pair("ssm.time_step_rank", ("mamba_num_heads",), needed=True, absent=REQUIRED),
        Rule(_mamba2, _mamba2_to_config),
        Rule(_head_dim, HEAD_DIM.to_config),
        Rule(_experts, _experts_to_config),
        biased("mlp_bias", "blk.*.ffn_up.bias"),
        *implied(mamba_hidden_act="silu", mlp_hidden_act="relu2"),
        Implied("time_step_min", 0.0, when=_limits_time_steps),
    ),
)
