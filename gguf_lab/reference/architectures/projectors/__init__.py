"""The encoders of images and sounds, with what projects them into the language model (mmproj).

They stand in a file of their own, of architecture "clip"; ``clip.projector_type`` says which they
are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conformer import LFM2A, NEMOTRON
from .deepseek import DEEPSEEKOCR
from .dots3 import DOTS3_NOTE
from .gemma import GEMMA3, GEMMA3N, GEMMA4, GEMMA4U
from .glm import GLM4V
from .granite import GRANITE_SPEECH
from .granite_vision import GRANITE4_VISION
from .kimi import KIMIK25, KIMIVL
from .legacy import LLAVA
from .llava import IDEFICS3, INTERNVL, LLAMA4, PIXTRAL
from .others import (
    COGVLM,
    DEEPSEEK4V,
    DOTSOCR,
    MINIMAX_M3,
    MUSE_GLIMMER,
    STEP3VL,
    YOUTUVL,
)
from .qwen import EXAONE4_5, LING3VL, MIMOVL, QWEN2VL, QWEN3VL, QWEN25O
from .siglip import HUNYUANVL, JANUS, LFM2, MINICPMV4_6, PADDLEOCR, PHI4
from .speech import POCKET_TTS, QWEN3_TTS
from .whisper import GLM_ASR, MERALION, WHISPER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..family import Family

__all__ = ["PROJECTORS", "projector_of", "projector_types"]

PROJECTORS: tuple[Family, ...] = (
    COGVLM, DEEPSEEK4V, DEEPSEEKOCR, DOTS3_NOTE, DOTSOCR, EXAONE4_5, GEMMA3, GEMMA3N, GEMMA4,
    GEMMA4U, GLM4V, GLM_ASR, GRANITE4_VISION, GRANITE_SPEECH, HUNYUANVL, IDEFICS3, INTERNVL,
    JANUS, KIMIK25, KIMIVL, LFM2, LFM2A, LING3VL, LLAMA4, LLAVA, MERALION, MIMOVL, MINICPMV4_6,
    MINIMAX_M3, MUSE_GLIMMER, NEMOTRON, PADDLEOCR, PHI4, PIXTRAL, POCKET_TTS, QWEN25O, QWEN2VL,
    QWEN3VL, QWEN3_TTS, STEP3VL, WHISPER, YOUTUVL,
)  # fmt: skip

_BY_TYPE = {name: table for table in PROJECTORS for name in table.projectors}

_KEYS = tuple(f"clip.{part}projector_type" for part in ("", "vision.", "audio.", "gen.audio."))


def projector_types(metadata: Mapping[str, object]) -> list[str]:
    """List what a file says that its encoders are; the very first did so in another way."""
    values = (metadata.get(key) for key in _KEYS)
    types = [kind for kind in values if isinstance(kind, str)]
    return types or ["mlp"] * (metadata.get("clip.has_llava_projector") is True)


def projector_of(metadata: Mapping[str, object]) -> Family | None:
    """Find the table that serves all encoders of a file, or None if there is none yet."""
    found = [_BY_TYPE.get(kind) for kind in projector_types(metadata)]
    return found[0] if found and all(table is found[0] for table in found) else None
