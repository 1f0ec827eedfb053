"""gemma, from the first to the fourth, as far as it is text.

Facts: llama.cpp's converter, classes ``GemmaModel``, ``Gemma2Model``, ``Gemma3Model``,
``EmbeddingGemma``, ``Gemma3NModel`` and ``Gemma4Model``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..transforms import Added, AsStored, Extended, Part, Transform
from .common import LEFT_OUT, SPELLINGS
from .family import Family, LeftOut, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["GEMMA", "GEMMA2", "GEMMA3", "GEMMA4"]


def _vocabulary(facts: Facts, _: int | None) -> Transform:
    # the checkpoint has rows for tokens that the tokenizer doesn't know: the file ends before them
    if "token_embd.weight" not in facts.shapes:
        return AsStored()
    rows = facts.shapes["token_embd.weight"][0]
    if rows == facts.config.get("vocab_size"):
        return AsStored()
    return Part(0, rows, f"rows 0 to {rows}, those of the tokenizer's tokens")


def _per_layer(facts: Facts, _: int | None) -> Transform:
    # tokens of images and sounds have no row here, and get zeros; earlier files end before them
    rows = facts.shapes.get("per_layer_token_embd.weight", (0,))[0]
    short = facts.config.get("vocab_size_per_layer_input") != rows == facts.config.get("vocab_size")
    return Extended(rows) if short else AsStored()


_NORM_PLUS_ONE = Row("*norm.weight", transform=Added(1))  # GemmaRMSNorm multiplies by 1 + weight
_TIED = LeftOut("lm_head.weight", "tied: the file uses token_embd.weight for the output too")

GEMMA = Family(
    architectures=("gemma",),
    model_types=("gemma",),
    spellings=SPELLINGS,
    left_out=(*LEFT_OUT, _TIED),
    rows=(_NORM_PLUS_ONE,),
)

GEMMA2 = replace(GEMMA, architectures=("gemma2",), model_types=("gemma2",))

GEMMA3 = Family(
    architectures=("gemma3", "gemma-embedding"),
    model_types=("gemma3", "gemma3_text"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(_NORM_PLUS_ONE, Row("model.embed_tokens.weight", transform=_vocabulary)),
)

GEMMA3N = Family(
    architectures=("gemma3n",),
    model_types=("gemma3n", "gemma3n_text"),
    spellings=(Spelling("_scale", "_scale.weight", "end"), *SPELLINGS),
    left_out=LEFT_OUT,
    rows=(
        Row("model.embed_tokens.weight", transform=_vocabulary),
        Row("model.embed_tokens_per_layer.weight", transform=_per_layer),
        *(
            stacked(f"model.{name}.{{index}}.weight", f"model.{name}.weight", "projections")
            for name in ("altup_projections", "altup_unembed_projections")
        ),
    ),
)

GEMMA4 = Family(
    architectures=("gemma4",),
    model_types=("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"),
    spellings=(
        *SPELLINGS,
        Spelling(".layer_scalar", ".layer_scalar.weight", "end"),
        Spelling(".experts.gate_up_proj", ".experts.gate_up_proj.weight", "end"),
        Spelling(".experts.down_proj", ".experts.down_proj.weight", "end"),
    ),
    left_out=LEFT_OUT,
    rows=(
        Row("model.embed_tokens.weight", transform=_vocabulary),
        *(
            stacked(
                f"model.layers.{{layer}}.experts.{{index}}.{kind}_proj.weight",
                to=f"blk.{{layer}}.ffn_{kind}_exps.weight",
            )
            for kind in ("gate", "up", "down")
        ),
        Row("model.layers.{layer}.router.scale", to="blk.{layer}.ffn_gate_inp.scale"),
        Row("model.layers.{layer}.router.per_expert_scale", to="blk.{layer}.ffn_down_exps.scale"),
    ),
    made_up=(
        LeftOut(
            "rope_freqs.weight",
            "made by the converter to keep part of each head unrotated: the checkpoint has no such"
            " tensor",
        ),
    ),
)
