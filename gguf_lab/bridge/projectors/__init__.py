"""Projectors (mmproj): what encodes images or sounds for a language model, as a file of its own."""

from __future__ import annotations

from .images import (
    GEMMA3,
    IDEFICS3,
    INTERNVL,
    LFM2,
    LLAMA4,
    PIXTRAL,
    QWEN2VL,
    QWEN3VL,
    QWEN25VL,
)
from .more_images import GEMMA4, GLM4V, JANUS, LIGHTONOCR
from .side import Projector, side_of
from .sounds import AUDIO_FLAMINGO3, QWEN2_AUDIO, ULTRAVOX, VOXTRAL

__all__ = ["PROJECTORS", "Projector", "side_of"]

PROJECTORS: tuple[Projector, ...] = (
    AUDIO_FLAMINGO3, GEMMA3, GEMMA4, GLM4V, IDEFICS3, INTERNVL, JANUS, LFM2, LIGHTONOCR, LLAMA4,
    PIXTRAL, QWEN25VL, QWEN2VL, QWEN2_AUDIO, QWEN3VL, ULTRAVOX, VOXTRAL,
)  # fmt: skip
