"""Encoders like SigLIP's whose names are others: MiniCPM-V 4.6, PaddleOCR-VL, HunyuanOCR.

Facts: llama.cpp's converter, classes ``MiniCPMV4_6VisionModel``, ``PaddleOCRVisionModel`` and
``HunyuanVLVisionModel``.
"""

from __future__ import annotations

from ...transforms import Part
from ..family import LeftOut, Row, Spelling
from .common import projector

__all__ = ["HUNYUANVL", "MINICPMV4_6", "PADDLEOCR"]

MINICPMV4_6 = projector(
    "minicpmv4_6",
    spellings=(
        *(
            Spelling(f"model.vision_tower.vit_merger.{theirs}.", f"v.vit_merger.{ours}.")
            for theirs, ours in (
                ("layer_norm1", "ln1"),
                ("linear_1", "ds_ffn_up"),
                ("linear_2", "ds_ffn_down"),
                ("pre_norm", "ds_ln"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.out_proj", "attn_out"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.v_proj", "attn_v"),
            )
        ),
        Spelling("model.vision_tower.", "vision_tower.vision_model."),
        Spelling("model.merger.mlp.0.pre_norm.", "mm.input_norm."),
        Spelling("model.merger.mlp.0.linear_1.", "mm.up."),
        Spelling("model.merger.mlp.0.linear_2.", "mm.down."),
    ),
)

PADDLEOCR = projector(
    "paddleocr",
    spellings=(
        # as Transformers 5 writes them
        Spelling("model.visual.", "visual."),
        Spelling("model.projector.", "mlp_AR."),
        Spelling("visual.vision_model.", "vision_tower.vision_model."),
    ),
    left_out=(
        LeftOut("*.packing_position_embedding.weight", "positions that are not used"),
        LeftOut("*.vision_model.head.*", "a head that the language model does not use"),
    ),
)

HUNYUANVL = projector(
    "hunyuanvl",
    rows=(
        Row(
            "vit.embeddings.position_embedding.weight",
            transform=Part(1, None, "without the first row, of a class token"),
        ),
    ),
)
