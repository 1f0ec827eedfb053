"""dbrx: the experts of a layer one below the other, down on its side.

Facts: llama.cpp's converter, class ``DbrxModel``.
"""

from __future__ import annotations

from .common import LEFT_OUT, split_and_transpose, split_experts
from .family import Family, Row

__all__ = ["DBRX"]

_MLP = "transformer.blocks.{layer}.ffn.experts.mlp"

DBRX = Family(
    architectures=("dbrx",),
    model_types=("dbrx",),
    left_out=LEFT_OUT,
    rows=(
        Row(f"{_MLP}.w1", "blk.{layer}.ffn_gate_exps.weight", split_experts),
        Row(f"{_MLP}.v1", "blk.{layer}.ffn_up_exps.weight", split_experts),
        Row(f"{_MLP}.w2", "blk.{layer}.ffn_down_exps.weight", split_and_transpose),
    ),
)
