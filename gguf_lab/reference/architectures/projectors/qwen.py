"""The encoders of Qwen2-VL and what is made after them.

Facts: llama.cpp's converter, classes ``Qwen2VLVisionModel``, ``Qwen25OmniModel``,
``Qwen3VLVisionModel``, ``Qwen3OmniMmprojModel``, ``Exaone4_5VisionModel``,
``BailingMoeV3VLVisionModel``, ``MiMoV2VisionAudioModel`` and ``Sarashina2VLVisionModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....model.names import MOST_LAYERS
from ...transforms import Reshape
from ..family import LeftOut, Row, Spelling, stacked
from .common import (
    COLUMN,
    FRAMES,
    IMAGE_LAYERS,
    IMAGE_WIDTH,
    OTHER_PART,
    projector,
    qkv_apart,
)

if TYPE_CHECKING:
    from ...facts import Facts

__all__ = ["EXAONE4_5", "LING3VL", "MIMOVL", "QWEN2VL", "QWEN3VL", "QWEN25O", "VISUAL"]

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
    left_out=(
        # Sarashina2-VL
        LeftOut("llm.*", OTHER_PART),
        LeftOut("norm.*", "a norm behind the encoder that the converter leaves out"),
    ),
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


def _deepstack_layer(facts: Facts, place: int) -> int | None:
    """Find a layer from which features go around those that follow, as the file marks them."""
    marked = facts.metadata.get("clip.vision.is_deepstack_layers")
    if not isinstance(marked, Sequence) or len(marked) > MOST_LAYERS:
        return None
    layers = [i for i, mark in enumerate(marked) if mark]
    return layers[place] if place < len(layers) else None


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
        Spelling("visual.merger.linear_fc1.", "mm.0."),
        Spelling("visual.merger.linear_fc2.", "mm.2."),
        Spelling("visual.merger.norm.", "v.post_ln."),
    ),
    left_out=_SPEECH,
    rows=(
        *FRAMES,
        *(
            Row(
                f"visual.deepstack_merger_list.{{layer}}.{name}.{end}",
                f"v.deepstack.{{layer}}.{ours}.{end}",
                number=_deepstack_layer,
            )
            for name, ours in (("norm", "norm"), ("linear_fc1", "fc1"), ("linear_fc2", "fc2"))
            for end in ("weight", "bias")
        ),
        Row("audio_tower.conv2d{layer}.bias", transform=Reshape((-1, 1, 1), COLUMN.words)),
    ),
    made_up=_POSITIONS,
)

LING3VL = projector(
    "ling3vl",
    spellings=(
        VISUAL,
        Spelling("linear_proj.", "mm."),
        Spelling("visual.merger.norm.", "mm.input_norm."),
    ),
    left_out=(LeftOut("model.word_embeddings.*", OTHER_PART),),
    rows=FRAMES,
)

_LOCAL = "mm.a.local_blk.{layer}"

MIMOVL = projector(
    "mimovl",
    "mimo_audio",
    spellings=(
        Spelling("audio_encoder.input_local_transformer.layers.", "mm.a.local_blk."),
        Spelling("audio_encoder.input_local_transformer.norm.", "mm.a.local_norm."),
        Spelling("audio_encoder.projection.mlp.0.", "mm.a.mlp.1."),
        Spelling("audio_encoder.projection.mlp.2.", "mm.a.mlp.2."),
    ),
    rows=(
        *FRAMES,
        Row("visual.blocks.{layer}.attn.sinks", "v.blk.{layer}.attn_sinks"),
        stacked("speech_embeddings.{index}.weight", "mm.a.code_embd.weight", "channels"),
        *(
            Row(
                f"mm.a.local_blk.{{layer}}.{theirs}.{end}", f"mm.a.local_blk.{{layer}}.{ours}.{end}"
            )
            for theirs, ours in (
                ("input_layernorm", "ln1"),
                ("mlp.down_proj", "ffn_down"),
                ("mlp.gate_proj", "ffn_gate"),
                ("mlp.up_proj", "ffn_up"),
                ("post_attention_layernorm", "ln2"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.o_proj", "attn_out"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.v_proj", "attn_v"),
            )
            for end in ("weight", "bias")
        ),
    ),
    made_up=(LeftOut("a.*", "made from another checkpoint, in the folder audio_tokenizer"),),
    # audio_config is of what stands behind the sound encoder
    same=(IMAGE_WIDTH, IMAGE_LAYERS),
)
