"""The encoders of Qwen2-VL and what is made after them, and those that are made alike.

Facts: llama.cpp's converter, classes ``Qwen2VLVisionModel``, ``Qwen3VLVisionModel``,
``Exaone4_5VisionModel`` and ``Glm4VVisionModel``; and ``tools/mtmd`` for what no key tells.
"""

from __future__ import annotations

from math import isqrt

from ..hyperparameters.config_side import finite, refuse
from .side import ATTENTION, EPSILON, SIGLIP, Projector, Side, images, needs, pixels

__all__ = ["EXAONE", "GLM4V", "QWEN2VL", "QWEN3VL", "QWEN25VL"]

_QWEN_EPSILON = 1e-6
"""In the classes of Transformers; no setting tells it."""

_FRAMES = ("v.patch_embd.weight", "v.patch_embd.weight.1")
_MERGER = ("mm.0.*", "mm.2.*", *_FRAMES)


def _two_frames(side: Side) -> None:
    """Refuse what does not make patches of two frames in three colors."""
    side.must_be("vision_config.temporal_patch_size", 2)
    side.must_be("vision_config.in_channels", 3)
    side.must_be("vision_config.in_chans", 3)


def _qwen2vl(side: Side) -> dict[str, object]:
    part = "vision_config."
    _two_frames(side)
    side.must_be(f"{part}hidden_act", "quick_gelu")
    side.must_be(f"{part}spatial_merge_size", 2)
    width, ratio = side.count(f"{part}embed_dim"), f"{part}mlp_ratio"
    return {
        **images(
            side,
            image_size=560,
            width=width,
            # the converter writes the width of the language model
            width_inside=round(width * finite(side, ratio, side.need(ratio))),
        ),
        "projector_type": "qwen2vl_merger",
        EPSILON: _QWEN_EPSILON,
    }


QWEN2VL = Projector(("qwen2_vl",), _qwen2vl, needs(*_MERGER, "v.post_ln.*", layers=SIGLIP))


_WINDOW = 112


def _windows(side: Side) -> int:
    """Return how many layers later one sees the whole image again; all others see a window."""
    part = "vision_config."
    _two_frames(side)
    side.must_be(f"{part}hidden_act", "silu")
    side.must_be(f"{part}spatial_merge_size", 2)
    side.must_be(f"{part}window_size", _WINDOW)
    whole = side.need(f"{part}fullatt_block_indexes")
    layers = side.count(f"{part}depth")
    first = whole[0] if isinstance(whole, list | tuple) and whole else None
    if type(first) is not int or first < 0 or [*whole] != [*range(first, layers, first + 1)]:
        raise refuse(
            f"{part}fullatt_block_indexes {whole!r:.60} in config.json: in llama.cpp every so many"
            " layers one sees the whole image"
        )
    return first + 1


def _qwen25vl(side: Side) -> dict[str, object]:
    return {
        **images(side, image_size=560),
        "projector_type": "qwen2.5vl_merger",
        "use_silu": True,
        "vision.n_wa_pattern": _windows(side),
        EPSILON: _QWEN_EPSILON,
    }


_GATED = ("ln1.weight", "ln2.weight", "ffn_gate.*", "ffn_up.*", "ffn_down.*")

QWEN25VL = Projector(
    ("qwen2_5_vl",),
    _qwen25vl,
    needs(*_MERGER, "v.post_ln.weight", layers=[*_GATED, *ATTENTION]),
)


def _exaone(side: Side) -> dict[str, object]:
    side.rotary_base(10000.0)
    pattern = _windows(side)
    return {
        **images(side, image_size=560),
        "projector_type": "exaone4_5",
        "use_silu": True,
        "vision.image_min_pixels": pixels(side, "min_pixels", "shortest_edge"),
        "vision.image_max_pixels": pixels(side, "max_pixels", "longest_edge"),
        "vision.attention.head_count_kv": side.count("vision_config.num_key_value_heads"),
        EPSILON: _QWEN_EPSILON,
        "vision.window_size": _WINDOW,
        "vision.n_wa_pattern": pattern,
    }


EXAONE = Projector(
    ("exaone4_5",),
    _exaone,
    needs(*_MERGER, "v.post_ln.weight", layers=[*_GATED, "attn_qkv.*", "attn_out.*"]),
)


def _qwen3vl(side: Side) -> dict[str, object]:
    part = "vision_config."
    _two_frames(side)
    side.gelu(f"{part}hidden_act")
    positions = side.count(f"{part}num_position_embeddings")
    size = isqrt(positions) * side.count(f"{part}patch_size")
    figures = images(side, image_size=size)
    layers, marked = side.count(f"{part}depth"), side.find(f"{part}deepstack_visual_indexes") or []
    wrong = not isinstance(marked, list | tuple) or any(
        type(n) is not int or not 0 <= n < layers for n in marked
    )
    if wrong or [*marked] != sorted(set(marked)):
        raise side.wrong(f"{part}deepstack_visual_indexes", marked, "layers in their order")
    return {
        **figures,
        "projector_type": "qwen3vl_merger",
        "use_gelu": True,
        "vision.spatial_merge_size": side.count(f"{part}spatial_merge_size"),
        EPSILON: _QWEN_EPSILON,
        "vision.is_deepstack_layers": [n in marked for n in range(layers)],
    }


QWEN3VL = Projector(
    ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    _qwen3vl,
    needs(
        *_MERGER, "v.patch_embd.bias", "v.position_embd.weight", "v.post_ln.*",
        *(f"v.deepstack.{{layer}}.{part}.*" for part in ("norm", "fc1", "fc2")),
        layers=["ln1.*", "ln2.*", "ffn_up.*", "ffn_down.*", "attn_qkv.*", "attn_out.*"],
    ),
)  # fmt: skip


def _glm4v(side: Side) -> dict[str, object]:
    part = "vision_config."
    _two_frames(side)
    side.must_be(f"{part}spatial_merge_size", 2)
    side.rotary_base(10000.0)
    return {
        **images(side),
        "projector_type": "glm4v",
        **side.activation(f"{part}hidden_act"),
        EPSILON: side.number(f"{part}rms_norm_eps"),
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
