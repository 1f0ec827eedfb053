"""lfm2, dense and with experts: attention in some layers, a short convolution in the others.

Facts: llama.cpp's converter, classes ``LFM2Model`` and ``LFM2MoeModel``.
"""

from __future__ import annotations

from dataclasses import replace

from ..transforms import Squeeze
from .common import LEFT_OUT, SPELLINGS, fused_experts
from .family import Family, Row, Spelling, stacked

__all__ = ["LFM2", "LFM2MOE"]

LFM2 = Family(
    architectures=("lfm2",),
    model_types=("lfm2",),
    spellings=(
        *SPELLINGS,
        Spelling("embedding_norm.", "model.embedding_norm."),
    ),
    left_out=LEFT_OUT,
    rows=(Row("*conv.conv.weight", transform=Squeeze()),),
)

LFM2MOE = replace(
    LFM2,
    architectures=("lfm2moe",),
    model_types=("lfm2_moe",),
    spellings=(*LFM2.spellings, Spelling(".expert_bias", ".expert_bias.bias", "end")),
    rows=(
        *LFM2.rows,
        *(
            stacked(
                f"model.layers.{{layer}}.feed_forward.experts.{{index}}.{kind}.weight",
                to=f"layers.{{layer}}.feed_forward.experts.{kind}.weight",
            )
            for kind in ("w1", "w2", "w3")
        ),
        *fused_experts("feed_forward.experts"),
    ),
)
