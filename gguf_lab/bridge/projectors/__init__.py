"""Projectors (mmproj): what encodes images or sounds for a language model, as a file of its own."""

from __future__ import annotations

from .gemma import GEMMA3, GEMMA4
from .images import (
    IDEFICS3,
    INTERNVL,
    JANUS,
    LFM2,
    LIGHTONOCR,
    LLAMA4,
    LLAVA,
    MINICPMV,
    MISTRAL3,
    PADDLEOCR,
)
from .qwen import EXAONE, GLM4V, QWEN2VL, QWEN3VL, QWEN25VL
from .side import Projector, side_of
from .sounds import AUDIO_FLAMINGO3, QWEN2_AUDIO, ULTRAVOX, VOXTRAL

__all__ = ["PROJECTORS", "Projector", "side_of"]

PROJECTORS: tuple[Projector, ...] = (
    AUDIO_FLAMINGO3, EXAONE, GEMMA3, GEMMA4, GLM4V, IDEFICS3, INTERNVL, JANUS, LFM2, LIGHTONOCR,
    LLAMA4, LLAVA, MINICPMV, MISTRAL3, PADDLEOCR, QWEN25VL, QWEN2VL, QWEN2_AUDIO, QWEN3VL, ULTRAVOX,
    VOXTRAL,
)  # fmt: skip
