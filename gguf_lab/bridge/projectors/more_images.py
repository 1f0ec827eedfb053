"""Further encoders of images, one of which hears too.

Facts: llama.cpp's converter, classes ``Gemma4VisionAudioModel``, ``Glm4VVisionModel``,
``LightOnOCRVisionModel`` and ``JanusProVisionModel``; and ``tools/mtmd`` for what no key tells.
"""

from __future__ import annotations

from ..hyperparameters.config_side import refuse
from .images import SIGLIP, pixtral
from .side import Projector, Side, images, needs, width_of_text

__all__ = ["GEMMA4", "GLM4V", "JANUS", "LIGHTONOCR"]

_EPSILON = "vision.attention.layer_norm_epsilon"

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
    for name in ("rope_parameters.rope_theta", "rope_theta"):
        side.must_be(f"{part}{name}", 100.0)
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
        _EPSILON: side.number(f"{part}rms_norm_eps"),
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


def _glm4v(side: Side) -> dict[str, object]:
    part = "vision_config."
    side.must_be(f"{part}temporal_patch_size", 2)
    side.must_be(f"{part}in_channels", 3)
    side.must_be(f"{part}spatial_merge_size", 2)
    for name in ("rope_parameters.rope_theta", "rope_theta"):
        side.must_be(f"{part}{name}", 10000.0)
    return {
        **images(side),
        "projector_type": "glm4v",
        **side.activation(f"{part}hidden_act"),
        _EPSILON: side.number(f"{part}rms_norm_eps"),
    }


GLM4V = Projector(
    ("glm4v", "glm4v_moe", "glm_ocr"),
    _glm4v,
    needs(
        "mm.patch_merger.*", "mm.post_norm.*", "mm.model.fc.weight", "mm.gate.weight",
        "mm.up.weight", "mm.down.weight", "v.patch_embd.*", "v.patch_embd.weight.1",
        "v.post_ln.weight",
        layers=[
            f"{name}.weight" for name in (
                "ln1", "ln2", "attn_qkv", "attn_out", "ffn_gate", "ffn_up", "ffn_down",
            )
        ],
    ),
)  # fmt: skip


def _lighton_ocr(side: Side) -> dict[str, object]:
    return {**pixtral(side), "projector_type": "lightonocr"}


LIGHTONOCR = Projector(
    ("lighton_ocr",),
    _lighton_ocr,
    needs(
        "mm.1.weight", "mm.2.weight", "mm.input_norm.weight", "mm.patch_merger.weight",
        "v.patch_embd.weight", "v.pre_ln.weight",
        layers=[
            f"{name}.weight" for name in (
                "attn_q", "attn_k", "attn_v", "attn_out", "ln1", "ln2", "ffn_gate", "ffn_up",
                "ffn_down",
            )
        ],
    ),
)  # fmt: skip


def _janus(side: Side) -> dict[str, object]:
    part = "vision_config."
    side.must_be(f"{part}use_qk_norm", False)
    return {
        **images(side),
        "projector_type": "janus_pro",
        _EPSILON: side.number(f"{part}layer_norm_eps"),
        **side.activation(f"{part}hidden_act"),
    }


JANUS = Projector(
    ("janus",),
    _janus,
    needs("mm.0.*", "mm.1.*", "v.patch_embd.*", "v.position_embd.weight", "v.post_ln.*",
          layers=SIGLIP),
)  # fmt: skip
