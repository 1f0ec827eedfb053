"""qwen3-next and qwen3.5, dense and with experts: linear attention in most layers.

Facts: llama.cpp's converter, classes ``Qwen3NextModel``, ``Qwen3_5TextModel`` and
``Qwen3_5MoeTextModel``, and the graphs. A layer that predicts a further token counts among the
layers of a file; Transformers has none. llama.cpp takes heads of values to be as wide as those of
keys, and normalizes the weights of the chosen experts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .common import (
    PREDICTORS,
    WIDTH_INSIDE,
    base,
    biased,
    heads_of_state,
    implied,
    predictors,
    without_predictors,
)
from .config_side import real, refuse
from .family import Family, Line, Pair, Rule
from .file_side import REQUIRED
from .mrope import interleaved, with_sections
from .qwen import EXPERTS, EXPERTS_EVERYWHERE
from .rope import DIMENSION_SECTIONS, PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["QWEN3NEXT", "QWEN35", "QWEN35MOE"]

_RECURRENT, _INTERVAL = "attention.recurrent_layers", "full_attention_interval"


def _layers(config: ConfigSide) -> Mapping[str, object]:
    layers, more = config.layers(), predictors(config)
    linear = [kind == "linear_attention" for kind in config.layer_types()]
    if len({*linear}) == 1:
        raise refuse("linear attention in all layers or in none: llama.cpp ends without both kinds")
    recurrent = linear + [False] * more
    return {
        "block_count": layers + more,
        **({PREDICTORS: more} if more else {}),
        _RECURRENT: recurrent,
        _INTERVAL: config.find(_INTERVAL) or 4,
    }


def _layers_to_config(file: FileSide) -> Mapping[str, object]:
    layers = without_predictors(file)
    if file.has(_RECURRENT):
        linear = file.flags_per_layer(_RECURRENT)[:layers]
    else:
        interval = file.count(_INTERVAL, 4, least=1)
        linear = [index % interval < interval - 1 for index in range(layers)]
    kinds = ["linear_attention" if item else "full_attention" for item in linear]
    return {"num_hidden_layers": layers, "layer_types": kinds}


def _heads(config: ConfigSide) -> Mapping[str, object]:
    key, value = config.count("linear_key_head_dim"), config.count("linear_value_head_dim")
    if key != value:
        raise refuse(
            f"linear attention with heads of keys of {key} and of values of {value}: llama.cpp"
            " takes them to be alike"
        )
    return {"ssm.inner_size": value * config.count("linear_num_value_heads")}


def _heads_to_config(file: FileSide) -> Mapping[str, object]:
    return {"linear_value_head_dim": heads_of_state(file)[1]}


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 0.25))
    return {"rope.dimension_count": int(config.head_size() * part)}


_LINEAR: tuple[Line, ...] = (
    Rule(_layers, _layers_to_config),
    Pair("ssm.conv_kernel", ("linear_conv_kernel_dim",), needed=True, absent=REQUIRED),
    Pair("ssm.state_size", ("linear_key_head_dim",), needed=True, absent=REQUIRED),
    Pair("ssm.group_count", ("linear_num_key_heads",), needed=True, absent=REQUIRED),
    Pair("ssm.time_step_rank", ("linear_num_value_heads",), needed=True, absent=REQUIRED),
    Rule(_heads, _heads_to_config),
    Rule(_turned),
    *implied(hidden_act="silu"),
    biased("attention_bias", "blk.*.attn_q.bias"),
)

QWEN3NEXT = Family(
    architectures=("qwen3next",),
    classes={"qwen3_next": "Qwen3NextForCausalLM"},
    lines=base(*EXPERTS_EVERYWHERE, *_LINEAR, *implied(norm_topk_prob=True), rope=PARTIAL_ROPE),
    spelled={"num_local_experts": "num_experts"},
)


def _sections(config: ConfigSide) -> Mapping[str, object]:
    given = config.rope.get("mrope_section") or (11, 11, 10)  # as its class, and the converter
    return interleaved(config, given, cast("int", _turned(config)["rope.dimension_count"]))


def _sections_to_config(file: FileSide) -> Mapping[str, object]:
    if not file.has(DIMENSION_SECTIONS):
        return {}
    return with_sections(PARTIAL_ROPE, file, mrope_interleaved=True)


_IMAGES = Rule(_sections, _sections_to_config)

QWEN35 = Family(
    architectures=("qwen35",),
    classes={"qwen3_5_text": "Qwen3_5ForCausalLM"},
    also=("qwen3_5",),
    lines=base(*_LINEAR, _IMAGES, rope=PARTIAL_ROPE),
)

QWEN35MOE = Family(
    architectures=("qwen35moe",),
    classes={"qwen3_5_moe_text": "Qwen3_5MoeForCausalLM"},
    also=("qwen3_5_moe",),
    lines=base(
        *EXPERTS,
        *_LINEAR,
        _IMAGES,
        rope=PARTIAL_ROPE,
        width_inside=Rule(WIDTH_INSIDE.to_file),  # no layer is dense
    ),
    spelled={"num_local_experts": "num_experts"},
)
