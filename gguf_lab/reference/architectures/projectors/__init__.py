"""The encoders of images and sounds, with what projects them into the language model (mmproj).

They stand in a file of their own, of architecture "clip"; ``clip.projector_type`` says which they
are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conformer import LFM2A, NEMOTRON
from .deepseek import DEEPSEEKOCR
from .gemma import GEMMA3, GEMMA3N, GEMMA4, GEMMA4U
from .granite import GRANITE4_VISION
from .kimi import KIMIK25, KIMIVL
from .llava import IDEFICS3, INTERNVL, LLAMA4, PIXTRAL
from .qwen import QWEN2VL
from .siglip import JANUS, LFM2, PHI4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..family import Family

__all__ = ["PROJECTORS", "projector_of", "projector_types"]

PROJECTORS: tuple[Family, ...] = (
    DEEPSEEKOCR,
    GEMMA3,
    GEMMA3N,
    GEMMA4,
    GEMMA4U,
    GRANITE4_VISION,
    IDEFICS3,
    INTERNVL,
    JANUS,
    KIMIK25,
    KIMIVL,
    LFM2,
    LFM2A,
    LLAMA4,
    NEMOTRON,
    PHI4,
    PIXTRAL,
    QWEN2VL,
)

_BY_TYPE = {name: table for table in PROJECTORS for name in table.projectors}

_KEYS = tuple(f"clip.{part}projector_type" for part in ("", "vision.", "audio.", "gen.audio."))


def projector_types(metadata: Mapping[str, object]) -> list[str]:
    """List what a file says that its encoders are."""
    types = (metadata.get(key) for key in _KEYS)
    return [kind for kind in types if isinstance(kind, str)]


def projector_of(metadata: Mapping[str, object]) -> Family | None:
    """Find the table that serves all encoders of a file, or None if there is none yet."""
    found = [_BY_TYPE.get(kind) for kind in projector_types(metadata)]
    return found[0] if found and all(table is found[0] for table in found) else None
