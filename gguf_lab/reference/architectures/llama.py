"""llama and what llama.cpp calls llama: mistral and mixtral too (``general.architecture`` "llama").

Facts: llama.cpp's converter, class ``LlamaModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transforms import UnpermuteRotary
from .family import Family, LeftOut, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["LLAMA"]


def _rotary_queries(facts: Facts, layer: int | None) -> UnpermuteRotary:
    return UnpermuteRotary(facts.heads(layer))


def _rotary_keys(facts: Facts, layer: int | None) -> UnpermuteRotary:
    # grouped-query attention: K has fewer heads than Q, of the same size
    return UnpermuteRotary(facts.kv_heads(layer))


_OTHER_PART = "part of the image or sound encoder, which has a file of its own (mmproj)"

LLAMA = Family(
    architectures=("llama",),
    model_types=("llama", "mistral", "mixtral"),
    spellings=(
        Spelling("language_model.", "", "anywhere"),
        Spelling("text_model.", "", "anywhere"),
    ),
    left_out=(
        LeftOut("*.rotary_emb.inv_freq", "rotary frequencies are calculated, not stored"),
        LeftOut("*.attention.masked_bias", "a constant of the attention mask, no weight"),
        LeftOut("*.attention.bias", "a constant of the attention mask, no weight"),
        LeftOut("*vision_*", _OTHER_PART),
        LeftOut("*audio_*", _OTHER_PART),
        LeftOut("*projector.*", _OTHER_PART),
        LeftOut("model.connector.*", _OTHER_PART),
        LeftOut("*image_newline*", _OTHER_PART),
    ),
    rows=(
        # Only names of Transformers: Meta's own (layers.0.attention.wq) are in pairs already.
        Row("*q_proj.weight", transform=_rotary_queries),
        Row("*q_proj.bias", transform=_rotary_queries),
        Row("*k_proj.weight", transform=_rotary_keys),
        Row("*k_proj.bias", transform=_rotary_keys),
        # mixtral
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w1.weight",
            to="layers.{layer}.feed_forward.experts.w1.weight",
        ),
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w2.weight",
            to="layers.{layer}.feed_forward.experts.w2.weight",
        ),
        stacked(
            "*layers.{layer}.block_sparse_moe.experts.{index}.w3.weight",
            to="layers.{layer}.feed_forward.experts.w3.weight",
        ),
    ),
    made_up=(
        LeftOut(
            "rope_freqs.weight",
            "calculated by the converter from the rope scaling in config.json: the checkpoint has"
            " no such tensor",
        ),
    ),
)
