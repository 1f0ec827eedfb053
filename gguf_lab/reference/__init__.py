"""What a GGUF file is compared with, its checkpoint or another file, and how the two line up."""

from __future__ import annotations

from .alignment import align
from .checkpoint import Checkpoint, CheckpointTensor, open_checkpoint
from .counterpart import given_reference, is_gguf, line_up, open_reference
from .pairs import Alignment, Pair, ReferenceOnly

__all__ = [
    "Alignment",
    "Checkpoint",
    "CheckpointTensor",
    "Pair",
    "ReferenceOnly",
    "align",
    "given_reference",
    "is_gguf",
    "line_up",
    "open_checkpoint",
    "open_reference",
]
