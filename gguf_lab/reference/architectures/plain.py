"""Families of which every tensor is copied as it is, or nearly so.

Facts: llama.cpp's converter, classes ``StarCoder2Model``, ``Olmo2Model``, ``CommandR2Model``,
``Cohere2Model``, ``Cohere2MoeModel``, ``Exaone4Model``, ``NemotronModel``, ``SeedOssModel``,
``Jais2Model``, ``HunYuanModel``, ``HunyuanVLTextModel``, ``MiniCPM3Model``, ``Ernie4_5Model``,
``PaddleOCRModel``, ``ExaoneModel``, ``ChatGLMModel``, ``OrionModel``, ``QwenModel``, ``MPTModel``,
``CodeShellModel``, ``PLMModel``, ``PanguEmbeddedModel``, ``DreamModel``, ``MaincoderModel``,
``CogVLMModel`` and ``Spark2_5Model``.
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
    PREDICTORS,
    ROPE_FACTORS,
    ROPE_FREQS,
    SPELLINGS,
)
from .family import Family, LeftOut, Row, Spelling

__all__ = [
    "CHATGLM",
    "CODESHELL",
    "COGVLM",
    "COHERE",
    "COHERE2",
    "COHERE2MOE",
    "DREAM",
    "ERNIE4_5",
    "EXAONE",
    "EXAONE4",
    "HUNYUAN",
    "HUNYUAN_VL",
    "JAIS2",
    "MAINCODER",
    "MINICPM3",
    "MPT",
    "NEMOTRON",
    "OLMO2",
    "ORION",
    "PADDLEOCR",
    "PANGU_EMBEDDED",
    "PLM",
    "QWEN",
    "SEED_OSS",
    "SPARK2_5",
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
    spellings=(*PREDICTORS, *SPELLINGS),
    left_out=LEFT_OUT,
    rows=PREDICTOR_ROWS,
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

PADDLEOCR = replace(ERNIE4_5, architectures=("paddleocr",), model_types=("paddleocr_vl",))

HUNYUAN_VL = replace(HUNYUAN, architectures=("hunyuan_vl",), model_types=("hunyuan_vl",))

# the first Qwen
QWEN = replace(STARCODER2, architectures=("qwen",), model_types=("qwen",))

MPT = replace(STARCODER2, architectures=("mpt",), model_types=("mpt",))

CODESHELL = replace(STARCODER2, architectures=("codeshell",), model_types=("codeshell",))

ORION = replace(STARCODER2, architectures=("orion",), model_types=("orion",))

PLM = replace(STARCODER2, architectures=("plm",), model_types=("plm",))

PANGU_EMBEDDED = replace(
    STARCODER2, architectures=("pangu-embedded",), model_types=("PanguEmbedded",)
)

DREAM = replace(STARCODER2, architectures=("dream",), model_types=("Dream",))

MAINCODER = replace(STARCODER2, architectures=("maincoder",), model_types=("maincoder",))

SPARK2_5 = replace(
    STARCODER2,
    architectures=("spark2_5",),
    model_types=("spark2_5",),
    rows=(Row("model.layers.{layer}.self_attn.q_k_v_proj.weight", "blk.{layer}.attn_qkv.weight"),),
    like="step35",
)

# experts for what is seen stand in every layer: only the encoder is elsewhere
COGVLM = replace(
    STARCODER2,
    architectures=("cogvlm",),
    model_types=("cogvlm",),
    left_out=tuple(line for line in LEFT_OUT if line.pattern != "*vision_*"),
)
