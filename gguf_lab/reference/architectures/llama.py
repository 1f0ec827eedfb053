"""llama and its kin.

llama.cpp calls mistral and mixtral llama too (``general.architecture`` "llama").
Facts: llama.cpp's converter, classes ``LlamaModel``, ``Llama4Model`` and those derived from them,
``OlmoModel``, ``MiniCPMModel``, ``DeepseekModel``, ``InternLM2Model``, ``BaichuanModel``,
``XverseModel``, ``LLaDAModel``, ``ArcticModel`` and ``BailingMoeModel``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..facts import WIDTH, Quantity
from ..transforms import (
    AsStored,
    Chain,
    GroupParts,
    Part,
    Transform,
    UnitColumns,
    UnpermuteRotary,
)
from .common import (
    EXPERTS,
    FUSED_EXPERTS,
    LEFT_OUT,
    MIXTRAL_EXPERTS,
    ROPE_FACTORS,
    ROPE_FREQS,
    ROTARY_ROWS,
    SPELLINGS,
    lying_experts,
)
from .family import Family, LeftOut, Row, Spelling

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..facts import Facts

__all__ = [
    "APERTUS",
    "ARCEE",
    "ARCTIC",
    "BAICHUAN",
    "BAILINGMOE",
    "DECI",
    "DEEPSEEK",
    "INTERNLM2",
    "LLADA",
    "LLAMA",
    "LLAMA4",
    "LLAMA_EMBED",
    "MINICPM",
    "MISTRAL3",
    "NANBEIGE",
    "OLMO",
    "SMOLLM3",
    "XVERSE",
]

LLAMA = Family(
    architectures=("llama",),
    model_types=("llama", "mistral", "mixtral"),
    spellings=(*SPELLINGS, Spelling("text_model.", "", "anywhere")),
    left_out=LEFT_OUT,
    rows=(
        # Only names of Transformers: Meta's own (layers.0.attention.wq) are in pairs already.
        *ROTARY_ROWS,
        *MIXTRAL_EXPERTS,
        *FUSED_EXPERTS,
    ),
    made_up=(ROPE_FREQS,),
)

ARCEE = Family(
    architectures=("arcee",),
    model_types=("arcee",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=ROTARY_ROWS,
    made_up=(ROPE_FREQS,),
)

SMOLLM3 = replace(ARCEE, architectures=("smollm3",), model_types=("smollm3",))

# "mistral3" is no model type of it alone: earlier files of such a checkpoint say "llama"
MISTRAL3 = replace(ARCEE, architectures=("mistral3",), model_types=("ministral3",))

# heads and widths of their own in each layer; some have no attention, or one matrix in its place
DECI = replace(ARCEE, architectures=("deci",), model_types=("nemotron-nas", "deci"))

DEEPSEEK = replace(
    ARCEE,
    architectures=("deepseek",),
    model_types=("deepseek",),
    rows=(*ROTARY_ROWS, *EXPERTS),
    made_up=(),
)

ARCTIC = replace(
    ARCEE,
    architectures=("arctic",),
    model_types=("arctic",),
    rows=(*ROTARY_ROWS, *MIXTRAL_EXPERTS),
    made_up=(),
)

_BAILING_QKV = "model.layers.{layer}.attention.query_key_value.weight"
_HEAD_SIZE = Quantity("size of a head", "rope.dimension_count", ("head_dim",))


def _bailing_part(which: int) -> Callable[[Facts, int | None], Transform]:
    def transform(facts: Facts, layer: int | None) -> Transform:
        heads, kv_heads = facts.heads(layer), facts.kv_heads(layer)
        sizes = tuple(n * facts.need(_HEAD_SIZE) for n in (heads, kv_heads, kv_heads))
        part = GroupParts(1, sizes, which, which + 1, f"the rows of {'qkv'[which]}")
        return part if which == 2 else Chain(part, UnpermuteRotary((heads, kv_heads)[which]))

    return transform


def _bailing_head(facts: Facts, _: int | None) -> Transform:
    return UnitColumns() if facts.config.get("norm_head") is True else AsStored()


BAILINGMOE = replace(
    ARCEE,
    architectures=("bailingmoe",),
    model_types=(),
    rows=(
        *(
            Row(_BAILING_QKV, f"blk.{{layer}}.attn_{name}.weight", _bailing_part(which))
            for which, name in enumerate("qkv")
        ),
        *EXPERTS,
        Row("model.layers.{layer}.attention.dense.weight", "blk.{layer}.attn_output.weight"),
        Row("lm_head.weight", transform=_bailing_head),
    ),
    made_up=(),
    borrowed=("bailing_moe",),
)

_QKV = "model.layers.{layer}.attention.wqkv.weight"


def _internlm2_part(which: int) -> Callable[[Facts, int | None], Transform]:
    def transform(facts: Facts, layer: int | None) -> Transform:
        heads, groups = facts.heads(layer), facts.kv_heads(layer)
        size = facts.need(WIDTH) // heads
        words = f"{('q', 'k', 'v')[which]} of each group"
        sizes = (heads // groups * size, size, size)
        part = GroupParts(groups, sizes, which, which + 1, words)
        return part if which == 2 else Chain(part, UnpermuteRotary((heads, groups)[which]))

    return transform


INTERNLM2 = replace(
    ARCEE,
    architectures=("internlm2",),
    model_types=("internlm2",),
    rows=tuple(
        Row(_QKV, f"blk.{{layer}}.attn_{name}.weight", _internlm2_part(which))
        for which, name in enumerate("qkv")
    ),
    made_up=(),
)

OLMO = replace(ARCEE, architectures=("olmo",), model_types=("olmo",), made_up=())

XVERSE = replace(OLMO, architectures=("xverse",), model_types=("xverse",))

LLADA = replace(OLMO, architectures=("llada",), model_types=("llada",))

LLAMA_EMBED = replace(ARCEE, architectures=("llama-embed",), model_types=("llama_bidirec",))

# its layers are run several times
NANBEIGE = replace(ARCEE, architectures=("nanbeige",), model_types=("nanbeige",), like="llama")


def _baichuan_part(which: int) -> Callable[[Facts, int | None], Transform]:
    def transform(facts: Facts, layer: int | None) -> Transform:
        rows = facts.need(WIDTH)
        part = Part(which * rows, (which + 1) * rows, f"the rows of {('q', 'k', 'v')[which]}")
        return part if which == 2 else Chain(part, UnpermuteRotary(facts.heads(layer)))

    return transform


BAICHUAN = replace(
    OLMO,
    architectures=("baichuan",),
    model_types=("baichuan",),
    rows=tuple(
        Row(
            "model.layers.{layer}.self_attn.W_pack.weight",
            f"blk.{{layer}}.attn_{name}.weight",
            _baichuan_part(which),
        )
        for which, name in enumerate("qkv")
    ),
)

MINICPM = replace(
    ARCEE, architectures=("minicpm",), model_types=("minicpm",), made_up=(ROPE_FACTORS,)
)

# From here on the rotary halves of Q and K stay as they are.

APERTUS = Family(
    architectures=("apertus",),
    model_types=("apertus",),
    spellings=SPELLINGS,
    left_out=(
        *LEFT_OUT,
        LeftOut("*.act_fn.*", "a number of the activation (xIELU): it is in the metadata"),
    ),
    made_up=(ROPE_FREQS,),
)

LLAMA4 = Family(
    architectures=("llama4",),
    model_types=("llama4", "llama4_text"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=lying_experts("feed_forward.experts"),
    made_up=(ROPE_FREQS,),
)
