"""granite, dense, with experts and with mamba2: as llama, but gate and up are one tensor.

Facts: llama.cpp's converter, classes ``GraniteModel``, ``GraniteMoeModel``, ``GraniteMoeSWAModel``,
``GraniteHybridModel``, and ``NemotronHModel``, which is derived from the last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..transforms import Half
from .common import LEFT_OUT, ROPE_FREQS, ROTARY_ROWS, SPELLINGS, fused_experts
from .family import Family, Row, Spelling, stacked
from .mamba import MAMBA2_ROWS, TIME_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..facts import Facts

__all__ = ["GRANITE", "GRANITEHYBRID", "GRANITEMOE", "GRANITE_SWA", "NEMOTRON_H"]


def _gate_and_up(module: str, file: str, when: Callable[[Facts], bool]) -> tuple[Row, ...]:
    return tuple(
        Row(
            f"model.layers.{{layer}}.{module}.input_linear.weight",
            to=f"blk.{{layer}}.ffn_{kind}{file}.weight",
            transform=Half(half),
            when=when,
        )
        for half, kind in enumerate(("gate", "up"))
    )


def _has_experts(facts: Facts) -> bool:
    return bool(facts.config.get("num_local_experts"))


def _has_none(facts: Facts) -> bool:
    return not _has_experts(facts)


_ROUTER = Row(
    "model.layers.{layer}.block_sparse_moe.router.weight", "blk.{layer}.ffn_gate_inp.weight"
)

_ROWS = (
    *ROTARY_ROWS,
    *_gate_and_up("block_sparse_moe", "_exps", _has_experts),
    *_gate_and_up("shared_mlp", "_shexp", _has_experts),
    # granite 4 calls its only feed-forward network that too
    *_gate_and_up("shared_mlp", "", _has_none),
    Row(
        "model.layers.{layer}.shared_mlp.output_linear.weight",
        to="blk.{layer}.ffn_down.weight",
        when=_has_none,
    ),
    # as Transformers 5 holds them
    *fused_experts("block_sparse_moe.experts"),
    _ROUTER,
)

GRANITE = Family(
    architectures=("granite",),
    model_types=("granite",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=_ROWS,
    made_up=(ROPE_FREQS,),
)

GRANITEMOE = replace(
    GRANITE, architectures=("granitemoe",), model_types=("granitemoe", "granitemoeshared")
)

# dense or with experts; of these gate and up stay one tensor
GRANITE_SWA = replace(
    GRANITE,
    architectures=("granite_swa",),
    model_types=("granite_swa", "granitemoe_swa"),
    rows=(
        *ROTARY_ROWS,
        _ROUTER,
        *(
            Row(f"model.layers.{{layer}}.{ours}", f"blk.{{layer}}.{theirs}.weight")
            for ours, theirs in (
                ("self_attn.sinks", "attn_sinks"),
                ("block_sparse_moe.experts.gate_up_proj", "ffn_gate_up_exps"),
                ("block_sparse_moe.experts.down_proj", "ffn_down_exps"),
                ("block_sparse_moe.input_linear.weight", "ffn_gate_up_exps"),
                ("block_sparse_moe.output_linear.weight", "ffn_down_exps"),
                ("shared_mlp.input_linear.weight", "ffn_up_shexp"),
                ("shared_mlp.output_linear.weight", "ffn_down_shexp"),
            )
        ),
    ),
    like="granite",
)

# granitemoehybrid is no model type of it alone: without mamba2 layers it is one of the two above
GRANITEHYBRID = replace(
    GRANITE,
    architectures=("granitehybrid",),
    model_types=("bamba",),
    spellings=(TIME_STEPS, *SPELLINGS),
    rows=(*_ROWS, *MAMBA2_ROWS),
)

NEMOTRON_H = Family(
    architectures=("nemotron_h", "nemotron_h_moe"),
    model_types=("nemotron_h",),
    # Transformers 5 holds all of it as "model", and saves it as it was published
    spellings=(TIME_STEPS, *SPELLINGS, Spelling("model.", "backbone.")),
    left_out=LEFT_OUT,
    rows=(
        *ROTARY_ROWS,
        *MAMBA2_ROWS,
        *(
            stacked(
                f"backbone.layers.{{layer}}.mixer.experts.{{index}}.{kind}_proj.weight",
                to=f"blk.{{layer}}.ffn_{kind}_exps.weight",
            )
            for kind in ("up", "down")
        ),
        *(
            Row(
                f"backbone.layers.{{layer}}.mixer.experts.{kind}_proj",
                f"blk.{{layer}}.ffn_{kind}_exps.weight",
            )
            for kind in ("up", "down")
        ),
    ),
)
