"""qwen2 and qwen3, dense and with experts.

Facts: llama.cpp's converter, classes ``Qwen2Model``, ``Qwen2MoeModel``, ``Qwen3Model`` and
``Qwen3MoeModel``. The rotary halves of Q and K stay as they are.
"""

from __future__ import annotations

from .common import EXPERTS, FUSED_EXPERTS, LEFT_OUT, SPELLINGS
from .family import Family

__all__ = ["QWEN2", "QWEN2MOE", "QWEN3", "QWEN3MOE"]

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
