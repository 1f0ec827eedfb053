"""minimax-m2 and minimax-m3: experts stacked.

Facts: llama.cpp's converter, classes ``MiniMaxM2Model`` and ``MiniMaxM3Model``.
"""

from __future__ import annotations

from ..transforms import Added
from .common import FUSED_EXPERTS, LEFT_OUT, MIXTRAL_EXPERTS, NORMS_PLUS_ONE, SPELLINGS
from .family import Family, Row

__all__ = ["MINIMAX_M2", "MINIMAX_M3"]

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

_ATTENTION = "model.layers.{layer}.self_attn"
_INDEXER = "blk.{layer}.indexer"

# every norm multiplies by 1 + weight, and an indexer chooses what is attended to
MINIMAX_M3 = Family(
    architectures=("minimax-m3",),
    model_types=("minimax_m3_vl",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *MIXTRAL_EXPERTS,
        *NORMS_PLUS_ONE,
        *(
            row
            for kind in ("q", "k")
            for row in (
                Row(f"{_ATTENTION}.index_{kind}_proj.weight", f"{_INDEXER}.{kind}_proj.weight"),
                Row(
                    f"{_ATTENTION}.index_{kind}_norm.weight",
                    f"{_INDEXER}.{kind}_norm.weight",
                    Added(1),
                ),
            )
        ),
    ),
    like="dots1",
)
