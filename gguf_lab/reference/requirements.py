"""Tensors without which llama.cpp does not load a model, and biases with which it does not.

Of the former, only what no setting makes optional is listed. Source: ``load_arch_tensors`` of the
architectures in llama.cpp (``src/models``): tensors that are created without the flag
TENSOR_NOT_REQUIRED, and biases that Transformers can have and that are not created at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.names import split_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["REQUIRED", "missing_tensors", "unasked_biases"]

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
_NORMED = "attn_output_norm attn_output_norm.bias layer_output_norm"
_T5 = "attn_norm attn_q attn_k attn_v attn_o ffn_norm ffn_down ffn_up"
_T5_ENCODER = " ".join(f"enc.{name}" for name in _T5.split())
_T5_DECODER = " ".join(
    f"dec.{name}"
    for name in (
        f"{_T5} cross_attn_norm cross_attn_q cross_attn_k cross_attn_v cross_attn_o"
    ).split()
)
_LLAMA = f"attn_norm {_QKV} ffn_norm {_GATED}"
_LFM2_ENDS = "token_embd token_embd_norm|output_norm"
_LFM2 = (
    "attn_norm ffn_norm shortconv.conv|attn_q|attn_qkv shortconv.in_proj|attn_k|attn_qkv "
    "shortconv.out_proj|attn_output"
)
_GEMMA = f"{_LLAMA} post_attention_norm post_ffw_norm"

# Architecture: names outside of the layers, names in every layer. "a|b": one of them; without an
# ending it is a weight. "enc." and "dec." stand before "blk".
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
    "gemma-embedding": (_ENDS, f"{_GEMMA} {_QK_NORM}"),
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
            f"attn_norm {_QKV} attn_output.bias attn_sinks post_attention_norm ffn_gate_inp "
            "ffn_gate_inp.bias ffn_gate_exps ffn_gate_exps.bias ffn_up_exps ffn_up_exps.bias "
            "ffn_down_exps ffn_down_exps.bias"
        ),
    ),
    "deepseek2": (
        _ENDS,
        (
            "attn_norm attn_q|attn_q_b attn_kv_a_mqa attn_kv_a_norm attn_kv_b|attn_k_b "
            "attn_kv_b|attn_v_b attn_output ffn_norm ffn_down|ffn_down_exps"
        ),
    ),
    "lfm2": (_LFM2_ENDS, f"{_LFM2} {_GATED}"),
    "lfm2moe": (_LFM2_ENDS, f"{_LFM2} {_MAYBE_EXPERTS}"),
    "olmo2": (
        _ENDS + " output",
        f"{_QKV} {_QK_NORM} post_attention_norm {_GATED} post_ffw_norm",
    ),
    "olmoe": (_ENDS + " output", f"attn_norm {_QKV} {_QK_NORM} ffn_norm {_EXPERTS}"),
    "arcee": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_down ffn_up"),
    "smollm3": (_ENDS, _LLAMA),
    "seed_oss": (_ENDS, f"attn_norm {_QKV} post_attention_norm {_GATED}"),
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
        f"{_QKV} {_NORMED} layer_output_norm.bias ffn_down ffn_up",
    ),
    "nomic-bert": (
        "token_embd token_embd_norm token_embd_norm.bias",
        f"{_QKV} {_NORMED} ffn_down ffn_up",
    ),
    "nomic-bert-moe": (
        "token_embd token_embd_norm token_embd_norm.bias",
        f"{_QKV} {_NORMED} ffn_down|ffn_down_exps ffn_up|ffn_up_exps",
    ),
    "t5": ("token_embd enc.output_norm dec.output_norm", f"{_T5_ENCODER} {_T5_DECODER}"),
    "t5encoder": ("token_embd enc.output_norm", _T5_ENCODER),
}


def _names(words: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_full, word.split("|"))) for word in words.split())


def _full(name: str) -> str:
    if name.endswith("."):  # a name without an ending
        return name[:-1]
    whole = name.removeprefix("enc.").removeprefix("dec.").removeprefix("shortconv.")
    return name if "." in whole else f"{name}.weight"


REQUIRED = {
    architecture: (_names(outside), _names(layer))
    for architecture, (outside, layer) in _TABLE.items()
}
"""Architecture: what must be there outside of the layers, and in each; of a tuple one of them."""


def missing_tensors(
    architecture: str,
    names: Iterable[str],
    layers: Iterable[int],
    decoder_layers: Iterable[int] = (),
) -> Iterator[tuple[str, ...]]:
    """Yield what is required and is not there, each with the names that would do.

    Parameters
    ----------
    architecture : str
    names : iterable of str
        Of the tensors that are there.
    layers : iterable of int
        Those that must be complete.
    decoder_layers : iterable of int
        The same of the decoder, where there is one besides the encoder.
    """
    there = set(names)
    outside, layer = REQUIRED.get(architecture, ((), ()))
    decoder = [some for some in layer if some[0].startswith("dec.")]
    others = [some for some in layer if some not in decoder]
    wanted = [*outside]
    for numbers, table in ((layers, others), (decoder_layers, decoder)):
        wanted += [tuple(_in_layer(name, i) for name in some) for i in numbers for some in table]
    yield from (some for some in wanted if there.isdisjoint(some))


def _in_layer(name: str, layer: int) -> str:
    side, dot, rest = name.partition(".")
    return f"{side}.blk.{layer}.{rest}" if dot and side in {"enc", "dec"} else f"blk.{layer}.{name}"


_NONE = "attn_output ffn_gate ffn_up ffn_down"
# Architecture: tensors of a layer that have no bias there. Those of queries, keys and values are
# asked for nearly everywhere (``create_tensor_qkv``).
_WITHOUT_BIAS = {
    **dict.fromkeys(
        (
            *("qwen2", "qwen2moe", "qwen3", "qwen3moe", "phi3", "stablelm", "gemma", "gemma2"),
            *("gemma3", "gemma-embedding", "olmo2", "command-r", "cohere2", "exaone4", "glm4"),
            *("minimax-m2", "olmoe", "arcee", "smollm3", "seed_oss"),
        ),
        _NONE,
    ),
    "gemma4": f"attn_q attn_k attn_v {_NONE}",
    "falcon": f"attn_qkv {_NONE}",
    "deepseek2": f"attn_q_a attn_kv_a_mqa {_NONE} ffn_gate_shexp ffn_up_shexp ffn_down_shexp",
    **dict.fromkeys(
        ("lfm2", "lfm2moe"), f"shortconv.conv shortconv.in_proj shortconv.out_proj {_NONE}"
    ),
    "mamba": "ssm_in ssm_out",
}
_UNASKED = {
    architecture: frozenset(f"{name}.bias" for name in names.split())
    for architecture, names in _WITHOUT_BIAS.items()
}


def unasked_biases(architecture: str, names: Iterable[str]) -> list[str]:
    """List the biases that llama.cpp does not ask for in this architecture.

    It counts the tensors that it has asked for, and refuses a file with more: "wrong number of
    tensors".
    """
    unasked = _UNASKED.get(architecture, frozenset())
    found = ((name, *split_name(name)) for name in names)
    return [name for name, layer, kind in found if layer is not None and kind in unasked]
