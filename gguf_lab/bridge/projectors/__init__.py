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
from .side import Projector, side_of
from .sounds import AUDIO_FLAMINGO3, QWEN2_AUDIO, ULTRAVOX, VOXTRAL

__all__ = ["PROJECTORS", "Projector", "side_of"]

PROJECTORS: tuple[Projector, ...] = (
    AUDIO_FLAMINGO3, GEMMA3, IDEFICS3, INTERNVL, LFM2, LLAMA4, PIXTRAL, QWEN25VL, QWEN2VL,
    QWEN2_AUDIO, QWEN3VL, ULTRAVOX, VOXTRAL,
)  # fmt: skip
