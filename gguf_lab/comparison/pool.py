"""Tensors taken together: what they take, and the figures of all their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from .statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .row import TensorComparison

__all__ = ["Pool", "pools"]

KeyT = TypeVar("KeyT")


@dataclass(slots=True)
class Pool:
    """Some measured tensors. Sums are pooled, so large tensors weigh more.

    Attributes
    ----------
    n_tensors : int
    nbytes : int
        Stored bytes.
    statistics : Statistics
        Of all their weights.
    """

    n_tensors: int = 0
    nbytes: int = 0
    statistics: Statistics = field(default_factory=Statistics)

    def add(self, statistics: Statistics, nbytes: int | None) -> None:
        """Take in one more."""
        self.n_tensors += 1
        self.nbytes += nbytes or 0
        self.statistics.add(statistics)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight; NaN if there is none."""
        n = self.statistics.n
        return 8 * self.nbytes / n if n else math.nan


def pools(
    rows: Iterable[TensorComparison], key_of: Callable[[TensorComparison], KeyT | None]
) -> dict[KeyT, Pool]:
    """Group measured rows and take each group together; those whose key is None are left out."""
    found: dict[KeyT, Pool] = {}
    for row in rows:
        if row.statistics is not None and (key := key_of(row)) is not None:
            found.setdefault(key, Pool()).add(row.statistics, row.nbytes)
    return found
