"""Errors of all tensors: layer by kind, against depth, and the worst of them."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..comparison import worst_first
from ..file.text import printable
from ..markup import card, grid, more
from .assets import script, style
from .base import Panel
from .columns import or_none
from .histograms import in_order
from .numbers import number
from .selection import Selection
from .verdicts import suffering

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from ..comparison import Comparison, TensorComparison
    from ..model import Model

__all__ = ["ErrorMap"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """A figure of a tensor.

    Attributes
    ----------
    id, label, title : str
        Attribute of a row of a comparison; what it is called; what it means.
    form : str
        How it is written: "percent", "decibel", "cosine" or "figure".
    low_is_bad : bool
        Whether a small value is the bad one.
    """

    id: str
    label: str
    title: str
    form: str
    low_is_bad: bool = False


STATISTICS: Final = (
    Statistic("relative_rmse", "relative RMSE", "RMSE over the RMS of the reference", "percent"),
    Statistic(
        "sqnr_db", "SQNR", "Signal to quantization noise ratio, 20 log10(1 / relative RMSE), in dB",
        "decibel", low_is_bad=True,
    ),
    Statistic("rmse", "RMSE", "Root mean square of the error, in units of the weights", "figure"),
    Statistic("max_abs_error", "max |error|", "Largest absolute error of a weight", "figure"),
    Statistic("mean_abs_error", "mean |error|", "Mean absolute error of a weight", "figure"),
    Statistic(
        "cosine", "cosine", "Cosine between the weights and the reference", "cosine",
        low_is_bad=True,
    ),
)  # fmt: skip
_WEIGHTED: Final = Statistic(
    "weighted_relative_rmse",
    "imatrix-weighted",
    "Relative RMSE with each squared error, and each squared reference weight, multiplied by the "
    "importance of its column",
    "percent",
)
_FORMULA: Final = re.compile(r"(^|;)(?=[=+\-@])")
_FACTS: Final = ("name", "layer", "kind", "qtype", "bits_per_weight", "n_elements", "status")


class ErrorMap(Selection, Panel):
    """The error of every tensor: a heatmap of layers and kinds, curves against depth, the worst.

    A click, or Enter, selects a tensor. The table can be sorted by every column, and all figures be
    saved or copied as CSV.

    Parameters
    ----------
    comparison : Comparison, optional
        Its rows are shown; `extend` adds more while a run goes on.
    weighted : bool
        Whether rows carry an error that is weighted by an importance matrix.
    height : int
        Height in CSS pixels.

    Attributes
    ----------
    statistic : str
        The figure that is shown.
    """

    _esm = script("axes", "ramp", "statistics", "error_map")
    _css = style("axes", "ramp", "error_map")

    statistics = traitlets.List(traitlets.Dict(), help="Figures to choose from").tag(sync=True)
    statistic = traitlets.Unicode("relative_rmse", help="The figure that is shown").tag(sync=True)
    cells = traitlets.List(traitlets.Dict(), help="One entry per tensor of the file").tag(sync=True)
    kinds = traitlets.List(traitlets.Unicode(), help="Columns").tag(sync=True)
    over = traitlets.Unicode("", help="Why what is missing does not come any more").tag(sync=True)
    verdict = traitlets.Unicode("", help="Which layer suffers most, and why").tag(sync=True)

    def __init__(
        self,
        comparison: Comparison | None = None,
        *,
        weighted: bool = False,
        height: int = 760,
    ) -> None:
        self._cells: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, TensorComparison] = {}
        self._matrices: set[str] = set()
        self._statistics = (_WEIGHTED, *STATISTICS) if weighted else STATISTICS
        super().__init__(height=height, label="Errors by layer and kind")
        self.statistics = [asdict(statistic) for statistic in self._statistics]
        self.statistic = self._statistics[0].id
        if comparison is not None:
            self.extend(self._rows_of(comparison))

    @traitlets.validate("statistic")
    def _check_statistic(self, proposal: dict[str, Any]) -> str:
        known = [statistic.id for statistic in self._statistics]
        if proposal["value"] not in known:
            raise traitlets.TraitError(f"statistic is one of {', '.join(known)}")
        return str(proposal["value"])

    def expect(self, model: Model) -> None:
        """Lay out the tensors of a model as cells that wait for their rows."""
        for tensor in model.tensors.values():
            if tensor.name not in self._cells:
                self._cells[tensor.name] = _cell(tensor.name, tensor, "pending", "", [])
                self._note(tensor.kind, tensor.shape)
        self._publish()

    def extend(self, rows: Iterable[TensorComparison]) -> None:
        """Take in rows of a comparison."""
        with self._lock:
            for row in rows:
                if row.name is None:
                    continue
                figures = [_figure(row, statistic.id) for statistic in self._statistics]
                cell = _cell(row.name, row, row.status, row.reason or "", figures)
                self._cells[row.name] = cell | {"exact": bool(row.exact)}
                self._rows[row.name] = row
                self._note(row.kind, row.shape)
            self._publish()

    def _note(self, kind: str, shape: tuple[int, ...]) -> None:
        if len(shape) > 1:
            self._matrices.add(printable(kind, 120))

    def _publish(self) -> None:
        kinds = dict.fromkeys(c["kind"] for c in self._cells.values() if c["layer"] is not None)
        with self.hold_sync():
            self.cells = list(self._cells.values())
            self.kinds = in_order(kinds, self._matrices)
            self.verdict = printable(suffering(self._rows.values()), 800)

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return list(self._cells)

    def _has(self, name: str) -> bool:
        return name in self._cells

    # -- export

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per tensor: facts, then the figures."""
        import pandas as pd

        columns = [*_FACTS, *(statistic.id for statistic in self._statistics)]
        rows = [[getattr(row, column) for column in columns] for row in self._rows.values()]
        return pd.DataFrame(rows, columns=columns)

    def to_csv(self) -> str:
        """Return the same as CSV, figures with all their digits.

        Text that a spreadsheet would take for a formula gets an apostrophe in front; also behind a
        semicolon, which begins a new cell in countries that write a comma in numbers.
        """
        columns = [*_FACTS, *(statistic.id for statistic in self._statistics)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in self._rows.values():
            writer.writerow([_plain(getattr(row, column)) for column in columns])
        return text.getvalue()

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["ask"] == "csv":
            return {"csv": self.to_csv()}
        return super()._answer(question)

    # -- static form

    def __repr__(self) -> str:
        return f"<ErrorMap: {len(self._rows):,} of {len(self._cells):,} tensors, {self.statistic}>"

    def _static(self, limit: int | None) -> str:
        rows = [
            (row, self._cells[row.name])
            for row in worst_first(self._rows.values(), self.statistic)
            if row.name is not None
        ]
        shown = rows if limit is None else rows[:limit]
        lines = [
            [
                *(cell["label"], cell["qtype"], cell["bits"]),
                *(
                    number(or_none(getattr(row, statistic.id, None), row.max_abs_error))
                    for statistic in self._statistics
                ),
                "" if cell["status"] == "compared" else cell["status"],
            ]
            for row, cell in shown
        ]
        names = [_in_words(statistic) for statistic in self._statistics]
        return card(
            "Errors by layer and kind",
            grid(("tensor", "type", "bits", *names, "remark"), lines, range(2, 3 + len(names))),
            more(len(rows), len(shown), "tensors"),
            note=self.verdict or "No tensor has been compared yet.",
        )


def _in_words(statistic: Statistic) -> str:
    units = {"percent": " (ratio)", "decibel": " (dB)"}
    return statistic.label + units.get(statistic.form, "")


def _cell(name: str, facts: Any, status: str, reason: str, figures: list[Any]) -> dict[str, Any]:
    bits = facts.bits_per_weight
    return {
        "name": name,
        "label": printable(name, 200),
        "layer": facts.layer,
        "kind": printable(facts.kind or name, 120),
        "qtype": printable(facts.qtype or "", 40),
        "bits": "" if bits is None or math.isnan(bits) else f"{bits:.2f}",
        "status": status,
        "reason": printable(reason, 300),
        "figures": figures,
    }


def _figure(row: TensorComparison, name: str) -> float | str | None:
    """Return a figure as JSON takes it: infinities and NaN by their names."""
    value = getattr(row, name, None)
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _plain(value: object) -> object:
    if isinstance(value, str):
        text = printable(value, None)
        return _FORMULA.sub(r"\1'", text)
    return repr(value) if isinstance(value, float) else value
