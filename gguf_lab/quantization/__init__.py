"""Whole models to fewer bits: which type each tensor gets, with what importance, and the file."""

from __future__ import annotations

from .choices import Choice, choose_types, file_order, find_mix, fitting_type
from .facts import Facts
from .given import check_knows, file_of, given_imatrix
from .imatrix import Imatrix, open_imatrix
from .mixes import ALIASES, MIXES
from .rate_distortion import rate_distortion
from .rates import RateDistortion
from .requantize import requantize
from .result import QuantizedTensor, Requantization

__all__ = [
    "ALIASES",
    "MIXES",
    "Choice",
    "Facts",
    "Imatrix",
    "QuantizedTensor",
    "RateDistortion",
    "Requantization",
    "check_knows",
    "choose_types",
    "file_of",
    "file_order",
    "find_mix",
    "fitting_type",
    "given_imatrix",
    "open_imatrix",
    "rate_distortion",
    "requantize",
]
