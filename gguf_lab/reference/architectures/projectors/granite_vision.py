"""SigLIP with a projector for each of several layers: Granite 4 Vision.

Facts: llama.cpp's converter, class ``Granite4VisionMmprojModel``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...facts import LAYERS
from ..family import LeftOut, Row, Spelling
from .common import projector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...facts import Facts

__all__ = ["GRANITE4_VISION"]

_ATTENTION = (
    ("attention.query", "q"),
    ("attention.key", "k"),
    ("attention.value", "v"),
    ("output.dense", "out"),
    ("output.LayerNorm", "norm"),
)
_LAYER = "qformer.encoder.layer.0"
_NAMES = (
    ("image_positions", "img_pos"),
    ("query", "query"),
    *(
        (f"{theirs}.{end}", f"{ours}.{end}")
        for end in ("weight", "bias")
        for theirs, ours in (
            ("norm", "norm"),
            ("out_linear", "linear"),
            ("qformer.layernorm", "post_norm"),
            (f"{_LAYER}.intermediate_query.dense", "ffn_up"),
            (f"{_LAYER}.output_query.dense", "ffn_down"),
            (f"{_LAYER}.output_query.LayerNorm", "ffn_norm"),
            *((f"{_LAYER}.attention.{name}", f"self_attn_{short}") for name, short in _ATTENTION),
            *(
                (f"{_LAYER}.crossattention.{name}", f"cross_attn_{short}")
                for name, short in _ATTENTION
            ),
        )
    ),
)


def _targets(facts: Facts) -> Iterator[tuple[int, str, int]]:
    """Go through all projectors: the layer of the language model that each adds to, and which.

    Those for layers of the encoder are counted in the order of these layers.
    """
    deep, spatial = (
        facts.config.get(key) for key in ("deepstack_layer_map", "spatial_target_layers")
    )
    pairs = deep if isinstance(deep, list) else []
    for place, (_, target) in enumerate(sorted(map(tuple, pairs))):
        yield target, "layerwise", place
    for place, target in enumerate(spatial if isinstance(spatial, list) else []):
        yield target, "spatial", place


def _number(facts: Facts, place: int, kind: str) -> int | None:
    """Count as the file does: in the order of the layers that the projectors add to."""
    layers = facts.in_config(LAYERS) or 0
    try:
        targets = sorted(
            (to + layers * (to < 0), order, which, n)
            for order, (to, which, n) in enumerate(_targets(facts))
        )
    except (TypeError, ValueError):  # the configuration is untrusted: no such numbers
        return None
    numbers = {(which, n): number for number, (*_, which, n) in enumerate(targets)}
    return numbers.get((kind, place))


GRANITE4_VISION = projector(
    "granite4_vision",
    spellings=(
        Spelling("model.vision_tower.vision_model.", "vision_tower.vision_model."),
        Spelling("model.vision_tower.", "vision_tower.vision_model."),
        Spelling("model.image_newline", "v.image_newline"),
    ),
    left_out=(LeftOut("*vision_model.head.*", "a head that the language model does not use"),),
    rows=tuple(
        Row(
            f"model.{kind}_projectors.{{layer}}.{theirs}",
            f"v.proj_blk.{{layer}}.{ours}",
            number=partial(_number, kind=kind),
        )
        for kind in ("layerwise", "spatial")
        for theirs, ours in _NAMES
    ),
)
