"""glm4, alone and as the text part of a model that sees (glm4v).

Facts: llama.cpp's converter, class ``Glm4Model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import Quantity
from ..transforms import PermuteRotary
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["GLM4"]

_ROTATED = Quantity("rotated part of a head", "rope.dimension_count", ())


def _has_sections(facts: Facts) -> bool:
    # positions in an image have a section each (M-RoPE)
    rope = facts.config.get("rope_parameters") or facts.config.get("rope_scaling")
    return isinstance(rope, dict) and "mrope_section" in rope


def _queries(facts: Facts, layer: int | None) -> PermuteRotary:
    return PermuteRotary(facts.heads(layer), facts.in_file(_ROTATED) or 0)


def _keys(facts: Facts, layer: int | None) -> PermuteRotary:
    return PermuteRotary(facts.kv_heads(layer), facts.in_file(_ROTATED) or 0)


GLM4 = Family(
    architectures=("glm4",),
    model_types=("glm4", "glm4v", "glm_ocr"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        Row("*q_proj.weight", transform=_queries, when=_has_sections),
        Row("*q_proj.bias", transform=_queries, when=_has_sections),
        Row("*k_proj.weight", transform=_keys, when=_has_sections),
        Row("*k_proj.bias", transform=_keys, when=_has_sections),
    ),
)
