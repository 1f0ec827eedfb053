"""glm4, alone and as the language model of GLM-4V.

Facts: llama.cpp's converter, class ``Glm4Model``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .common import base, biased, implied
from .config_side import real
from .family import Family, Rule
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["GLM4", "GLM4V", "TURNED"]


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 0.5))
    return {"rope.dimension_count": int(config.head_size() * part)}


def _text_only(file: FileSide) -> Mapping[str, object]:
    if file.has("rope.dimension_sections"):
        raise file.unsupported(
            "this one sees (M-RoPE), and its other half is in another file: give that one, too"
            " (projector=...)"
        )
    return {}


def _sections(file: FileSide) -> Mapping[str, object]:
    rope = dict(PARTIAL_ROPE.to_config(file)["rope_parameters"])  # type: ignore[call-overload]
    sections = file.counts("rope.dimension_sections", 4)[:3]
    return {"rope_parameters": rope | {"mrope_section": sections}}


TURNED = Rule(_turned, _text_only)

GLM4 = Family(
    architectures=("glm4",),
    classes={"glm4": "Glm4ForCausalLM"},
    also=("glm4v_text", "glm4v"),
    lines=base(
        TURNED,
        biased("attention_bias", "blk.*.attn_q.bias"),
        *implied(hidden_act="silu"),
        rope=PARTIAL_ROPE,
    ),
)

GLM4V = replace(
    GLM4,
    classes={"glm4v_text": "Glm4vTextModel"},
    also=(),
    lines=tuple(Rule(_turned, _sections) if line is TURNED else line for line in GLM4.lines),
)
