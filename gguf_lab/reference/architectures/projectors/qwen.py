"""The encoders of Qwen2-VL and what is made after them.

Facts: llama.cpp's converter, classes ``Qwen2VLVisionModel``, ``Qwen25OmniModel``,
``Qwen3VLVisionModel``, ``Qwen3OmniMmprojModel`` and ``Exaone4_5VisionModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...transforms import Reshape
from ..family import LeftOut, Row, Spelling
from .common import COLUMN, FRAMES, projector, qkv_apart

if TYPE_CHECKING:
    from ...facts import Facts

__all__ = ["EXAONE4_5", "QWEN2VL", "QWEN3VL", "QWEN25O"]

VISUAL = Spelling("model.visual.", "visual.")

_OMNI = (
    Spelling("thinker.", ""),
    VISUAL,
    Spelling("model.audio_tower.", "audio_tower."),
)

_SPEECH = tuple(
    LeftOut(pattern, "part of what speaks: the converter takes what hears and sees")
    for pattern in ("talker.*", "token2wav.*", "code2wav.*")
)

_POSITIONS = (
    LeftOut("a.position_embd.weight", "calculated (sinusoids): the checkpoint has no such tensor"),
)

QWEN2VL = projector(
    "qwen2vl_merger",
    "qwen2.5vl_merger",
    spellings=(VISUAL,),
    rows=(*FRAMES, *qkv_apart("visual.blocks.{layer}.attn.qkv", "v.blk.{layer}.attn_{}")),
)

# q, k and v stay fused here: there are fewer heads of k and v
EXAONE4_5 = projector("exaone4_5", spellings=(VISUAL,), rows=FRAMES)

QWEN25O = projector(
    "qwen2.5o",
    spellings=_OMNI,
    left_out=(
        LeftOut("audio_tower.audio_bos_eos_token.weight", "not used, in Transformers neither"),
        *_SPEECH,
    ),
    rows=(*QWEN2VL.rows, Row("audio_tower.conv{layer}.bias", transform=COLUMN)),
    made_up=_POSITIONS,
)


def _deepstack_layers(facts: Facts) -> list[int]:
    """List the layers from which features go around those that follow, as the file marks them."""
    marked = facts.metadata.get("clip.vision.is_deepstack_layers")
    return [i for i, mark in enumerate(marked) if mark] if isinstance(marked, Sequence) else []


MERGER = (
    Spelling("visual.merger.linear_fc1.", "mm.0."),
    Spelling("visual.merger.linear_fc2.", "mm.2."),
)

QWEN3VL = projector(
    "qwen3vl_merger",
    "qwen3a",
    spellings=(
        *_OMNI,
        # Qwen3-Omni
        Spelling("visual.merger_list.", "visual.deepstack_merger_list."),
        Spelling(".ln_q.", ".norm.", "anywhere"),
        Spelling(".mlp.0.", ".linear_fc1.", "anywhere"),
        Spelling(".mlp.2.", ".linear_fc2.", "anywhere"),
        # Qwen3-ASR as Transformers 5 writes it
        Spelling("model.multi_modal_projector.linear_", "audio_tower.proj"),
        *MERGER,
        Spelling("visual.merger.norm.", "v.post_ln."),
    ),
    left_out=_SPEECH,
    rows=(
        *FRAMES,
        *(
            Row(
                f"visual.deepstack_merger_list.{{layer}}.{name}.{end}",
                f"v.deepstack.{{layer}}.{ours}.{end}",
                layers=_deepstack_layers,
            )
            for name, ours in (("norm", "norm"), ("linear_fc1", "fc1"), ("linear_fc2", "fc2"))
            for end in ("weight", "bias")
        ),
        Row("audio_tower.conv2d{layer}.bias", transform=Reshape((-1, 1, 1), COLUMN.words)),
    ),
    made_up=_POSITIONS,
)
