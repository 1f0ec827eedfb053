"""Encoders of images, and what projects them into the language model.

Facts: llama.cpp's converter, classes ``Gemma3VisionModel``, ``SmolVLMModel``, ``LlavaVisionModel``,
``InternVisionModel``, ``Llama4VisionModel``, ``LFM2VLModel``, ``Qwen2VLVisionModel`` and
``Qwen3VLVisionModel``; and ``tools/mtmd`` for what no key tells.
"""

from __future__ import annotations

from math import isqrt

from ..hyperparameters.config_side import counted, finite, refuse
from .side import Projector, Side, images, needs

__all__ = [
    "GEMMA3", "IDEFICS3", "INTERNVL", "LFM2", "LLAMA4", "PIXTRAL", "QWEN2VL", "QWEN3VL", "QWEN25VL",
    "SIGLIP", "pixtral",
]  # fmt: skip

_EPSILON = "vision.attention.layer_norm_epsilon"
_SCALE = "vision.projector.scale_factor"
_ATTENTION = ("attn_q.*", "attn_k.*", "attn_v.*", "attn_out.*")
SIGLIP = ("ln1.*", "ln2.*", "ffn_up.*", "ffn_down.*", *_ATTENTION)
_PATCHES = ("v.patch_embd.*", "v.position_embd.weight")
_IN_F32 = {"v.patch_embd.weight": "F32"}
_LAST = ("vision_feature_layer", -1)


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
        _EPSILON: side.number("vision_config.layer_norm_eps"),
        "use_gelu": True,
        # the converter takes it from a file of the processor, and 4 where that is silent
        **({_SCALE: factor} if factor != 4 else {}),
    }


GEMMA3 = Projector(
    ("gemma3",),
    _gemma3,
    needs("mm.input_projection.weight", "mm.soft_emb_norm.weight", *_PATCHES, "v.post_ln.*",
          layers=SIGLIP),
    {**_IN_F32, "mm.input_projection.weight": "F16"},
)  # fmt: skip


def _idefics3(side: Side) -> dict[str, object]:
    side.gelu("vision_config.hidden_act")
    figures = images(side)
    size = (side.processing or {}).get("size")
    longest = size.get("longest_edge") if isinstance(size, dict) else None
    due = figures["vision.image_size"] if longest is None else longest
    return {
        **figures,
        "projector_type": "idefics3",
        _EPSILON: side.number("vision_config.layer_norm_eps"),
        _SCALE: side.count("scale_factor"),
        "use_gelu": True,
        "vision.preproc_image_size": counted(side, "size.longest_edge of the processor", due),
    }


IDEFICS3 = Projector(
    ("idefics3", "smolvlm"),
    _idefics3,
    needs("mm.model.fc.weight", *_PATCHES, "v.post_ln.*", layers=SIGLIP),
    _IN_F32,
)


def pixtral(side: Side) -> dict[str, object]:
    """Gather the figures of Pixtral's encoder."""
    side.must_be("vision_config.model_type", "pixtral")
    for name in ("rope_parameters.rope_theta", "rope_theta"):
        side.must_be(f"vision_config.{name}", 10000.0)
    side.must_be(*_LAST)
    side.gelu("projector_hidden_act")
    return {
        **images(side),
        "projector_type": "pixtral",
        _EPSILON: 1e-5,  # of the norms, in whose class it stands
        **side.activation("vision_config.hidden_act"),
        "vision.spatial_merge_size": side.count("spatial_merge_size"),
    }


PIXTRAL = Projector(
    ("mistral3",),
    pixtral,
    needs(
        "mm.1.weight", "mm.2.weight", "mm.input_norm.weight", "mm.patch_merger.weight",
        "v.patch_embd.weight", "v.pre_ln.weight", "v.token_embd.img_break",
        layers=[
            "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_out.weight", "ln1.weight",
            "ln2.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
        ],
    ),
)  # fmt: skip

_ROOT_MEAN_SQUARE = (3200, 45)  # width and layers of the one that has such norms


def _whole(side: Side, ratio: str) -> int:
    """Return how often a ratio below one is in one."""
    value = side.number(ratio)
    if value <= 0 or (1 / value) % 1:
        raise side.wrong(ratio, value, "1 divided by a whole number")
    return round(1 / value)


def _internvl(side: Side) -> dict[str, object]:
    part = "vision_config."
    figures = images(side)
    side.must_be(*_LAST)
    side.must_be("select_layer", -1)
    side.must_be("ps_version", "v2")
    side.must_be("vision_feature_select_strategy", "default")
    side.gelu("projector_hidden_act")
    size = figures["vision.embedding_length"], figures["vision.block_count"]
    side.must_be(f"{part}norm_type", "rms_norm" if size == _ROOT_MEAN_SQUARE else "layer_norm")
    tiles = {
        f"vision.preproc_{ours}_tiles": side.count_or(f"{ours}_dynamic_patch", 0)
        for ours in ("min", "max")
    }
    return {
        **figures,
        "projector_type": "internvl",
        _EPSILON: side.number(f"{part}layer_norm_eps"),
        **side.activation(f"{part}hidden_act"),
        _SCALE: _whole(side, "downsample_ratio"),
        **{key: number for key, number in tiles.items() if number},
    }


INTERNVL = Projector(
    ("internvl", "internvl_chat"),
    _internvl,
    needs(
        *(f"mm.model.mlp.{n}.*" for n in (0, 1, 3)), *_PATCHES, "v.class_embd",
        layers=[
            "ls1.weight", "ls2.weight", "ln1.weight", "ln2.weight", "ffn_up.*", "ffn_down.*",
            "attn_out.*", *(f"attn_{kind}.weight" for kind in "qkv"),
        ],
    ),
    otherwise={"positions": "each patch has that of the one before, the class token the last one"},
)  # fmt: skip


def _llama4(side: Side) -> dict[str, object]:
    side.gelu("vision_config.hidden_act")
    side.must_be(*_LAST)
    return {
        **images(side),
        "projector_type": "llama4",
        _EPSILON: side.number("vision_config.norm_eps"),
        _SCALE: _whole(side, "vision_config.pixel_shuffle_ratio"),
        "use_gelu": True,
    }


LLAMA4 = Projector(
    ("llama4",),
    _llama4,
    needs(
        "mm.model.fc.weight", "mm.model.mlp.1.weight", "mm.model.mlp.2.weight", "v.class_embd",
        "v.patch_embd.weight", "v.position_embd.weight", "v.pre_ln.*", "v.post_ln.*",
        layers=SIGLIP,
    ),
    otherwise={"the order of tokens": "column by column of the image, not row by row"},
)  # fmt: skip


def _lfm2(side: Side) -> dict[str, object]:
    side.gelu("vision_config.hidden_act")
    side.gelu("projector_hidden_act")
    side.must_be(*_LAST)
    return {
        # images have any size; the converter says this one
        **images(side, image_size=256),
        "projector_type": "lfm2",
        _EPSILON: side.number("vision_config.layer_norm_eps"),
        _SCALE: side.count("downsample_factor"),
        "use_gelu": True,
    }


LFM2 = Projector(
    ("lfm2_vl",),
    _lfm2,
    needs("mm.1.weight", "mm.2.weight", *_PATCHES, "v.post_ln.*", layers=SIGLIP),
)

_QWEN_EPSILON = 1e-6
"""In the classes of Transformers; no setting tells it."""

_FRAMES = ("v.patch_embd.weight", "v.patch_embd.weight.1")
_MERGER = ("mm.0.*", "mm.2.*", *_FRAMES)


def _qwen_common(side: Side) -> None:
    side.must_be("vision_config.temporal_patch_size", 2)
    side.must_be("vision_config.in_channels", 3)
    side.must_be("vision_config.in_chans", 3)


def _qwen2vl(side: Side) -> dict[str, object]:
    part = "vision_config."
    _qwen_common(side)
    side.must_be(f"{part}hidden_act", "quick_gelu")
    side.must_be(f"{part}spatial_merge_size", 2)
    width, ratio = side.count(f"{part}embed_dim"), f"{part}mlp_ratio"
    return {
        **images(
            side,
            image_size=560,
            embedding_length=width,
            # the converter writes the width of the language model
            feed_forward_length=round(width * finite(side, ratio, side.need(ratio))),
        ),
        "projector_type": "qwen2vl_merger",
        _EPSILON: _QWEN_EPSILON,
    }


QWEN2VL = Projector(("qwen2_vl",), _qwen2vl, needs(*_MERGER, "v.post_ln.*", layers=SIGLIP))


def _qwen25vl(side: Side) -> dict[str, object]:
    part = "vision_config."
    _qwen_common(side)
    side.must_be(f"{part}hidden_act", "silu")
    side.must_be(f"{part}spatial_merge_size", 2)
    side.must_be(f"{part}window_size", 112)
    whole = side.need(f"{part}fullatt_block_indexes")
    layers = side.count(f"{part}depth")
    first = whole[0] if isinstance(whole, list | tuple) and whole else None
    if type(first) is not int or first < 0 or [*whole] != [*range(first, layers, first + 1)]:
        raise refuse(
            f"{part}fullatt_block_indexes {whole!r:.60} in config.json: in llama.cpp every so many"
            " layers one sees the whole image"
        )
    return {
        **images(side, image_size=560),
        "projector_type": "qwen2.5vl_merger",
        "use_silu": True,
        "vision.n_wa_pattern": first + 1,
        _EPSILON: _QWEN_EPSILON,
    }


QWEN25VL = Projector(
    ("qwen2_5_vl",),
    _qwen25vl,
    needs(*_MERGER, "v.post_ln.weight", layers=[
        "ln1.weight", "ln2.weight", "ffn_gate.*", "ffn_up.*", "ffn_down.*", *_ATTENTION,
    ]),
)  # fmt: skip


def _qwen3vl(side: Side) -> dict[str, object]:
    part = "vision_config."
    _qwen_common(side)
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
        _EPSILON: _QWEN_EPSILON,
        "vision.is_deepstack_layers": [n in marked for n in range(layers)],
    }


QWEN3VL = Projector(
    ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    _qwen3vl,
    needs(*_MERGER, "v.patch_embd.bias", "v.position_embd.weight", "v.post_ln.*", layers=[
        "ln1.*", "ln2.*", "ffn_up.*", "ffn_down.*", "attn_qkv.*", "attn_out.*",
    ]),
)  # fmt: skip
