"""minimax-m2: experts stacked.

Facts: llama.cpp's converter, class ``MiniMaxM2Model``.
"""

from __future__ import annotations

from .common import FUSED_EXPERTS, LEFT_OUT, MIXTRAL_EXPERTS, SPELLINGS
from .family import Family, Row

__all__ = ["MINIMAX_M2"]

MINIMAX_M2 = Family(
    architectures=("minimax-m2",),
    model_types=("minimax_m2",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *MIXTRAL_EXPERTS,
        # as Transformers 5 holds them; the common spellings have ended the bias in ".bias"
        *FUSED_EXPERTS,
        Row("model.layers.{layer}.mlp.gate.weight", "blk.{layer}.ffn_gate_inp.weight"),
        Row("model.layers.{layer}.mlp.e_score_correction.bias", "blk.{layer}.exp_probs_b.bias"),
    ),
)
