"""The sound encoder of Granite Speech: a conformer, behind it a Q-Former.

Facts: llama.cpp's converter, classes ``GraniteSpeechMmprojModel`` and
``GraniteSpeechPlusMmprojModel``.
"""

from __future__ import annotations

from functools import partial

from ...transforms import FoldedBatchNorm, Half, Reshape
from ..family import LeftOut, Row, Spelling
from .common import projector

__all__ = ["GRANITE_SPEECH"]

_NORM = "encoder.layers.{layer}.conv.batch_norm"
_ATTENTION = "encoder.layers.{layer}.attn"
_FLAT = Reshape((0, -1), "dimension of 1 dropped")


def _folded(of: str, *parts: str) -> tuple[Row, ...]:
    """Make the rows for what becomes the weight or the bias of a batch norm."""
    join = partial(FoldedBatchNorm.of_all, of)
    return tuple(
        Row(f"{_NORM}.{part}", f"{_NORM}.{of}", join=join, place=place)
        for place, part in enumerate(parts)
    )


GRANITE_SPEECH = projector(
    "granite_speech",
    spellings=(Spelling("model.encoder.", "encoder."), Spelling("model.projector.", "projector.")),
    left_out=(
        LeftOut("*.num_batches_tracked", "a count of the training, no weight"),
        LeftOut("*attention_dists", "distances that are calculated, no weight"),
    ),
    rows=(
        *_folded("weight", "weight", "running_var"),
        *_folded("bias", "weight", "running_var", "bias", "running_mean"),
        Row(f"{_ATTENTION}.to_kv.weight", f"{_ATTENTION}.to_k.weight", Half(0)),
        Row(f"{_ATTENTION}.to_kv.weight", f"{_ATTENTION}.to_v.weight", Half(1)),
        *(
            Row(f"encoder.*.conv.{kind}.weight", transform=_FLAT)
            for kind in ("up_conv", "down_conv", "depth_conv.conv")
        ),
    ),
)
