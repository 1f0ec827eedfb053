"""What was measured of a model, and the best choices that follow for any budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any

from ..errors import GGUFLabError
from ..file import printable, qtype
from ..quantization.allocation import allocate, frontier

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..quantization.allocation import Allocation, Option
    from .measuring import Measured

__all__ = ["Basis", "PlannedMix", "check_budget"]

_BETWEEN = 80
"""Parts of the whole range of sizes: no step on the curve is longer without a look between."""


def check_budget(bits: float | None, nbytes: float | None) -> float:
    """Return the one of the two that is given.

    Raises
    ------
    GGUFLabError
        If it is not one of the two, or no finite number.
    """
    if (bits is None) == (nbytes is None):
        raise GGUFLabError("give one budget: target_bits_per_weight=... or target_bytes=...")
    given = nbytes if bits is None else bits
    if isinstance(given, bool) or not isinstance(given, Real) or not math.isfinite(given):
        raise GGUFLabError(f"the budget is {given!r:.40}: expected a finite number")
    return float(given)


@dataclass(frozen=True, slots=True)
class PlannedMix:
    """A named mix, as a point beside the plan.

    Attributes
    ----------
    mix : str
    nbytes : int or None
        Of all tensors; None if it cannot be had.
    bits_per_weight : float
        The same, per weight.
    relative_rmse : float
        What it leaves; NaN if it cannot be had.
    plan_relative_rmse : float
        What the plan leaves that is at most as large; NaN if there is none.
    note : str
        Why it cannot be had.
    """

    mix: str
    nbytes: int | None = None
    bits_per_weight: float = math.nan
    relative_rmse: float = math.nan
    plan_relative_rmse: float = math.nan
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Basis:
    """What was measured, from which plans of any size are made.

    Attributes
    ----------
    words : str
        The model.
    tensors : tuple of (name, shape, qtype, fixed, reason)
        `fixed`: the type that it has in any case, and why; else empty.
    offered : dict
        For each tensor that is not fixed: types, and a word if they are others than allowed.
    measured : dict
    wanted : dict
        For each named mix the type that it gives each tensor that is not fixed; or why it cannot.
    rows : int or None
        Size of the sample; None if all rows were measured.
    importance
        As it was given.
    effort : str
    write : callable
        See `Subject`.
    """

    words: str
    tensors: tuple[tuple[str, tuple[int, ...], str, str, str], ...]
    offered: dict[str, tuple[tuple[str, ...], str]]
    measured: Measured
    wanted: dict[str, dict[str, str] | str]
    rows: int | None
    importance: Any
    effort: str
    write: Callable[..., Any]

    @cached_property
    def n_elements(self) -> int:
        """Weights of all tensors."""
        return sum(math.prod(shape) for _, shape, *_ in self.tensors)

    @cached_property
    def fixed_bytes(self) -> int:
        """Bytes of the tensors that are fixed."""
        return sum(
            qtype(fixed).row_bytes(math.prod(shape))
            for _, shape, _, fixed, _ in self.tensors
            if fixed
        )

    @cached_property
    def options(self) -> list[list[Option]]:
        """Sizes and errors, for each tensor that is not fixed."""
        found = []
        for name, shape, _, fixed, _ in self.tensors:
            if fixed:
                continue
            n, by_type = math.prod(shape), self.measured[name].by_type
            types = self.types(name)
            found.append([(qtype(kind).row_bytes(n), by_type[kind]) for kind in types])
        return found

    @property
    def smallest(self) -> int:
        """Bytes of all tensors, with the smallest type for each."""
        return self.fixed_bytes + sum(min(options)[0] for options in self.options)

    @property
    def largest(self) -> int:
        """The same with the largest types."""
        return self.fixed_bytes + sum(max(options)[0] for options in self.options)

    def types(self, name: str) -> list[str]:
        """Return the types that a tensor can get."""
        errors = self.measured[name]
        types = [kind for kind in self.offered[name][0] if kind in errors.by_type]
        if not types:
            why = "; ".join(f"{k}: {w}" for k, w in errors.why_not.items())
            raise GGUFLabError(f"tensor {printable(name)} can have none of the types ({why}).")
        return types

    @cached_property
    def signal(self) -> float:
        """Sum of the squared weights of all tensors that are not fixed."""
        return sum(errors.signal for errors in self.measured.values())

    def relative(self, squared_error: float) -> float:
        """Return the relative error of all tensors that are not fixed together."""
        return math.sqrt(max(0.0, squared_error) / self.signal) if self.signal else math.nan

    def bits(self, nbytes: float) -> float:
        """Return bits per weight of all tensors together."""
        return 8 * nbytes / self.n_elements

    def solve(self, budget: int) -> Allocation | None:
        """Choose for all that is not fixed; None if nothing fits into so many bytes."""
        return allocate(self.options, budget - self.fixed_bytes)

    def within(self, bits: float | None, nbytes: int | None) -> tuple[int, Allocation]:
        """Return a budget, given as bits per weight or as bytes, in bytes; and the best choice.

        Raises
        ------
        GGUFLabError
            If not one of the two is given, or nothing is so small.
        """
        given = check_budget(bits, nbytes)
        budget = math.floor((given if bits is None else given * self.n_elements / 8) + 1e-6)
        found = self.solve(budget)
        if found is None:
            low, high = self.smallest, self.largest
            raise GGUFLabError(
                f"a budget of {budget:,} bytes ({self.bits(budget):.3f} bits per weight) is too "
                f"small for {printable(self.words)}: with the allowed types {low:,} to {high:,} "
                f"bytes are possible ({self.bits(low):.3f} to {self.bits(high):.3f} bits per "
                "weight). Give more, or allow smaller types."
            )
        return budget, found

    @cached_property
    def curve(self) -> list[tuple[int, float, float]]:
        """Best choices of all sizes: bytes, bits per weight, relative error.

        Those of the relaxed problem, which are many; where they are far apart, some between.
        """
        sizes, errors = frontier(self.options)
        points = dict(zip(sizes.tolist(), errors.tolist(), strict=True))
        step = max(1, (int(sizes[-1]) - int(sizes[0])) // _BETWEEN)
        for low, high in pairwise(sizes.tolist()):
            for budget in range(low + step, high, step):
                if found := allocate(self.options, budget):
                    points[found.nbytes] = found.error
        fixed = self.fixed_bytes
        return [(n + fixed, self.bits(n + fixed), self.relative(points[n])) for n in sorted(points)]

    @cached_property
    def mixes(self) -> tuple[PlannedMix, ...]:
        """The named mixes."""
        return tuple(self._mix(name, wanted) for name, wanted in self.wanted.items())

    def _mix(self, mix: str, wanted: dict[str, str] | str) -> PlannedMix:
        if isinstance(wanted, str):
            return PlannedMix(mix, note=wanted)
        error, nbytes = 0.0, self.fixed_bytes
        for name, shape, _, fixed, _ in self.tensors:
            if fixed:
                continue
            kind, measured = wanted[name], self.measured[name]
            if kind not in measured.by_type:
                return PlannedMix(mix, note=f"{printable(name)}: {kind} {measured.why_not[kind]}")
            nbytes += qtype(kind).row_bytes(math.prod(shape))
            error += measured.by_type[kind]
        same = self.solve(nbytes)
        return PlannedMix(
            mix,
            nbytes,
            self.bits(nbytes),
            self.relative(error),
            self.relative(same.error) if same else math.nan,
        )
