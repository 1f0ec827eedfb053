"""The named mixes of llama-quantize, as a table: which type for which tensor, and when.

Most tensors of a mix have its base type. A few matter more than their size, and get more bits: the
output, the values of the attention, the way down of the feed-forward network, the first layers.

Source: ``llama_tensor_get_type_impl`` and ``llama_ftype_get_default_type`` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .facts import Facts

__all__ = ["ALIASES", "MIXES", "Mix", "Place", "Rule", "When", "first_match"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor is, which the conditions ask.

    Attributes
    ----------
    index, count : int
        The how-many-th tensor of its role, from 0, and how many layers there are.
    facts : Facts
        What is known about the model.
    has_imatrix : bool
        Whether there is an importance matrix.
    """

    index: int
    count: int
    facts: Facts
    has_imatrix: bool


@dataclass(frozen=True, slots=True)
class When:
    """A condition and its words."""

    words: str
    holds: Callable[[Place], bool]


def _more_bits(place: Place) -> bool:
    eighth = place.count // 8
    return (
        place.index < eighth
        or place.index >= 7 * place.count // 8
        or (place.index - eighth) % 3 == 2
    )


more_bits = When("in the first or last eighth of the layers, or every third between", _more_bits)
first_two = When("one of the first two", lambda p: p.index < 2)
first_four = When("one of the first four", lambda p: p.index < 4)
first_16th = When("in the first sixteenth of the layers", lambda p: p.index < p.count // 16)
first_eighth = When("in the first eighth of the layers", lambda p: p.index < p.count // 8)
inner_layers = When(
    "in neither the first nor the last eighth of the layers",
    lambda p: p.count // 8 <= p.index < 7 * p.count // 8,
)
grouped = When("four or more heads share it", lambda p: p.facts.n_gqa >= 4)
four_experts = When("four or more experts", lambda p: p.facts.n_expert >= 4)
eight_experts = When("eight experts", lambda p: p.facts.n_expert == 8)
not_eight_experts = When("no eight experts", lambda p: p.facts.n_expert != 8)
falcon = When("falcon", lambda p: p.facts.architecture == "falcon")
not_falcon = When("not falcon", lambda p: p.facts.architecture != "falcon")
has_imatrix = When("with an importance matrix", lambda p: p.has_imatrix)
no_imatrix = When("without importance matrix", lambda p: not p.has_imatrix)

Rule: TypeAlias = "tuple[str, tuple[When, ...]]"
"""A type, and all that must hold for it."""


def rule(qtype: str, *conditions: When) -> Rule:
    """Write a rule: this type, if all conditions hold."""
    return qtype, conditions


def first_match(rules: tuple[Rule, ...], place: Place) -> tuple[str, str] | None:
    """Return type and words of the first rule that holds, None if none does."""
    for qtype, conditions in rules:
        if all(condition.holds(place) for condition in conditions):
            return qtype, ", ".join(condition.words for condition in conditions)
    return None


@dataclass(frozen=True, slots=True)
class Mix:
    """A named mix.

    Attributes
    ----------
    base : str
        The type of whatever no rule speaks of.
    output : str
        The type of the output matrix, and of token embeddings that serve as output too.
    rules : mapping of str to tuple of rules
        For each role of a tensor the rules in order: the first that holds decides.
    counted : bool
        Whether layers are always counted in the order of the tensors. Else they are so in models
        without experts only, and read from the name in models with.
    """

    base: str
    output: str = "Q6_K"
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    counted: bool = False


# Eight experts share one attention: more bits for it cost next to nothing.
_EIGHT_EXPERTS_OUTPUT = rule("Q5_K", not_falcon, eight_experts)


def _mix(
    base: str,
    *,
    output: str = "Q6_K",
    attn_v: tuple[Rule, ...] = (),
    attn_k: tuple[Rule, ...] = (),
    **rules: tuple[Rule, ...],
) -> Mix:
    """Put the rules of all mixes before those of this one."""
    experts = (rule("Q8_0", eight_experts),)
    rules |= {"attn_v": experts + attn_v, "attn_k": experts + attn_k}
    return Mix(base, output, rules)


def _tiny(base: str, better: str, *, attn_output: tuple[Rule, ...] = ()) -> Mix:
    """Make a mix of one or two bits, which has rules of its own."""
    return Mix(
        base,
        output="Q5_K",
        rules={
            "token_embd": (rule(better),),
            "attn_v": (rule("Q4_K", grouped), rule("Q4_K", four_experts), rule(better)),
            "attn_k": (rule("Q4_K", eight_experts),),
            "attn_output": (rule("Q5_K", eight_experts), *attn_output),
            "ffn_down": (rule(better, first_eighth),),
        },
        counted=True,
    )


# The names of the roles are those of the tensors; "attn_v" stands for attn_qkv and attn_kv_b too.
MIXES: dict[str, Mix] = {
    "F32": Mix("F32"),
    "F16": Mix("F16"),
    "BF16": Mix("BF16"),
    "Q8_0": _mix("Q8_0", output="Q8_0"),
    "Q4_0": _mix("Q4_0", ffn_down=(rule("Q4_1", has_imatrix, first_eighth),)),
    "Q4_1": _mix("Q4_1"),
    "Q5_0": _mix("Q5_0", ffn_down=(rule("Q5_1", has_imatrix, first_eighth),)),
    "Q5_1": _mix("Q5_1"),
    "Q2_K": _mix(
        "Q2_K",
        attn_v=(rule("Q4_K", grouped), rule("Q3_K")),
        attn_output=(_EIGHT_EXPERTS_OUTPUT, rule("Q3_K", not_falcon)),
        ffn_down=(rule("Q3_K"),),
    ),
    "Q2_K_S": _mix(
        "Q2_K",
        attn_v=(rule("Q4_K", grouped),),
        ffn_down=(rule("Q4_K", first_eighth),),
    ),
    "Q3_K_S": _mix("Q3_K", attn_output=(_EIGHT_EXPERTS_OUTPUT,)),
    "Q3_K_M": _mix(
        "Q3_K",
        attn_v=(rule("Q5_K", first_two), rule("Q4_K")),
        attn_output=(_EIGHT_EXPERTS_OUTPUT, rule("Q4_K", not_falcon)),
        ffn_down=(rule("Q5_K", first_16th), rule("Q4_K", not_falcon), rule("Q4_K", more_bits)),
    ),
    "Q3_K_L": _mix(
        "Q3_K",
        attn_v=(rule("Q5_K"),),
        attn_output=(rule("Q4_K", falcon), rule("Q5_K", not_eight_experts)),
        ffn_down=(rule("Q4_K", falcon), rule("Q5_K")),
    ),
    "Q4_K_S": _mix(
        "Q4_K",
        attn_v=(rule("Q5_K", first_four),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT,),
        ffn_down=(rule("Q5_K", not_falcon, first_eighth),),
    ),
    "Q4_K_M": _mix(
        "Q4_K",
        attn_v=(rule("Q6_K", more_bits),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT,),
        ffn_down=(
            rule("Q6_K", not_falcon, more_bits),
            rule("Q6_K", falcon, first_16th),
            rule("Q5_K", falcon, more_bits),
        ),
    ),
    "Q5_K_S": _mix("Q5_K"),
    "Q5_K_M": _mix("Q5_K", attn_v=(rule("Q6_K", more_bits),), ffn_down=(rule("Q6_K", more_bits),)),
    "Q6_K": _mix("Q6_K"),
    "IQ1_S": _tiny("IQ1_S", "Q2_K", attn_output=(rule("IQ2_XXS"),)),
    "IQ1_M": _tiny("IQ1_M", "Q2_K", attn_output=(rule("IQ2_XXS"),)),
    "IQ2_XXS": _tiny("IQ2_XXS", "Q2_K"),
    "IQ2_XS": _tiny("IQ2_XS", "Q2_K"),
    "IQ2_S": _tiny("IQ2_XS", "IQ3_S", attn_output=(rule("IQ3_S"),)),
    "IQ2_M": _tiny("IQ2_S", "IQ3_S", attn_output=(rule("IQ3_S"),)),
    "IQ3_XXS": _mix(
        "IQ3_XXS",
        output="Q5_K",
        token_embd=(rule("IQ3_S"),),
        attn_v=(rule("Q4_K", grouped), rule("IQ3_S", no_imatrix)),
        attn_k=(rule("IQ2_S"),),
        attn_q=(rule("IQ2_S"),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT, rule("IQ3_S", not_falcon)),
        ffn_down=(rule("Q4_K", no_imatrix, first_eighth), rule("Q3_K", no_imatrix)),
    ),
    "IQ3_XS": _mix(
        "IQ3_S",
        attn_v=(rule("Q4_K", grouped),),
        attn_k=(rule("IQ3_XXS"),),
        attn_q=(rule("IQ3_XXS"),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT,),
        ffn_gate=(rule("IQ3_XXS", inner_layers),),
        ffn_up=(rule("IQ3_XXS", inner_layers),),
    ),
    "IQ3_S": _mix("IQ3_S", attn_v=(rule("Q4_K", grouped),), attn_output=(_EIGHT_EXPERTS_OUTPUT,)),
    "IQ3_M": _mix(
        "IQ3_S",
        attn_v=(rule("Q4_K"),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT, rule("Q4_K", not_falcon)),
        ffn_down=(rule("Q4_K", first_eighth), rule("Q4_K", eight_experts, more_bits)),
    ),
    "IQ4_NL": _mix(
        "IQ4_NL",
        attn_v=(rule("Q5_K", grouped),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT,),
        ffn_down=(rule("Q5_K", no_imatrix, first_eighth),),
    ),
    "IQ4_XS": _mix(
        "IQ4_XS",
        attn_v=(rule("Q5_K", grouped),),
        attn_output=(_EIGHT_EXPERTS_OUTPUT,),
        ffn_down=(rule("Q5_K", no_imatrix, first_eighth),),
    ),
    "TQ1_0": _mix("TQ1_0", token_embd=(rule("Q4_K"),)),
    "TQ2_0": _mix("TQ2_0", token_embd=(rule("Q4_K"),)),
    "MXFP4_MOE": Mix("MXFP4", output="Q8_0"),
    "Q1_0": _mix("Q1_0"),
    "Q2_0": _mix("Q2_0", token_embd=(rule("Q4_K"),)),
}

ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""Short names that llama-quantize takes for a mix."""
