"""How long llama.cpp expects the sides of tensors to be.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``), the dimensions
that tensors are created with. A file that has others is refused: "tensor has wrong shape". What
the metadata do not say is zero there, or made of other keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..model.names import split_name
from .facts import HEADS, KV_HEADS, LAYERS, WIDTH, Quantity
from .requirements import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .facts import Facts

__all__ = ["VOCABULARY", "WrongLength", "wrong_experts", "wrong_heads", "wrong_lengths"]

VOCABULARY = Quantity("size of the vocabulary", "vocab_size", ("vocab_size",))
_INNER, _EXPERT = "feed_forward_length", "expert_feed_forward_length"
_SHARED = "expert_shared_feed_forward_length"
_KEY, _VALUE, _ROTARY = "attention.key_length", "attention.value_length", "rope.dimension_count"
_QUERY_RANK, _RANK = "attention.q_lora_rank", "attention.kv_lora_rank"
_SSM, _STEPS = "ssm.inner_size", "ssm.time_step_rank"
_BUCKETS, _INPUTS = "attention.relative_buckets_count", "embedding_length_per_layer_input"


# Kind of a tensor: its sides in NumPy order, by the names that `_lengths` gives them.
_ANYWHERE = {
    "token_embd": "vocabulary, width",
    "output": "vocabulary, width",
}
_OUTSIDE = _ANYWHERE | {
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
_FIXED_HEADS = frozenset(
    (
        *("qwen2", "qwen2moe", "phi2", "phi3", "bloom", "falcon", "gpt2", "starcoder"),
        *("starcoder2", "stablelm", "nemotron", "lfm2", "lfm2moe", "olmo2", "olmoe"),
        *("command-r", "cohere2", "bert", "nomic-bert", "nomic-bert-moe"),
    )
)
# Keys are taken to be as wide as values.
_KEYS_AS_VALUES = _FIXED_HEADS - {"lfm2", "lfm2moe"} | {"qwen3", "qwen3moe", "minimax-m2"}
# Experts are as wide as a feed-forward layer would be.
_EXPERTS_AS_LAYERS = frozenset(
    (
        *("llama", "mistral3", "granite", "granitemoe", "granitehybrid", "olmoe", "minimax-m2"),
        "nomic-bert-moe",
    )
)
# Asserted of heads: that keys and values are equally wide, and rotated as a whole.
_ONE_WIDTH = frozenset(REQUIRED) - frozenset(
    (
        *("mamba", "gemma", "gemma2", "gemma3", "gemma-embedding", "gpt-oss", "deepseek2"),
        *("lfm2", "lfm2moe", "nomic-bert", "nomic-bert-moe", "t5encoder"),
    )
)
_ALL_ROTATED = frozenset(
    (
        *("llama", "mistral3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "falcon", "starcoder2"),
        *(
            "apertus",
            "olmo2",
            "olmoe",
            "arcee",
            "smollm3",
            "seed_oss",
            "granite",
            "granitemoe",
            "exaone4",
        ),
    )
)
_NOT_ROTATED = frozenset(("bert", "bloom", "gpt2", "mamba", "starcoder", "t5", "t5encoder"))
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
    "ssm_in": "all of state, width",
    "ssm_conv1d": "convolved, convolution",
    "ssm_dt.bias": "steps",
    **dict.fromkeys(("ssm_a", "ssm_d"), "steps, one"),
    "ssm_norm": "groups, group",
}
_GATE_IN_UP = {"ffn_up": "inner x 2, width"}  # the rows of both
_OWN: dict[str, dict[str, str]] = {
    **dict.fromkeys(("phi3", "glm4"), _GATE_IN_UP),
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), _LINEAR),
    **dict.fromkeys(("granitehybrid", "falcon-h1"), _MAMBA2),
    **dict.fromkeys(("stablelm", "command-r"), _BY_HEADS),
    **dict.fromkeys(("t5", "t5encoder"), _T5),
    "olmo2": {"attn_q_norm": "fixed", "attn_k_norm": "keys"},
    "olmoe": {"attn_q_norm": "fixed", "attn_k_norm": "fixed"},
    "minimax-m2": {"attn_q_norm": "queries", "attn_k_norm": "keys"},
    "exaone4": {"attn_output": "width, fixed"},
    "deepseek2": {"attn_output": "width, all values"},
}
for _name in _EXPERTS_AS_LAYERS:
    _OWN[_name] = {**_OWN.get(_name, {}), **_AS_LAYERS}
for _name in _FIXED_HEADS:
    _OWN[_name] = {"attn_q": "fixed, width", "attn_output": "width, fixed"} | _OWN.get(_name, {})
_OF_ARCHITECTURE = {name: _IN_LAYERS | _OWN.get(name, {}) for name in REQUIRED}


@dataclass(frozen=True, slots=True)
class WrongLength:
    """A side of a tensor that is of another length than is said.

    Attributes
    ----------
    name : str
    shape : tuple of int
    quantity : Quantity
        What the side is to be as long as.
    has, due : int
    """

    name: str
    shape: tuple[int, ...]
    quantity: Quantity
    has: int
    due: int


def wrong_lengths(facts: Facts, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[WrongLength]:
    """Yield the sides that contradict the facts; those that nothing is known of pass.

    Parameters
    ----------
    facts : Facts
    shapes : Mapping of str to tuple of int
        Of the tensors of the file, NumPy order.
    """
    lengths: dict[int | None, dict[str, tuple[str, str, float]]] = {}
    for name, shape in shapes.items():
        layer, kind = split_name(name)
        if not (sides := _sides(facts.architecture, layer, kind)):
            continue
        if layer not in lengths:
            lengths[layer] = _lengths(facts, layer or 0)
        # ggml has four dimensions, and those that a file does not list are 1
        padded = (1,) * (len(sides) - len(shape)) + shape
        beyond, found = math.prod(padded[: -len(sides)]), padded[-len(sides) :]
        if found[0] != 1:
            found = (found[0] * beyond, *found[1:])  # what is beyond should be 1, too
        for has, side in zip(found, sides, strict=True):
            words, key, due = lengths[layer][side]
            if has != due and not math.isnan(due):
                yield WrongLength(name, shape, Quantity(words, key, ()), has, int(due))


def wrong_heads(facts: Facts) -> tuple[str, str] | None:
    """Say which key contradicts how llama.cpp computes attention, and in which way."""
    if facts.architecture not in REQUIRED or not facts.in_file(HEADS, 0):
        return None
    key, value, rotary = _head_widths(facts, 0)
    if facts.architecture in _ONE_WIDTH and key != value and not math.isnan(key + value):
        return _VALUE, f"values of a head are {value:,} wide, keys {key:,}; they have to be alike"
    if facts.architecture in _ALL_ROTATED and rotary != key and not math.isnan(key + rotary):
        return _ROTARY, f"{rotary:,} values of a head are rotated, and it has {key:,}, all of them"
    rotated = {_ROTARY: rotary} if facts.architecture not in _NOT_ROTATED else {}
    if facts.architecture == "gemma4":
        rotated[f"{_ROTARY}_swa"] = _told(facts, 0, f"{_ROTARY}_swa")
    for name, number in rotated.items():
        if number % 2 == 1:
            return name, f"{number:,} values of a head are rotated, and llama.cpp rotates pairs"
    return None


def wrong_experts(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield keys that contradict how llama.cpp chooses experts, and in which way."""

    def told(key: str) -> int | None:
        value = facts.metadata.get(f"{facts.architecture}.{key}", 0)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    count, used = told("expert_count") or 0, told("expert_used_count")
    if used is not None and not min(count, 1) <= used <= count:  # else one number per layer
        what = f"{used} of {count} experts are used, which llama.cpp does not take"
        yield "expert_used_count", what
    groups, chosen = told("expert_group_count") or 0, told("expert_group_used_count") or 0
    if groups > max(count - 1, 0) or (groups > 1 and (count % groups or not 0 < chosen < groups)):
        what = f"{count} experts in {groups} groups, of which {chosen} are used: llama.cpp takes"
        yield "expert_group_count", f"{what} equal groups of several experts, and a choice of them"


def _sides(architecture: str, layer: int | None, kind: str) -> list[str]:
    """Name each side; nothing where nothing is known."""
    kind = kind.removeprefix("enc.").removeprefix("dec.")
    if architecture not in REQUIRED:
        table = _ANYWHERE if layer is None else {}
    else:
        table = _OUTSIDE if layer is None else _OF_ARCHITECTURE[architecture]
    sides = table.get(kind, table.get(kind.removesuffix(".bias"), "")).split(", ")
    if kind not in table and len(sides) > 1:
        del sides[-1]  # a bias has a value for each row of its matrix
    return [side for side in sides if side]


def _told(facts: Facts, layer: int, key: str, otherwise: float = math.nan) -> float:
    """Look a number up, that of the layer if there is one for each; NaN if it is none."""
    value = facts.metadata.get(f"{facts.architecture}.{key}", otherwise)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[layer] if layer < len(value) else None
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return value if number else math.nan  # type: ignore[return-value]


def _head_widths(facts: Facts, layer: int) -> tuple[float, float, float]:
    """Return how wide a head's keys and values are, and how much of it is rotated."""
    told = partial(_told, facts, layer)
    kind, first = facts.architecture, facts.in_file(HEADS, 0)
    usual = told(WIDTH.key) // first if first else 0
    key, value = told(_KEY, usual), told(_VALUE, usual)
    rotary = told(_ROTARY, key)
    if kind == "gpt-oss":
        return rotary, rotary, rotary
    if kind == "deepseek2" and told(f"{_KEY}_mla", 0) and told(f"{_VALUE}_mla", 0):
        return told(f"{_KEY}_mla"), told(f"{_VALUE}_mla"), rotary
    if kind == "gemma4":
        slides = facts.metadata.get(f"{kind}.attention.sliding_window_pattern")
        if not isinstance(slides, Sequence) or layer >= len(slides):
            return math.nan, math.nan, key
        if slides[layer]:
            return told(f"{_KEY}_swa"), told(f"{_VALUE}_swa"), key
        return key, value, key
    return key, value, rotary


def _lengths(facts: Facts, layer: int) -> dict[str, tuple[str, str, float]]:
    """Calculate all lengths in a layer: in words, by which key, and NaN where it tells nothing."""
    told = partial(_told, facts, layer)
    kind, width, inner = facts.architecture, told(WIDTH.key), told(_INNER, 0)
    heads = told(HEADS.key, 0)
    kv_heads = told(KV_HEADS.key, heads)
    key, value, rotary = _head_widths(facts, layer)
    rank = told(_RANK)
    values = kv_heads * value
    keys = values if kind in _KEYS_AS_VALUES else kv_heads * key
    queries = width if kind in _FIXED_HEADS else heads * key
    expert, used, shared = told(_EXPERT, 0), told("expert_used_count", 0), told(_SHARED, 0)
    if kind in {"qwen2moe", "qwen3moe", "qwen3next", "qwen35moe"}:
        expert, shared = expert or (inner // used if used else math.nan), shared or inner
    elif kind == "deepseek2":
        shared = expert * told("expert_shared_count")
    inputs, state, steps = told(_INPUTS), told("ssm.state_size"), told(_STEPS)
    groups = told("ssm.group_count")
    linear = state * (2 * groups + steps)
    convolved = told(_SSM) + 2 * groups * state
    all_heads = "number of heads times their width"
    return {
        "width": (WIDTH.words, WIDTH.key, width),
        "width x 3": (f"{WIDTH.words}, three times,", WIDTH.key, 3 * width),
        "vocabulary": (
            *(VOCABULARY.words, VOCABULARY.key),
            facts.number(VOCABULARY) or math.nan,
        ),
        "positions": ("length of the context", "context_length", told("context_length")),
        "inner": ("width of the feed-forward layers", _INNER, inner),
        "inner x 2": ("width of the feed-forward layers, twice,", _INNER, 2 * inner),
        "n heads": (HEADS.words, HEADS.key, heads),
        "n kv heads": (KV_HEADS.words, KV_HEADS.key, kv_heads),
        "key": ("width of a head", _KEY, key),
        "value": ("width of a head's values", _VALUE, value),
        "queries": (all_heads, HEADS.key, queries),
        "queries x 2": (f"{all_heads}, twice,", HEADS.key, 2 * queries),
        "keys": (all_heads, HEADS.key, keys),
        "values": (all_heads, HEADS.key, values),
        "all values": (all_heads, HEADS.key, heads * value),
        "all": (
            *("width of all queries, keys and values together", HEADS.key),
            queries + keys + values,
        ),
        "fixed": (
            *("width of all heads, for which llama.cpp takes the hidden size,", HEADS.key),
            width,
        ),
        "half rotary": ("half of the width that is rotated", _ROTARY, rotary // 2),
        "query rank": ("rank of the queries", _QUERY_RANK, told(_QUERY_RANK)),
        "rank": ("rank of keys and values", _RANK, rank),
        "rank + rotary": ("rank of keys and values and the rotary width", _RANK, rank + rotary),
        "plain key": ("width of a head without the rotary part", _KEY, key - rotary),
        "plain keys + values": (all_heads, HEADS.key, heads * (key - rotary + value)),
        "experts": ("number of experts", "expert_count", told("expert_count", 0)),
        "expert": ("width of an expert", _EXPERT, expert),
        "expert x 2": ("width of an expert, twice,", _EXPERT, 2 * expert),
        "shared": ("width of the shared experts", _SHARED, shared),
        "ssm": ("inner width of the state space", _SSM, told(_SSM)),
        "ssm x 2": ("inner width of the state space, twice,", _SSM, 2 * told(_SSM)),
        "convolution": ("length of the convolution", "ssm.conv_kernel", told("ssm.conv_kernel")),
        "state": ("size of the state", "ssm.state_size", state),
        "steps": ("rank of the time steps", _STEPS, steps),
        "convolved": ("width of the inner values and two states a group", _SSM, convolved),
        "all of state": (
            *("width of all that goes into the state space", _SSM),
            told(_SSM) + convolved + steps,
        ),
        "groups": ("number of groups of the state", "ssm.group_count", groups),
        "group": (
            *("inner width of the state space, a group,", _SSM),
            told(_SSM) // groups if groups else math.nan,
        ),
        "one": ("one number each", _STEPS, 1),
        "steps x 2": ("rank of the time steps, twice,", _STEPS, 2 * steps),
        "linear": ("width of all linear queries, keys and values", "ssm.state_size", linear),
        "steps + states": ("rank of the time steps and two states", _STEPS, steps + 2 * state),
        "cache": ("length of the convolution", "shortconv.l_cache", told("shortconv.l_cache")),
        "buckets": ("number of relative positions", _BUCKETS, told(_BUCKETS)),
        "inputs": ("width of a layer's own input", _INPUTS, inputs),
        "all inputs": ("width of all layers' own inputs", _INPUTS, inputs * told(LAYERS.key)),
    }
