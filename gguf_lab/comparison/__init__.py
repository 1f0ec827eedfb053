"""A GGUF file against its reference: mergeable statistics, the run, the result."""

from __future__ import annotations

from .histogram import Histogram
from .metadata import MetadataDifference
from .result import Comparison
from .row import COLUMNS, TensorComparison
from .run import Run, compare
from .statistics import STATISTICS_VERSION, Statistics

__all__ = [
    "COLUMNS",
    "STATISTICS_VERSION",
    "Comparison",
    "Histogram",
    "MetadataDifference",
    "Run",
    "Statistics",
    "TensorComparison",
    "compare",
]
