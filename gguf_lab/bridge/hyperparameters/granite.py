"""granite, dense and with experts: llama with four numbers to multiply by.

Facts: llama.cpp's converter, classes ``GraniteModel`` and ``GraniteMoeModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import VOCABULARY, base, biased, implied
from .config_side import real
from .family import Family, Pair, Rule
from .rope import llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .family import Line
    from .file_side import FileSide

__all__ = ["GRANITE", "GRANITEMOE"]

_SCALES = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


def _scales_to_file(config: ConfigSide) -> Mapping[str, object]:
    # zero is as good as none
    found = {key: config.find(name) for key, name in _SCALES.items()}
    return {key: real(config, _SCALES[key], value) for key, value in found.items() if value}


def _scales_to_config(file: FileSide) -> Mapping[str, object]:
    absent = {"attention.scale": file.head_size() ** -0.5}
    # a zero means that nothing is multiplied, in the file and to llama.cpp
    read = {key: file.number(key, 0.0) or absent.get(key, 1.0) for key in _SCALES}
    return {_SCALES[key]: value for key, value in read.items()}


def _whole_head(config: ConfigSide) -> Mapping[str, object]:
    return {"rope.dimension_count": config.count("hidden_size") // config.heads()}


_SHARED: tuple[Line, ...] = (
    VOCABULARY,
    Rule(_whole_head),
    Rule(_scales_to_file, _scales_to_config),
    biased("attention_bias", "blk.*.attn_q.bias"),
    *implied(hidden_act="silu"),
)
# head_dim is neither written nor read
_NO_HEAD_DIM = Rule()

GRANITE = Family(
    architectures=("granite",),
    classes={"granite": "GraniteForCausalLM"},
    lines=base(*_SHARED, biased("mlp_bias", "blk.*.ffn_down.bias"), head_dim=_NO_HEAD_DIM),
    factors=llama3_tensor,
)


def _model_type(file: FileSide) -> str:
    key = "expert_shared_feed_forward_length"
    return "granitemoeshared" if file.count(key, 0) else "granitemoe"


def _shared_width(config: ConfigSide) -> Mapping[str, object]:
    width = config.find("shared_intermediate_size")
    return {"expert_shared_feed_forward_length": width} if width else {}


GRANITEMOE = Family(
    architectures=("granitemoe",),
    classes={
        "granitemoe": "GraniteMoeForCausalLM",
        "granitemoeshared": "GraniteMoeSharedForCausalLM",
    },
    model_type=_model_type,
    lines=base(
        *_SHARED,
        Rule(
            _shared_width,
            Pair("expert_shared_feed_forward_length", ("shared_intermediate_size",)).to_config,
        ),
        head_dim=_NO_HEAD_DIM,
    ),
    factors=llama3_tensor,
)
