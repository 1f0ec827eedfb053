"""Whole models to fewer bits: which type each tensor gets, with what importance, and the file."""

from __future__ import annotations

from .choices import Choice, choose_types, file_order, find_mix, fitting_type
from .facts import Facts
from .mixes import ALIASES, MIXES, Mix

__all__ = [
    "ALIASES",
    "MIXES",
    "Choice",
    "Facts",
    "Mix",
    "choose_types",
    "file_order",
    "find_mix",
    "fitting_type",
]
