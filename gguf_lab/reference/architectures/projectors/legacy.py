"""What the first scripts for image encoders made: LLaVA 1.5 and 1.6.

Facts: llama.cpp's ``tools/mtmd/legacy-models``, ``llava_surgery_v2.py`` and
``convert_image_encoder_to_gguf.py``.
"""

from __future__ import annotations

from ..family import LeftOut, Spelling
from .common import IMAGE_WIDTH, projector

__all__ = ["LLAVA"]

LLAVA = projector(
    "mlp",
    spellings=(
        # LLaVA's own format
        Spelling("model.vision_tower.vision_tower.", "vision_tower."),
        Spelling("model.mm_projector.", "mm."),
        # and Transformers', with what version 5 leaves out
        Spelling("model.vision_tower.", "vision_tower."),
        Spelling("vision_tower.vision_model.", "vision_tower."),
        Spelling("vision_tower.", "vision_tower.vision_model."),
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
        Spelling("multi_modal_projector.linear_1.", "mm.0."),
        Spelling("multi_modal_projector.linear_2.", "mm.2."),
        Spelling("image_newline", "model.image_newline"),
    ),
    left_out=(LeftOut("*.post_layernorm.*", "a norm behind the layer whose output LLaVA takes"),),
    # layers behind the one whose output is taken are left out and not counted
    same=(IMAGE_WIDTH,),
)
