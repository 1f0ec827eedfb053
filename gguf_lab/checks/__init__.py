"""What is unusual or wrong in a file: rules, each with its source, and what they found."""

from __future__ import annotations

from .findings import Finding, Findings
from .rules import RULES, Rule

__all__ = ["RULES", "Finding", "Findings", "Rule"]
