"""Encoders of sounds that are made from Whisper's, with what projects them.

Facts: llama.cpp's converter, class ``WhisperEncoderModel`` and those that are made from it, and
``GlmASRWhisperEncoderModel``.
"""

from __future__ import annotations

from ...transforms import Pick
from ..family import LeftOut, Row, Spelling
from .common import COLUMN, OTHER_PART, projector

__all__ = ["GLM_ASR", "MERALION", "WHISPER"]

_CONVOLUTIONS = tuple(Row(f"audio_tower.conv{n}.bias", transform=COLUMN) for n in (1, 2))

WHISPER = projector(
    "ultravox",
    "voxtral",
    "qwen2a",
    "musicflamingo",
    spellings=(
        Spelling("model.audio_tower.", "audio_tower."),
        Spelling("model.multi_modal_projector.", "multi_modal_projector."),
        Spelling("multi_modal_projector.", "audio.multi_modal_projector."),
    ),
    rows=_CONVOLUTIONS,
)

GLM_ASR = projector(
    "glma",
    spellings=(
        Spelling("audio_encoder.whisper.", "audio_tower."),
        Spelling("audio_encoder.layer_norm.", "audio.multi_modal_projector.ln_pre."),
        Spelling("audio_encoder.adapting.0.", "audio.multi_modal_projector.linear_1."),
        Spelling("audio_encoder.adapting.2.", "audio.multi_modal_projector.linear_2."),
    ),
    left_out=(LeftOut("audio_encoder.proj.*", "a layer that the model does not use"),),
    rows=(
        *_CONVOLUTIONS,
        Row("audio_encoder.audio_bos_eos_token.weight", "v.boi", Pick(0, 0, "the first row")),
        Row("audio_encoder.audio_bos_eos_token.weight", "v.eoi", Pick(0, 1, "the second row")),
    ),
)

MERALION = projector(
    "meralion",
    spellings=(
        Spelling("speech_encoder.", "audio_tower."),
        Spelling("ln_speech.", "audio.multi_modal_projector.ln_pre."),
        # llama.cpp numbers them in the order of their use
        Spelling("speech_audio_adapter.mlp_adapter.0.", "mm.a.mlp.0."),
        Spelling("speech_audio_adapter.gate_proj.", "mm.a.mlp.1."),
        Spelling("speech_audio_adapter.pool_proj.", "mm.a.mlp.2."),
        Spelling("speech_audio_adapter.out_proj.", "mm.a.mlp.3."),
    ),
    left_out=(LeftOut("text_decoder.*", OTHER_PART),),
    rows=_CONVOLUTIONS,
)
