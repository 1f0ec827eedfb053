"""llama and what llama.cpp calls llama: mistral and mixtral too (``general.architecture`` "llama").

Facts: llama.cpp's converter, class ``LlamaModel``.
"""

from __future__ import annotations

from .common import FUSED_EXPERTS, LEFT_OUT, ROPE_FREQS, ROTARY_ROWS, SPELLINGS
from .family import Family, Spelling, stacked

__all__ = ["LLAMA"]

LLAMA = Family(
    architectures=("llama",),
    model_types=("llama", "mistral", "mixtral"),
    spellings=(*SPELLINGS, Spelling("text_model.", "", "anywhere")),
    left_out=LEFT_OUT,
    rows=(
        # Only names of Transformers: Meta's own (layers.0.attention.wq) are in pairs already.
        *ROTARY_ROWS,
        # mixtral
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w1.weight",
            to="layers.{layer}.feed_forward.experts.w1.weight",
        ),
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w2.weight",
            to="layers.{layer}.feed_forward.experts.w2.weight",
        ),
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w3.weight",
            to="layers.{layer}.feed_forward.experts.w3.weight",
        ),
        *FUSED_EXPERTS,
    ),
    made_up=(ROPE_FREQS,),
)
