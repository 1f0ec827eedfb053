"""The families: one small table each, to be read as a specification.

A table holds what is special: spellings, transforms, what a converter leaves out or makes up.
Everything else is copied as it is, under the name that ``gguf.TensorNameMap`` gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import LAYERS, WIDTH
from .bert import BERT, EUROBERT, JINA_BERT_V2, MODERN_BERT, NEO_BERT, NOMIC_BERT
from .bitnet import BITNET
from .bloom import BLOOM, FALCON, GPTNEOX
from .common import LEFT_OUT, SPELLINGS
from .dbrx import DBRX
from .deepseek2 import (
    BAILINGMOE3,
    DEEPSEEK2,
    DEEPSEEK32,
    DOTS3NOTE,
    GLM5_NEXT,
    GLM_DSA,
    KIMI_K3,
    KIMI_LINEAR,
    MISTRAL4,
)
from .deepseek4 import DEEPSEEK4
from .drafts import DFLASH, GEMMA4_ASSISTANT
from .experts import (
    AFMOE,
    BAILINGMOE2,
    DOTS1,
    ERNIE4_5_MOE,
    EXAONE_MOE,
    GLM4MOE,
    GROK,
    GROVEMOE,
    HUNYUAN_MOE,
    HY_V3,
    LAGUNA,
    LLADA_MOE,
    MAPLE,
    MELLUM,
    MIMO2,
    MINIMAX_01,
    OLMOE,
    PHIMOE,
    SMALLTHINKER,
    STEP35,
)
from .family import Family
from .gemma import GEMMA, GEMMA2, GEMMA3, GEMMA3N, GEMMA4
from .glm4 import GLM4
from .gpt2 import GPT2, JAIS, STARCODER
from .gpt_oss import GPT_OSS
from .granite import GRANITE, GRANITE_SWA, GRANITEHYBRID, GRANITEMOE, NEMOTRON_H
from .hrm_text import HRM_TEXT
from .lfm2 import LFM2, LFM2MOE
from .llama import (
    APERTUS,
    ARCEE,
    ARCTIC,
    BAICHUAN,
    BAILINGMOE,
    DECI,
    DEEPSEEK,
    INTERNLM2,
    LLADA,
    LLAMA,
    LLAMA4,
    LLAMA_EMBED,
    MINICPM,
    MISTRAL3,
    NANBEIGE,
    OLMO,
    SMOLLM3,
    XVERSE,
)
from .mamba import FALCON_H1, JAMBA, MAMBA, MAMBA2
from .minimax import MINIMAX_M2, MINIMAX_M3
from .muse_glimmer import MUSE_GLIMMER
from .phi import PHI2, PHI3
from .plain import (
    CHATGLM,
    CODESHELL,
    COGVLM,
    COHERE,
    COHERE2,
    COHERE2MOE,
    DREAM,
    ERNIE4_5,
    EXAONE,
    EXAONE4,
    HUNYUAN,
    HUNYUAN_VL,
    JAIS2,
    MAINCODER,
    MINICPM3,
    MPT,
    NEMOTRON,
    OLMO2,
    ORION,
    PADDLEOCR,
    PANGU_EMBEDDED,
    PLM,
    QWEN,
    SEED_OSS,
    SPARK2_5,
    STARCODER2,
)
from .plamo import PLAMO, PLAMO2, PLAMO3
from .projectors import PROJECTORS, projector_of
from .qwen import QWEN2, QWEN2MOE, QWEN2VL, QWEN3, QWEN3MOE, QWEN3VL, QWEN3VLMOE, RND1
from .qwen_linear import QWEN3_5, QWEN3NEXT
from .rwkv import ARWKV7, RWKV6, RWKV6QWEN2, RWKV7
from .stablelm import STABLELM
from .t5 import T5
from .talkie import TALKIE
from .unfused import OPENELM, REFACT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAMILIES", "PROJECTORS", "by_name_alone", "family_of", "family_of_model_type"]

FAMILIES: tuple[Family, ...] = (
    LLAMA, QWEN2, QWEN2MOE, QWEN3, QWEN3MOE, PHI2, PHI3, BLOOM, FALCON, GPT2, STARCODER, STARCODER2,
    STABLELM, MAMBA, NEMOTRON, GEMMA, GEMMA2, GEMMA3, GEMMA4, T5, GPT_OSS, DEEPSEEK2, LFM2, LFM2MOE,
    OLMO2, COHERE, COHERE2, GRANITE, GRANITEMOE, EXAONE4, GLM4, MINIMAX_M2, BERT, NOMIC_BERT,
    APERTUS, ARCEE, DEEPSEEK, INTERNLM2, LLAMA4, MINICPM, MISTRAL3, OLMO, SMOLLM3, CHATGLM, EXAONE,
    ERNIE4_5, HUNYUAN, JAIS2, MINICPM3, SEED_OSS, AFMOE, DOTS1, ERNIE4_5_MOE, EXAONE_MOE, GLM4MOE,
    HUNYUAN_MOE, MIMO2, OLMOE, PHIMOE, QWEN2VL, QWEN3VL, QWEN3VLMOE, QWEN3NEXT, QWEN3_5, GEMMA3N,
    GPTNEOX, MAMBA2, JAMBA, GRANITEHYBRID, NEMOTRON_H, MODERN_BERT, EUROBERT, BAILINGMOE2, STEP35,
    FALCON_H1, GLM_DSA, MISTRAL4, DECI, KIMI_LINEAR, DEEPSEEK32, DEEPSEEK4, KIMI_K3, HY_V3,
    MINIMAX_M3, GRANITE_SWA, COHERE2MOE, MELLUM, LAGUNA, DBRX, GLM5_NEXT, HRM_TEXT, BITNET,
    CODESHELL, COGVLM, DREAM, HUNYUAN_VL, MAINCODER, MPT, ORION, PADDLEOCR, PANGU_EMBEDDED, PLM,
    QWEN, SPARK2_5, BAICHUAN, XVERSE, LLADA, LLAMA_EMBED, NANBEIGE, MAPLE, SMALLTHINKER, NEO_BERT,
    JINA_BERT_V2, JAIS, OPENELM, REFACT, PLAMO, PLAMO2, PLAMO3, TALKIE, RWKV6, RWKV6QWEN2, RWKV7,
    ARWKV7, LLADA_MOE, RND1, GROVEMOE, ARCTIC, GROK, MINIMAX_01, BAILINGMOE, BAILINGMOE3,
    DOTS3NOTE, MUSE_GLIMMER, GEMMA4_ASSISTANT, DFLASH,
)  # fmt: skip

_BY_MODEL_TYPE = {name: family for family in FAMILIES for name in family.model_types}
_BY_ARCHITECTURE = {name: family for family in FAMILIES for name in family.architectures}


def family_of(architecture: str, metadata: Mapping[str, object] | None = None) -> Family | None:
    """Find the table for a value of ``general.architecture``, or None if there is none yet.

    Of a multimodal projector ("clip") the metadata say what it is.
    """
    if architecture == "clip":
        return projector_of(metadata or {})
    return _BY_ARCHITECTURE.get(architecture)


def family_of_model_type(model_type: str) -> Family | None:
    """Find the family that a ``config.json`` names, or None if it is none of those known."""
    return _BY_MODEL_TYPE.get(model_type)


def by_name_alone(architecture: str) -> Family:
    """Make the empty table of an architecture without one: every tensor goes by its name.

    Heads may be counted in any way there, but not the width and the layers.
    """
    # what other files leave to the projector's own (mmproj) is what that one holds
    left_out = () if architecture == "clip" else LEFT_OUT
    return Family((architecture,), (), SPELLINGS, left_out, same=(WIDTH, LAYERS))
