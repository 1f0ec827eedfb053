"""The original checkpoint, and how a GGUF file lines up with it, tensor by tensor."""

from __future__ import annotations

from .alignment import Alignment, Pair, ReferenceOnly, align
from .checkpoint import Checkpoint, CheckpointTensor, open_checkpoint

__all__ = [
    "Alignment",
    "Checkpoint",
    "CheckpointTensor",
    "Pair",
    "ReferenceOnly",
    "align",
    "open_checkpoint",
]
