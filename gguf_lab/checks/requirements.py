"""Tensors without which llama.cpp does not load a model: those of every layer, and those outside.

Only what no setting makes optional is listed. Source: ``load_arch_tensors`` of the architectures
in llama.cpp (``src/models``), tensors that are created without the flag TENSOR_NOT_REQUIRED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["REQUIRED", "missing_tensors"]

_QKV = "attn_q|attn_qkv attn_k|attn_qkv attn_v|attn_qkv attn_output"
_GATED = "ffn_gate ffn_down ffn_up"
_EXPERTS = "ffn_gate_inp ffn_gate_exps|ffn_gate_up_exps ffn_up_exps|ffn_gate_up_exps ffn_down_exps"
_QK_NORM = "attn_q_norm attn_k_norm"
_MAYBE_EXPERTS = "ffn_gate|ffn_gate_inp ffn_down|ffn_down_exps ffn_up|ffn_up_exps"
_ENDS = "token_embd output_norm"
_BIASED = (
    "attn_norm attn_norm.bias attn_qkv attn_qkv.bias attn_output attn_output.bias ffn_norm "
    "ffn_norm.bias ffn_down ffn_down.bias ffn_up ffn_up.bias"
)
_LLAMA = f"attn_norm {_QKV} ffn_norm {_GATED}"
_GEMMA = f"{_LLAMA} post_attention_norm post_ffw_norm"

# Architecture: names outside of the layers, names in every layer. "a|b": one of them; without an
# ending it is a weight.
_TABLE: dict[str, tuple[str, str]] = {
    "llama": (_ENDS, f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}"),
    "qwen2": (_ENDS, _LLAMA),
    "qwen2moe": (_ENDS + " output", f"attn_norm {_QKV} ffn_norm {_EXPERTS}"),
    "qwen3": (_ENDS, f"{_LLAMA} {_QK_NORM}"),
    "qwen3moe": (_ENDS, f"attn_norm {_QKV} {_QK_NORM} ffn_norm {_EXPERTS}"),
    "phi2": (
        _ENDS + " output_norm.bias output output.bias",
        (
            f"attn_norm attn_norm.bias {_QKV} attn_output.bias ffn_down ffn_down.bias ffn_up "
            "ffn_up.bias"
        ),
    ),
    "phi3": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_down ffn_up"),
    "bloom": (_ENDS + " output_norm.bias token_embd_norm token_embd_norm.bias", _BIASED),
    "falcon": (
        _ENDS + " output_norm.bias",
        "attn_norm attn_norm.bias attn_qkv attn_output ffn_down ffn_up",
    ),
    "gpt2": (_ENDS + " output_norm.bias position_embd", _BIASED),
    "starcoder": (_ENDS + " output_norm.bias position_embd", _BIASED),
    "starcoder2": (
        _ENDS + " output_norm.bias",
        (
            f"attn_norm attn_norm.bias {_QKV} attn_output.bias ffn_norm ffn_norm.bias ffn_down "
            "ffn_down.bias ffn_up"
        ),
    ),
    "stablelm": (
        _ENDS + " output_norm.bias output",
        f"attn_norm attn_norm.bias {_QKV} {_GATED}",
    ),
    "nemotron": (
        _ENDS + " output_norm.bias output",
        f"attn_norm attn_norm.bias {_QKV} ffn_norm ffn_norm.bias ffn_down ffn_up",
    ),
    "mamba": (
        _ENDS,
        (
            "attn_norm ssm_in ssm_conv1d ssm_conv1d.bias ssm_x ssm_dt ssm_dt.bias ssm_a. ssm_d. "
            "ssm_out"
        ),
    ),
    "gemma": (_ENDS, _LLAMA),
    "gemma2": (_ENDS, _GEMMA),
    "gemma3": (_ENDS, f"{_GEMMA} {_QK_NORM}"),
    "gemma4": (
        _ENDS,
        (
            "attn_norm attn_q|attn_qkv attn_output attn_q_norm post_attention_norm ffn_norm "
            "ffn_gate ffn_up ffn_down post_ffw_norm"
        ),
    ),
    "gpt-oss": (
        _ENDS + " output",
        (
            f"attn_norm {_QKV} attn_sinks post_attention_norm ffn_gate_inp ffn_gate_exps "
            "ffn_up_exps ffn_down_exps"
        ),
    ),
    "deepseek2": (_ENDS, "attn_norm attn_kv_a_mqa attn_kv_a_norm attn_output ffn_norm"),
    "lfm2": ("token_embd token_embd_norm|output_norm", "attn_norm ffn_norm ffn_down ffn_up"),
    "lfm2moe": ("token_embd token_embd_norm|output_norm", "attn_norm ffn_norm"),
    "olmo2": (
        _ENDS + " output",
        f"{_QKV} {_QK_NORM} post_attention_norm {_GATED} post_ffw_norm",
    ),
    "command-r": (_ENDS, f"attn_norm {_QKV} {_GATED}"),
    "cohere2": (_ENDS, f"attn_norm {_QKV} {_GATED}"),
    "granite": (_ENDS, _LLAMA),
    "granitemoe": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_gate_inp ffn_down_exps ffn_up_exps"),
    "exaone4": (_ENDS, f"{_QKV} {_QK_NORM} post_attention_norm {_GATED} post_ffw_norm"),
    "glm4": (
        _ENDS,
        f"attn_norm {_QKV} post_attention_norm ffn_norm ffn_down ffn_up post_ffw_norm",
    ),
    "minimax-m2": (_ENDS + " output", f"attn_norm {_QKV} {_QK_NORM} ffn_norm {_EXPERTS}"),
    "bert": (
        "token_embd token_embd_norm token_embd_norm.bias position_embd",
        (
            f"{_QKV} attn_output_norm attn_output_norm.bias ffn_down ffn_up layer_output_norm "
            "layer_output_norm.bias"
        ),
    ),
    "nomic-bert": (
        "token_embd token_embd_norm token_embd_norm.bias",
        f"{_QKV} attn_output_norm attn_output_norm.bias ffn_down ffn_up layer_output_norm",
    ),
}


def _names(words: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_full, word.split("|"))) for word in words.split())


def _full(name: str) -> str:
    if name.endswith("."):  # a name without an ending
        return name[:-1]
    return name if "." in name else f"{name}.weight"


REQUIRED = {
    architecture: (_names(outside), _names(layer))
    for architecture, (outside, layer) in _TABLE.items()
}
"""Architecture: what must be there outside of the layers, and in each; of a tuple one of them."""


def missing_tensors(
    architecture: str, names: Iterable[str], layers: Iterable[int]
) -> Iterator[tuple[str, ...]]:
    """Yield what is required and is not there, each with the names that would do."""
    there = set(names)
    outside, layer = REQUIRED.get(architecture, ((), ()))
    wanted = [*outside]
    wanted += [tuple(f"blk.{i}.{name}" for name in some) for i in layers for some in layer]
    yield from (some for some in wanted if there.isdisjoint(some))
