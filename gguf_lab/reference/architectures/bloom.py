"""bloom, gpt-neox and falcon: Q, K and V fused, group of heads by group of heads.

Facts: llama.cpp's converter, classes ``BloomModel``, ``GPTNeoXModel`` and ``FalconModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import HEADS, LAYERS, WIDTH
from ..transforms import TakeApart
from .common import LEFT_OUT
from .family import Family, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["BLOOM", "FALCON", "GPTNEOX"]


def _take_apart(facts: Facts, layer: int | None) -> TakeApart:
    return TakeApart(facts.heads(layer), facts.heads(layer))


def _take_groups_apart(facts: Facts, layer: int | None) -> TakeApart:
    # one group for falcon-7b, several for the new decoder, one for each head for falcon-rw
    return TakeApart(facts.heads(layer), facts.kv_heads(layer))


BLOOM = Family(
    architectures=("bloom",),
    model_types=("bloom",),
    spellings=(Spelling("transformer.", ""),),
    left_out=LEFT_OUT,
    rows=(
        Row("*self_attention.query_key_value.weight", transform=_take_apart),
        Row("*self_attention.query_key_value.bias", transform=_take_apart),
    ),
)

GPTNEOX = Family(
    architectures=("gptneox",),
    model_types=("gpt_neox",),
    left_out=LEFT_OUT,
    rows=(
        Row("*attention.query_key_value.weight", transform=_take_apart),
        Row("*attention.query_key_value.bias", transform=_take_apart),
    ),
)

FALCON = Family(
    architectures=("falcon",),
    model_types=("falcon", "RefinedWeb", "RefinedWebModel"),
    left_out=LEFT_OUT,
    rows=(Row("*query_key_value.weight", transform=_take_groups_apart),),
    # of these Transformers and the checkpoints' own code mean different things by the number of
    # heads of keys and values; the file has what the converter went by
    same=(WIDTH, LAYERS, HEADS),
)
