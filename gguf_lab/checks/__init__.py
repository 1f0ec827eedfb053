"""What is unusual or wrong in a file: rules, each with its source, and what they found."""

from __future__ import annotations

from .findings import Finding, Findings
from .rules import RULES, Rule
from .run import check

__all__ = ["RULES", "Finding", "Findings", "Rule", "check"]
