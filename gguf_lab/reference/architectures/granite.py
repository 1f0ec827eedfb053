"""granite, dense and with experts: as llama, but gate and up of the experts are one tensor.

Facts: llama.cpp's converter, classes ``GraniteModel`` and ``GraniteMoeModel``.
"""

from __future__ import annotations

from dataclasses import replace

from ..transforms import Half
from .common import LEFT_OUT, ROPE_FREQS, ROTARY_ROWS, SPELLINGS, fused_experts
from .family import Family, Row

__all__ = ["GRANITE", "GRANITEMOE"]

GRANITE = Family(
    architectures=("granite",),
    model_types=("granite",),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=ROTARY_ROWS,
    made_up=(ROPE_FREQS,),
)

GRANITEMOE = replace(
    GRANITE,
    architectures=("granitemoe",),
    model_types=("granitemoe", "granitemoeshared"),
    rows=(
        *ROTARY_ROWS,
        *(
            Row(
                f"model.layers.{{layer}}.{checkpoint}.input_linear.weight",
                to=f"blk.{{layer}}.ffn_{kind}_{file}.weight",
                transform=Half(half),
            )
            for checkpoint, file in (("block_sparse_moe", "exps"), ("shared_mlp", "shexp"))
            for half, kind in enumerate(("gate", "up"))
        ),
        # as Transformers 5 holds them
        *fused_experts("block_sparse_moe.experts"),
        Row(
            "model.layers.{layer}.block_sparse_moe.router.weight",
            "blk.{layer}.ffn_gate_inp.weight",
        ),
    ),
)
