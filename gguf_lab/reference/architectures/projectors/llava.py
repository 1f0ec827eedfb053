"""Encoders behind which images are projected by a few layers: InternVL, Llama 4, Pixtral, SmolVLM.

Facts: llama.cpp's converter, classes ``InternVisionModel``, ``LightOnOCRVisionModel``,
``Llama4VisionModel``, ``LlavaVisionModel``, ``PixtralModel`` and ``SmolVLMModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..family import LeftOut, Row, Spelling
from .common import OTHER_PART, projector, qkv_apart, unpermute_image_heads

if TYPE_CHECKING:
    from ...facts import Facts

__all__ = ["IDEFICS3", "INTERNVL", "LLAMA4", "PIXTRAL"]

PIXTRAL = projector(
    "pixtral",
    "lightonocr",
    spellings=(
        Spelling("model.vision_encoder.", "vision_tower."),
        Spelling("model.vision_projection.", "multi_modal_projector."),
        Spelling("model.vision_tower.", "vision_tower."),
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
        # Mistral's own format
        Spelling("vision_language_adapter.w_in.", "mm.1."),
        Spelling("vision_language_adapter.w_out.", "mm.2."),
    ),
    left_out=tuple(
        LeftOut(pattern, OTHER_PART)
        for pattern in ("layers.*", "norm.weight", "output.weight", "tok_embeddings.weight")
    ),
    rows=tuple(
        Row(f"vision_tower.*.{kind}_proj.{end}", transform=unpermute_image_heads)
        for kind in "qk"
        for end in ("weight", "bias")
    ),
    made_up=(LeftOut("v.token_embd.img_break", "the row of [IMG_BREAK] in the token embedding"),),
)

IDEFICS3 = projector("idefics3")

INTERNVL = projector(
    "internvl",
    spellings=(
        Spelling("vision_model.", "vision_tower.vision_model."),
        # what Transformers has made of it, which is also Intern-S1
        Spelling("vision_tower.e", "model.vision_tower.e"),
        Spelling("multi_modal_projector.", "model.multi_modal_projector."),
        Spelling("model.multi_modal_projector.layer_norm.", "mlp1.0."),
        Spelling("model.multi_modal_projector.linear_1.", "mlp1.1."),
        Spelling("model.multi_modal_projector.linear_2.", "mlp1.3."),
        *(
            Spelling(name, f"{name}.weight", "end")
            for name in (".ls1", ".ls2", ".lambda_1", ".lambda_2")
        ),
        Spelling(".position_embedding", ".position_embedding.weight", "end"),
        Spelling(".position_embeddings", ".position_embeddings.weight", "end"),
    ),
    rows=qkv_apart(
        "vision_tower.vision_model.encoder.layers.{layer}.attn.qkv", "v.blk.{layer}.attn_{}"
    ),
)


def _is_written(facts: Facts) -> bool:
    return bool(facts.shapes)


LLAMA4 = projector(
    "llama4",
    spellings=(
        Spelling("_vlm", "_vlm.weight", "end"),
        Spelling("multi_modal_projector.linear_1.", "mm.model.fc."),
    ),
    rows=tuple(
        row
        for end in ("weight", "bias")
        for pattern in (f"*layers.{{layer}}.post_attention_layernorm.{end}",)
        for row in (
            Row(pattern, f"v.blk.{{layer}}.ln2.{end}"),
            # since gemma4's norm has the same name, the converter gives it gemma4's place
            Row(pattern, f"v.blk.{{layer}}.attn_post_norm.{end}", when=_is_written),
        )
    ),
)
