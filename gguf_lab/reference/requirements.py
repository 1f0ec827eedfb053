"""Tensors without which llama.cpp does not load a model, and tensors with which it does not.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``). Required is what
is created without the flag TENSOR_NOT_REQUIRED whatever the settings are; optional is what is
created with it, or by a setting; and a tensor that is not created at all is one too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.names import MOST_LAYERS, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["REQUIRED", "missing_tensors", "required_keys", "unasked_tensors"]

_QKV = "attn_q|attn_qkv attn_k|attn_qkv attn_v|attn_qkv attn_output"
_GATED = "ffn_gate ffn_down ffn_up"
_EXPERTS = "ffn_gate_inp ffn_gate_exps ffn_up_exps ffn_down_exps"
_SHARED = "ffn_gate_shexp ffn_up_shexp ffn_down_shexp"
_QK_NORM = "attn_q_norm attn_k_norm"
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
_LLAMA = f"attn_norm {_QKV} ffn_norm {_GATED}"
_LFM2_ENDS = "token_embd token_embd_norm|output_norm"
_LFM2 = (
    "attn_norm ffn_norm shortconv.conv|attn_q|attn_qkv shortconv.in_proj|attn_k|attn_qkv "
    "shortconv.out_proj|attn_output"
)
_GEMMA = f"{_LLAMA} post_attention_norm post_ffw_norm"

# attention in one layer, linear attention in the next
_LINEAR = (
    "attn_norm post_attention_norm attn_q|attn_qkv|ssm_in attn_k|attn_qkv|ssm_in "
    "attn_v|attn_qkv|ssm_in attn_output|ssm_out attn_q_norm|ssm_norm attn_k_norm|ssm_norm "
    "attn_output|ssm_conv1d attn_output|ssm_dt.bias attn_output|ssm_a. {}"
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
    f"ffn_gate_inp_shexp {_SHARED}"
)

_AND_MAMBA2 = f"{_QKV} ssm_in ssm_conv1d ssm_conv1d.bias ssm_dt.bias ssm_a. ssm_d. ssm_out"

# Architecture: names outside of the layers, names in every layer. "a|b": one of them; without an
# ending it is a weight. "enc." and "dec." stand before "blk".
_TABLE: dict[str, tuple[str, str]] = {
    "llama": (_ENDS, f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}"),
    "mistral3": (_ENDS, f"attn_norm {_QKV} ffn_norm {_MAYBE_EXPERTS}"),
    "qwen2": (_ENDS, _LLAMA),
    "qwen2moe": (
        _ENDS + " output",
        f"attn_norm {_QKV} ffn_norm {_EXPERTS} ffn_gate_inp_shexp {_SHARED}",
    ),
    "qwen3": (_ENDS, f"{_LLAMA} {_QK_NORM}"),
    "qwen3moe": (_ENDS, f"attn_norm {_QKV} {_QK_NORM} ffn_norm {_EXPERTS}"),
    "qwen3next": (_ENDS, f"{_LINEAR.format('attn_output|ssm_ba')} {_FUSABLE}"),
    "qwen35": (_ENDS, f"{_LINEAR.format(_DECAY)} {_GATED}"),
    "qwen35moe": (_ENDS, f"{_LINEAR.format(_DECAY)} {_FUSABLE}"),
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
            "ffn_down.bias ffn_up ffn_up.bias"
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
            "attn_kv_b|attn_v_b attn_output ffn_norm ffn_down|ffn_down_exps "
            "ffn_up|ffn_up_exps|ffn_gate_up_exps ffn_gate|ffn_gate_exps|ffn_gate_up_exps"
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
    "apertus": (_ENDS + " output", f"attn_norm {_QKV} ffn_norm ffn_down ffn_up {_QK_NORM}"),
    "seed_oss": (_ENDS, f"attn_norm {_QKV} post_attention_norm {_GATED}"),
    "command-r": (_ENDS, f"attn_norm {_QKV} {_GATED}"),
    "cohere2": (_ENDS, f"attn_norm {_QKV} {_GATED}"),
    "granite": (_ENDS, _LLAMA),
    "granitemoe": (_ENDS, f"attn_norm {_QKV} ffn_norm ffn_gate_inp ffn_down_exps ffn_up_exps"),
    "falcon-h1": (_ENDS, f"attn_norm {_AND_MAMBA2} ffn_norm. {_GATED}"),
    "granitehybrid": (_ENDS, f"{_OR_MAMBA2} ffn_norm {_MAYBE_EXPERTS}"),
    "exaone4": (_ENDS, f"{_QKV} {_QK_NORM} post_attention_norm {_GATED} post_ffw_norm"),
    "glm4": (
        _ENDS,
        f"attn_norm {_QKV} post_attention_norm ffn_norm ffn_down ffn_up post_ffw_norm",
    ),
    "minimax-m2": (
        _ENDS + " output",
        f"attn_norm {_QKV} {_QK_NORM} ffn_norm {_EXPERTS} exp_probs_b.bias",
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

# With so many layers it needs norms of queries and keys; with fewer it has no place for them.
_QK_NORMS_FROM = {"command-r": 64}


_LAYER_NORM = frozenset(
    (
        *("phi2", "bloom", "falcon", "gpt2", "starcoder", "starcoder2", "stablelm", "nemotron"),
        *("command-r", "cohere2", "bert", "nomic-bert", "nomic-bert-moe"),
    )
)
_WINDOW, _EXPERT_WIDTH = "attention.sliding_window", "expert_feed_forward_length"
_LINEAR_KEYS = "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank ssm.group_count"
_OWN_KEYS = {
    "mamba": "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank",
    "gemma-embedding": _WINDOW,
    "gemma4": (
        f"{_WINDOW} {_WINDOW}_pattern embedding_length_per_layer_input "
        "attention.key_length_swa attention.value_length_swa"
    ),
    "gpt-oss": f"{_WINDOW} {_EXPERT_WIDTH}",
    "deepseek2": f"attention.kv_lora_rank {_EXPERT_WIDTH} expert_shared_count",
    "lfm2": "shortconv.l_cache",
    "lfm2moe": f"shortconv.l_cache {_EXPERT_WIDTH} expert_gating_func",
    "cohere2": f"{_WINDOW} logit_scale",
    **dict.fromkeys(("granite", "granitemoe"), "logit_scale"),
    "minimax-m2": _EXPERT_WIDTH,
    "apertus": "xielu.alpha_n xielu.alpha_p xielu.beta xielu.eps",
    **dict.fromkeys(("qwen3next", "granitehybrid", "falcon-h1"), _LINEAR_KEYS),
    **dict.fromkeys(("qwen35", "qwen35moe"), f"rope.dimension_sections {_LINEAR_KEYS}"),
    **dict.fromkeys(("t5", "t5encoder"), "attention.relative_buckets_count"),
}


def required_keys(architecture: str) -> list[str]:
    """List the keys without which llama.cpp loads no model, without the architecture's name.

    Those of the activation xIELU have none.
    """
    keys = ["context_length", "embedding_length", "block_count"]
    if architecture in REQUIRED:
        rms = "" if architecture in _LAYER_NORM else "rms_"
        keys += [f"attention.layer_norm_{rms}epsilon", *_OWN_KEYS.get(architecture, "").split()]
    return keys


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
    there, layers = set(names), [*layers]
    outside, layer = REQUIRED.get(architecture, ((), ()))
    if len(layers) >= _QK_NORMS_FROM.get(architecture, MOST_LAYERS + 1):
        layer += _names(_QK_NORM)
    decoder = [some for some in layer if some[0].startswith("dec.")]
    others = [some for some in layer if some not in decoder]
    wanted = [*outside]
    for numbers, table in ((layers, others), (decoder_layers, decoder)):
        wanted += [tuple(_in_layer(name, i) for name in some) for i in numbers for some in table]
    yield from (some for some in wanted if there.isdisjoint(some))


def _in_layer(name: str, layer: int) -> str:
    side, dot, rest = name.partition(".")
    return f"{side}.blk.{layer}.{rest}" if dot and side in {"enc", "dec"} else f"blk.{layer}.{name}"


_BIASES = "attn_q.bias attn_k.bias attn_v.bias attn_qkv.bias"  # ``create_tensor_qkv``
_LONG = "rope_factors_long rope_factors_short"
_FFN_BIASES = "ffn_gate.bias ffn_up.bias ffn_down.bias"
_DENSE = "dense_2 dense_3"
_BERT = f"{_BIASES} attn_output.bias ffn_up.bias ffn_down.bias"
_GRANITE = f"{_BIASES} attn_output.bias {_FFN_BIASES} ffn_gate_exps {_SHARED}"
_LFM2_ALSO = f"{_BIASES} attn_v attn_q_norm attn_k_norm"
# Architecture: what may be there besides, outside of the layers and in them.
_OPTIONAL: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("llama", "mistral3"),
        (
            f"output rope_freqs {_LONG}",
            f"{_BIASES} attn_output.bias {_FFN_BIASES} ffn_gate_exps",
        ),
    ),
    "qwen2": ("output output.bias", _BIASES),
    "qwen3": ("output cls.output.weight", _BIASES),
    **dict.fromkeys(
        ("qwen3next", "qwen35", "qwen35moe"), ("output", f"{_BIASES} attn_gate ffn_gate_up_exps")
    ),
    "phi3": (f"output {_LONG}", _BIASES),
    **dict.fromkeys(("bloom", "gpt2", "starcoder", "mamba"), ("output", "")),
    "falcon": ("output", "attn_norm_2 attn_norm_2.bias"),
    **dict.fromkeys(("qwen3moe", "starcoder2", "smollm3", "seed_oss"), ("output", _BIASES)),
    "stablelm": ("", f"{_BIASES} attn_q_norm attn_k_norm ffn_norm ffn_norm.bias"),
    "nemotron": ("", f"{_BIASES} attn_output.bias ffn_up.bias ffn_down.bias"),
    **dict.fromkeys(("gemma3", "gemma-embedding"), (f"output {_DENSE}", _BIASES)),
    "gemma4": (
        "output rope_freqs per_layer_token_embd per_layer_model_proj per_layer_proj_norm",
        (
            "attn_k attn_v attn_k_norm layer_output_scale ffn_gate_inp ffn_gate_inp.scale "
            "pre_ffw_norm_2 post_ffw_norm_1 post_ffw_norm_2 ffn_gate_up_exps ffn_gate_exps "
            "ffn_up_exps ffn_down_exps inp_gate proj post_norm"
        ),
    ),
    "deepseek2": (
        "output",
        (
            f"attn_q_a attn_q_a_norm {_GATED} ffn_gate_inp exp_probs_b.bias ffn_gate_exps "
            f"ffn_up_exps ffn_gate_up_exps {_SHARED}"
        ),
    ),
    "lfm2": ("output dense_2 dense_2.bias", _LFM2_ALSO),
    "lfm2moe": ("output dense_2 dense_2.bias", f"{_LFM2_ALSO} ffn_gate_exps exp_probs_b.bias"),
    "arcee": ("output rope_freqs", _BIASES),
    "apertus": (
        f"rope_freqs {_LONG}",
        f"{_BIASES} attn_output.bias attn_q_norm.bias attn_k_norm.bias",
    ),
    **dict.fromkeys(("granite", "granitemoe"), (f"output rope_freqs {_LONG}", _GRANITE)),
    "falcon-h1": ("output rope_freqs", f"{_BIASES} attn_output.bias {_FFN_BIASES} ssm_norm"),
    "granitehybrid": ("output rope_freqs", f"{_GRANITE} ffn_gate_inp"),
    "exaone4": ("output rope_freqs", _BIASES),
    "glm4": ("output", _BIASES),
    "bert": ("token_types cls cls.bias cls.output.weight cls.output.bias", _BERT),
    **dict.fromkeys(("nomic-bert", "nomic-bert-moe"), ("token_types", f"{_BERT} ffn_gate_inp")),
    "t5": (
        "output",
        ("enc.attn_rel_b enc.ffn_gate dec.attn_rel_b dec.cross_attn_rel_b dec.ffn_gate"),
    ),
    "t5encoder": ("output", "enc.attn_rel_b enc.ffn_gate"),
}
_SCALES = (".scale", ".input_scale")  # of a matrix in NVFP4, in any architecture


def unasked_tensors(architecture: str, names: Iterable[str], layers: int) -> list[str]:
    """List the tensors that llama.cpp does not ask for in this architecture; none if it is unknown.

    It counts the tensors that it has asked for, and refuses a file with more: "wrong number of
    tensors".

    Parameters
    ----------
    architecture : str
    names : iterable of str
    layers : int
        How many there are, without those that only predict further tokens: of these nothing is
        known here.
    """
    if architecture not in REQUIRED:
        return []
    outside, inside = (
        {name for some in required for name in some} | {*map(_full, optional.split())}
        for required, optional in zip(
            REQUIRED[architecture], _OPTIONAL.get(architecture, ("", _BIASES)), strict=True
        )
    )
    if layers >= _QK_NORMS_FROM.get(architecture, MOST_LAYERS + 1):
        inside |= {*map(_full, _QK_NORM.split())}
    found = []
    for name in names:
        layer, _ = split_name(name)
        kind = name if layer is None else name.replace(f"blk.{layer}.", "", 1)
        for ending in _SCALES:
            if kind.endswith(ending) and kind not in inside:
                kind = kind.removesuffix(ending) + ".weight"
        if kind not in (outside if layer is None else inside) and (layer or 0) < layers:
            found.append(name)
    return found
