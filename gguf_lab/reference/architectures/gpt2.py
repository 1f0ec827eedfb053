"""gpt2, and what came from it: starcoder (``gpt_bigcode``) and the first jais.

Facts: llama.cpp's converter, classes ``GPT2Model``, ``RuGPT3XLModel``, ``StarCoderModel`` and
``JaisModel``; in Transformers ``Conv1D``, whose weight is that of a linear layer transposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transforms import Times, Transpose
from .common import LEFT_OUT, multipliers
from .family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["GPT2", "JAIS", "STARCODER"]

_CONSTANT = "a constant of the attention mask, no weight"

_LEFT_OUT = (
    *LEFT_OUT,
    LeftOut("*.attn.bias", _CONSTANT),
    LeftOut("*.attn.masked_bias", _CONSTANT),
)

GPT2 = Family(
    architectures=("gpt2",),
    model_types=("gpt2",),
    # saved without the head on top
    spellings=tuple(
        Spelling(name, f"transformer.{name}") for name in ("h.", "wte.", "wpe.", "ln_f.")
    ),
    left_out=_LEFT_OUT,
    rows=(
        Row("*.c_attn.weight", transform=Transpose()),
        Row("*.c_proj.weight", transform=Transpose()),
        Row("*.c_fc.weight", transform=Transpose()),
        # ruGPT3XL, which has them apart; the file has them in one
        *(
            Row(f"model.layers.{{layer}}.self_attn.{n}_proj.{end}", f"blk.{{layer}}.attn_{n}.{end}")
            for n in "qkv"
            for end in ("weight", "bias")
        ),
    ),
)

STARCODER = Family(architectures=("starcoder",), model_types=("gpt_bigcode",), left_out=LEFT_OUT)


def _embedding(facts: Facts, _: int | None) -> Times:
    old = "mup_embeddings_scale" not in facts.config
    return Times(multipliers(facts, "embeddings_scale" if old else "mup_embeddings_scale"))


def _output(facts: Facts, _: int | None) -> Times:
    if "mup_output_alpha" not in facts.config:
        return Times(multipliers(facts, "width_scale"))
    (alpha,), (scale,) = (
        multipliers(facts, name) for name in ("mup_output_alpha", "mup_width_scale")
    )
    return Times((alpha * scale,))


def _tied(facts: Facts) -> bool:
    # files of 2024 have an output, of models that tie it to the embedding; each is multiplied
    return "mup_embeddings_scale" in facts.config and "output.weight" in facts.shapes


_COPY = "the token embedding once more: the output is tied to it"

JAIS = Family(
    architectures=("jais",),
    model_types=("jais",),
    left_out=(
        *_LEFT_OUT,
        LeftOut("*.relative_pe.slopes", "slopes of ALiBi are calculated, not stored"),
    ),
    rows=(
        *GPT2.rows,
        Row("*.c_fc2.weight", transform=Transpose()),
        Row("transformer.wte.weight", transform=_embedding),
        Row("lm_head.weight", transform=_output, copies=_COPY),
        Row("transformer.wte.weight", "output.weight", _output, copies=_COPY, when=_tied),
    ),
)
