"""qwen2 and qwen3, dense and with experts.

Facts: llama.cpp's converter, classes ``Qwen2Model``, ``Qwen2MoeModel``, ``Qwen3Model``,
``Qwen3MoeModel``, ``Qwen2VLModel``, ``Qwen3VLTextModel``, ``Qwen3VLMoeTextModel`` and
``RND1Model``. The rotary halves of Q and K stay as they are. Those with linear attention are in
`qwen_linear`.
"""

from __future__ import annotations

from dataclasses import replace

from ..facts import WIDTH, Quantity
from .common import EXPERTS, FUSED_EXPERTS, LEFT_OUT, SPELLINGS, lying_experts
from .family import Family, Spelling

__all__ = ["QWEN2", "QWEN2MOE", "QWEN2VL", "QWEN3", "QWEN3MOE", "QWEN3VL", "QWEN3VLMOE", "RND1"]

QWEN2 = Family(
    architectures=("qwen2",), model_types=("qwen2",), spellings=SPELLINGS, left_out=LEFT_OUT
)

QWEN2MOE = Family(
    architectures=("qwen2moe",),
    model_types=("qwen2_moe",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(*EXPERTS, *FUSED_EXPERTS),
)

QWEN3 = Family(
    architectures=("qwen3",), model_types=("qwen3",), spellings=SPELLINGS, left_out=LEFT_OUT
)

QWEN3MOE = Family(
    architectures=("qwen3moe",),
    model_types=("qwen3_moe",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(*EXPERTS, *FUSED_EXPERTS),
)

# qwen3moe that looks in both directions, and fills in what is masked
RND1 = replace(QWEN3MOE, architectures=("rnd1",), model_types=("rnd1",))

_OMNI = (Spelling("thinker.", "", "anywhere"), *SPELLINGS)

QWEN2VL = Family(
    architectures=("qwen2vl",),
    model_types=("qwen2_vl", "qwen2_5_vl"),
    spellings=_OMNI,
    left_out=LEFT_OUT,
)

QWEN3VL = replace(QWEN2VL, architectures=("qwen3vl",), model_types=("qwen3_vl",))

_WIDTH_OF_EXPERTS = Quantity(
    "width of an expert", "expert_feed_forward_length", ("moe_intermediate_size",)
)


QWEN3VLMOE = replace(
    QWEN2VL,
    architectures=("qwen3vlmoe",),
    model_types=("qwen3_vl_moe",),
    # as they were published, on their sides, or as Transformers 5 saves them
    rows=(*EXPERTS, *lying_experts("mlp.experts", (WIDTH, _WIDTH_OF_EXPERTS))),
)
