"""MoonViT, the encoder of Kimi-VL, and of Kimi K2.5 and GLM-5 with images.

Facts: llama.cpp's converter, classes ``KimiVLModel``, ``KimiK25Model`` and ``Glm5vModel``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...transforms import Chain, Join, Permute, Reshape, Third
from ..family import Row, Spelling
from .common import IMAGE_HEADS, IMAGE_WIDTH, projector, qkv_apart

if TYPE_CHECKING:
    from ...facts import Facts
    from ...transforms import Transform

__all__ = ["KIMIK25", "KIMIVL"]

_QKV = "vision_tower.encoder.blocks.{layer}.wqkv"


def _places_as_rows(facts: Facts, _: int | None) -> Transform:
    return Reshape((-1, facts.need(IMAGE_WIDTH)), "all places one below the other")


KIMIVL = projector(
    "kimivl",
    rows=(
        *qkv_apart(_QKV, "v.blk.{layer}.attn_{}"),
        Row("*.pos_emb.weight", transform=_places_as_rows),
    ),
)


def _axes_apart(facts: Facts, _: int | None, which: int, end: str) -> Transform:
    """Take q, k or v; where they are rotated, those for either axis of a place go together.

    Of four elements of a head, two are for one axis and two for the other.
    """
    if which == 2:
        return Third(which)
    heads, width = facts.need(IMAGE_HEADS), facts.need(IMAGE_WIDTH)
    last = (width,) if end == "weight" else ()
    apart = Reshape((heads, -1, 2, 2, *last), "")
    moved = Permute((0, 2, 1, 3, *range(4, 4 + len(last))), f"axis by axis in {heads} heads")
    return Chain(Third(which), Chain(apart, Chain(moved, Reshape((width, *last), ""))))


KIMIK25 = projector(
    "kimik25",
    spellings=(
        Spelling("mm_projector.proj.0.", "mm.1."),
        Spelling("mm_projector.proj.2.", "mm.2."),
        # GLM-5
        Spelling("mm_projector.linear_", "mm."),
    ),
    rows=tuple(
        Row(
            f"{_QKV}.{end}",
            transform=partial(_axes_apart, which=which, end=end),
            join=lambda _: Join("q, k and v joined"),
            place=which,
        )
        for end in ("weight", "bias")
        for which in range(3)
    ),
)
