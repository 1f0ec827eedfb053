"""llama and what llama.cpp calls llama: mistral and mixtral too.

Facts: llama.cpp's converter, class ``LlamaModel``. A file doesn't say which of the three it was.
The graph is the same: mistral's sliding window isn't written, every layer sees all, of which export
warns. So a file without experts is a llama, where that is said with no window, and one with experts
a mixtral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import VOCABULARY, base, biased
from .family import Family, Implied, Rule
from .rope import llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["LLAMA", "WHOLE_HEAD"]


def _whole_head(config: ConfigSide) -> Mapping[str, object]:
    return {"rope.dimension_count": config.head_size()}


def _model_type(file: FileSide) -> str:
    return "mixtral" if file.count("expert_count", 0) else "llama"


def _experts_to_config(file: FileSide) -> Mapping[str, object]:
    if not (number := file.count("expert_count", 0)):
        return {}
    used = file.count("expert_used_count", least=1)
    return {"num_local_experts": number, "num_experts_per_tok": used, "sliding_window": None}


WHOLE_HEAD = Rule(_whole_head)


def _can_slide(config: ConfigSide) -> bool:
    return config.find("model_type") in {"mistral", "mixtral"}


LLAMA = Family(
    architectures=("llama",),
    classes={"llama": "LlamaForCausalLM", "mixtral": "MixtralForCausalLM"},
    also=("mistral",),
    model_type=_model_type,
    factors=llama3_tensor,
    lines=base(
        VOCABULARY,
        WHOLE_HEAD,
        biased("attention_bias", "blk.*.attn_q.bias"),
        biased("mlp_bias", "blk.*.ffn_down.bias"),
        Implied("hidden_act", "silu"),
        Implied("sliding_window", None, when=_can_slide),
        Rule(to_config=_experts_to_config),
    ),
)
