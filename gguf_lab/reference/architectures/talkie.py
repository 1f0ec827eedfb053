"""talkie: numbers beside its matrices, and no weights in its norms.

Facts: llama.cpp's converter, class ``TalkieModel``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..facts import Quantity
from ..transforms import AsStored, Cut, NegatedHalves
from .common import LEFT_OUT
from .family import Family, LeftOut, Row

if TYPE_CHECKING:
    from ..facts import Facts

__all__ = ["TALKIE"]

_HEAD_SIZE = Quantity("size of a head", "attention.key_length", ("head_dim",))


def _negated(facts: Facts, layer: int | None) -> NegatedHalves:
    return NegatedHalves(facts.need(_HEAD_SIZE, layer))


TALKIE = Family(
    architectures=("talkie",),
    model_types=("talkie",),
    left_out=(
        *LEFT_OUT,
        LeftOut("lm_head_gain.w_g", "the scale of the output: it is in the metadata"),
    ),
    rows=(
        Row("model.embed.weight", "token_embd.weight"),
        Row("lm_head", "output.weight"),
        Row("lm_head.weight", "output.weight"),
        *(
            Row(f"model.blocks.{{layer}}.{name}", f"blk.{{layer}}.{ours}", transform)
            for name, ours, transform in (
                ("attn.attn_query.weight", "attn_q.weight", _negated),
                ("attn.attn_key.weight", "attn_k.weight", _negated),
                ("attn.attn_value.weight", "attn_v.weight", AsStored()),
                ("attn.attn_resid.weight", "attn_output.weight", AsStored()),
                ("attn.head_gain.head_g", "attn_q_norm.weight", Cut(1)),
                ("attn_gain.a_g", "attn_output.scale", AsStored()),
                ("mlp.mlp_gate.weight", "ffn_gate.weight", AsStored()),
                ("mlp.mlp_linear.weight", "ffn_up.weight", AsStored()),
                ("mlp.mlp_resid.weight", "ffn_down.weight", AsStored()),
                ("mlp_gain.a_g", "ffn_down.scale", AsStored()),
                ("embed_skip.a_g", "layer_output_scale.weight", AsStored()),
            )
        ),
    ),
)
