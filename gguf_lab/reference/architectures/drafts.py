"""Models that draft tokens for a larger one: gemma4-assistant and dflash.

Facts: llama.cpp's converter, classes ``Gemma4AssistantModel``, ``DFlashModel``,
``MuseGlimmerAssistantModel`` and ``Gemma4DSparkModel``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..facts import HEADS, KV_HEADS, LAYERS, WIDTH, Quantity
from ..transforms import PermuteRotary
from .common import LEFT_OUT, SPELLINGS
from .family import Family, LeftOut, Row, Spelling
from .gemma import GEMMA4

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..facts import Facts

__all__ = ["DFLASH", "GEMMA4_ASSISTANT"]

GEMMA4_ASSISTANT = replace(
    GEMMA4,
    architectures=("gemma4-assistant",),
    model_types=("gemma4_assistant", "gemma4_unified_assistant"),
    left_out=(
        *LEFT_OUT,
        LeftOut("masked_embedding.*", "llama.cpp looks at all tokens, not at groups of them first"),
    ),
    rows=(
        *GEMMA4.rows,
        *(
            Row(f"{name}.weight", f"nextn.{name}.weight")
            for name in ("pre_projection", "post_projection")
        ),
    ),
    like="gemma4",
)

_HEAD_SIZE = Quantity("size of a head", "attention.key_length", ("head_dim",))


def _halves(heads: Quantity | None) -> Callable[[Facts, int | None], PermuteRotary]:
    def choose(facts: Facts, layer: int | None) -> PermuteRotary:
        return PermuteRotary(facts.need(heads, layer) if heads else 1, facts.need(_HEAD_SIZE))

    return choose


def _in_pairs(facts: Facts) -> bool:
    return facts.config.get("rope_is_neox_style") is False


def _as_gemma(facts: Facts) -> bool:
    # there the norm after the attention is in its own place; elsewhere it is the one before the MLP
    return any(name.endswith(".post_attention_norm.weight") for name in facts.shapes)


_LAYER = "model.layers.{layer}"

# what the larger model has calculated goes through fc and a norm
DFLASH = Family(
    architectures=("dflash",),
    model_types=("muse_glimmer_assistant",),
    spellings=(
        Spelling("encoder.", ""),
        Spelling("model.", ""),
        *SPELLINGS,
        Spelling(".layer_scalar", ".layer_scalar.weight", "end"),
    ),
    left_out=LEFT_OUT,
    rows=(
        *(
            Row(theirs, ours)
            for theirs, ours in (
                ("hidden_norm.weight", "enc.output_norm.weight"),
                ("output_norm_enc.weight", "enc.output_norm.weight"),
                ("markov_head.markov_w1.weight", "markov_w1.weight"),
                ("markov_head.markov_w2.weight", "markov_w2.weight"),
                ("confidence_head.proj.weight", "conf_proj.weight"),
                ("confidence_head.proj.bias", "conf_proj.bias"),
            )
        ),
        Row("*.q_proj.weight", transform=_halves(HEADS), when=_in_pairs),
        Row("*.k_proj.weight", transform=_halves(KV_HEADS), when=_in_pairs),
        Row("*.q_norm.weight", transform=_halves(None), when=_in_pairs),
        Row("*.k_norm.weight", transform=_halves(None), when=_in_pairs),
        Row(
            f"{_LAYER}.post_attention_layernorm.weight",
            "blk.{layer}.post_attention_norm.weight",
            when=_as_gemma,
        ),
        Row(
            f"{_LAYER}.pre_feedforward_layernorm.weight",
            "blk.{layer}.ffn_norm.weight",
            when=_as_gemma,
        ),
        Row(f"{_LAYER}.post_feedforward_layernorm.weight", "blk.{layer}.post_ffw_norm.weight"),
        Row(f"{_LAYER}.layer_scalar.weight", "blk.{layer}.layer_output_scale.weight"),
    ),
    made_up=GEMMA4.made_up,
    # of gemma the file speaks of the heads of full layers
    same=(WIDTH, LAYERS, HEADS),
    like="qwen3",
    borrowed=("*",),  # mostly that of the model they draft for
)
