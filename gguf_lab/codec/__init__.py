"""Bytes to numbers: every block format written once, run by every backend. No I/O, no IPython."""

from __future__ import annotations

from .anatomy import Anatomy, FieldValue, dissect
from .dispatch import (
    BACKENDS,
    can_decode,
    check_out,
    choose_backend,
    dequantize,
    find_format,
    has_float64,
    to_little_endian,
    to_tensor,
)
from .explanation import Explanation
from .finite import all_finite
from .formats import FORMATS, Field, Format
from .influence import Influence
from .quantizers import REQUIRES_IMPORTANCE, can_quantize, check_effort, quantize
from .threads import cpu_count

__all__ = [
    "BACKENDS",
    "FORMATS",
    "REQUIRES_IMPORTANCE",
    "Anatomy",
    "Explanation",
    "Field",
    "FieldValue",
    "Format",
    "Influence",
    "all_finite",
    "can_decode",
    "can_quantize",
    "check_effort",
    "check_out",
    "choose_backend",
    "cpu_count",
    "dequantize",
    "dissect",
    "find_format",
    "has_float64",
    "quantize",
    "to_little_endian",
    "to_tensor",
]
