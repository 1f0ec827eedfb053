"""Encoders that are SigLIP with few changes: Janus Pro, LFM2-VL, Phi-4.

Facts: llama.cpp's converter, classes ``JanusProVisionModel``, ``LFM2VLModel`` and
``Phi4VisionMmprojModel``.
"""

from __future__ import annotations

from ..family import LeftOut, Row, Spelling
from .common import IMAGE_WIDTH, planes_of_patches, projector

__all__ = ["JANUS", "LFM2", "PHI4"]

_PATCHES = Row("*.patch_embedding.weight", transform=planes_of_patches)

JANUS = projector(
    "janus_pro",
    spellings=(
        Spelling("model.aligner.fc1.", "mm.0."),
        Spelling("model.aligner.hidden_layers.0.", "mm.1."),
    ),
    left_out=tuple(
        LeftOut(f"model.{part}*", "makes images, which llama.cpp does not do")
        for part in ("vqmodel.", "generation_")
    ),
)

LFM2 = projector(
    "lfm2",
    spellings=(
        Spelling("model.vision_tower.", "vision_tower."),
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
    ),
    rows=(_PATCHES,),
)

PHI4 = projector(
    "phi4",
    spellings=(
        Spelling("model.vision_tower.vision_tower.", "vision_tower."),
        Spelling("model.mm_projector.", "mm."),
    ),
    left_out=tuple(
        LeftOut(f"*vision_model.{part}.*", "comes after what is projected")
        for part in ("head", "post_layernorm")
    ),
    rows=(_PATCHES,),
    # the last layer is not in the file: what it makes is not projected either
    same=(IMAGE_WIDTH,),
)
