"""A GGUF file against its reference: mergeable statistics, the run, the result."""

from __future__ import annotations

from .histogram import Histogram
from .metadata import MetadataDifference
from .result import COLUMNS, Comparison, TensorComparison
from .run import Run, compare
from .statistics import Statistics

__all__ = [
    "COLUMNS",
    "Comparison",
    "Histogram",
    "MetadataDifference",
    "Run",
    "Statistics",
    "TensorComparison",
    "compare",
]
