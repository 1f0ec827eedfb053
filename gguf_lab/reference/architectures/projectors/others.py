"""Encoders that have little in common with others.

Facts: llama.cpp's converter, classes ``CogVLMVisionModel``, ``DeepseekV4FlashVisionModel``,
``DotsOCRVisionModel``, ``MiniMaxM3VisionModel``, ``MuseGlimmerVisionModel``, ``Step3VLVisionModel``
and ``YoutuVLVisionModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...facts import Quantity
from ...transforms import Chain, Half, HalvesAdded, Reshape, UnpermuteRotaryAxes
from ..family import LeftOut, Row, Spelling
from .common import IMAGE_HEADS, OTHER_PART, frames, projector, unpermute_image_heads

if TYPE_CHECKING:
    from ...facts import Facts
    from ...transforms import Transform

__all__ = ["COGVLM", "DEEPSEEK4V", "DOTSOCR", "MINIMAX_M3", "MUSE_GLIMMER", "STEP3VL", "YOUTUVL"]

COGVLM = projector("cogvlm")

YOUTUVL = projector("youtuvl")

DOTSOCR = projector(
    "dots_ocr",
    spellings=(
        Spelling("vision_tower.blocks.", "visual.blocks."),
        Spelling(".mlp.fc1.", ".mlp.gate_proj.", "anywhere"),
        Spelling(".mlp.fc2.", ".mlp.down_proj.", "anywhere"),
        Spelling(".mlp.fc3.", ".mlp.up_proj.", "anywhere"),
    ),
)

STEP3VL = projector(
    "step3vl",
    spellings=(
        Spelling("vision_model.vit_downsampler1.", "mm.0."),
        Spelling("vision_model.vit_downsampler2.", "mm.1."),
        Spelling("vit_large_projector.", "mm.model.fc."),
        Spelling("positional_embedding", "positional_embedding.weight", "end"),
        Spelling("in_proj_weight", "in_proj.weight", "end"),
        Spelling("in_proj_bias", "in_proj.bias", "end"),
        Spelling(".gamma", ".weight", "end"),
    ),
)


def _unpermute_axes(facts: Facts, _: int | None) -> Transform:
    return UnpermuteRotaryAxes(facts.need(IMAGE_HEADS))


MINIMAX_M3 = projector(
    "minimax_m3",
    spellings=(Spelling("patch_merge_mlp.linear_", "mm.merger.fc"),),
    rows=(
        *frames("*.patch_embedding.weight"),
        *(
            Row(f"vision_tower.*.{kind}_proj.{end}", transform=_unpermute_axes)
            for kind in "qk"
            for end in ("weight", "bias")
        ),
    ),
)

_PATCH = Quantity(
    "size of patches",
    "vision.patch_size",
    ("vision_config.patch_size", "vision_patch_size"),
)


def _squares(facts: Facts, _: int | None) -> Reshape:
    """Give the weights of a patch, which lie in a row, as those of a convolution."""
    size = facts.need(_PATCH)
    return Reshape((0, 3, size, size), "rows as patches")


def _added_squares(facts: Facts, layer: int | None) -> Transform:
    return Chain(HalvesAdded("two frames added"), _squares(facts, layer))


DEEPSEEK4V = projector(
    "deepseek4v",
    spellings=(
        Spelling("vision.blocks.", "visual.blocks."),
        Spelling(".attn.wqkv.", ".attn.qkv.", "anywhere"),
        Spelling(".attn.wo.", ".attn.proj.", "anywhere"),
        Spelling(".mlp.w2.", ".mlp.down_proj.", "anywhere"),
        Spelling("vision.norm.", "v.post_ln."),
        Spelling("aligner.w", "mm."),
        Spelling("image_newline", "v.image_newline"),
        Spelling("image_", "v.token_embd.img_"),
    ),
    left_out=tuple(
        LeftOut(pattern, OTHER_PART)
        for pattern in ("embed.*", "layers.*", "norm.*", "head.*", "hc_head_*")
    ),
    rows=(
        Row("vision.patch_embed.proj.weight", "v.patch_embd.weight", _squares),
        *(
            Row(
                f"visual.blocks.{{layer}}.mlp.w1.{end}",
                f"visual.blocks.{{layer}}.mlp.{kind}_proj.{end}",
                Half(half),
            )
            for half, kind in enumerate(("gate", "up"))
            for end in ("weight", "bias")
        ),
    ),
)

MUSE_GLIMMER = projector(
    "muse-glimmer",
    spellings=(
        Spelling("model.vision_tower.layers.", "visual.blocks."),
        *(Spelling(f".attn.{kind}_proj.", f".attn.{kind}.", "anywhere") for kind in "qkv"),
        Spelling("model.vision_tower.ln_", "v.ln_"),
        Spelling("v.ln_pre.", "v.pre_ln."),
        Spelling("v.ln_post.", "v.post_ln."),
        Spelling("model.vision_tower.patch_embedder.position_embedding_table.", "v.position_embd."),
        Spelling("model.vision_adapter.fc1.", "mm.0."),
        Spelling("model.vision_adapter.fc2.", "mm.1."),
        Spelling("model.vision_projection.", "mm.2."),
    ),
    rows=(
        Row("*.patch_embedding.weight", "v.patch_embd.weight", _added_squares),
        *(
            Row(f"visual.*.attn.{kind}.{end}", transform=unpermute_image_heads)
            for kind in "qk"
            for end in ("weight", "bias")
        ),
    ),
)
