"""What llama.cpp demands of each architecture: tables of tensors without which it loads nothing.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``): what is created
without the flag TENSOR_NOT_REQUIRED whatever the settings are.
"""

from __future__ import annotations

__all__ = ["GATED", "QK_NORM", "REQUIRED", "SHARED", "full_name", "names_in"]

_QKV = "attn_q|attn_qkv attn_k|attn_qkv attn_v|attn_qkv attn_output"
GATED = "ffn_gate ffn_down ffn_up"
_EXPERTS = "ffn_gate_inp ffn_gate_exps ffn_up_exps ffn_down_exps"
SHARED = "ffn_gate_shexp ffn_up_shexp ffn_down_shexp"
QK_NORM = "attn_q_norm attn_k_norm"
_MAYBE_EXPERTS = "ffn_gate|ffn_gate_inp ffn_down|ffn_down_exps ffn_up|ffn_up_exps"
_ENDS = "token_embd output_norm"
_BIASED = (
    "attn_norm attn_norm.bias attn_qkv attn_qkv.bias attn_output attn_output.bias ffn_norm "
    "ffn_norm.bias ffn_down ffn_down.bias ffn_up ffn_up.bias"
)
_NORMED = "attn_output_norm attn_output_norm.bias layer_output_norm layer_output_norm.bias"
_T5 = "attn_norm attn_q attn_k attn_v attn_o ffn_norm ffn_down ffn_up"
_T5_ENCODER = " ".join(f"enc.{name}" for name in _T5.split())
_T5_DECODER = " ".join(
    f"dec.{name}"
    for name in (
        f"{_T5} cross_attn_norm cross_attn_q cross_attn_k cross_attn_v cross_attn_o"
    ).split()
)
_REL_B = "{}.blk.0.attn_rel_b.weight"  # other layers may use that of the first
_T5_ENDS = f"token_embd enc.output_norm {_REL_B.format('enc')}"
_LLAMA = f"attn_norm {_QKV} ffn_norm {GATED}"
_LFM2_ENDS = "token_embd token_embd_norm|output_norm"
_LFM2 = (
    "attn_norm ffn_norm shortconv.conv|attn_q|attn_qkv shortconv.in_proj|attn_k|attn_qkv "
    "shortconv.out_proj|attn_output"
)
_GEMMA = f"{_LLAMA} post_attention_norm post_ffw_norm"

_MAMBA2 = "ssm_in ssm_conv1d ssm_conv1d.bias ssm_dt.bias ssm_a. ssm_d. ssm_norm ssm_out"

# mamba2 in one layer, attention in the next, feed forward in a third
_HYBRID = (
    "attn_q|attn_qkv|ssm_in|ffn_up{0} attn_k|attn_qkv|ssm_conv1d|ffn_up{0} "
    "attn_v|attn_qkv|ssm_conv1d.bias|ffn_up{0} attn_output|ssm_out|ffn_down{0} "
    "attn_output|ssm_dt.bias|ffn_up{0} attn_output|ssm_a.|ffn_up{0} "
    "attn_output|ssm_d.|ffn_up{0} attn_output|ssm_norm|ffn_up{0}"
)
_HYBRID_EXPERTS = (
    "attn_output|ssm_out|ffn_gate_inp attn_output|ssm_out|exp_probs_b.bias "
    "attn_output|ssm_out|ffn_up_shexp attn_output|ssm_out|ffn_down_shexp"
)

# attention in one layer, linear attention in the next
_LINEAR = (
    "attn_norm post_attention_norm attn_q|{qkv} attn_k|{qkv} attn_v|{qkv} attn_output|ssm_out "
    "attn_q_norm|ssm_norm attn_k_norm|ssm_norm attn_output|ssm_conv1d attn_output|ssm_dt.bias "
    "attn_output|ssm_a. {decay} {inner}"
)
# attention in one layer, mamba2 in the next; its graph adds a bias to each convolution
_OR_MAMBA2 = (
    "attn_norm attn_q|attn_qkv|ssm_in attn_k|attn_qkv|ssm_in attn_v|attn_qkv|ssm_in "
    "attn_output|ssm_out attn_output|ssm_conv1d attn_output|ssm_conv1d.bias "
    "attn_output|ssm_dt.bias attn_output|ssm_a. attn_output|ssm_d. attn_output|ssm_norm"
)
_DECAY = "attn_output|ssm_alpha attn_output|ssm_beta"
_FUSABLE = (
    "ffn_gate_inp ffn_gate_exps|ffn_gate_up_exps ffn_up_exps|ffn_gate_up_exps ffn_down_exps "
    f"ffn_gate_inp_shexp {SHARED}"
)

_AND_MAMBA2 = f"{_QKV} ssm_in ssm_conv1d ssm_conv1d.bias ssm_dt.bias ssm_a. ssm_d. ssm_out"

# Architecture: names outside of the layers, names in every layer. "a|b": one of them; without an
# ending it is a weight. "enc." and "dec." stand before "blk".
_TABLE: dict[str, tuple[str, str]] = {
    "llama": (_ENDS, f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}"),
    **dict.fromkeys(("llama4", "mistral3"), (_ENDS, f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}")),
    "qwen2": (_ENDS, _LLAMA),
    "qwen2moe": (
        _ENDS + " output",
        f"attn_norm {_QKV} ffn_norm {_EXPERTS} ffn_gate_inp_shexp {SHARED}",
    ),
    "qwen3": (_ENDS, f"{_LLAMA} {QK_NORM}"),
    "qwen3moe": (_ENDS, f"attn_norm {_QKV} {QK_NORM} ffn_norm {_EXPERTS}"),
    "qwen3next": (
        _ENDS,
        _LINEAR.format(qkv="attn_qkv|ssm_in", decay="attn_output|ssm_ba", inner=_FUSABLE),
    ),
    "qwen35": (_ENDS, _LINEAR.format(qkv="attn_qkv", decay=_DECAY, inner=GATED)),
    "qwen35moe": (_ENDS, _LINEAR.format(qkv="attn_qkv", decay=_DECAY, inner=_FUSABLE)),
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
    "gptneox": (_ENDS + " output_norm.bias output", _BIASED),
    "gpt2": (_ENDS + " output_norm.bias position_embd", _BIASED),
    "starcoder": (_ENDS + " output_norm.bias position_embd", _BIASED),
    "starcoder2": (
        _ENDS + " output_norm.bias",
        (
            f"attn_norm attn_norm.bias {_QKV} attn_output.bias ffn_norm ffn_norm.bias ffn_down "
            "ffn_down.bias ffn_up ffn_up.bias"
        ),
    ),
    "stablelm": (
        _ENDS + " output_norm.bias output",
        f"attn_norm attn_norm.bias {_QKV} {GATED}",
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
    "mamba2": (_ENDS, f"attn_norm {_MAMBA2}"),
    "nemotron_h": (_ENDS, f"attn_norm {_HYBRID.format('')}"),
    "nemotron_h_moe": (_ENDS, f"attn_norm {_HYBRID.format('_exps')} {_HYBRID_EXPERTS}"),
    "gemma": (_ENDS, _LLAMA),
    "gemma2": (_ENDS, _GEMMA),
    "gemma3": (_ENDS, f"{_GEMMA} {QK_NORM}"),
    "gemma-embedding": (_ENDS, f"{_GEMMA} {QK_NORM}"),
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
            "attn_kv_b|attn_v_b attn_output ffn_norm ffn_down|ffn_down_exps "
            "ffn_up|ffn_up_exps|ffn_gate_up_exps ffn_gate|ffn_gate_exps|ffn_gate_up_exps"
        ),
    ),
    "lfm2": (_LFM2_ENDS, f"{_LFM2} {GATED}"),
    "lfm2moe": (_LFM2_ENDS, f"{_LFM2} {_MAYBE_EXPERTS}"),
    "olmo2": (
        _ENDS + " output",
        f"{_QKV} {QK_NORM} post_attention_norm {GATED} post_ffw_norm",
    ),
    "olmoe": (_ENDS + " output", f"attn_norm {_QKV} {QK_NORM} ffn_norm {_EXPERTS}"),
    "arcee": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_down ffn_up"),
    "smollm3": (_ENDS, _LLAMA),
    "apertus": (_ENDS + " output", f"attn_norm {_QKV} ffn_norm ffn_down ffn_up {QK_NORM}"),
    "seed_oss": (_ENDS, f"attn_norm {_QKV} post_attention_norm {GATED}"),
    "command-r": (_ENDS, f"attn_norm {_QKV} {GATED}"),
    "cohere2": (_ENDS, f"attn_norm {_QKV} {GATED}"),
    "granite": (_ENDS, _LLAMA),
    "granitemoe": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_gate_inp ffn_down_exps ffn_up_exps"),
    "falcon-h1": (_ENDS, f"attn_norm {_AND_MAMBA2} ffn_norm. {GATED}"),
    "granitehybrid": (_ENDS, f"{_OR_MAMBA2} ffn_norm {_MAYBE_EXPERTS}"),
    "exaone4": (_ENDS, f"{_QKV} {QK_NORM} post_attention_norm {GATED} post_ffw_norm"),
    "glm4": (
        _ENDS,
        f"attn_norm {_QKV} post_attention_norm ffn_norm ffn_down ffn_up post_ffw_norm",
    ),
    "ernie4_5": (_ENDS, _LLAMA),
    "ernie4_5-moe": (
        _ENDS,
        f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}",
    ),
    "hunyuan-dense": (_ENDS, f"{_LLAMA} {QK_NORM}"),
    "dots1": (
        _ENDS + " output",
        f"attn_norm {_QKV} {QK_NORM} ffn_norm {_MAYBE_EXPERTS}",
    ),
    "glm4moe": (_ENDS, f"attn_norm {_QKV} post_attention_norm {_MAYBE_EXPERTS}"),
    "minimax-m2": (
        _ENDS + " output",
        f"attn_norm {_QKV} {QK_NORM} ffn_norm {_EXPERTS} exp_probs_b.bias",
    ),
    "bert": (
        "token_embd token_embd_norm token_embd_norm.bias position_embd",
        f"{_QKV} {_NORMED} ffn_down ffn_up",
    ),
    "nomic-bert": (
        "token_embd token_embd_norm token_embd_norm.bias",
        f"{_QKV} {_NORMED} ffn_gate ffn_down ffn_up",
    ),
    "nomic-bert-moe": (
        "token_embd token_embd_norm token_embd_norm.bias",
        f"{_QKV} {_NORMED} ffn_down|ffn_down_exps ffn_up|ffn_up_exps",
    ),
    "t5": (f"{_T5_ENDS} dec.output_norm {_REL_B.format('dec')}", f"{_T5_ENCODER} {_T5_DECODER}"),
    "t5encoder": (_T5_ENDS, _T5_ENCODER),
}


def names_in(words: str) -> tuple[tuple[str, ...], ...]:
    """Read names as the tables write them: with ``|`` between those of which one will do."""
    return tuple(tuple(map(full_name, word.split("|"))) for word in words.split())


def full_name(name: str) -> str:
    """Give a name its ending."""
    if name.endswith("."):  # a name without an ending
        return name[:-1]
    whole = name.removeprefix("enc.").removeprefix("dec.").removeprefix("shortconv.")
    return name if "." in whole else f"{name}.weight"


REQUIRED = {
    architecture: (names_in(outside), names_in(layer))
    for architecture, (outside, layer) in _TABLE.items()
}
"""Architecture: what must be there outside of the layers, and in each; of a tuple one of them."""
