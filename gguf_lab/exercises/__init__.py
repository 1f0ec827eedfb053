"""Exercises for students: decode Q8_0, Q4_0 and Q4_K by hand, quantize to Q4_0; and their checker.

``check("Q4_0", decode_q4_0)`` calls a student's function on blocks that get harder, holds what it
returns against the codec bit by bit, and answers with the first weight that is wrong and why.
"""

from __future__ import annotations

from .check import check
from .tasks import EXERCISES
from .verdict import Verdict

__all__ = ["EXERCISES", "Verdict", "check"]
