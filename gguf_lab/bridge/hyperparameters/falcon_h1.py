"""falcon-h1: attention and mamba2 side by side in each layer.

Facts: llama.cpp's converter, class ``FalconH1Model``, and its graph. The multipliers of the
configuration are in the weights of a file, so that what is read of it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import (
    HEAD_DIM,
    SIZES,
    VOCABULARY,
    biased,
    heads_of_state,
    implied,
    limited,
)
from .config_side import real, refuse
from .family import Family, Implied, Pair, Rule
from .file_side import REQUIRED
from .rope import ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["FALCON_H1"]

_MULTIPLIERS: dict[str, float | list[float]] = {
    **dict.fromkeys(
        (
            *("attention_in_multiplier", "attention_out_multiplier", "key_multiplier"),
            *("ssm_in_multiplier", "ssm_out_multiplier", "embedding_multiplier"),
            "lm_head_multiplier",
        ),
        1.0,
    ),
    "mlp_multipliers": [1.0] * 2,
    "ssm_multipliers": [1.0] * 5,
}


def _multiplied(config: ConfigSide) -> Mapping[str, object]:
    if config.find("tie_word_embeddings") and config.find("embedding_multiplier") != config.find(
        "lm_head_multiplier"
    ):
        raise refuse(
            "a falcon-h1 that is tied, with another lm_head_multiplier than embedding_multiplier:"
            " llama.cpp has neither, and one matrix"
        )
    if config.find("attention_bias"):
        raise refuse("a falcon-h1 with attention_bias: llama.cpp adds three of the four")
    if config.find("mlp_bias") and [*config.need("mlp_multipliers")] != [1.0, 1.0]:
        raise refuse("a falcon-h1 with mlp_bias and mlp_multipliers other than 1")
    return {}


def _multiplied_to_config(_: FileSide) -> Mapping[str, object]:
    return dict(_MULTIPLIERS)


def _sizes(config: ConfigSide) -> Mapping[str, object]:
    inner = config.find("mamba_d_ssm")
    if inner is None:
        inner = config.count("mamba_expand") * config.count("hidden_size")
    if config.find("mamba_conv_bias") is False:
        raise refuse("a falcon-h1 without mamba_conv_bias: llama.cpp ends without one")
    return {
        "ssm.conv_kernel": config.count("mamba_d_conv"),
        "ssm.inner_size": inner,
        "ssm.state_size": config.count("mamba_d_state"),
        "ssm.time_step_rank": config.count("mamba_n_heads"),
        "ssm.group_count": config.count("mamba_n_groups"),
        "attention.key_length": config.head_size(),
        "attention.value_length": config.head_size(),
    }


def _sizes_to_config(file: FileSide) -> Mapping[str, object]:
    heads, size = heads_of_state(file)
    return {
        "mamba_d_conv": file.count("ssm.conv_kernel", least=1),
        "mamba_d_ssm": heads * size,
        "mamba_d_state": file.count("ssm.state_size", least=1),
        "mamba_n_heads": heads,
        "mamba_d_head": size,
        "mamba_n_groups": file.count("ssm.group_count", least=1),
        **HEAD_DIM.to_config(file),
    }


def _base(config: ConfigSide) -> Mapping[str, object]:
    # no scaling is written
    return {"rope.freq_base": real(config, "rope_theta", config.rope.get("rope_theta", 10000.0))}


def _normed_first(config: ConfigSide) -> bool:
    return bool(config.find("mamba_rms_norm"))


FALCON_H1 = Family(
    architectures=("falcon-h1",),
    classes={"falcon_h1": "FalconH1ForCausalLM"},
    lines=(
        *SIZES,
        VOCABULARY,
        Rule(_base, ROPE.to_config),
        Pair("attention.layer_norm_rms_epsilon", ("rms_norm_eps",), float, True, REQUIRED),
        Rule(_sizes, _sizes_to_config),
        Rule(_multiplied, _multiplied_to_config),
        biased("mamba_rms_norm", "blk.*.ssm_norm.weight"),
        # the norm is of what is gated already
        Rule(to_config=lambda _: {"mamba_norm_before_gate": False}),
        Implied("mamba_norm_before_gate", False, when=_normed_first),
        Implied("time_step_limit", "no limit", when=limited),
        biased("attention_bias", "blk.*.attn_q.bias"),
        biased("mlp_bias", "blk.*.ffn_down.bias"),
        *implied(hidden_act="silu"),
    ),
)
