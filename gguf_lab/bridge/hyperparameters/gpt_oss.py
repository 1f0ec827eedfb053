"""gpt-oss.

Facts: llama.cpp's converter, class ``GptOssModel``. No key says whether the range that YaRN ramps
over is rounded to whole numbers (``truncate``). It isn't in the models published, though llama.cpp
does so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import SOME_SLIDE, base, implied, sliding_layers
from .family import Family, Pair, Rule
from .file_side import REQUIRED
from .rope import ROPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .file_side import FileSide

__all__ = ["GPT_OSS"]


def _rope_to_config(file: FileSide) -> Mapping[str, object]:
    settings = dict(ROPE.to_config(file)["rope_parameters"])  # type: ignore[call-overload]
    if settings["rope_type"] == "yarn":
        settings["truncate"] = False
    return {"rope_parameters": settings}


GPT_OSS = Family(
    architectures=("gpt-oss",),
    classes={"gpt_oss": "GptOssForCausalLM"},
    lines=base(
        Pair("attention.sliding_window", ("sliding_window",), needed=True, absent=REQUIRED),
        Rule(Pair("expert_feed_forward_length", ("intermediate_size",), needed=True).to_file),
        SOME_SLIDE,
        sliding_layers(2),
        *implied(hidden_act="silu", attention_bias=True),
        rope=Rule(ROPE.to_file, _rope_to_config),
    ),
)
