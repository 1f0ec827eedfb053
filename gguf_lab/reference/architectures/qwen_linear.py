"""qwen3-next and qwen3.5: linear attention (gated delta net) in most layers.

Facts: llama.cpp's converter, classes ``Qwen3NextModel``, ``Qwen3_5TextModel`` and
``Qwen3_5MoeTextModel`` (``_LinearAttentionVReorderBase``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import ComparisonError
from ..facts import Quantity
from ..transforms import (
    Added,
    AsStored,
    Chain,
    GroupParts,
    MinusExp,
    Squeeze,
    Tiled,
    TiledColumns,
    Transform,
)
from .common import EXPERTS, FUSED_EXPERTS, LEFT_OUT, PREDICTORS, SPELLINGS
from .family import Family, Row, Spelling

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["QWEN3NEXT", "QWEN3_5"]

_KEYS = Quantity("number of heads of keys", "ssm.group_count", ("linear_num_key_heads",))
_VALUES = Quantity("number of heads of values", "ssm.time_step_rank", ("linear_num_value_heads",))
_KEY = Quantity("size of a head of keys", "ssm.state_size", ("linear_key_head_dim",))
_INNER = Quantity("size of all values", "ssm.inner_size", ())


@dataclass(frozen=True, slots=True)
class _Heads:
    """Heads of the linear attention: how many of keys, of values for each, and their sizes."""

    keys: int
    each: int
    key: int
    value: int


def _heads(facts: Facts) -> _Heads:
    keys, values, key, inner = (facts.need(what) for what in (_KEYS, _VALUES, _KEY, _INNER))
    if values % keys or inner % values:
        raise ComparisonError(
            f"{values} heads of values of {inner} in all don't divide among {keys} heads of keys"
        )
    return _Heads(keys, values // keys, key, inner // values)


def _qkv(facts: Facts, _: int | None) -> GroupParts:
    h = _heads(facts)
    values = h.each * h.value
    return GroupParts(h.keys, (h.key, h.key, values, values), 0, 3, "q, k and v taken apart")


def _gate(facts: Facts, _: int | None) -> GroupParts:
    h = _heads(facts)
    values = h.each * h.value
    return GroupParts(h.keys, (h.key, h.key, values, values), 3, 4, "the gates of all heads")


def _is_split(facts: Facts) -> bool:
    # the first files had what the checkpoint has
    return not any(name.endswith(".ssm_in.weight") for name in facts.shapes)


_PLUS_1 = Added(1)  # RMSNorm that multiplies by 1 + weight; the linear attention's own doesn't

_ROWS = (
    *EXPERTS,
    *FUSED_EXPERTS,
    *(
        Row(f"*{norm}.weight", transform=_PLUS_1)
        for norm in (
            "layernorm",
            "q_norm",
            "k_norm",
            "model.norm",
            "shared_head_norm",
            "enorm",
            "hnorm",
        )
    ),
)

_SPELLINGS = (Spelling(".dt_bias", ".dt_proj.bias", "end"), *PREDICTORS, *SPELLINGS)

QWEN3NEXT = Family(
    architectures=("qwen3next",),
    model_types=("qwen3_next",),
    spellings=_SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *_ROWS,
        Row("*.A_log", transform=MinusExp()),
        Row("*.conv1d.weight", transform=Squeeze()),
        *(
            Row(
                "model.layers.{layer}.linear_attn.in_proj_qkvz.weight",
                f"blk.{{layer}}.{name}.weight",
                transform,
                when=_is_split,
            )
            for name, transform in (("attn_qkv", _qkv), ("attn_gate", _gate))
        ),
    ),
)


def _tiled(facts: Facts, size: int, fixed: int = 0) -> Tiled | AsStored:
    h = _heads(facts)
    return Tiled(h.keys, h.each, size, fixed) if h.each > 1 else AsStored()


def _one_each(facts: Facts, _: int | None) -> Transform:
    return _tiled(facts, 1)


def _decay(facts: Facts, _: int | None) -> Transform:
    return Chain(MinusExp(), _tiled(facts, 1))


def _values(facts: Facts, _: int | None) -> Transform:
    return _tiled(facts, _heads(facts).value)


def _queries_keys_values(facts: Facts, _: int | None) -> Transform:
    h = _heads(facts)
    return _tiled(facts, h.value, 2 * h.keys * h.key)


def _convolution(facts: Facts, layer: int | None) -> Transform:
    return Chain(Squeeze(), _queries_keys_values(facts, layer))


def _columns(facts: Facts, layer: int | None) -> Transform:
    tiled = _tiled(facts, _heads(facts).value)
    return TiledColumns(tiled) if isinstance(tiled, Tiled) else tiled


QWEN3_5 = replace(
    QWEN3NEXT,
    architectures=("qwen35", "qwen35moe"),
    model_types=("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
    rows=(
        *_ROWS,
        Row("*.A_log", transform=_decay),
        Row("*.dt_proj.bias", transform=_one_each),
        Row("*.conv1d.weight", transform=_convolution),
        Row("*.in_proj_qkv.weight", transform=_queries_keys_values),
        Row("*.in_proj_z.weight", transform=_values),
        Row("*.in_proj_a.weight", transform=_one_each),
        Row("*.in_proj_b.weight", transform=_one_each),
        Row("*.linear_attn.out_proj.weight", transform=_columns),
    ),
)
