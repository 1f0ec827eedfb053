"""plamo in its three versions: heads in tiles, a state beside attention, norms with an offset.

Facts: llama.cpp's converter, classes ``PlamoModel``, ``Plamo2Model`` and ``Plamo3Model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import HEADS, LAYERS, WIDTH
from ..transforms import Added, MinusExp, Squeeze, Tiled, TiledColumns
from .common import LEFT_OUT, SPELLINGS
from .family import Family, Row, Spelling
from .mamba import TIME_STEPS

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["PLAMO", "PLAMO2", "PLAMO3"]


def _tiled(facts: Facts, layer: int | None) -> Tiled:
    heads, groups = facts.heads(layer), facts.kv_heads(layer)
    return Tiled(heads // groups, groups, facts.need(WIDTH) // heads, what="queries")


def _tiled_columns(facts: Facts, layer: int | None) -> TiledColumns:
    return TiledColumns(_tiled(facts, layer))


PLAMO = Family(
    architectures=("plamo",),
    model_types=("plamo",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        Row("*.self_attn.q_proj.weight", transform=_tiled),
        Row("*.self_attn.o_proj.weight", transform=_tiled_columns),
    ),
    # the configuration has another number of heads of keys and values than the model
    same=(WIDTH, LAYERS, HEADS),
)

# They multiply by an offset + weight; the offsets after the mixer and the MLP are smaller.
_NORMS = (
    Row("*.pre_mixer_norm.weight", transform=Added(1)),
    Row("*.post_mixer_norm.weight", transform=Added(1 / 5)),
    Row("*.pre_mlp_norm.weight", transform=Added(1)),
    Row("*.post_mlp_norm.weight", transform=Added(1 / 5**1.5)),
    Row("model.norm.weight", transform=Added(1)),
)

PLAMO2 = Family(
    architectures=("plamo2",),
    model_types=("plamo2",),
    spellings=(
        *SPELLINGS,
        TIME_STEPS,
        *(
            Spelling(f".{name}_norm_weight", f".{name}_norm.weight", "end")
            for name in ("dt", "B", "C")
        ),
        *(Spelling(f".{name}_weight", f".{name}.weight", "end") for name in ("q", "k")),
    ),
    left_out=LEFT_OUT,
    rows=(
        *_NORMS,
        Row("*.A_log", transform=MinusExp()),
        Row("*.conv1d.weight", transform=Squeeze()),
    ),
)

PLAMO3 = Family(
    architectures=("plamo3",),
    model_types=("plamo3",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *_NORMS,
        Row("*.mixer.q_norm.weight", transform=Added(1)),
        Row("*.mixer.k_norm.weight", transform=Added(1)),
    ),
)
