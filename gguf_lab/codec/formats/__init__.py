"""One definition per block format; importing this package registers them all."""

from __future__ import annotations

from . import i_quants, k_quants, legacy, microscaling, plain, ternary
from .definition import FORMATS, Field, Format

__all__ = [
    "FORMATS",
    "Field",
    "Format",
    "i_quants",
    "k_quants",
    "legacy",
    "microscaling",
    "plain",
    "ternary",
]
