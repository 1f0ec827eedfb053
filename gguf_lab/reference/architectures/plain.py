"""Families of which every tensor is copied as it is, or nearly so.

Facts: llama.cpp's converter, classes ``StarCoder2Model``, ``Olmo2Model``, ``CommandR2Model``,
``Cohere2Model``, ``Exaone4Model`` and ``NemotronModel``.
"""

from __future__ import annotations

from ..transforms import Added
from .common import LEFT_OUT, ROPE_FREQS, SPELLINGS
from .family import Family, LeftOut, Row

__all__ = ["COHERE", "COHERE2", "EXAONE4", "NEMOTRON", "OLMO2", "STARCODER2"]

STARCODER2 = Family(
    architectures=("starcoder2",),
    model_types=("starcoder2",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
)

OLMO2 = Family(
    architectures=("olmo2",),
    model_types=("olmo2", "olmo3"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
)

COHERE = Family(
    architectures=("command-r",), model_types=("cohere",), spellings=SPELLINGS, left_out=LEFT_OUT
)

COHERE2 = Family(
    architectures=("cohere2",),
    model_types=("cohere2",),
    spellings=SPELLINGS,
    left_out=(
        *LEFT_OUT,
        LeftOut("*.bias", "a bias: the converter leaves it out, if it is all zero", if_zero=True),
    ),
)

EXAONE4 = Family(
    architectures=("exaone4",),
    model_types=("exaone4",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    made_up=(ROPE_FREQS,),
)

NEMOTRON = Family(
    architectures=("nemotron",),
    model_types=("nemotron",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(Row("*norm.weight", transform=Added(1)),),  # NemotronLayerNorm1P multiplies by 1 + weight
)
