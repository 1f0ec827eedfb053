"""Lines that tables of many families share.

Facts: llama.cpp's converter, classes ``ModelBase`` and ``TextModel``, and ``LlamaModel.permute``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transforms import Half, UnpermuteRotary
from .family import LeftOut, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = [
    "EXPERTS",
    "FUSED_EXPERTS",
    "LEFT_OUT",
    "ROPE_FREQS",
    "ROTARY_ROWS",
    "SPELLINGS",
    "fused_experts",
]

_CONSTANT = "a constant of the attention mask, no weight"
_OTHER_PART = "part of the image or sound encoder, which has a file of its own (mmproj)"

SPELLINGS = (
    # the text part of a model that sees or hears
    Spelling("language_model.", "", "anywhere"),
    # saved without the head on top
    Spelling("layers.", "model.layers."),
    Spelling("embed_tokens.", "model.embed_tokens."),
    Spelling("norm.", "model.norm."),
    Spelling("e_score_correction_bias", "e_score_correction.bias", "end"),
)

LEFT_OUT = (
    LeftOut("*.rotary_emb.inv_freq", "rotary frequencies are calculated, not stored"),
    LeftOut("*.attention.masked_bias", _CONSTANT),
    LeftOut("*.attention.bias", _CONSTANT),
    LeftOut("*vision_*", _OTHER_PART),
    LeftOut("*vision.*", _OTHER_PART),
    LeftOut("*visual.*", _OTHER_PART),
    LeftOut("*audio_*", _OTHER_PART),
    LeftOut("*audio.*", _OTHER_PART),
    LeftOut("*projector.*", _OTHER_PART),
    LeftOut("model.connector.*", _OTHER_PART),
    LeftOut("*image_newline*", _OTHER_PART),
)

ROPE_FREQS = LeftOut(
    "rope_freqs.weight",
    "calculated by the converter from the rope scaling in config.json: the checkpoint has"
    " no such tensor",
)


def _rotary_queries(facts: Facts, layer: int | None) -> UnpermuteRotary:
    return UnpermuteRotary(facts.heads(layer))


def _rotary_keys(facts: Facts, layer: int | None) -> UnpermuteRotary:
    # grouped-query attention: K has fewer heads than Q, of the same size
    return UnpermuteRotary(facts.kv_heads(layer))


ROTARY_ROWS = (
    Row("*q_proj.weight", transform=_rotary_queries),
    Row("*q_proj.bias", transform=_rotary_queries),
    Row("*k_proj.weight", transform=_rotary_keys),
    Row("*k_proj.bias", transform=_rotary_keys),
)

EXPERTS = tuple(
    stacked(
        f"model.layers.{{layer}}.mlp.experts.{{index}}.{kind}_proj.weight",
        to=f"model.layers.{{layer}}.mlp.experts.{kind}_proj.weight",
    )
    for kind in ("gate", "up", "down")
)
"""Experts with a tensor each."""


def fused_experts(module: str) -> tuple[Row, ...]:
    """Make rows for all experts of a layer in one tensor, as Transformers 5 holds them.

    Parameters
    ----------
    module : str
        The name of the experts in a layer, such as ``"mlp.experts"``.
    """
    experts = f"model.layers.{{layer}}.{module}"
    gate, up, down = (f"blk.{{layer}}.ffn_{kind}_exps.weight" for kind in ("gate", "up", "down"))
    return tuple(
        row
        for tail in ("", ".weight")
        for row in (
            Row(f"{experts}.gate_up_proj{tail}", gate, Half(0)),
            Row(f"{experts}.gate_up_proj{tail}", up, Half(1)),
            Row(f"{experts}.down_proj{tail}", down),
        )
    )


FUSED_EXPERTS = fused_experts("mlp.experts")
