"""stablelm.

Facts: llama.cpp's converter, class ``StableLMModel``; its graph, where a layer without a second
norm has attention and feed forward side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import (
    CONTEXT,
    HEADS,
    KV_HEADS,
    LAYERS,
    WIDTH,
    WIDTH_INSIDE,
    biased,
    implied,
    other_base,
)
from .config_side import real
from .family import Family, Pair, Rule
from .file_side import REQUIRED
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["STABLELM"]


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor"))
    size = config.count("hidden_size") // config.heads()
    return {"rope.dimension_count": int(part * size)}


def _parallel_to_config(file: FileSide) -> Mapping[str, object]:
    return {"use_parallel_residual": not file.tensor("blk.*.ffn_norm.weight")}


STABLELM = Family(
    architectures=("stablelm",),
    classes={"stablelm": "StableLmForCausalLM"},
    lines=(
        CONTEXT,
        WIDTH,
        LAYERS,
        WIDTH_INSIDE,
        Rule(_turned, PARTIAL_ROPE.to_config),
        HEADS,
        KV_HEADS,
        Rule(
            Pair("use_parallel_residual", ("use_parallel_residual",), bool, needed=True).to_file,
            _parallel_to_config,
        ),
        Pair("attention.layer_norm_epsilon", ("layer_norm_eps",), float, True, REQUIRED),
        other_base(),
        biased("use_qkv_bias", "blk.*.attn_q.bias"),
        biased("qk_layernorm", "blk.*.attn_q_norm.weight"),
        *implied(hidden_act="silu"),
    ),
)
