"""A plan: the type of each tensor, what it costs and leaves, beside the named mixes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..file import printable, qtype
from ..markup import card, fold, grid, note
from ..model.words import bytes_in_words

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from ..quantization.allocation import Allocation
    from .basis import Basis, PlannedMix

__all__ = ["COLUMNS", "Plan", "PlannedTensor"]

COLUMNS = (
    *("name", "shape", "source_qtype", "qtype", "reason", "n_elements", "nbytes"),
    *("bits_per_weight", "squared_error", "relative_rmse", "share_of_error"),
)
MIX_COLUMNS = (
    *("mix", "bits_per_weight", "nbytes", "relative_rmse", "plan_relative_rmse", "note"),
)
PROXY = (
    "The error of weights is a proxy: it is not how well the model answers. For that, run the "
    "model."
)


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor of a plan.

    Attributes
    ----------
    name : str
    shape : tuple of int
        In NumPy's order.
    source_qtype, qtype : str
        The type that it has, and that it gets.
    reason : str
        Why it could not be chosen, or not among the allowed types; else empty.
    squared_error : float
        Sum over its weights, weighted by the importance; NaN if it was not measured.
    signal : float
        Sum of its squared weights, in the same way.
    share_of_error : float
        Part of the squared error of all tensors.
    """

    name: str
    shape: tuple[int, ...]
    source_qtype: str
    qtype: str
    reason: str = ""
    squared_error: float = math.nan
    signal: float = math.nan
    share_of_error: float = math.nan

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return qtype(self.qtype).row_bytes(self.n_elements)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight that it takes."""
        return qtype(self.qtype).bits_per_weight

    @property
    def relative_rmse(self) -> float:
        """Root of squared error over signal; NaN if all its weights are zero."""
        return math.sqrt(self.squared_error / self.signal) if self.signal else math.nan


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """The type of each tensor, for a budget.

    Attributes
    ----------
    basis : Basis
        What was measured.
    budget : int
        Bytes that all tensors may take.
    allocation : Allocation
        What was found, with a bound: no choice that fits has a smaller error.
    """

    basis: Basis
    budget: int
    allocation: Allocation = field(repr=False)

    @classmethod
    def of(cls, basis: Basis, bits: float | None, nbytes: int | None) -> Plan:
        """Make a plan for a budget: bits per weight, or bytes."""
        return cls(basis, *basis.within(bits, nbytes))

    @cached_property
    def tensors(self) -> tuple[PlannedTensor, ...]:
        """All tensors, in the order of the file."""
        choice = iter(self.allocation.choice)
        total = self.squared_error
        found = []
        for name, shape, source, fixed, reason in self.basis.tensors:
            if fixed:
                found.append(PlannedTensor(name, shape, source, fixed, reason))
                continue
            kind = self.basis.types(name)[next(choice)]
            errors = self.basis.measured[name]
            error = errors.by_type[kind]
            share = error / total if total else math.nan
            why = self.basis.offered[name][1]
            found.append(PlannedTensor(name, shape, source, kind, why, error, errors.signal, share))
        return tuple(found)

    @property
    def types(self) -> dict[str, str]:
        """Tensor name to type, for those that were chosen."""
        return {t.name: t.qtype for t in self.tensors if not math.isnan(t.squared_error)}

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, without metadata and padding."""
        return self.basis.fixed_bytes + self.allocation.nbytes

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight of all tensors together."""
        return self.basis.bits(self.nbytes)

    @property
    def squared_error(self) -> float:
        """Sum over all tensors that were chosen for, weighted by the importance."""
        return self.allocation.error

    @property
    def relative_rmse(self) -> float:
        """Root of the squared error over the sum of the squared weights."""
        return self.basis.relative(self.squared_error)

    @property
    def optimal(self) -> bool:
        """Whether no other choice within the budget has a smaller (measured) error."""
        return self.allocation.optimal

    def to_frame(self) -> pd.DataFrame:
        """Return one row per tensor."""
        import pandas as pd

        return pd.DataFrame(
            [[getattr(t, column) for column in COLUMNS] for t in self.tensors],
            columns=list(COLUMNS),
        )

    @property
    def mixes(self) -> pd.DataFrame:
        """One row per named mix; with the error of the plan that is as large as it at most."""
        import pandas as pd

        rows = [[getattr(mix, column) for column in MIX_COLUMNS] for mix in self.basis.mixes]
        frame = pd.DataFrame(rows, columns=list(MIX_COLUMNS))
        numbers = [name for name in MIX_COLUMNS if name not in {"mix", "nbytes", "note"}]
        return frame.astype({"nbytes": "Int64", **dict.fromkeys(numbers, "float64")})

    @property
    def curve(self) -> pd.DataFrame:
        """Plans of all sizes: for each step from one to the next larger, size and error."""
        import pandas as pd

        points = self.basis.curve
        return pd.DataFrame(points, columns=["nbytes", "bits_per_weight", "relative_rmse"])

    def at(
        self, *, target_bits_per_weight: float | None = None, target_bytes: int | None = None
    ) -> Plan:
        """Plan for another budget, with what was measured for this one.

        Raises
        ------
        GGUFLabError
            If the budget is impossible.
        """
        return Plan.of(self.basis, target_bits_per_weight, target_bytes)

    def plot(self) -> Figure:
        """Draw plans of all sizes, this one and the named mixes: bits per weight, error."""
        from ..plots.rates import plot_plan

        return plot_plan(
            self.curve,
            self.mixes,
            bits=self.bits_per_weight,
            error=self.relative_rmse,
            title=f"{printable(self.basis.words)}\nErrors of weights, on {self.measured}",
        )

    def export(self, path: str | Path, **options: Any) -> Any:
        """Write the file.

        Parameters
        ----------
        path : str or path
        **options
            Further arguments of :func:`gguf_lab.requantize` (for a GGUF file) or
            :func:`gguf_lab.export` (for a checkpoint), such as ``overwrite=True``.

        Returns
        -------
        Requantization or Path
            What that function returns.
        """
        options = {"imatrix": self.basis.importance, "effort": self.basis.effort} | options
        return self.basis.write(path, self.types, **options)

    @property
    def measured(self) -> str:
        """How errors were measured, in words."""
        rows = "all rows" if self.basis.rows is None else f"a sample of {self.basis.rows} rows each"
        weighted = ", weighted by importance" if self.basis.importance is not None else ""
        return f"{rows}{weighted}"

    @property
    def summary(self) -> str:
        """The plan in one sentence, with whatever one might not expect."""
        counts = Counter(self.types.values()).most_common()
        listed = ", ".join(f"{n} {name}" for name, n in counts)
        parts = [
            f"{self.bits_per_weight:.3f} bits per weight ({bytes_in_words(self.nbytes)})",
            f"relative RMSE {100 * self.relative_rmse:.3g} %",
            listed,
            f"measured on {self.measured}",
        ]
        chosen = [t for t in self.tensors if t.name in self.types]
        again = sum(qtype(t.source_qtype).block_size > 1 for t in chosen)
        if again:
            parts.append(f"{again} tensors were quantized before: only errors added are counted")
        others = sum(bool(t.reason) for t in chosen)
        if others:
            parts.append(f"{others} with rows that no allowed type fits")
        if self.budget > self.basis.largest:
            parts.append(f"the budget of {bytes_in_words(self.budget)} is more than can be used")
        if not self.optimal:
            gap = self.squared_error / self.allocation.bound - 1
            parts.append(f"at most {100 * gap:.2g} % more squared error than the best choice")
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<plan for {printable(self.basis.words)}: {self.summary}. {PROXY}>"

    def _repr_html_(self) -> str:
        mixes = [_mix_in_words(mix) for mix in self.basis.mixes]
        headers = ["mix", "bits per weight", "relative RMSE", "of a plan of this size", ""]
        tensors = [_tensor_in_words(tensor) for tensor in self.tensors]
        columns = ["tensor", "shape", "was", "becomes", "relative RMSE", "share of error", ""]
        return card(
            f"Plan for {self.basis.words}",
            grid(headers, mixes, numeric=(1, 2, 3)),
            fold(f"{len(tensors)} tensors", grid(columns, tensors, numeric=(4, 5))),
            note(PROXY),
            note=f"{self.summary}.",
        )


def _percent(part: float, digits: int = 3) -> str:
    return "" if math.isnan(part) else f"{100 * part:.{digits}g} %"


def _mix_in_words(mix: PlannedMix) -> list[str]:
    bits = "" if mix.note else f"{mix.bits_per_weight:.3f}"
    return [mix.mix, bits, _percent(mix.relative_rmse), _percent(mix.plan_relative_rmse), mix.note]


def _tensor_in_words(tensor: PlannedTensor) -> list[str]:
    shape = " × ".join(map(str, tensor.shape))
    errors = [_percent(tensor.relative_rmse), _percent(tensor.share_of_error, 2)]
    return [tensor.name, shape, tensor.source_qtype, tensor.qtype, *errors, tensor.reason]
