"""The answer to a student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..markup import card, fold, mark, note, preformatted

__all__ = ["Verdict"]

_COLOURS = {"right": 2, "wrong": 5, "not yet": 4}  # of `mark`; the word stands there too


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Verdict:
    """What `check` has to say.

    Attributes
    ----------
    exercise : str
        Which one was tried.
    state : {"right", "wrong", "not yet"}
        "not yet" means that the function is still a blank.
    said : tuple of str
        The answer, a sentence each, the most important first.
    block : int or None
        The first block that is wrong, counted from 0; None if no block is to blame.
    index : int or None
        The first wrong weight of that block (its first wrong byte where blocks are written).
    expected, got : float or None
        That weight (or byte) as it should be and as it is.
    mistake : str
        The typical mistake that gives exactly these wrong numbers; empty if none does.
    working : str
        How the weight is made, step by step; or where the function failed.
    """

    exercise: str
    state: Literal["right", "wrong", "not yet"]
    said: tuple[str, ...]
    block: int | None = None
    index: int | None = None
    expected: float | None = None
    got: float | None = None
    mistake: str = ""
    working: str = ""

    def __bool__(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        lines = [f"{self.exercise}: {self.state}", *(f"  {sentence}" for sentence in self.said)]
        return "\n".join([*lines, *(f"    {line}" for line in self.working.splitlines())])

    def _repr_html_(self) -> str:
        word = mark(self.state, _COLOURS[self.state])
        working = [fold("Step by step", preformatted(self.working))] if self.working else []
        return card(self.exercise, word, *map(note, self.said), *working)
