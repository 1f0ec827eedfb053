"""lfm2, dense and with experts: layers of short convolutions between layers of attention.

Facts: llama.cpp's converter, classes ``LFM2Model`` and ``LFM2MoeModel``. A layer without heads of
keys and values is one of convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import OPTIONAL_HEAD_DIM, VOCABULARY, WIDTH_INSIDE, base, biased, implied
from .config_side import finite, refuse
from .family import Family, Pair, Rule, Written
from .file_side import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["LFM2", "LFM2MOE"]

_KV = "attention.head_count_kv"


def _kv_heads(config: ConfigSide) -> Mapping[str, object]:
    number, convolutions = config.count("num_key_value_heads"), config.layer_types().count("conv")
    if not 0 < convolutions < config.layers():
        raise refuse("an lfm2 of one kind of layers: llama.cpp ends without both kinds")
    if config.count("conv_L_cache") < 2:
        raise refuse("an lfm2 with conv_L_cache of 1: llama.cpp makes no cache of nothing")
    return {_KV: [0 if kind == "conv" else number for kind in config.layer_types()]}


def _kv_heads_to_config(file: FileSide) -> Mapping[str, object]:
    heads = file.per_layer(_KV)
    numbers = {number for number in heads if number}
    if len(numbers) != 1:
        raise file.unsupported(f"{file.name(_KV)} has {len(numbers)} different numbers above zero")
    kinds = ["full_attention" if number else "conv" for number in heads]
    return {"num_key_value_heads": numbers.pop(), "layer_types": kinds}


def _width(config: ConfigSide) -> Mapping[str, object]:
    width = config.count("block_ff_dim", "intermediate_size")
    if config.find("block_auto_adjust_ff_dim"):
        width = 2 * width // 3
        if (factor := config.find("block_ffn_dim_multiplier")) is not None:
            width = int(finite(config, "block_ffn_dim_multiplier", factor) * width)
        multiple = config.count("block_multiple_of")
        if not multiple:
            raise config.wrong("block_multiple_of", multiple, "at least 1")
        width = multiple * ((width + multiple - 1) // multiple)
    return {"feed_forward_length": width}


def _width_to_config(file: FileSide) -> Mapping[str, object]:
    return {**WIDTH_INSIDE.to_config(file), "block_auto_adjust_ff_dim": False}


_CACHE = Pair("shortconv.l_cache", ("conv_L_cache",), needed=True, absent=REQUIRED)
_BIAS = biased("conv_bias", "blk.*.shortconv.conv.bias")
_RMS = {"rms_norm_eps": "norm_eps"}

LFM2 = Family(
    architectures=("lfm2",),
    classes={"lfm2": "Lfm2ForCausalLM"},
    lines=base(
        VOCABULARY,
        _CACHE,
        Rule(_width, _width_to_config),
        _BIAS,
        head_dim=OPTIONAL_HEAD_DIM,
        kv_heads=Rule(_kv_heads, _kv_heads_to_config),
    ),
    spelled=_RMS,
)

_SIGMOID = 2


def _corrections(config: ConfigSide) -> Mapping[str, object]:
    if config.find("use_expert_bias") is False:
        raise refuse("an lfm2_moe without use_expert_bias: llama.cpp loads none")
    return {}


def _gate_to_config(file: FileSide) -> Mapping[str, object]:
    if file.count("expert_gating_func") != _SIGMOID:
        raise file.unsupported("its experts aren't chosen by the sigmoid")
    return {}


LFM2MOE = Family(
    architectures=("lfm2moe",),
    classes={"lfm2_moe": "Lfm2MoeForCausalLM"},
    lines=base(
        Pair(
            "expert_feed_forward_length", ("moe_intermediate_size",), needed=True, absent=REQUIRED
        ),
        Pair("leading_dense_block_count", ("num_dense_layers",), needed=True, absent=0),
        Written("expert_gating_func", _SIGMOID),
        Rule(to_config=_gate_to_config),
        VOCABULARY,
        _CACHE,
        _BIAS,
        Rule(_corrections, biased("use_expert_bias", "blk.*.exp_probs_b.bias").to_config),
        *implied(norm_topk_prob=True, routed_scaling_factor=1.0),
        head_dim=OPTIONAL_HEAD_DIM,
        kv_heads=Rule(_kv_heads, _kv_heads_to_config),
    ),
    spelled={**_RMS, "num_local_experts": "num_experts"},
)
