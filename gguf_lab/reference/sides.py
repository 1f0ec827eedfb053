"""As long as what each side of a tensor is, architecture by architecture, as tables.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``), the dimensions
that tensors are created with. The words are those that `lengths` calculates.
"""

from __future__ import annotations

from .demanded import REQUIRED

__all__ = [
    "ALL_ROTATED",
    "ANYWHERE",
    "ELSEWHERE",
    "FIXED_HEADS",
    "KEYS_AS_VALUES",
    "NOT_ROTATED",
    "OF_ARCHITECTURE",
    "ONE_WIDTH",
    "OUTSIDE",
]

# Kind of a tensor: its sides in NumPy order, by the names that `_lengths` gives them.
ANYWHERE = {
    "token_embd": "vocabulary, width",
    "output": "vocabulary, width",
}
# The same of architectures of which else nothing is known here.
ELSEWHERE = {
    "wavtokenizer-dec": {"token_embd": "vocabulary, features", "output": "width, convnext"},
}
OUTSIDE = ANYWHERE | {
    "position_embd": "positions, width",
    "token_embd_norm": "width",
    "output_norm": "width",
    "rope_freqs": "half rotary",
    "rope_factors_long": "half rotary",
    "rope_factors_short": "half rotary",
    "per_layer_token_embd": "vocabulary, all inputs",
    "per_layer_model_proj": "all inputs, width",
    "per_layer_proj_norm": "inputs",
    "cls": "width, width",
}
_IN_LAYERS = {
    **dict.fromkeys(
        (
            *("attn_norm", "attn_norm_2", "attn_output_norm", "post_attention_norm"),
            *("cross_attn_norm", "ffn_norm", "post_ffw_norm", "layer_output_norm", "post_norm"),
            *("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2", "ffn_gate_inp.scale"),
            "ffn_gate_inp_shexp",
        ),
        "width",
    ),
    **dict.fromkeys(("attn_q", "cross_attn_q"), "queries, width"),
    **dict.fromkeys(("attn_k", "cross_attn_k"), "keys, width"),
    **dict.fromkeys(("attn_v", "cross_attn_v"), "values, width"),
    "attn_qkv": "all, width",
    "attn_output": "width, queries",
    **dict.fromkeys(("attn_o", "cross_attn_o"), "width, values"),
    **dict.fromkeys(("attn_q_norm", "attn_k_norm"), "key"),
    "attn_sinks": "n heads",
    **dict.fromkeys(("attn_rel_b", "cross_attn_rel_b"), "buckets, n heads"),
    "attn_q_a": "query rank, width",
    "attn_q_a_norm": "query rank",
    "attn_q_b": "queries, query rank",
    "attn_kv_a_mqa": "rank + rotary, width",
    "attn_kv_a_norm": "rank",
    "attn_kv_b": "plain keys + values, rank",
    "attn_k_b": "n heads, rank, plain key",
    "attn_v_b": "n heads, value, rank",
    "ffn_gate": "inner, width",
    "ffn_up": "inner, width",
    "ffn_down": "width, inner",
    "ffn_gate_inp": "experts, width",
    "exp_probs_b.bias": "experts",
    "ffn_gate_exps": "experts, expert, width",
    "ffn_up_exps": "experts, expert, width",
    "ffn_gate_up_exps": "experts, expert x 2, width",
    "ffn_down_exps": "experts, width, expert",
    "ffn_gate_shexp": "shared, width",
    "ffn_up_shexp": "shared, width",
    "ffn_down_shexp": "width, shared",
    "ssm_in": "ssm x 2, width",
    "ssm_conv1d": "ssm, convolution",
    "ssm_x": "steps + states, ssm",
    "ssm_dt": "ssm, steps",
    "ssm_a": "ssm, state",
    "ssm_d": "ssm",
    "ssm_out": "width, ssm",
    "shortconv.conv": "width, cache",
    "shortconv.in_proj": "width x 3, width",
    "shortconv.out_proj": "width, width",
    "inp_gate": "inputs, width",
    "proj": "width, inputs",
}
# All heads together are as wide as the model, whatever the width of a head.
FIXED_HEADS = frozenset(
    (
        *("qwen2", "qwen2moe", "phi2", "phi3", "bloom", "falcon", "gpt2", "starcoder"),
        *("starcoder2", "stablelm", "nemotron", "lfm2", "lfm2moe", "olmo2", "olmoe"),
        *("command-r", "cohere2", "bert", "nomic-bert", "nomic-bert-moe", "gptneox"),
    )
)
# Keys are taken to be as wide as values.
KEYS_AS_VALUES = FIXED_HEADS - {"lfm2", "lfm2moe"} | {
    *("qwen3", "qwen3moe", "minimax-m2", "ernie4_5", "ernie4_5-moe"),
}
# Experts are as wide as a feed-forward layer would be.
_EXPERTS_AS_LAYERS = frozenset(
    (
        *("llama", "mistral3", "granite", "granitemoe", "granitehybrid", "olmoe", "minimax-m2"),
        "nomic-bert-moe",
    )
)
# Asserted of heads: that keys and values are equally wide, and rotated as a whole.
ONE_WIDTH = frozenset(REQUIRED) - frozenset(
    (
        *("mamba", "mamba2", "gemma", "gemma2", "gemma3", "gemma-embedding", "gpt-oss"),
        *("deepseek2", "lfm2", "lfm2moe", "nomic-bert", "nomic-bert-moe", "t5encoder"),
    )
)
ALL_ROTATED = frozenset(
    (
        *("llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "falcon", "starcoder2", "olmo2"),
        *("mistral3", "apertus"),
        *("olmoe", "arcee", "smollm3", "seed_oss", "granite", "granitemoe", "exaone4"),
        *("ernie4_5", "ernie4_5-moe", "hunyuan-dense", "dots1", "llama4"),
    )
)
NOT_ROTATED = frozenset(
    (
        *("bert", "bloom", "gpt2", "mamba", "mamba2", "nemotron_h", "nemotron_h_moe"),
        *("starcoder", "t5", "t5encoder"),
    )
)
_BY_HEADS = {"attn_q_norm": "n heads, key", "attn_k_norm": "n kv heads, key"}
_AS_LAYERS = {
    **dict.fromkeys(("ffn_gate_exps", "ffn_up_exps"), "experts, inner, width"),
    "ffn_down_exps": "experts, width, inner",
}
_T5 = {"attn_q": "keys, width", "cross_attn_q": "keys, width"}
_LINEAR = {
    "attn_q": "queries x 2, width",  # with a gate for each
    "attn_qkv": "",  # of either kind of attention
    "attn_gate": "ssm, width",
    "ssm_conv1d": "linear, convolution",
    **dict.fromkeys(("ssm_dt.bias", "ssm_a"), "steps"),
    **dict.fromkeys(("ssm_alpha", "ssm_beta"), "steps, width"),
    "ssm_ba": "steps x 2, width",
    "ssm_norm": "state",
}
_MAMBA2 = {
    "ssm_in": "gate + convolved + steps, width",
    "ssm_conv1d": "convolved, convolution",
    "ssm_dt.bias": "steps",
    **dict.fromkeys(("ssm_a", "ssm_d"), "steps, one"),
    "ssm_norm": "groups, group",
}
_GATE_IN_UP = {"ffn_up": "inner x 2, width"}  # the rows of both
_OWN: dict[str, dict[str, str]] = {
    **dict.fromkeys(("phi3", "glm4"), _GATE_IN_UP),
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), _LINEAR),
    **dict.fromkeys(("mamba2", "nemotron_h", "granitehybrid", "falcon-h1"), _MAMBA2),
    "nemotron_h_moe": _MAMBA2
    | {
        "ffn_up_exps": "experts, expert, latent",
        "ffn_down_exps": "experts, latent, expert",
        "ffn_latent_down": "latent, width",
        "ffn_latent_up": "width, latent",
    },
    **dict.fromkeys(("stablelm", "command-r"), _BY_HEADS),
    **dict.fromkeys(("t5", "t5encoder"), _T5),
    "olmo2": {"attn_q_norm": "fixed", "attn_k_norm": "keys"},
    "olmoe": {"attn_q_norm": "fixed", "attn_k_norm": "fixed"},
    "minimax-m2": {"attn_q_norm": "queries", "attn_k_norm": "keys"},
    "exaone4": {"attn_output": "width, fixed"},
    # as many heads of keys and values as of queries
    "dots1": {"attn_k": "queries, width", "attn_v": "queries, width"},
    "deepseek2": {"attn_output": "width, all values"},
}
for _name in _EXPERTS_AS_LAYERS:
    _OWN[_name] = {**_OWN.get(_name, {}), **_AS_LAYERS}
for _name in FIXED_HEADS:
    _OWN[_name] = {"attn_q": "fixed, width", "attn_output": "width, fixed"} | _OWN.get(_name, {})
OF_ARCHITECTURE = {name: _IN_LAYERS | _OWN.get(name, {}) for name in REQUIRED}
