"""minimax-m2: experts stacked.

Facts: llama.cpp's converter, class ``MiniMaxM2Model``.
"""

from __future__ import annotations

from .common import FUSED_EXPERTS, LEFT_OUT, SPELLINGS
from .family import Family, Row, stacked

__all__ = ["MINIMAX_M2"]

MINIMAX_M2 = Family(
    architectures=("minimax-m2",),
    model_types=("minimax_m2",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *(
            stacked(
                f"model.layers.{{layer}}.block_sparse_moe.experts.{{index}}.{kind}.weight",
                to=f"model.layers.{{layer}}.block_sparse_moe.experts.{kind}.weight",
            )
            for kind in ("w1", "w2", "w3")
        ),
        # as Transformers 5 holds them; the common spellings have ended the bias in ".bias"
        *FUSED_EXPERTS,
        Row("model.layers.{layer}.mlp.gate.weight", "blk.{layer}.ffn_gate_inp.weight"),
        Row("model.layers.{layer}.mlp.e_score_correction.bias", "blk.{layer}.exp_probs_b.bias"),
    ),
)
