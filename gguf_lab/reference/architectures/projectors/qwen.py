"""The encoders of Qwen2-VL and what is made after them.

Facts: llama.cpp's converter, class ``Qwen2VLVisionModel``.
"""

from __future__ import annotations

from ..family import Spelling
from .common import FRAMES, projector, qkv_apart

__all__ = ["QWEN2VL"]

QWEN2VL = projector(
    "qwen2vl_merger",
    "qwen2.5vl_merger",
    spellings=(Spelling("model.visual.", "visual."),),
    rows=(*FRAMES, *qkv_apart("visual.blocks.{layer}.attn.qkv", "v.blk.{layer}.attn_{}")),
)
