"""The language models of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, dense and with experts.

Transformers has them with what sees only. Facts: llama.cpp's converter, classes ``Qwen2VLModel``,
``Qwen3VLTextModel`` and ``Qwen3VLMoeTextModel``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .family import Family, Rule
from .mrope import SECTIONS, interleaved
from .qwen import QWEN2, QWEN3, QWEN3MOE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide

__all__ = ["QWEN2VL", "QWEN3VL", "QWEN3VLMOE"]


def _interleaved(config: ConfigSide) -> Mapping[str, object]:
    return interleaved(config, config.rope.get("mrope_section"), config.head_size())


def _deep(config: ConfigSide) -> Mapping[str, object]:
    """Count the layers of the encoder that go around those between."""
    part = config.find("vision_config")
    marked = (part if isinstance(part, dict) else {}).get("deepstack_visual_indexes") or []
    if not isinstance(marked, list | tuple):
        raise config.wrong("deepstack_visual_indexes", marked, "a list of layers")
    return {"n_deepstack_layers": len(marked)}


QWEN2VL = Family(
    architectures=("qwen2vl",),
    classes={"qwen2_vl_text": "Qwen2VLTextModel"},
    also=("qwen2_vl", "qwen2_5_vl", "qwen2_5_vl_text"),
    lines=(*QWEN2.lines, SECTIONS),
)

_SEES_DEEP = (Rule(_interleaved, SECTIONS.to_config), Rule(_deep))

QWEN3VL = Family(
    architectures=("qwen3vl",),
    classes={"qwen3_vl_text": "Qwen3VLTextModel"},
    also=("qwen3_vl",),
    lines=(*QWEN3.lines, *_SEES_DEEP),
)

QWEN3VLMOE = replace(
    QWEN3MOE,
    architectures=("qwen3vlmoe",),
    classes={"qwen3_vl_moe_text": "Qwen3VLMoeTextModel"},
    also=("qwen3_vl_moe",),
    lines=(*QWEN3MOE.lines, *_SEES_DEEP),
)
