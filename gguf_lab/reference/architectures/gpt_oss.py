"""gpt-oss: experts in MXFP4 or in plain numbers, gate and up row by row in turn.

Facts: llama.cpp's converter, class ``GptOssModel``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..transforms import Chain, DecodeMXFP4, Half, Transpose
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row, Spelling

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["GPT_OSS"]


def _decoded(_: int) -> Transform:
    return DecodeMXFP4()


def _decoded_half(_: int, which: int) -> Transform:
    return Chain(DecodeMXFP4(), Half(which, alternating=True))


_EXPERTS = "model.layers.{layer}.mlp.experts"

GPT_OSS = Family(
    architectures=("gpt-oss",),
    model_types=("gpt_oss",),
    spellings=(*SPELLINGS, Spelling(".sinks", ".sinks.weight", "end")),
    left_out=LEFT_OUT,
    rows=(
        # MXFP4, as published
        *(
            Row(
                f"{_EXPERTS}.down_proj_{part}",
                f"{_EXPERTS}.down_proj.weight",
                join=_decoded,
                place=i,
            )
            for i, part in enumerate(("blocks", "scales"))
        ),
        *(
            Row(
                f"{_EXPERTS}.gate_up_proj_{part}",
                f"{_EXPERTS}.{kind}_proj.weight",
                join=partial(_decoded_half, which=which),
                place=i,
            )
            for which, kind in enumerate(("gate", "up"))
            for i, part in enumerate(("blocks", "scales"))
        ),
        # plain numbers, as Transformers saves what it has decoded
        Row(f"{_EXPERTS}.down_proj", f"{_EXPERTS}.down_proj.weight", Transpose()),
        Row(f"{_EXPERTS}.down_proj_bias", f"{_EXPERTS}.down_proj.bias"),
        *(
            Row(
                f"{_EXPERTS}.gate_up_proj",
                f"{_EXPERTS}.{kind}_proj.weight",
                Chain(Transpose(), Half(which, alternating=True)),
            )
            for which, kind in enumerate(("gate", "up"))
        ),
        *(
            Row(
                f"{_EXPERTS}.gate_up_proj_bias",
                f"{_EXPERTS}.{kind}_proj.bias",
                Half(which, alternating=True, axis=-1),
            )
            for which, kind in enumerate(("gate", "up"))
        ),
    ),
)
