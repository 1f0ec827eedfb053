"""mamba in its two versions, jamba with attention and experts between, falcon-h1 with both beside.

Facts: llama.cpp's converter, classes ``MambaModel``, ``Mamba2Model``, ``JambaModel`` and
``FalconH1Model``. The state has no heads to agree on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import LAYERS, WIDTH, Quantity
from ..transforms import AsStored, Chain, Cut, MinusExp, Squeeze, Times
from .common import LEFT_OUT, SPELLINGS, fused_experts, multipliers
from .family import Family, Row, Spelling, stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..facts import Facts
    from ..transforms import Transform

__all__ = ["FALCON_H1", "JAMBA", "MAMBA", "MAMBA2", "MAMBA2_ROWS", "TIME_STEPS"]

MAMBA = Family(
    architectures=("mamba",),
    # falcon_mamba has norms more
    model_types=("mamba", "falcon_mamba"),
    left_out=LEFT_OUT,
    rows=(
        Row("*.A_log", transform=MinusExp()),
        Row("*.conv1d.weight", transform=Squeeze()),
    ),
)

_INNER = Quantity("inner size of the state", "ssm.inner_size", ())
_GROUPS = Quantity(
    "number of groups of the state", "ssm.group_count", ("n_groups", "mamba_n_groups")
)


def _groups(facts: Facts, _: int | None) -> Cut:
    return Cut(facts.need(_INNER) // facts.need(_GROUPS))


MAMBA2_ROWS = (
    # a number for each head; mamba has a row of them
    Row("*.A_log", transform=Chain(MinusExp(), Cut(1))),
    Row("*.D", transform=Cut(1)),
    Row("*.conv1d.weight", transform=Squeeze()),
    Row("*.mixer.norm.weight", transform=_groups),
    Row("*.mamba.norm.weight", transform=_groups),
)

TIME_STEPS = Spelling(".dt_bias", ".dt_proj.bias", "end")

MAMBA2 = Family(
    architectures=("mamba2",),
    model_types=("mamba2",),
    spellings=(
        # as mamba-codestral writes them
        Spelling("model.backbone.", "backbone."),
        Spelling("model.lm_head.", "lm_head."),
        TIME_STEPS,
    ),
    left_out=LEFT_OUT,
    rows=MAMBA2_ROWS,
    same=(WIDTH, LAYERS),
)

JAMBA = Family(
    architectures=("jamba",),
    model_types=("jamba",),
    spellings=(Spelling(".moe.", ".feed_forward.", "anywhere"), *SPELLINGS),
    left_out=LEFT_OUT,
    rows=(
        *MAMBA.rows,
        *(
            stacked(
                f"model.layers.{{layer}}.feed_forward.experts.{{index}}.{kind}_proj.weight",
                to=f"model.layers.{{layer}}.mlp.experts.{kind}_proj.weight",
            )
            for kind in ("gate", "up", "down")
        ),
        *fused_experts("feed_forward.experts"),
    ),
)


def _unless_ones(times: Times) -> Transform:
    """Leave weights alone that stay what they are."""
    ones = {*times.numbers, *(number for _, number in times.runs)} == {1.0}
    return AsStored() if ones else times


def _times(*names: str) -> Callable[[Facts, int | None], Transform]:
    def choose(facts: Facts, _: int | None) -> Transform:
        return _unless_ones(Times(tuple(multipliers(facts, name)[0] for name in names)))

    return choose


def _times_of_mlp(which: int) -> Callable[[Facts, int | None], Transform]:
    def choose(facts: Facts, _: int | None) -> Transform:
        return _unless_ones(Times((multipliers(facts, "mlp_multipliers", 2)[which],)))

    return choose


_ALL = 1 << 62
_STATE = Quantity("size of the state", "ssm.state_size", ("mamba_d_state",))


def _into_state(facts: Facts, _: int | None) -> Transform:
    """Rows make the gate, the inner values, B and C of all groups, and the time steps."""
    inner, shared = facts.need(_INNER), facts.need(_GROUPS) * facts.need(_STATE)
    ends = (inner, 2 * inner, 2 * inner + shared, 2 * inner + 2 * shared, _ALL)
    numbers = multipliers(facts, "ssm_multipliers", len(ends))
    first = multipliers(facts, "ssm_in_multiplier")
    return _unless_ones(Times(first, tuple(zip(ends, numbers, strict=True))))


FALCON_H1 = Family(
    architectures=("falcon-h1",),
    model_types=("falcon_h1",),
    spellings=(*SPELLINGS, TIME_STEPS),
    left_out=LEFT_OUT,
    rows=(
        *MAMBA2_ROWS,
        Row("*.mamba.in_proj.weight", transform=_into_state),
        Row("*.mamba.out_proj.weight", transform=_times("ssm_out_multiplier")),
        Row("*.feed_forward.gate_proj.weight", transform=_times_of_mlp(0)),
        Row("*.feed_forward.down_proj.weight", transform=_times_of_mlp(1)),
        Row("*.q_proj.weight", transform=_times("attention_in_multiplier")),
        Row("*.k_proj.weight", transform=_times("key_multiplier", "attention_in_multiplier")),
        Row("*.v_proj.weight", transform=_times("attention_in_multiplier")),
        Row("*.o_proj.weight", transform=_times("attention_out_multiplier")),
        Row("lm_head.weight", transform=_times("lm_head_multiplier")),
        Row("model.embed_tokens.weight", transform=_times("embedding_multiplier")),
    ),
)
