"""The sound encoder of Granite Speech: a conformer, behind it a Q-Former.

Facts: llama.cpp's converter, classes ``GraniteSpeechMmprojModel`` and
``GraniteSpeechPlusMmprojModel``.
"""

from __future__ import annotations

from ...transforms import Half, Reshape
from ..family import LeftOut, Row, Spelling
from .common import folded_norm, projector

__all__ = ["GRANITE_SPEECH"]

_ATTENTION = "encoder.layers.{layer}.attn"
_FLAT = Reshape((0, -1), "dimension of 1 dropped")


GRANITE_SPEECH = projector(
    "granite_speech",
    spellings=(Spelling("model.encoder.", "encoder."), Spelling("model.projector.", "projector.")),
    left_out=(
        LeftOut("*.num_batches_tracked", "a count of the training, no weight"),
        LeftOut("*attention_dists", "distances that are calculated, no weight"),
    ),
    rows=(
        *folded_norm("encoder.layers.{layer}.conv.batch_norm"),
        Row(f"{_ATTENTION}.to_kv.weight", f"{_ATTENTION}.to_k.weight", Half(0)),
        Row(f"{_ATTENTION}.to_kv.weight", f"{_ATTENTION}.to_v.weight", Half(1)),
        *(
            Row(f"encoder.*.conv.{kind}.weight", transform=_FLAT)
            for kind in ("up_conv", "down_conv", "depth_conv.conv")
        ),
    ),
)
