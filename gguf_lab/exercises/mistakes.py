"""Typical mistakes, told from their results: a solution with choices, of which one is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

__all__ = ["Choice", "Solution", "Trial"]

_MOST = 3  # mistakes at once


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that can be done right or wrong.

    Attributes
    ----------
    name : str
        Keyword of the solution's function.
    right : str
        The right way.
    wrong : Mapping of str to str
        Each wrong way, and what to say to it.
    """

    name: str
    right: str
    wrong: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Something to try a function on.

    Attributes
    ----------
    tries : str
        What can go wrong here that could not before.
    given : numpy.ndarray
        The argument: a block's bytes, or weights.
    """

    tries: str
    given: npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A solution that can make mistakes on demand.

    Attributes
    ----------
    solve : callable
        Takes what a student's function takes, and a keyword for every choice.
    choices : tuple of Choice
    trials : tuple of Trial
        From the plainest to the most general.
    """

    solve: Callable[..., npt.NDArray[Any]]
    choices: tuple[Choice, ...]
    trials: tuple[Trial, ...]
    _right: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_right", {c.name: c.right for c in self.choices})

    def __call__(self, given: npt.NDArray[Any], **choices: str) -> npt.NDArray[Any]:
        """Solve it, rightly but for the choices that are named."""
        with np.errstate(all="ignore"):
            return self.solve(given, **{**self._right, **choices})

    def deviations(self) -> Iterator[dict[str, str]]:
        """Yield every combination of a few mistakes, the fewest first."""
        for n in range(1, _MOST + 1):
            for chosen in combinations(self.choices, n):
                for ways in product(*(choice.wrong for choice in chosen)):
                    yield {c.name: way for c, way in zip(chosen, ways, strict=True)}

    def recognise(
        self, first: int, returned: Sequence[npt.NDArray[Any] | None]
    ) -> tuple[str, ...] | None:
        """Name the mistakes that give exactly what was returned, on every trial.

        Parameters
        ----------
        first : int
            The first trial that went wrong.
        returned : sequence of arrays or None
            Per trial; None where nothing was returned.

        Returns
        -------
        tuple of str or None
            What to say, mistake by mistake; None if no combination gives these numbers.
        """
        order = [first, *(k for k in range(len(returned)) if k != first)]
        for mistakes in self.deviations():
            if all(
                (values := returned[k]) is None
                or np.array_equal(self(self.trials[k].given, **mistakes), values, equal_nan=True)
                for k in order
            ):
                named = {choice.name: choice for choice in self.choices}
                return tuple(named[name].wrong[way] for name, way in mistakes.items())
        return None
