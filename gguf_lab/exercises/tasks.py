"""What is asked for: the trials, what is right for each, and how to speak of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import dissect, find_format
from .mistakes import Solution, Trial
from .readings import READINGS
from .writings import WRITINGS

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["EXERCISES", "Reading", "Task", "Writing", "find_task"]

EXERCISES = (*READINGS, *WRITINGS)
"""The exercises, in the order in which they are best done."""

_ANY = 8  # blocks of a type that has no trials of its own


def find_task(name: str) -> Task:
    """Return the exercise of that name, or the decoding of any other type of the codec.

    Raises
    ------
    UnsupportedError
        If there is neither.
    """
    if name in WRITINGS:
        return Writing(name, WRITINGS[name])
    if name in READINGS:
        return Reading(name, READINGS[name])
    return Reading(name, Solution(np.copy, (), _any_blocks(name)))


class Task:
    """An exercise.

    Attributes
    ----------
    name : str
    solution : Solution
        Its trials, and the mistakes that are made.
    right : list of arrays
        Per trial what is to be returned.
    """

    unit = "weight"
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, name: str, solution: Solution) -> None:
        self.name = name
        self.solution = solution
        self.right = [self.solve(trial.given) for trial in solution.trials]

    def solve(self, given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what is right."""
        raise NotImplementedError

    def working(self, k: int, index: int) -> str:
        """Return how a number of the k-th trial comes about."""
        raise NotImplementedError

    def place(self, k: int, index: int | None = None) -> str:
        """Say which trial is meant, and which number of it."""
        block = f"Block {k} ({self.solution.trials[k].tries})"
        return block if index is None else f"{block}, {self.unit} {index}"

    def shown(self, number: Any) -> str:
        """Write a number."""
        return f"{number!s}"


class Reading(Task):
    """Decode a block of a type."""

    def solve(self, given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the weights, by the codec."""
        return dissect(given, self.name).weights

    def working(self, k: int, index: int) -> str:
        """Return the arithmetic of the codec."""
        return str(dissect(self.solution.trials[k].given, self.name).explain(index))


class Writing(Task):
    """Quantize weights to one block."""

    unit = "byte"
    dtype = np.dtype(np.uint8)

    def __init__(self, name: str, solution: Solution) -> None:
        self.qtype = name.removeprefix("quantize ")
        super().__init__(name, solution)

    def solve(self, given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the bytes.

        By the solution itself: the codec's quantizer has to be compiled first, and says the same.
        """
        return self.solution(given)

    def place(self, k: int, index: int | None = None) -> str:
        """Say it with the field that the byte belongs to."""
        if index is None:
            return super().place(k)
        fields = dissect(self.right[k], self.qtype).fields
        part = next(f for f in fields if index < f.field.stop)
        nth = f"[{index - part.field.offset}]" if part.field.width == 1 else ""
        return f"{super().place(k, index)} ({part.name}{nth})"

    def working(self, k: int, index: int) -> str:
        """Return which weights the byte should stand for, and how it is read again."""
        anatomy = dissect(self.right[k], self.qtype)
        drives = anatomy.influence.matrix[8 * index : 8 * index + 8].any(axis=0)
        weights = self.solution.trials[k].given
        lines = []
        for i in np.flatnonzero(drives)[:2]:
            lines += [f"Weight {i} is {weights[i]!s}. As it should be, it is read again as:"]
            lines += [str(anatomy.explain(int(i))), ""]
        return "\n".join(lines).rstrip()

    def shown(self, number: Any) -> str:
        """Write a byte in hexadecimal too."""
        code = 0 <= number <= 255 and number == int(number)
        return f"{number:.0f} (0x{int(number):02x})" if code else f"{number!s}"


def _any_blocks(name: str) -> tuple[Trial, ...]:
    """Make blocks of any type: random bytes, as long as they are numbers."""
    size = find_format(name).qtype.type_size
    generator = np.random.default_rng(0)
    blocks: list[npt.NDArray[np.uint8]] = []
    while len(blocks) < _ANY:
        block = generator.integers(0, 256, size, np.uint8)
        if np.isfinite(dissect(block, name).weights).all():
            blocks.append(block)
    return tuple(Trial("random bytes", block) for block in blocks)
