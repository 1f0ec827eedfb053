"""qwen2 and qwen3, dense and with experts.

Facts: llama.cpp's converter, classes ``Qwen2Model``, ``Qwen2MoeModel``, ``Qwen3Model`` and
``Qwen3MoeModel``. No sliding window is written, and every layer sees all. llama.cpp has experts
in every layer. It normalizes the weights of the chosen experts in qwen3moe, and not in qwen2moe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import OPTIONAL_HEAD_DIM, base, biased, implied, slides
from .family import Family, Implied, Line, Pair, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .file_side import FileSide

__all__ = ["EXPERTS", "EXPERTS_EVERYWHERE", "QWEN2", "QWEN2MOE", "QWEN3", "QWEN3MOE"]


_BUILT_IN = (
    *implied(hidden_act="silu", use_sliding_window=False, sliding_window=None),
    Implied("layer_types", "full_attention everywhere", when=slides),
)

QWEN2 = Family(
    architectures=("qwen2",),
    classes={"qwen2": "Qwen2ForCausalLM"},
    lines=base(*_BUILT_IN, head_dim=OPTIONAL_HEAD_DIM),
)

QWEN3 = Family(
    architectures=("qwen3",),
    classes={"qwen3": "Qwen3ForCausalLM"},
    lines=base(*_BUILT_IN, biased("attention_bias", "blk.*.attn_q.bias")),
)


def _width_of_experts(file: FileSide) -> Mapping[str, object]:
    key = "expert_feed_forward_length"
    if file.has(key):
        return {"moe_intermediate_size": file.count(key, least=1)}
    # old files are silent, as llama.cpp: dense width over the experts that are used
    used = file.count("expert_used_count", least=1)
    return {"moe_intermediate_size": file.count("feed_forward_length") // used}


_WIDTH_OF_EXPERTS = Rule(
    Pair("expert_feed_forward_length", ("moe_intermediate_size",)).to_file, _width_of_experts
)
_SHARED = Pair("expert_shared_feed_forward_length", ("shared_expert_intermediate_size",))
_EVERYWHERE = implied(decoder_sparse_step=1, mlp_only_layers=[])

EXPERTS: tuple[Line, ...] = (_WIDTH_OF_EXPERTS, _SHARED)
EXPERTS_EVERYWHERE: tuple[Line, ...] = (*EXPERTS, *_EVERYWHERE)

QWEN2MOE = Family(
    architectures=("qwen2moe",),
    classes={"qwen2_moe": "Qwen2MoeForCausalLM"},
    lines=base(
        *_BUILT_IN,
        *EXPERTS_EVERYWHERE,
        *implied(norm_topk_prob=False),
        biased("qkv_bias", "blk.*.attn_q.bias"),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
    spelled={"num_local_experts": "num_experts"},
)

QWEN3MOE = Family(
    architectures=("qwen3moe",),
    classes={"qwen3_moe": "Qwen3MoeForCausalLM"},
    lines=base(
        *_BUILT_IN,
        _WIDTH_OF_EXPERTS,
        *_EVERYWHERE,
        *implied(norm_topk_prob=True),
        biased("attention_bias", "blk.*.attn_q.bias"),
    ),
    spelled={"num_local_experts": "num_experts"},
)
