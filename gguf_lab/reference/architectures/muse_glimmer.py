"""muse-glimmer, the text part of a model that sees.

Facts: llama.cpp's converter, class ``MuseGlimmerModel``. The norm of queries and keys has no
weights in the checkpoint: the converter makes some, which multiply as the model does.
"""

from __future__ import annotations

from ..transforms import Added
from .common import LEFT_OUT, ROTARY_ROWS, SPELLINGS
from .family import Family, LeftOut, Row

__all__ = ["MUSE_GLIMMER"]

MUSE_GLIMMER = Family(
    architectures=("muse-glimmer",),
    model_types=("muse_glimmer", "muse_glimmer_text"),
    spellings=SPELLINGS,
    left_out=LEFT_OUT,
    rows=(
        *ROTARY_ROWS,
        Row("*layernorm.weight", transform=Added(1)),  # but not the last, model.norm
        Row("model.layers.{layer}.self_attn.gate_proj.weight", "blk.{layer}.attn_gate.weight"),
    ),
    made_up=(
        LeftOut("blk.{layer}.attn_q_norm.weight", "qk_scale_factor of config.json, as a norm"),
        LeftOut("blk.{layer}.attn_k_norm.weight", "ones: the norm of keys has no weights"),
    ),
    like="gemma4",
)
