"""Tensors without which llama.cpp does not load a model, and tensors with which it does not.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``). Required is what
is created without the flag TENSOR_NOT_REQUIRED whatever the settings are; optional is what is
created with it, or by a setting; and a tensor that is not created at all is one too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.names import MOST_LAYERS, split_name
from .demanded import GATED, QK_NORM, REQUIRED, SHARED, full_name, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["missing_tensors", "more_asked", "required_keys", "unasked_tensors"]

# With so many layers it needs norms of queries and keys; with fewer it has no place for them.
_QK_NORMS_FROM = {"command-r": 64}


_LAYER_NORM = frozenset(
    (
        *("phi2", "bloom", "falcon", "gpt2", "starcoder", "starcoder2", "stablelm", "nemotron"),
        *("command-r", "cohere2", "bert", "nomic-bert", "nomic-bert-moe", "gptneox"),
        *("nemotron_h", "nemotron_h_moe"),
    )
)
_WINDOW, _EXPERT_WIDTH = "attention.sliding_window", "expert_feed_forward_length"
_LINEAR_KEYS = "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank ssm.group_count"
_OWN_KEYS = {
    "mamba": "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank",
    **dict.fromkeys(("mamba2", "nemotron_h", "nemotron_h_moe"), _LINEAR_KEYS),
    "llama4": f"{_EXPERT_WIDTH} interleave_moe_layer_step",
    "gptneox": "use_parallel_residual",
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
    "ernie4_5-moe": f"{_EXPERT_WIDTH} interleave_moe_layer_step",
    "dots1": f"{_EXPERT_WIDTH} expert_shared_count",
    "glm4moe": f"{_EXPERT_WIDTH} expert_count expert_used_count expert_shared_count",
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
        layer += names_in(QK_NORM)
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
_GRANITE = f"{_BIASES} attn_output.bias {_FFN_BIASES} ffn_gate_exps {SHARED}"
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
    "llama4": ("output rope_freqs", f"{_BIASES} ffn_gate_exps {SHARED}"),
    "qwen2": ("output output.bias", _BIASES),
    "qwen3": ("output cls.output.weight", _BIASES),
    "qwen35": ("output", f"{_BIASES} attn_gate"),
    **dict.fromkeys(
        ("qwen3next", "qwen35moe"), ("output", f"{_BIASES} attn_gate ffn_gate_up_exps")
    ),
    "phi3": (f"output {_LONG}", _BIASES),
    **dict.fromkeys(("bloom", "gpt2", "starcoder", "mamba", "mamba2"), ("output", "")),
    "gptneox": ("", ""),
    "nemotron_h": ("output", f"{_BIASES} attn_output.bias ffn_up.bias ffn_down.bias"),
    "nemotron_h_moe": (
        "output",
        f"{_BIASES} attn_output.bias ffn_latent_down ffn_latent_up",
    ),
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
            f"attn_q_a attn_q_a_norm {GATED} ffn_gate_inp exp_probs_b.bias ffn_gate_exps "
            f"ffn_up_exps ffn_gate_up_exps {SHARED}"
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
    **dict.fromkeys(("glm4", "hunyuan-dense"), ("output", _BIASES)),
    "ernie4_5": ("output", f"{_BIASES} attn_output.bias"),
    "ernie4_5-moe": (
        "output",
        f"{_BIASES} attn_output.bias exp_probs_b.bias ffn_gate_exps {SHARED}",
    ),
    "dots1": ("", f"{_BIASES} ffn_gate_exps exp_probs_b.bias {SHARED}"),
    "glm4moe": (
        "output",
        f"{_BIASES} {QK_NORM} ffn_gate_exps exp_probs_b.bias {SHARED}",
    ),
    "bert": ("token_types cls cls.bias cls.output.weight cls.output.bias", _BERT),
    **dict.fromkeys(("nomic-bert", "nomic-bert-moe"), ("token_types", f"{_BERT} ffn_gate_inp")),
    "t5": (
        "output",
        ("enc.attn_rel_b enc.ffn_gate dec.attn_rel_b dec.cross_attn_rel_b dec.ffn_gate"),
    ),
    "t5encoder": ("output", "enc.attn_rel_b enc.ffn_gate"),
}
_EXPERTS = f"ffn_gate_inp ffn_gate_exps ffn_up_exps ffn_down_exps {SHARED}"
# The same of other architectures: what is asked for that the package gguf does not list.
_UNLISTED = {
    **dict.fromkeys(("qwen3vl", "qwen3tts"), ("cls.output", "")),
    "cogvlm": ("rope_freqs", ""),
    **dict.fromkeys(("deci", "granite_swa", "step35"), (_LONG, "")),
    "pangu-embedded": (f"rope_freqs {_LONG}", ""),
    "llama-embed": (_LONG, SHARED),
    "minicpm": ("", SHARED),
    "paddleocr": ("", f"exp_probs_b {_EXPERTS}"),
    "refact": (f"rope_freqs {_LONG}", _EXPERTS),
    "mimo2": ("", "layer_output_norm"),
    "mpt": ("", "ffn.act"),
    "hy_v3": ("", "ffn_gate_up_exps"),
    **dict.fromkeys(("codeshell", "jina-bert-v3", "spark2_5"), ("", "attn_q attn_k attn_v")),
}
# Of these it takes no queries, keys and values in one tensor.
_APART = frozenset(
    (
        *("bitnet", "deepseek32", "dflash", "eagle3", "gemma4-assistant", "glm-dsa", "mistral4"),
        "plm",
    )
)
_IN_LAYER = "blk.{bid}."
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
        {name for some in required for name in some} | {*map(full_name, optional.split())}
        for required, optional in zip(
            REQUIRED[architecture], _OPTIONAL.get(architecture, ("", _BIASES)), strict=True
        )
    )
    if layers >= _QK_NORMS_FROM.get(architecture, MOST_LAYERS + 1):
        inside |= {*map(full_name, QK_NORM.split())}
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


def more_asked(architecture: str, listed: Iterable[str]) -> set[str]:
    """Return what llama.cpp asks for besides what the package gguf lists of an architecture.

    Parameters
    ----------
    architecture : str
    listed : iterable of str
        Names as in ``gguf.TENSOR_NAMES``: without an ending, and a layer is ``{bid}``.
    """
    outside, inside = _UNLISTED.get(architecture, ("", ""))
    more = {*outside.split(), *(_IN_LAYER + name for name in inside.split())}
    if architecture not in _APART and f"{_IN_LAYER}attn_q" in {*listed}:
        more.add(f"{_IN_LAYER}attn_qkv")
    return more
