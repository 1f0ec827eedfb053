"""minimax-m2.

Facts: llama.cpp's converter, class ``MiniMaxM2Model``. It writes how experts are chosen only if
``config.json`` says so (``scoring_func``); what Transformers saves does not, and llama.cpp stops at
such a file. The class knows one way, the sigmoid: we write that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import base, implied
from .config_side import real
from .family import Family, Pair, Rule
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["MINIMAX_M2"]

_SIGMOID = 2


def _turned(config: ConfigSide) -> Mapping[str, object]:
    if config.find("rotary_dim") is not None:
        return {"rope.dimension_count": config.count("rotary_dim")}
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 1.0))
    return {"rope.dimension_count": int(config.head_size() * part)}


def _turned_to_config(file: FileSide) -> Mapping[str, object]:
    return {"rotary_dim": file.count("rope.dimension_count", file.head_size())}


def _gate(config: ConfigSide) -> Mapping[str, object]:
    return {} if config.find("scoring_func") else {"expert_gating_func": _SIGMOID}


def _gate_to_config(file: FileSide) -> Mapping[str, object]:
    if file.count("expert_gating_func", _SIGMOID) != _SIGMOID:
        raise file.unsupported("its experts aren't chosen by the sigmoid")
    return {"scoring_func": "sigmoid"}


MINIMAX_M2 = Family(
    architectures=("minimax-m2",),
    classes={"minimax_m2": "MiniMaxM2ForCausalLM"},
    lines=base(
        Rule(Pair("expert_feed_forward_length", ("intermediate_size",), needed=True).to_file),
        Rule(_turned, _turned_to_config),
        Rule(_gate, _gate_to_config),
        *implied(hidden_act="silu"),
        rope=PARTIAL_ROPE,
    ),
)
