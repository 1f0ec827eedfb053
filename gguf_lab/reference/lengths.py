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
from .demanded import REQUIRED
from .facts import HEADS, KV_HEADS, LAYERS, WIDTH, Quantity
from .sides import (
    ALL_ROTATED,
    ANYWHERE,
    ELSEWHERE,
    FIXED_HEADS,
    KEYS_AS_VALUES,
    NOT_ROTATED,
    OF_ARCHITECTURE,
    ONE_WIDTH,
    OUTSIDE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .facts import Facts

__all__ = [
    "VOCABULARY",
    "WrongLength",
    "filled_layers",
    "wrong_experts",
    "wrong_heads",
    "wrong_lengths",
]

VOCABULARY = Quantity("size of the vocabulary", "vocab_size", ("vocab_size",))
_INNER, _EXPERT = "feed_forward_length", "expert_feed_forward_length"
_SHARED = "expert_shared_feed_forward_length"
_KEY, _VALUE, _ROTARY = "attention.key_length", "attention.value_length", "rope.dimension_count"
_QUERY_RANK, _RANK = "attention.q_lora_rank", "attention.kv_lora_rank"
_SSM, _STEPS, _GROUPS = "ssm.inner_size", "ssm.time_step_rank", "ssm.group_count"
_LATENT = "moe_latent_size"
_CONVNEXT = "convnext.embedding_length"
_BUCKETS, _INPUTS = "attention.relative_buckets_count", "embedding_length_per_layer_input"


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


def filled_layers(facts: Facts, layers: int) -> Iterator[int]:
    """Yield the layers that have tensors: all, but for three architectures.

    Parameters
    ----------
    facts : Facts
    layers : int
        How many there are, without those that only predict further tokens.
    """
    told, kind = partial(_told, facts, 0), facts.architecture
    if kind == "hrm_text":  # two stacks, which are run again and again
        layers = _at_most(layers, 2 * told("hrm.layers_per_stack"))
    elif kind == "wavtokenizer-dec":
        layers = _at_most(layers, max(told("posnet.block_count"), told("convnext.block_count")))
    for layer in range(layers):
        # what deci has none of in a layer is left out, and of some layers all
        needs = (_told(facts, layer, key, 0) for key in (HEADS.key, KV_HEADS.key, _INNER))
        if kind != "deci" or any(needs):
            yield layer


def _at_most(layers: int, number: float) -> int:
    return layers if math.isnan(number) else int(min(layers, number))


def wrong_heads(facts: Facts) -> tuple[str, str] | None:
    """Say which key contradicts how llama.cpp computes attention, and in which way."""
    if facts.architecture not in REQUIRED or not facts.in_file(HEADS, 0):
        return None
    key, value, rotary = _head_widths(facts, 0)
    if facts.architecture in ONE_WIDTH and key != value and not math.isnan(key + value):
        return _VALUE, f"values of a head are {value:,} wide, keys {key:,}; they have to be alike"
    if facts.architecture in ALL_ROTATED and rotary != key and not math.isnan(key + rotary):
        return _ROTARY, f"{rotary:,} values of a head are rotated, and it has {key:,}, all of them"
    rotated = {_ROTARY: rotary} if facts.architecture not in NOT_ROTATED else {}
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
        table = ELSEWHERE.get(architecture, ANYWHERE) if layer is None else {}
    else:
        table = OUTSIDE if layer is None else OF_ARCHITECTURE[architecture]
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
    keys = values if kind in KEYS_AS_VALUES else kv_heads * key
    queries = width if kind in FIXED_HEADS else heads * key
    expert, used, shared = told(_EXPERT, 0), told("expert_used_count", 0), told(_SHARED, 0)
    if kind in {"qwen2moe", "qwen3moe", "qwen3next", "qwen35moe"}:
        expert, shared = expert or (inner // used if used else math.nan), shared or inner
    elif kind == "nemotron_h_moe":
        expert = expert or (inner // used if used else math.nan)
    elif kind == "llama4":
        shared = expert
    elif kind in {"deepseek2", "glm4moe", "dots1"}:
        shared = expert * told("expert_shared_count")
    inputs, state, steps = told(_INPUTS), told("ssm.state_size"), told(_STEPS)
    ssm, groups = told(_SSM), told(_GROUPS)
    linear = state * (2 * groups + steps)
    convolved = ssm + 2 * groups * state
    all_heads = "number of heads times their width"
    return {
        "width": (WIDTH.words, WIDTH.key, width),
        "width x 3": (f"{WIDTH.words}, three times,", WIDTH.key, 3 * width),
        "vocabulary": (
            *(VOCABULARY.words, VOCABULARY.key),
            facts.number(VOCABULARY) or math.nan,
        ),
        "features": ("width of a code", "features_length", told("features_length")),
        "convnext": ("width of the convolutions", _CONVNEXT, told(_CONVNEXT)),
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
        "latent": ("width of what experts see", _LATENT, told(_LATENT, 0) or width),
        "shared": ("width of the shared experts", _SHARED, shared),
        "ssm": ("inner width of the state space", _SSM, ssm),
        "ssm x 2": ("inner width of the state space, twice,", _SSM, 2 * ssm),
        "convolved": ("inner width of the state space and all states, twice,", _SSM, convolved),
        "gate + convolved + steps": (
            *("inner width, states and heads of the state space together", _SSM),
            ssm + convolved + steps,
        ),
        "groups": ("number of groups of the state", _GROUPS, groups),
        "group": ("inner width of a group of the state", _GROUPS, ssm // groups if groups else 0),
        "convolution": ("length of the convolution", "ssm.conv_kernel", told("ssm.conv_kernel")),
        "state": ("size of the state", "ssm.state_size", state),
        "steps": ("rank of the time steps", _STEPS, steps),
        "one": ("column", _STEPS, 1),
        "steps x 2": ("rank of the time steps, twice,", _STEPS, 2 * steps),
        "linear": ("width of all linear queries, keys and values", "ssm.state_size", linear),
        "steps + states": ("rank of the time steps and two states", _STEPS, steps + 2 * state),
        "cache": ("length of the convolution", "shortconv.l_cache", told("shortconv.l_cache")),
        "buckets": ("number of relative positions", _BUCKETS, told(_BUCKETS)),
        "inputs": ("width of a layer's own input", _INPUTS, inputs),
        "all inputs": ("width of all layers' own inputs", _INPUTS, inputs * told(LAYERS.key)),
    }
