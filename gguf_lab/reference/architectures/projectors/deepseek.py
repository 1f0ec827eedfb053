"""The encoders of DeepSeek-OCR: SAM, and after it CLIP or layers of Qwen2.

Facts: llama.cpp's converter, classes ``DeepseekOCRVisionModel`` and ``DeepseekOCR2VisionModel``.
"""

from __future__ import annotations

from ..family import Spelling
from .common import projector

__all__ = ["DEEPSEEKOCR"]

DEEPSEEKOCR = projector(
    "deepseekocr",
    "deepseekocr2",
    spellings=(
        *(
            Spelling(name, f"{name}.weight", "end")
            for name in (".pos_embed", ".rel_pos_h", ".rel_pos_w")
        ),
        # layers of Qwen2, by the names that gguf knows of others
        Spelling("model.qwen2_model.query_", "v.resample_query_"),
        Spelling("model.qwen2_model.model.model.norm.", "v.post_ln."),
        Spelling("model.qwen2_model.model.model.layers.", "vision_model.model.layers."),
        Spelling(".post_attention_layernorm.", ".pre_feedforward_layernorm.", "anywhere"),
    ),
)
