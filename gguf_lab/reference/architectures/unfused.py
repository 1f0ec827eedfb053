"""refact and openelm: what is one matrix in the checkpoint, gate and up, is two in the file.

Facts: llama.cpp's converter, classes ``RefactModel`` and ``OpenELMModel``.
"""

from __future__ import annotations

from ..transforms import Half
from .common import LEFT_OUT
from .family import Family, Row

__all__ = ["OPENELM", "REFACT"]


def _halves(pattern: str, first: str, second: str) -> tuple[Row, ...]:
    return tuple(
        Row(pattern, f"blk.{{layer}}.{name}.weight", Half(which))
        for which, name in enumerate((first, second))
    )


REFACT = Family(
    architectures=("refact",),
    model_types=("gpt_refact",),
    left_out=LEFT_OUT,
    rows=(
        *_halves("transformer.h.{layer}.attn.kv.weight", "attn_k", "attn_v"),  # one head of each
        *_halves("transformer.h.{layer}.mlp.gate_up_proj.weight", "ffn_gate", "ffn_up"),
        Row("transformer.h.{layer}.attn.q.weight", "blk.{layer}.attn_q.weight"),
    ),
)

OPENELM = Family(
    architectures=("openelm",),
    model_types=("openelm",),
    left_out=LEFT_OUT,
    rows=_halves("transformer.layers.{layer}.ffn.proj_1.weight", "ffn_gate", "ffn_up"),
)
