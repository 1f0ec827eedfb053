"""stablelm: a norm for each head, if it has any, becomes a row.

Facts: llama.cpp's converter, class ``StableLMModel``.
"""

from __future__ import annotations

from .common import LEFT_OUT, SPELLINGS
from .family import Family, stacked

__all__ = ["STABLELM"]

STABLELM = Family(
    architectures=("stablelm",),
    model_types=("stablelm", "stablelm_epoch"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=tuple(
        stacked(
            f"model.layers.{{layer}}.self_attn.{kind}_layernorm.norms.{{index}}.weight",
            to=f"model.layers.{{layer}}.self_attn.{kind}_layernorm.weight",
            what="heads",
        )
        for kind in ("q", "k")
    ),
)
