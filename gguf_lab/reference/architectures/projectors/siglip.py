"""Encoders that are SigLIP, or like it, with few changes or other names.

Facts: llama.cpp's converter, classes ``MiniCPMV4_6VisionModel``, ``PaddleOCRVisionModel``,
``HunyuanVLVisionModel``, ``JanusProVisionModel``, ``LFM2VLModel`` and ``Phi4VisionMmprojModel``.
"""

from __future__ import annotations

from ...transforms import Part
from ..family import LeftOut, Row, Spelling
from .common import IMAGE_WIDTH, SIGLIP, planes_of_patches, projector

__all__ = ["HUNYUANVL", "JANUS", "LFM2", "MINICPMV4_6", "PADDLEOCR", "PHI4"]

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
        *SIGLIP,
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
    ),
    left_out=(LeftOut("*vision_model.head.*", "a head that the language model does not use"),),
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
