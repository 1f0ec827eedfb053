"""Bytes to numbers: every block format written once, run by every backend. No I/O, no IPython."""

from __future__ import annotations

from .dispatch import (
    BACKENDS,
    can_decode,
    choose_backend,
    dequantize,
    find_format,
    to_little_endian,
    to_tensor,
)
from .formats import FORMATS, Field, Format
from .threads import cpu_count

__all__ = [
    "BACKENDS",
    "FORMATS",
    "Field",
    "Format",
    "can_decode",
    "choose_backend",
    "cpu_count",
    "dequantize",
    "find_format",
    "to_little_endian",
    "to_tensor",
]
