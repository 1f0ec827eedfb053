"""lfm2, dense and with experts: attention in some layers, a short convolution in the others.

Facts: llama.cpp's converter, classes ``LFM2Model`` and ``LFM2MoeModel``.
"""

from __future__ import annotations

from ..transforms import Squeeze
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row, Spelling, stacked

__all__ = ["LFM2"]

LFM2 = Family(
    architectures=("lfm2", "lfm2moe"),
    model_types=("lfm2", "lfm2_moe"),
    spellings=(
        *SPELLINGS,
        Spelling("embedding_norm.", "model.embedding_norm."),
        Spelling(".expert_bias", ".expert_bias.bias", "end"),
    ),
    left_out=LEFT_OUT,
    rows=(
        Row("*conv.conv.weight", transform=Squeeze()),
        *(
            stacked(
                f"model.layers.{{layer}}.feed_forward.experts.{{index}}.{kind}.weight",
                to=f"layers.{{layer}}.feed_forward.experts.{kind}.weight",
            )
            for kind in ("w1", "w2", "w3")
        ),
    ),
)
