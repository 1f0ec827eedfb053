"""Families of which only the experts are stacked, and everything else is copied as it is.

Facts: llama.cpp's converter, classes ``OlmoeModel``, ``Glm4MoeModel``, ``Dots1Model``,
``ExaoneMoEModel``, ``HunYuanMoEModel``, ``AfmoeModel``, ``Ernie4_5MoeModel``, ``PhiMoeModel``,
``MimoV2Model``, ``BailingMoeV2Model``, ``SarvamMoEModel``, ``HYV3Model``, ``MellumModel``,
``MapleModel``, ``LagunaModel``, ``Step35Model``, ``SmallThinkerModel``, ``LLaDAMoEModel``,
``GroveMoeModel``, ``GrokModel`` and ``MiniMaxText01Model``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..transforms import Added, Centered
from .common import (
    EXPERTS,
    FUSED_EXPERTS,
    LEFT_OUT,
    MIXTRAL_EXPERTS,
    NORMS_PLUS_ONE,
    PREDICTOR_ROWS,
    PREDICTORS,
    ROPE_FACTORS,
    ROPE_FREQS,
    SPELLINGS,
)
from .family import Family, LeftOut, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = [
    "AFMOE",
    "BAILINGMOE2",
    "DOTS1",
    "ERNIE4_5_MOE",
    "EXAONE_MOE",
    "GLM4MOE",
    "GROK",
    "GROVEMOE",
    "HUNYUAN_MOE",
    "HY_V3",
    "LAGUNA",
    "LLADA_MOE",
    "MAPLE",
    "MELLUM",
    "MIMO2",
    "MINIMAX_01",
    "OLMOE",
    "PHIMOE",
    "SMALLTHINKER",
    "STEP35",
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
    rows=(*MIXTRAL_EXPERTS, *FUSED_EXPERTS),
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
    # as Transformers holds it, and as it is saved
    spellings=(Spelling(".gate.moe_statics.", ".moe_statics.", "anywhere"), *SPELLINGS),
    left_out=(
        *LEFT_OUT,
        LeftOut("model.mtp_*", "predicts further tokens: llama.cpp has no such part of this model"),
    ),
)


def _is_sarvam(facts: Facts) -> bool:
    return facts.config.get("model_type") == "sarvam_moe"


BAILINGMOE2 = replace(
    OLMOE,
    architectures=("bailingmoe2",),
    model_types=("bailing_moe", "sarvam_moe"),
    spellings=(*SPELLINGS, Spelling(".expert_bias", ".expert_bias.bias", "end")),
    rows=(*OLMOE.rows, Row("*.expert_bias.bias", transform=Centered(), when=_is_sarvam)),
)

HY_V3 = replace(
    OLMOE,
    architectures=("hy_v3",),
    model_types=("hy_v3",),
    spellings=(
        *SPELLINGS,
        # of the layers that predict further tokens
        Spelling(".final_layernorm.", ".shared_head.norm.", "anywhere"),
    ),
    rows=(*OLMOE.rows, *PREDICTOR_ROWS),
    like="exaone-moe",
)

MELLUM = replace(OLMOE, architectures=("mellum",), model_types=("mellum",), like="olmoe")

MAPLE = replace(OLMOE, architectures=("maple",), model_types=("maple",), like="olmoe")

_EXPERTS = "model.layers.{layer}.block_sparse_moe.experts"

SMALLTHINKER = replace(
    OLMOE,
    architectures=("smallthinker",),
    model_types=("smallthinker",),
    rows=tuple(
        stacked(f"{_EXPERTS}.{{index}}.{kind}.weight", to=f"{_EXPERTS}.{kind}.weight")
        for kind in ("gate", "up", "down")
    ),
)

LAGUNA = replace(
    OLMOE,
    architectures=("laguna",),
    model_types=("laguna",),
    rows=(
        *OLMOE.rows,
        Row(
            "model.layers.{layer}.mlp.experts.e_score_correction.bias",
            "blk.{layer}.exp_probs_b.bias",
        ),
    ),
    like="step35",
)

STEP35 = Family(
    architectures=("step35",),
    model_types=("step3p5",),
    spellings=(
        *SPELLINGS,
        Spelling(".router_bias", ".router_bias.bias", "end"),
        # of the layers that predict further tokens
        Spelling(".transformer.shared_head.", ".shared_head.", "anywhere"),
        Spelling(".shared_head.output.", ".shared_head.head.", "anywhere"),
    ),
    left_out=LEFT_OUT,
    rows=(
        *NORMS_PLUS_ONE,
        *(
            replace(row, transform=Added(1)) if row.pattern.endswith("norm.weight") else row
            for row in PREDICTOR_ROWS
        ),
    ),
    made_up=(ROPE_FREQS,),
)

# "llada" is the model type of the one without experts too
LLADA_MOE = replace(OLMOE, architectures=("llada-moe",), model_types=(), borrowed=("llada",))

# small experts that groups of experts share
GROVEMOE = replace(
    OLMOE,
    architectures=("grovemoe",),
    model_types=("grove_moe",),
    left_out=(*LEFT_OUT, LeftOut("*.expert_bias", "a bias that the model doesn't use")),
    rows=(
        *EXPERTS,
        *(
            stacked(
                f"model.layers.{{layer}}.mlp.chunk_experts.{{index}}.{kind}_proj.weight",
                to=f"model.layers.{{layer}}.mlp.chunk_experts.{kind}_proj.weight",
            )
            for kind in ("gate", "up", "down")
        ),
    ),
)

# grok-2 calls its experts as mixtral does; the model types of both are none of their own
GROK = replace(
    OLMOE,
    architectures=("grok",),
    model_types=(),
    rows=(
        *MIXTRAL_EXPERTS,
        *(
            stacked(
                f"transformer.decoder_layer.{{layer}}.moe.{{index}}.{kind}.weight",
                to=f"transformer.decoder_layer.{{layer}}.moe.{kind}.weight",
            )
            for kind in ("linear", "linear_1", "linear_v")
        ),
    ),
)

# most layers have a linear attention (lightning), with a norm and a gate of its own
MINIMAX_01 = replace(
    OLMOE,
    architectures=("minimax-01",),
    model_types=(),
    rows=(
        *MIXTRAL_EXPERTS,
        *(
            Row(
                f"model.layers.{{layer}}.self_attn.{theirs}.weight",
                to=f"blk.{{layer}}.{ours}.weight",
            )
            for theirs, ours in (
                ("qkv_proj", "attn_qkv"),
                ("norm", "attn_norm_2"),
                ("output_gate", "attn_gate"),
                ("out_proj", "attn_output"),
            )
        ),
    ),
    like="minimax-m2",
)
