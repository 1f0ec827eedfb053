"""The encoders of GLM-4.1V and what is made after them.

Facts: llama.cpp's converter, classes ``Glm4VVisionModel`` and ``Glm5NextVisionModel``.
"""

from __future__ import annotations

from .common import FRAMES, projector
from .qwen import VISUAL

__all__ = ["GLM4V"]

GLM4V = projector("glm4v", "glm5v", spellings=(VISUAL,), rows=FRAMES)
