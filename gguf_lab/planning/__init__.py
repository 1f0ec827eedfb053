"""A budget well spent: which type each tensor of a model should have."""

from __future__ import annotations

from .basis import PlannedMix
from .plan import plan
from .result import Plan, PlannedTensor

__all__ = ["Plan", "PlannedMix", "PlannedTensor", "plan"]
