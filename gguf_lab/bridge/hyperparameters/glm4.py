"""glm4.

Facts: llama.cpp's converter, class ``Glm4Model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import base, biased, implied
from .config_side import real
from .family import Family, Rule
from .rope import PARTIAL_ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config_side import ConfigSide
    from .file_side import FileSide

__all__ = ["GLM4", "TURNED"]


def _turned(config: ConfigSide) -> Mapping[str, object]:
    part = real(config, "partial_rotary_factor", config.rope.get("partial_rotary_factor", 0.5))
    return {"rope.dimension_count": int(config.head_size() * part)}


def _text_only(file: FileSide) -> Mapping[str, object]:
    if file.has("rope.dimension_sections"):
        raise file.unsupported("this one sees (M-RoPE), and its other half is in another file")
    return {}


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
