"""gpt2, and starcoder (``gpt_bigcode``), which came from it.

Facts: llama.cpp's converter, classes ``GPT2Model`` and ``StarCoderModel``. The width of the feed
forward is written as four times the hidden size, whatever ``n_inner`` says: the tensors tell it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import LAYERS, implied
from .config_side import ConfigSide, refuse
from .family import Family, Line, Pair, Rule, Written
from .file_side import REQUIRED, FileSide

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GPT2", "STARCODER"]


def _four_times(config: ConfigSide) -> Mapping[str, object]:
    return {"feed_forward_length": 4 * config.count("n_embd")}


def _inner(file: FileSide) -> Mapping[str, object]:
    rows = file.shape("blk.0.ffn_up.weight")[0]
    return {"n_inner": None if rows == 4 * file.count("embedding_length") else rows}


def _context(config: ConfigSide) -> Mapping[str, object]:
    # the converter asks for n_ctx, which Transformers no longer writes
    return {"context_length": config.count("n_ctx", "n_positions")}


def _one_head(config: ConfigSide) -> Mapping[str, object]:
    if config.find("multi_query") is False:
        raise refuse("a gpt_bigcode with multi_query=false: starcoder has one head of keys")
    return {}


_SIZES: tuple[Line, ...] = (
    LAYERS,
    Pair("embedding_length", ("n_embd",), needed=True, absent=REQUIRED),
    Rule(_four_times, _inner),
    Pair("attention.head_count", ("n_head",), needed=True, absent=REQUIRED),
    Pair(
        "attention.layer_norm_epsilon",
        ("layer_norm_epsilon",),
        float,
        needed=True,
        absent=REQUIRED,
    ),
)
_POSITIONS = Pair("context_length", ("n_positions",), needed=True, absent=REQUIRED)
_SPELLED = {"num_hidden_layers": "n_layer"}

GPT2 = Family(
    architectures=("gpt2",),
    classes={"gpt2": "GPT2LMHeadModel"},
    lines=(
        *_SIZES,
        Rule(_context, _POSITIONS.to_config),
        *implied(activation_function="gelu_new", scale_attn_by_inverse_layer_idx=False),
        *implied(scale_attn_weights=True),
    ),
    spelled=_SPELLED,
)

STARCODER = Family(
    architectures=("starcoder",),
    classes={"gpt_bigcode": "GPTBigCodeForCausalLM"},
    lines=(
        *_SIZES,
        _POSITIONS,
        Rule(_one_head),
        Written("attention.head_count_kv", 1),
        *implied(activation_function="gelu_pytorch_tanh", multi_query=True),
        *implied(scale_attn_weights=True),
    ),
    spelled=_SPELLED,
)
