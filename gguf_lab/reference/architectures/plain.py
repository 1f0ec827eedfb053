"""Families of which every tensor is copied as it is, or nearly so.

Facts: llama.cpp's converter, classes ``StarCoder2Model``, ``Olmo2Model``, ``CommandR2Model``,
``Cohere2Model``, ``Cohere2MoeModel``, ``Exaone4Model``, ``NemotronModel``, ``SeedOssModel``,
``Jais2Model``, ``HunYuanModel``, ``MiniCPM3Model``, ``Ernie4_5Model``, ``ExaoneModel`` and
``ChatGLMModel``.
"""

from __future__ import annotations

from dataclasses import replace

from ..facts import HEADS, LAYERS, WIDTH
from ..transforms import Added
from .common import (
    EXPERTS,
    FUSED_EXPERTS,
    LEFT_OUT,
    PREDICTOR_ROWS,
    ROPE_FACTORS,
    ROPE_FREQS,
    SPELLINGS,
)
from .family import Family, LeftOut, Row, Spelling

__all__ = [
    "CHATGLM",
    "COHERE",
    "COHERE2",
    "COHERE2MOE",
    "ERNIE4_5",
    "EXAONE",
    "EXAONE4",
    "HUNYUAN",
    "JAIS2",
    "MINICPM3",
    "NEMOTRON",
    "OLMO2",
    "SEED_OSS",
    "STARCODER2",
]

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

COHERE2MOE = replace(
    COHERE2,
    architectures=("cohere2moe",),
    model_types=("cohere2_moe",),
    rows=(*EXPERTS, *FUSED_EXPERTS, *PREDICTOR_ROWS),
    like="exaone-moe",
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

EXAONE = Family(
    architectures=("exaone",),
    model_types=("exaone",),
    left_out=LEFT_OUT,
    made_up=(ROPE_FREQS,),
)

CHATGLM = Family(
    architectures=("chatglm",),
    model_types=("chatglm",),
    spellings=(Spelling("transformer.", ""),),
    left_out=(
        *LEFT_OUT,
        LeftOut("rotary_pos_emb.inv_freq", "rotary frequencies are calculated, not stored"),
    ),
)

SEED_OSS = Family(
    architectures=("seed_oss",), model_types=("seed_oss",), spellings=SPELLINGS, left_out=LEFT_OUT
)

JAIS2 = Family(
    architectures=("jais2",), model_types=("jais2",), spellings=SPELLINGS, left_out=LEFT_OUT
)

HUNYUAN = Family(
    architectures=("hunyuan-dense",),
    model_types=("hunyuan_v1_dense",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
)

MINICPM3 = Family(
    architectures=("minicpm3",),
    model_types=("minicpm3",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    made_up=(ROPE_FACTORS,),
    # it writes as many heads of keys and values as the checkpoint names, which has none of its own
    same=(WIDTH, LAYERS, HEADS),
)

ERNIE4_5 = Family(
    architectures=("ernie4_5",),
    model_types=("ernie4_5",),
    spellings=(Spelling("ernie.", "model."), *SPELLINGS),
    left_out=LEFT_OUT,
)
