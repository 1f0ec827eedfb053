"""mamba in its two versions, and jamba, which has attention and experts between.

Facts: llama.cpp's converter, classes ``MambaModel``, ``Mamba2Model`` and ``JambaModel``. The state
has no heads to agree on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import LAYERS, WIDTH, Quantity
from ..transforms import Chain, Cut, MinusExp, Squeeze
from .common import LEFT_OUT, SPELLINGS, fused_experts
from .family import Family, Row, Spelling, stacked

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["JAMBA", "MAMBA", "MAMBA2", "MAMBA2_ROWS", "TIME_STEPS"]

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
