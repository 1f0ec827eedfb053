"""glm4, alone and as the language model of GLM-4V.

Facts: llama.cpp's converter, class ``Glm4Model``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .common import base, biased, implied
from .config_side import real
from .family import Family, Rule
from .mrope import TEXT_ONLY, with_sections
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["GLM4", "GLM4V", "TURNED"]


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 0.5))
    return {"rope.dimension_count": int(config.head_size() * part)}


def _sections(file: FileSide) -> Mapping[str, object]:
    return with_sections(PARTIAL_ROPE, file)


TURNED = Rule(_turned)

GLM4 = Family(
    architectures=("glm4",),
    classes={"glm4": "Glm4ForCausalLM"},
    also=("glm4v_text", "glm4v"),
    lines=base(
        TURNED,
        TEXT_ONLY,
        biased("attention_bias", "blk.*.attn_q.bias"),
        *implied(hidden_act="silu"),
        rope=PARTIAL_ROPE,
    ),
)

GLM4V = replace(
    GLM4,
    classes={"glm4v_text": "Glm4vTextModel"},
    also=(),
    lines=tuple(Rule(to_config=_sections) if line is TEXT_ONLY else line for line in GLM4.lines),
)
