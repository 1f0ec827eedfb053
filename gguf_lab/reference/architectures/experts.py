"""Families of which only the experts are stacked, and everything else is copied as it is.

Facts: llama.cpp's converter, classes ``OlmoeModel``, ``Glm4MoeModel``, ``Dots1Model``,
``ExaoneMoEModel``, ``HunYuanMoEModel``, ``AfmoeModel``, ``Ernie4_5MoeModel``, ``PhiMoeModel`` and
``MimoV2Model``.
"""

from __future__ import annotations

from dataclasses import replace

from .common import (
    EXPERTS,
    FUSED_EXPERTS,
    LEFT_OUT,
    MIXTRAL_EXPERTS,
    PREDICTORS,
    ROPE_FACTORS,
    ROPE_FREQS,
    SPELLINGS,
)
from .family import Family, LeftOut, Spelling

__all__ = [
    "AFMOE",
    "DOTS1",
    "ERNIE4_5_MOE",
    "EXAONE_MOE",
    "GLM4MOE",
    "HUNYUAN_MOE",
    "MIMO2",
    "OLMOE",
    "PHIMOE",
]

OLMOE = Family(
    architectures=("olmoe",),
    model_types=("olmoe",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(*EXPERTS, *FUSED_EXPERTS),
)

# solar_open is glm4moe to llama.cpp
GLM4MOE = replace(OLMOE, architectures=("glm4moe",), model_types=("glm4_moe", "solar_open"))

DOTS1 = replace(OLMOE, architectures=("dots1",), model_types=("dots1",))

EXAONE_MOE = replace(
    OLMOE,
    architectures=("exaone-moe",),
    model_types=("exaone_moe",),
    spellings=(*PREDICTORS, *SPELLINGS),
    made_up=(ROPE_FREQS,),
)

HUNYUAN_MOE = replace(OLMOE, architectures=("hunyuan-moe",), model_types=("hunyuan_v1_moe",))

# as mixtral: its experts are called so too
PHIMOE = replace(
    OLMOE,
    architectures=("phimoe",),
    model_types=("phimoe",),
    rows=MIXTRAL_EXPERTS,
    made_up=(ROPE_FACTORS,),
)

MIMO2 = replace(
    OLMOE,
    architectures=("mimo2",),
    model_types=("mimo_v2_flash",),
    spellings=(Spelling("sink_bias", "sink_bias.weight", "end"), *PREDICTORS, *SPELLINGS),
)

AFMOE = replace(
    OLMOE,
    architectures=("afmoe",),
    model_types=("afmoe",),
    spellings=(Spelling(".expert_bias", ".expert_bias.bias", "end"), *SPELLINGS),
    made_up=(ROPE_FREQS,),
)

ERNIE4_5_MOE = replace(
    OLMOE,
    architectures=("ernie4_5-moe",),
    model_types=("ernie4_5_moe",),
    left_out=(
        *LEFT_OUT,
        LeftOut("model.mtp_*", "predicts further tokens: llama.cpp has no such part of this model"),
    ),
)
