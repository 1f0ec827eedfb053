"""Encoders behind which images are projected by a few layers: Pixtral, SmolVLM.

Facts: llama.cpp's converter, classes ``LlavaVisionModel``, ``PixtralModel`` and ``SmolVLMModel``.
"""

from __future__ import annotations

from ..family import LeftOut, Row, Spelling
from .common import projector, unpermute_image_heads

__all__ = ["IDEFICS3", "PIXTRAL"]

PIXTRAL = projector(
    "pixtral",
    spellings=(
        Spelling("model.vision_tower.", "vision_tower."),
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
        # Mistral's own format
        Spelling("vision_language_adapter.w_in.", "mm.1."),
        Spelling("vision_language_adapter.w_out.", "mm.2."),
    ),
    rows=tuple(
        Row(f"vision_tower.*.{kind}_proj.{end}", transform=unpermute_image_heads)
        for kind in "qk"
        for end in ("weight", "bias")
    ),
    made_up=(LeftOut("v.token_embd.img_break", "the row of [IMG_BREAK] in the token embedding"),),
)

IDEFICS3 = projector("idefics3")
