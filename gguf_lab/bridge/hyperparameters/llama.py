"""llama and what llama.cpp calls llama: mixtral, and mistral. And its kin: arcee, smollm3, apertus.

Facts: llama.cpp's converter, classes ``LlamaModel``, ``ArceeModel``, ``SmolLM3Model`` and
``ApertusModel`` (whose numbers of the activation are read elsewhere: in a checkpoint they are
tensors). A file
doesn't say which of the three it was. The graph is the same: mistral's sliding window isn't
written, every layer sees all, of which export warns. So a file without experts is a llama, where
that is said with no window, and one with experts a mixtral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UnsupportedError
from .common import OPTIONAL_HEAD_DIM, VOCABULARY, base, biased, implied, slides
from .family import Family, Implied, Rule
from .rope import llama3_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["APERTUS", "ARCEE", "LLAMA", "SMOLLM3", "WHOLE_HEAD"]


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
_SHARED = (VOCABULARY, WHOLE_HEAD, biased("attention_bias", "blk.*.attn_q.bias"))


def _can_slide(config: ConfigSide) -> bool:
    return bool(config.find("model_type") == "mixtral")


LLAMA = Family(
    architectures=("llama",),
    classes={"llama": "LlamaForCausalLM", "mixtral": "MixtralForCausalLM"},
    model_type=_model_type,
    factors=llama3_tensor,
    lines=base(
        *_SHARED,
        biased("mlp_bias", "blk.*.ffn_down.bias"),
        Implied("hidden_act", "silu"),
        Implied("sliding_window", None, when=_can_slide),
        Rule(to_config=_experts_to_config),
    ),
)

ARCEE = Family(
    architectures=("arcee",),
    classes={"arcee": "ArceeForCausalLM"},
    factors=llama3_tensor,
    lines=base(
        *_SHARED,
        *implied(hidden_act="relu2", mlp_bias=False),
    ),
)

APERTUS = Family(
    architectures=("apertus",),
    classes={"apertus": "ApertusForCausalLM"},
    factors=llama3_tensor,
    lines=base(*_SHARED, *implied(hidden_act="xielu"), head_dim=OPTIONAL_HEAD_DIM),
)

_UNTURNED = 4  # of so many layers llama.cpp does not rotate the last one


def _turned(config: ConfigSide) -> Mapping[str, object]:
    layers = config.layers()
    interval = config.find("no_rope_layer_interval")
    interval = _UNTURNED if interval is None else interval
    given = config.find("no_rope_layers")  # 1 where they are rotated
    due = [int((layer + 1) % _UNTURNED != 0) for layer in range(layers)]
    if (interval != _UNTURNED) if given is None else (given != due):
        raise UnsupportedError(
            "llama.cpp leaves every fourth layer of a smollm3 without rotary positions; config.json"
            f" says otherwise: no_rope_layers {given!r:.60}, no_rope_layer_interval"
            f" {interval!r:.20}"
        )
    return {}


SMOLLM3 = Family(
    architectures=("smollm3",),
    classes={"smollm3": "SmolLM3ForCausalLM"},
    factors=llama3_tensor,
    lines=base(
        *_SHARED,
        Rule(_turned),
        *implied(hidden_act="silu", mlp_bias=False, use_sliding_window=False, sliding_window=None),
        Implied("layer_types", "full_attention everywhere", when=slides),
        head_dim=OPTIONAL_HEAD_DIM,
    ),
)
