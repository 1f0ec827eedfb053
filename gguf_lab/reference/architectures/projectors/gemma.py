"""The encoders of Gemma.

Facts: llama.cpp's converter, classes ``Gemma3VisionModel``, ``Gemma3nVisionAudioModel``,
``Gemma4VisionAudioModel`` and ``Gemma4UnifiedVisionAudioModel``.
"""

from __future__ import annotations

from ...transforms import Added, Chain, Permute, Reshape, Softplus, Squeeze, Transpose
from ..family import LeftOut, Row, Spelling
from .common import SIGLIP, planes_of_patches, projector

__all__ = ["GEMMA3", "GEMMA3N", "GEMMA4", "GEMMA4U"]

GEMMA3 = projector(
    "gemma3",
    spellings=(
        Spelling("model.vision_tower.", "vision_tower."),
        *SIGLIP,
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
        Spelling("_weight", ".weight", "end"),
    ),
    left_out=(LeftOut("*vision_model.head.*", "a head that the language model does not use"),),
    rows=(Row("*soft_emb_norm.weight", transform=Added(1)),),
)

GEMMA3N = projector(
    "gemma3nv",
    "gemma3na",
    spellings=(
        # names of timm's MobileNet, which files keep
        Spelling("model.vision_tower.timm_model.blocks.", "v.blk."),
        Spelling("model.audio_tower.conformer.", "conformer.layers."),
    ),
    rows=(
        Row("*.conv_stem.conv.bias", transform=Reshape((-1, 1, 1), "written as a column")),
        Row(
            "model.audio_tower.subsample_conv_projection.conv_{layer}.norm.weight",
            "a.conv1d.{layer}.norm.weight",
        ),
    ),
)

GEMMA4 = projector(
    "gemma4v",
    "gemma4a",
    spellings=(
        Spelling("model.audio_tower.", "conformer."),
        Spelling("model.vision_tower.encoder.", "vision_model.model."),
        Spelling(".linear.", ".", "anywhere"),
        Spelling("_embedding_table", "_embedding_table.weight", "end"),
        Spelling("per_dim_scale", "per_dim_scale.weight", "end"),
    ),
    rows=(
        Row("*.per_dim_scale.weight", transform=Softplus()),
        Row("*.depthwise_conv1d.weight", transform=Squeeze()),
        Row("*.patch_embedder.input_proj.weight", transform=planes_of_patches),
    ),
)

_COLORS = Chain(Transpose("color by color"), Reshape((0, -1), ""))
_PATCHES = Chain(Reshape((0, -1, 3), ""), _COLORS)
_ONE_PATCH = Chain(Reshape((-1, 3), ""), Chain(Transpose("color by color"), Reshape((-1,), "")))

GEMMA4U = projector(
    "gemma4uv",
    "gemma4ua",
    spellings=(
        Spelling("model.vision_embedder.patch_dense.", "v.patch_embd."),
        Spelling("model.vision_embedder.patch_ln", "v.patch_norm."),
        Spelling("model.vision_embedder.pos_norm.", "v.patch_norm.3."),
        Spelling("model.vision_embedder.pos_embedding", "v.position_embd.weight"),
    ),
    rows=(
        Row("v.patch_embd.weight", transform=_PATCHES),
        Row("v.patch_norm.1.weight", transform=_ONE_PATCH),
        Row("v.patch_norm.1.bias", transform=_ONE_PATCH),
        Row("v.position_embd.weight", transform=Permute((1, 0, 2), "axis by axis")),
    ),
)
