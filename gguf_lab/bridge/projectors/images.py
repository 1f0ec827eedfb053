"""Encoders of images, and what projects them into the language model.

Facts: llama.cpp's converter, classes ``SmolVLMModel``, ``LlavaVisionModel``,
``LightOnOCRVisionModel``, ``InternVisionModel``, ``Llama4VisionModel``, ``LFM2VLModel``,
``JanusProVisionModel``, ``MiniCPMV4_6VisionModel`` and ``PaddleOCRVisionModel``; and
``tools/mtmd`` for what no key tells.
"""

from __future__ import annotations

from math import isqrt

from ..hyperparameters.config_side import counted, refuse
from .side import EPSILON, PATCHES, SCALE, SIGLIP, Projector, Side, images, needs, pixels

__all__ = [
    "IDEFICS3", "INTERNVL", "JANUS", "LFM2", "LIGHTONOCR", "LLAMA4", "LLAVA", "MINICPMV",
    "MISTRAL3", "PADDLEOCR",
]  # fmt: skip

_LAST = ("vision_feature_layer", -1)


def _idefics3(side: Side) -> dict[str, object]:
    side.gelu("vision_config.hidden_act")
    figures = images(side)
    size = (side.processing or {}).get("size")
    longest = size.get("longest_edge") if isinstance(size, dict) else None
    due = figures["vision.image_size"] if longest is None else longest
    return {
        **figures,
        "projector_type": "idefics3",
        EPSILON: side.number("vision_config.layer_norm_eps"),
        SCALE: side.count("scale_factor"),
        "use_gelu": True,
        "vision.preproc_image_size": counted(side, "size.longest_edge of the processor", due),
    }


IDEFICS3 = Projector(
    ("idefics3", "smolvlm"),
    _idefics3,
    needs("mm.model.fc.weight", *PATCHES, "v.post_ln.*", layers=SIGLIP),
    {"v.patch_embd.weight": "F32"},
)


def _pixtral(side: Side) -> dict[str, object]:
    side.must_be("vision_config.model_type", "pixtral")
    side.rotary_base(10000.0)
    side.must_be(*_LAST)
    side.gelu("projector_hidden_act")
    return {
        **images(side),
        "projector_type": "pixtral",
        EPSILON: 1e-5,  # of the norms, in whose class it stands
        **side.activation("vision_config.hidden_act"),
    }


_PIXTRAL = needs(
    "mm.1.weight", "mm.2.weight", "v.patch_embd.weight", "v.pre_ln.weight",
    layers=[
        "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_out.weight", "ln1.weight",
        "ln2.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
    ],
)  # fmt: skip

_BREAK = "v.token_embd.img_break"


def _llava(side: Side) -> dict[str, object]:
    side.must_be("vision_feature_select_strategy", "full")
    return _pixtral(side)


LLAVA = Projector(("llava",), _llava, (*_PIXTRAL, *needs("mm.1.bias", "mm.2.bias"), _BREAK))

_MERGED = (*_PIXTRAL, "mm.input_norm.weight", "mm.patch_merger.weight")


def _mistral3(side: Side) -> dict[str, object]:
    return {**_pixtral(side), "vision.spatial_merge_size": side.count("spatial_merge_size")}


MISTRAL3 = Projector(("mistral3",), _mistral3, (*_MERGED, _BREAK))


def _lighton_ocr(side: Side) -> dict[str, object]:
    return {**_mistral3(side), "projector_type": "lightonocr"}


LIGHTONOCR = Projector(("lighton_ocr",), _lighton_ocr, _MERGED)

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
        EPSILON: side.number(f"{part}layer_norm_eps"),
        **side.activation(f"{part}hidden_act"),
        SCALE: _whole(side, "downsample_ratio"),
        **{key: number for key, number in tiles.items() if number},
    }


INTERNVL = Projector(
    ("internvl", "internvl_chat"),
    _internvl,
    needs(
        *(f"mm.model.mlp.{n}.*" for n in (0, 1, 3)), *PATCHES, "v.class_embd",
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
        EPSILON: side.number("vision_config.norm_eps"),
        SCALE: _whole(side, "vision_config.pixel_shuffle_ratio"),
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
        EPSILON: side.number("vision_config.layer_norm_eps"),
        SCALE: side.count("downsample_factor"),
        "use_gelu": True,
    }


LFM2 = Projector(
    ("lfm2_vl",),
    _lfm2,
    needs("mm.1.weight", "mm.2.weight", *PATCHES, "v.post_ln.*", layers=SIGLIP),
)


def _janus(side: Side) -> dict[str, object]:
    part = "vision_config."
    side.must_be(f"{part}use_qk_norm", False)
    return {
        **images(side),
        "projector_type": "janus_pro",
        EPSILON: side.number(f"{part}layer_norm_eps"),
        **side.activation(f"{part}hidden_act"),
    }


JANUS = Projector(
    ("janus",),
    _janus,
    needs("mm.0.*", "mm.1.*", "v.patch_embd.*", "v.position_embd.weight", "v.post_ln.*",
          layers=SIGLIP),
)  # fmt: skip


def _paddleocr(side: Side) -> dict[str, object]:
    part = "vision_config."
    side.gelu(f"{part}hidden_act")
    side.must_be(f"{part}spatial_merge_size", 2)
    side.rotary_base(10000.0)
    least = pixels(side, "min_pixels", "shortest_edge")
    most = pixels(side, "max_pixels", "longest_edge")
    return {
        # images have any size; the converter says this one
        **images(side, image_size=isqrt(most)),
        "projector_type": "paddleocr",
        "vision.image_max_pixels": most,
        "vision.image_min_pixels": least,
        "use_gelu": True,
        EPSILON: side.number(f"{part}layer_norm_eps"),
    }


PADDLEOCR = Projector(
    ("paddleocr_vl",),
    _paddleocr,
    needs("mm.input_norm.*", "mm.1.*", "mm.2.*", *PATCHES, "v.post_ln.*", layers=SIGLIP),
)

_PLACES = 70  # in a row and in a column, among which llama.cpp spreads patches


def _minicpmv(side: Side) -> dict[str, object]:
    part = "vision_config."
    said = side.processing or {}
    side.gelu(f"{part}hidden_act")
    side.must_be("downsample_mode", "16x")
    side.must_be("merger_times", 1)
    side.must_be("drop_vision_last_layer", False)
    if said.get("downsample_mode", "16x") != "16x":
        raise refuse(
            f"downsample_mode {said['downsample_mode']!r:.40} of the processor: only 16x can be"
            " exported yet"
        )
    for name in ("merge_kernel_size", f"{part}window_kernel_size"):
        if side.find(name) not in (None, [2, 2], (2, 2)):
            raise refuse(f"{name} {side.find(name)!r:.40} in config.json: llama.cpp has 2 × 2")
    places = side.side_length(f"{part}image_size") // max(side.side_length(f"{part}patch_size"), 1)
    if places != _PLACES:
        raise refuse(f"{places} × {places} positions: llama.cpp has {_PLACES} × {_PLACES}")
    # the size of the slices of an image
    slices = said.get("scale_resolution")
    size = None if slices is None else counted(side, "scale_resolution of the processor", slices)
    layer = side.count("insert_layer_id", f"{part}insert_layer_id")
    figures = images(side, image_size=size)
    if layer >= side.count(f"{part}num_hidden_layers"):
        raise side.wrong("insert_layer_id", layer, "one of the layers")
    return {
        **figures,
        "projector_type": "minicpmv4_6",
        SCALE: 4,
        "vision.wa_layer_indexes": [layer],
        "use_gelu": True,
        EPSILON: side.number(f"{part}layer_norm_eps"),
    }


MINICPMV = Projector(
    ("minicpmv4_6",),
    _minicpmv,
    needs(
        "mm.input_norm.*", "mm.up.*", "mm.down.*", *PATCHES, "v.post_ln.*",
        *(
            f"v.vit_merger.{name}.*" for name in (
                "ln1", "ds_ln", "ds_ffn_up", "ds_ffn_down", "attn_q", "attn_k", "attn_v",
                "attn_out",
            )
        ),
        layers=SIGLIP,
    ),
)  # fmt: skip
