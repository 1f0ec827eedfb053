"""A GGUF file against its original weights: mergeable statistics, the run, the result."""

from __future__ import annotations

from .histogram import Histogram
from .result import COLUMNS, Comparison, TensorComparison
from .run import Run, compare
from .statistics import Statistics

__all__ = [
    "COLUMNS",
    "Comparison",
    "Histogram",
    "Run",
    "Statistics",
    "TensorComparison",
    "compare",
]
