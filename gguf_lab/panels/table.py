"""The tensors of a model or of a comparison as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..file.text import printable
from ..markup import card, grid, more
from .assets import script, style
from .base import Panel
from .columns import (
    FACTS,
    FIGURES,
    STATE,
    Column,
    facts_of,
    figures_of,
    name_of,
    or_none,
)
from .numbers import number
from .selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..comparison import Comparison, TensorComparison
    from .owner import Openable

__all__ = ["Table", "TensorTable"]

MAX_ROWS: Final = 20_000

_LARGEST: Final = next(c.figure for c in FIGURES if c.id == "max_abs_error")
_FILTERS: Final = [["any type", "qtype"], ["any kind", "kind"], ["any state", "state"]]


class Table(Selection, Panel):
    """A table of tensors to sort, filter, select from and export; subclasses fill it.

    A row has facts (one per column, and whatever the browser filters by), figures, and a state:
    None, or [status, reason].
    """

    _esm = script("table")
    _css = style("table")

    title = traitlets.Unicode("Tensors", help="What stands over the table").tag(sync=True)
    columns = traitlets.List(traitlets.Dict(), help="Columns shown, see `Column`").tag(sync=True)
    filters = traitlets.List(
        traitlets.List(), help="[words, fact] of what rows can be chosen by"
    ).tag(sync=True)
    rows = traitlets.Dict(help="Facts by column: lists of equal length").tag(sync=True)
    figures = traitlets.Bytes(b"", help="float64 (rows, figures), NaN where there is none").tag(
        sync=True
    )
    states = traitlets.List(traitlets.Any(), help="Per row None or [status, reason]").tag(sync=True)
    total = traitlets.Int(0, help="Rows that there are; more than are sent if capped").tag(
        sync=True
    )

    def __init__(self, **traits: Any) -> None:
        self._facts: list[dict[str, Any]] = []
        self._states: list[list[str] | None] = []
        self._values: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        self._at: dict[str, int] = {}
        self._total = 0
        super().__init__(**traits)

    def _add(
        self,
        facts: dict[str, Any],
        state: list[str] | None,
        values: np.ndarray[Any, np.dtype[np.float64]],
    ) -> None:
        self._total += 1
        if len(self._facts) < MAX_ROWS:
            self._at[facts["name"]] = len(self._facts)
            self._facts.append(facts)
            self._states.append(state)
            self._values.append(values)

    def _publish_rows(self, columns: list[Column], *, figures: bool) -> None:
        """Send what has changed, as one message."""
        with self.hold_sync():
            self.columns = [c.spec() for c in columns]
            names = [facts["name"] for facts in self._facts]
            keys = self._facts[0] if self._facts else ()
            lists: dict[str, Any] = {key: [facts[key] for facts in self._facts] for key in keys}
            # A name that could deceive is shown escaped; it stays the key of the selection.
            lists["labels"] = {
                name: printable(name, None) for name in names if not name.isprintable()
            }
            self.rows = lists
            self.states = list(self._states)
            self.figures = np.array(self._values).tobytes() if figures else b""
            self.total = self._total

    @property
    def names(self) -> list[str]:
        """Names that can be selected: those that are listed."""
        return list(self._at)

    def _has(self, name: str) -> bool:
        return name in self._at


class TensorTable(Table):
    """A table of tensors to sort, filter and select from.

    Parameters
    ----------
    source : Model, path, Address or Comparison
        What to list; what is given as a path is closed with the panel. With a comparison the
        figures are columns; tensors that could not be compared are marked, with the reason, and
        have no figure; those that are unverified are marked too.
    height : int
        Height in CSS pixels.
    figures : bool
        Show the columns of a comparison already, before `extend` brings its rows.
    """

    def __init__(
        self, source: Openable | Comparison, *, height: int = 420, figures: bool = False
    ) -> None:
        self._compared = figures
        super().__init__(height=height, label="Tensor table", filters=_FILTERS)
        if hasattr(source, "rows"):
            self.extend(source.rows)
        else:
            for tensor in self._model_of(source).tensors.values():
                state = None if tensor.status == "ok" else [tensor.status, ""]
                self._add(facts_of(tensor), state, figures_of(None))
            self._publish()

    def extend(self, rows: Iterable[TensorComparison]) -> None:
        """Take in rows of a comparison: figures of tensors that are listed, and further rows."""
        self._compared = True
        for row in rows:
            name = name_of(row)
            state = [row.status, printable(row.reason or "", 300)]
            if name not in self._at:
                self._add(facts_of(row), state, figures_of(None))
            if name in self._at:
                at = self._at[name]
                self._states[at] = state
                self._values[at] = figures_of(row if row.measured else None)
        self._publish()

    def _publish(self) -> None:
        strange = self._compared or any(self._states)
        # What a comparison is read for stands next to the names.
        figures = (*FIGURES, STATE) if self._compared else ()
        columns = [*FACTS[:2], *figures, *FACTS[2:]]
        if strange and not self._compared:
            columns.append(STATE)
        self._publish_rows(columns, figures=self._compared)

    def __repr__(self) -> str:
        chosen = f", {len(self.selected)} selected" if self.selected else ""
        return f"<TensorTable: {self._total:,} tensors{chosen}>"

    def _static(self, limit: int | None) -> str:
        figures = FIGURES if self._compared else ()
        columns = [*FACTS[:2], *figures, *(c for c in FACTS[2:] if c.id != "nbytes")]
        stop = len(self._facts) if limit is None else limit
        rows = [
            [*(self._cell(at, column) for column in columns), self._words(at)]
            for at in range(len(self._facts))[:stop]
        ]
        headers = [*(c.label.replace(" RMSE", " RMSE (ratio)") for c in columns), "status"]
        numeric = [i for i, c in enumerate(columns) if c.form != "text"]
        table = grid(headers, rows, numeric)
        return card("Tensors", table, more(self._total, len(rows), "tensors"))

    def _cell(self, at: int, column: Column) -> str:
        if column.figure is None:
            value = self._facts[at][column.id]
            return "" if value is None else _plain(value)
        measured = (self._states[at] or [""])[0] in {"compared", "unverified"}
        if not measured:
            return ""
        figures = self._values[at]
        return number(or_none(float(figures[column.figure]), float(figures[_LARGEST])))

    def _words(self, at: int) -> str:
        status, reason = self._states[at] or ("", "")
        return f"{status}: {reason}" if reason else status


def _plain(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
