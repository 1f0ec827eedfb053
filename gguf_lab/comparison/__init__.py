"""A GGUF file against its reference: mergeable statistics, the run, the result."""

from __future__ import annotations

from .beside import Beside, TensorPair
from .histogram import Histogram
from .metadata import MetadataDifference
from .result import Comparison, check_is_of
from .row import COLUMNS, LOW_IS_BAD, SETTLED, TensorComparison, worst_first
from .run import Run, compare
from .statistics import STATISTICS_VERSION, Statistics

__all__ = [
    "COLUMNS",
    "LOW_IS_BAD",
    "SETTLED",
    "STATISTICS_VERSION",
    "Beside",
    "Comparison",
    "Histogram",
    "MetadataDifference",
    "Run",
    "Statistics",
    "TensorComparison",
    "TensorPair",
    "check_is_of",
    "compare",
    "worst_first",
]
