"""The encoders of Gemma 3, and of Gemma 4, which hears too.

Facts: llama.cpp's converter, classes ``Gemma3VisionModel`` and ``Gemma4VisionAudioModel``; and
``tools/mtmd`` for what no key tells.
"""

from __future__ import annotations

from math import isqrt

from ...quantization.roles import TURNED
from ..hyperparameters.config_side import refuse
from .side import EPSILON, PATCHES, SCALE, SIGLIP, Projector, Side, images, needs, width_of_text

__all__ = ["GEMMA3", "GEMMA4"]


def _gemma3(side: Side) -> dict[str, object]:
    side.gelu("vision_config.hidden_act")
    figures = images(side)
    size = side.count("vision_config.patch_size")
    patches = side.side_length("vision_config.image_size") // size if size else 0
    tokens = isqrt(side.count("mm_tokens_per_image"))
    if not patches or not tokens or patches % tokens:
        raise refuse(f"mm_tokens_per_image: {patches} × {patches} patches don't become so many")
    factor = patches // tokens
    return {
        **figures,
        "projector_type": "gemma3",
        EPSILON: side.number("vision_config.layer_norm_eps"),
        "use_gelu": True,
        # the converter takes it from a file of the processor, and 4 where that is silent
        **({SCALE: factor} if factor != 4 else {}),
    }


GEMMA3 = Projector(
    ("gemma3",),
    _gemma3,
    needs("mm.input_projection.weight", "mm.soft_emb_norm.weight", *PATCHES, "v.post_ln.*",
          layers=SIGLIP),
    {"v.patch_embd.weight": "F32", TURNED["gemma3"]: "F16"},
)  # fmt: skip

_GEMMA4_SEES = needs(
    "mm.input_projection.weight", "v.patch_embd.weight", "v.position_embd.weight",
    layers=[
        f"{name}.weight" for name in (
            "ln1", "ln2", "attn_q", "attn_k", "attn_v", "attn_out", "attn_q_norm", "attn_k_norm",
            "attn_post_norm", "ffn_gate", "ffn_up", "ffn_down", "ffn_post_norm",
        )
    ],
)  # fmt: skip
_GEMMA4_HEARS = needs(
    "mm.a.input_projection.weight", "a.input_projection.weight", "a.pre_encode.out.*",
    "a.conv1d.0.weight", "a.conv1d.0.norm.weight", "a.conv1d.1.weight", "a.conv1d.1.norm.weight",
    layers=[
        f"{name}.weight" for name in (
            "attn_q", "attn_k", "attn_v", "attn_out", "attn_k_rel", "attn_pre_norm",
            "attn_post_norm", "per_dim_scale", "ln2", "norm_conv", "conv_dw", "conv_pw1",
            "conv_pw2", "conv_norm", "ffn_norm", "ffn_up", "ffn_down", "ffn_post_norm",
            "ffn_norm_1", "ffn_up_1", "ffn_down_1", "ffn_post_norm_1",
        )
    ],
    prefix="a",
)  # fmt: skip


def _gemma4(side: Side) -> dict[str, object]:
    part = "vision_config."
    side.gelu(f"{part}hidden_activation")
    side.must_be(f"{part}pooling_kernel_size", 3)
    side.rotary_base(100.0)
    figures = images(side, image_size=224)  # images have any size; the converter says this one
    width, heads = side.count(f"{part}hidden_size"), side.count(f"{part}num_attention_heads")
    side.must_be(f"{part}num_key_value_heads", heads)
    if heads * side.count(f"{part}head_dim") != width:
        raise refuse(f"heads of {part}head_dim that are no hidden_size together: there are none")
    hears, heard = _gemma4_hears(side) if side.find("audio_config") else ({}, {})
    return {
        **figures,
        **hears,
        "vision.projector_type": "gemma4v",
        EPSILON: side.number(f"{part}rms_norm_eps"),
        **heard,
        # without it llama.cpp takes a quick approximation; the converter does not write it
        "use_gelu": True,
    }


def _gemma4_hears(side: Side) -> tuple[dict[str, object], dict[str, object]]:
    """Gather what the converter writes before and after what sees."""
    part = "audio_config."
    for name, due in (
        ("hidden_act", "silu"), ("attention_chunk_size", 12), ("attention_context_left", 13),
        ("attention_context_right", 0), ("attention_logit_cap", 50.0), ("residual_weight", 0.5),
        ("rms_norm_eps", 1e-6),
    ):  # fmt: skip
        side.must_be(f"{part}{name}", due)
    width = side.count(f"{part}hidden_size")
    return {
        "has_audio_encoder": True,
        "audio.projection_dim": width_of_text(side),
        "audio.embedding_length": width,
        "audio.feed_forward_length": 4 * width,
        "audio.block_count": side.count(f"{part}num_hidden_layers"),
        "audio.attention.head_count": side.count(f"{part}num_attention_heads"),
    }, {
        "audio.projector_type": "gemma4a",
        "audio.num_mel_bins": side.count_or(f"{part}input_feat_size", 128),
        "audio.attention.layer_norm_epsilon": side.number(f"{part}rms_norm_eps"),
    }


GEMMA4 = Projector(
    ("gemma4",),
    _gemma4,
    (*_GEMMA4_SEES, *_GEMMA4_HEARS),
    dict.fromkeys(("a.conv1d.*", "a.input_projection.weight", "a.blk.*.conv_dw.weight"), "F32"),
)
