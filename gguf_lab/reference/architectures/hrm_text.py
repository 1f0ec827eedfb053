"""hrm-text: two stacks of layers that are run through in turn, one after the other in the file.

Facts: llama.cpp's converter, class ``HrmTextModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import HEADS, WIDTH, Quantity
from ..transforms import Chain, Half
from .common import LEFT_OUT
from .family import Family, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..facts import Facts

__all__ = ["HRM_TEXT"]

_STACK = Quantity(
    "number of layers in a stack",
    "hrm.layers_per_stack",
    ("num_layers_per_stack", "num_hidden_layers"),
)


def _second(facts: Facts, layer: int) -> int | None:
    before = facts.number(_STACK)
    return None if before is None else before + layer


def _layer(stack: str, number: Callable[[Facts, int], int | None] | None) -> tuple[Row, ...]:
    ours, theirs = f"model.{stack}_module.layers.{{layer}}", "blk.{layer}"
    return (
        # the gate of the attention and its q, k and v: a quarter of the rows each
        *(
            Row(
                f"{ours}.attn.gqkv_proj.weight",
                f"{theirs}.attn_{kind}.weight",
                Chain(Half(quarter // 2), Half(quarter % 2)),
                number=number,
            )
            for quarter, kind in enumerate(("gate", "q", "k", "v"))
        ),
        *(
            Row(
                f"{ours}.mlp.gate_up_proj.weight",
                f"{theirs}.ffn_{kind}.weight",
                Half(half),
                number=number,
            )
            for half, kind in enumerate(("gate", "up"))
        ),
        Row(f"{ours}.attn.o_proj.weight", f"{theirs}.attn_output.weight", number=number),
        Row(f"{ours}.mlp.down_proj.weight", f"{theirs}.ffn_down.weight", number=number),
    )


HRM_TEXT = Family(
    architectures=("hrm_text",),
    model_types=("hrm_text",),
    left_out=LEFT_OUT,
    rows=(
        *_layer("L", None),
        *_layer("H", _second),
        Row("model.z_L_init", "hrm.z_l_init"),
    ),
    # the file counts a layer as often as it is run through, some checkpoints once
    same=(WIDTH, HEADS),
    like="llama",
)
