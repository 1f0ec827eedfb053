"""ernie 4.5, dense and with experts, and PaddleOCR-VL's language model, which is made like it.

Facts: llama.cpp's converter, classes ``Ernie4_5Model``, ``Ernie4_5MoeModel`` and
``PaddleOCRModel``, and the graphs.
For the width of the shared experts the converter writes that of a dense layer, divided by the heads
of keys and values. In the models published that is what it should be, the width of an expert times
the number of those that are shared, which we write: llama.cpp refuses a file with another number.
llama.cpp loads experts in every layer from the first one with experts on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import EXPERT_COUNT, OPTIONAL_HEAD_DIM, base, implied
from .config_side import refuse
from .family import Family, Implied, Pair, Rule, always
from .file_side import REQUIRED
from .mrope import SECTIONS, TEXT_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["ERNIE45", "ERNIE45MOE", "PADDLEOCR"]

_EXPERT, _SHARED = "expert_feed_forward_length", "expert_shared_feed_forward_length"
_STEP, _DENSE = "interleave_moe_layer_step", "leading_dense_block_count"


_PLAIN = implied(hidden_act="silu", use_bias=False)
_BUILT_IN = (TEXT_ONLY, *_PLAIN)

ERNIE45 = Family(
    architectures=("ernie4_5",),
    classes={"ernie4_5": "Ernie4_5ForCausalLM"},
    lines=base(*_BUILT_IN),
)

PADDLEOCR = Family(
    architectures=("paddleocr",),
    classes={"paddleocr_vl_text": "PaddleOCRTextModel"},
    also=("paddleocr_vl",),
    lines=base(*_PLAIN, SECTIONS),
)


def _layers_with_experts(config: ConfigSide) -> Mapping[str, object]:
    layers, step = config.layers(), config.count("moe_layer_interval")
    first, last = config.count("moe_layer_start_index"), config.find("moe_layer_end_index")
    if not step:
        raise config.wrong("moe_layer_interval", step, "at least 1")
    end = layers if last in (None, -1) else config.count("moe_layer_end_index") + 1
    if first < layers and (step > 1 or end < layers):
        raise refuse(
            f"experts in each {step}. layer from {first} to {end - 1} of {layers}: llama.cpp loads"
            " them only where every layer has some from the first one on"
        )
    return {_STEP: step, _DENSE: first}


def _layers_with_experts_to_config(file: FileSide) -> Mapping[str, object]:
    layers, step, first = file.layers(), file.count(_STEP, least=1), file.count(_DENSE, 0)
    if first < layers and step > 1:
        raise file.wrong(_STEP, "1, as llama.cpp loads experts in all layers")
    return {
        "moe_layer_interval": step,
        "moe_layer_start_index": first,
        "moe_layer_end_index": layers - 1,
    }


def _shared(config: ConfigSide) -> Mapping[str, object]:
    number = config.count("moe_num_shared_experts")
    width = number * config.count("moe_intermediate_size")
    return {"expert_shared_count": number, **({_SHARED: width} if number else {})}


def _shared_to_config(file: FileSide) -> Mapping[str, object]:
    width, expert = file.count(_SHARED, 0), file.count(_EXPERT, least=1)
    if width % expert:
        raise file.wrong(_SHARED, f"a multiple of {expert}, the width of an expert")
    return {"moe_num_shared_experts": width // expert}


ERNIE45MOE = Family(
    architectures=("ernie4_5-moe",),
    classes={"ernie4_5_moe": "Ernie4_5_MoeForCausalLM"},
    lines=base(
        Pair("expert_count", ("moe_num_experts",), needed=True, absent=REQUIRED),
        Pair("expert_used_count", ("moe_k",), needed=True, absent=REQUIRED),
        Rule(_layers_with_experts, _layers_with_experts_to_config),
        Pair(_EXPERT, ("moe_intermediate_size",), needed=True, absent=REQUIRED),
        Rule(_shared, _shared_to_config),
        Implied("moe_norm_min", 1e-12, when=always),
        *_BUILT_IN,
        expert_count=Rule(EXPERT_COUNT.to_file),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    without=("num_experts_per_tok",),
)
