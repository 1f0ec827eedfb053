"""minimax-m2: experts stacked.

Facts: llama.cpp's converter, class ``MiniMaxM2Model``.
"""

from __future__ import annotations

from .common import LEFT_OUT, SPELLINGS
from .family import Family, stacked

__all__ = ["MINIMAX_M2"]

MINIMAX_M2 = Family(
    architectures=("minimax-m2",),
    model_types=("minimax_m2",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=tuple(
        stacked(
            f"model.layers.{{layer}}.block_sparse_moe.experts.{{index}}.{kind}.weight",
            to=f"model.layers.{{layer}}.block_sparse_moe.experts.{kind}.weight",
        )
        for kind in ("w1", "w2", "w3")
    ),
)
