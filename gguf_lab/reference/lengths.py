"""How long llama.cpp expects the sides of embeddings, norms and matrices to be.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``), the dimensions
that tensors are created with. A file that has others is refused: "tensor has wrong shape".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..model.names import split_name
from .facts import HEADS, KV_HEADS, WIDTH, Facts, Quantity
from .requirements import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EXPERTS", "INNER_WIDTH", "VOCABULARY", "WrongLength", "wrong_lengths"]

VOCABULARY = Quantity("size of the vocabulary", "vocab_size", ("vocab_size",))
# The key alone: what config.json calls it means something else in some families.
INNER_WIDTH = Quantity("width of the feed-forward layers", "feed_forward_length", ())
EXPERTS = Quantity("number of experts", "expert_count", ())
_POSITIONS = Quantity("length of the context", "context_length", ())
_EXPERT_WIDTH = Quantity("width of an expert", "expert_feed_forward_length", ())
_KEY = Quantity("width of a head", "attention.key_length", ())
_VALUE = Quantity("width of a head's values", "attention.value_length", ())
_HEADS_WIDTH = Quantity("number of heads times their width", "attention.head_count", ())
_FIXED_WIDTH = Quantity(
    "width of all heads, for which llama.cpp takes the hidden size,", "attention.head_count", ()
)
_FUSED_WIDTH = Quantity(
    "width of all queries, keys and values together", "attention.head_count", ()
)

_Sides: TypeAlias = "tuple[Quantity | None, ...]"
_Side: TypeAlias = "tuple[Quantity, int | None]"
_INTO: _Sides = (None, WIDTH)
_OUT_OF: _Sides = (WIDTH, None)

# Kind of a tensor: its sides in NumPy order; None: what depends on more than one key.
_ANYWHERE: dict[str, _Sides] = {
    "token_embd": (VOCABULARY, WIDTH),
    "output": (VOCABULARY, WIDTH),
}
_OUTSIDE: dict[str, _Sides] = _ANYWHERE | {
    "position_embd": (_POSITIONS, WIDTH),
    "token_embd_norm": (WIDTH,),
    "output_norm": (WIDTH,),
}
_IN_LAYERS: dict[str, _Sides] = {
    **dict.fromkeys(
        (
            *("attn_norm", "attn_norm_2", "attn_output_norm", "post_attention_norm"),
            *("cross_attn_norm", "ffn_norm", "post_ffw_norm", "layer_output_norm"),
        ),
        (WIDTH,),
    ),
    **dict.fromkeys(
        (
            *("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_q_a", "attn_kv_a_mqa"),
            *("cross_attn_q", "cross_attn_k", "cross_attn_v", "ssm_in", "shortconv.in_proj"),
        ),
        _INTO,
    ),
    **dict.fromkeys(
        ("attn_output", "attn_o", "cross_attn_o", "ssm_out", "shortconv.out_proj"), _OUT_OF
    ),
    "ffn_gate": (INNER_WIDTH, WIDTH),
    "ffn_up": (INNER_WIDTH, WIDTH),
    "ffn_down": (WIDTH, INNER_WIDTH),
    "ffn_gate_inp": (EXPERTS, WIDTH),
    "ffn_gate_exps": (EXPERTS, _EXPERT_WIDTH, WIDTH),
    "ffn_up_exps": (EXPERTS, _EXPERT_WIDTH, WIDTH),
    "ffn_gate_up_exps": (EXPERTS, _EXPERT_WIDTH, WIDTH),
    "ffn_down_exps": (EXPERTS, WIDTH, _EXPERT_WIDTH),
    "ffn_gate_shexp": _INTO,
    "ffn_up_shexp": _INTO,
    "ffn_down_shexp": _OUT_OF,
}
_GATE_IN_UP = frozenset(("phi3", "glm4"))  # ffn_up has the rows of both
# Which key says how wide experts are; nothing is said of others.
_EXPERT_WIDTHS = {
    **dict.fromkeys(("llama", "granitemoe", "olmoe", "minimax-m2"), INNER_WIDTH),
    **dict.fromkeys(("qwen2moe", "qwen3moe", "deepseek2", "gpt-oss", "lfm2moe"), _EXPERT_WIDTH),
}
# Heads of several widths, or none of the usual matrices.
_OTHER_HEADS = frozenset(("deepseek2", "gemma4", "mamba", "t5", "t5encoder"))
# All heads together are as wide as the model, whatever the width of a head.
_FIXED_HEADS = frozenset(
    (
        *("qwen2", "qwen2moe", "phi2", "phi3", "bloom", "falcon", "gpt2", "starcoder"),
        *("starcoder2", "stablelm", "nemotron", "lfm2", "lfm2moe", "olmo2", "olmoe"),
        *("command-r", "cohere2", "bert", "nomic-bert", "nomic-bert-moe"),
    )
)
_FIXED_OUTPUT = _FIXED_HEADS | {"exaone4"}


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
    for name, shape in shapes.items():
        layer, kind = split_name(name)
        kind = kind.removeprefix("enc.").removeprefix("dec.")
        if not (sides := _sides(facts, layer, kind)):
            continue
        # ggml has four dimensions, and those that a file does not list are 1.
        lengths = (1,) * (len(sides) - len(shape)) + shape[-len(sides) :]
        for has, (quantity, due) in zip(lengths, sides, strict=True):
            if due is not None and has != due:
                yield WrongLength(name, shape, quantity, has, due)


def _sides(facts: Facts, layer: int | None, kind: str) -> list[_Side]:
    """Return what each side is to be as long as; nothing where nothing is known."""
    known = facts.architecture in REQUIRED
    if layer is None:
        sides = (_OUTSIDE if known else _ANYWHERE).get(kind, ())
    else:
        if known and (attention := _attention(facts, layer, kind)):
            return attention
        sides = _IN_LAYERS.get(kind, ()) if known else ()
    return [_length(facts, layer, kind, quantity) for quantity in sides]


def _length(facts: Facts, layer: int | None, kind: str, quantity: Quantity | None) -> _Side:
    inner = quantity is INNER_WIDTH or quantity is _EXPERT_WIDTH
    if quantity is _EXPERT_WIDTH:
        quantity = _EXPERT_WIDTHS.get(facts.architecture)
    due = None if quantity is None else facts.number(quantity, layer)
    both = kind == "ffn_gate_up_exps" or (kind == "ffn_up" and facts.architecture in _GATE_IN_UP)
    return quantity or WIDTH, due and due * (2 if inner and both else 1)


def _attention(facts: Facts, layer: int, kind: str) -> list[_Side]:
    """Return the two sides of a matrix of attention; nothing if it is none, or of another kind."""
    # what config.json says besides is not for llama.cpp: gpt2 has no heads that are shared
    width, heads = facts.in_file(WIDTH), facts.in_file(HEADS, layer)
    if facts.architecture in _OTHER_HEADS or not width or not heads:
        return []
    usual = width // (facts.in_file(HEADS, 0) or heads)
    key, value = (facts.in_file(length) or usual for length in (_KEY, _VALUE))
    shared = facts.in_file(KV_HEADS, layer) or heads
    fixed, free = (_FIXED_WIDTH, width), (_HEADS_WIDTH, heads * key)
    queries = fixed if facts.architecture in _FIXED_HEADS else free
    output = fixed if facts.architecture in _FIXED_OUTPUT else free
    rows = {
        "attn_q": queries,
        "attn_k": (_HEADS_WIDTH, shared * key),
        "attn_v": (_HEADS_WIDTH, shared * value),
        "attn_qkv": (_FUSED_WIDTH, queries[1] + shared * (key + value)),
    }
    if kind == "attn_output":
        return [(WIDTH, width), output]
    return [rows[kind], (WIDTH, width)] if kind in rows else []
