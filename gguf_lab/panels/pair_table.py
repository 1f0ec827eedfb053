"""The tensors of two files as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..file.text import printable
from ..markup import card, grid, more
from .columns import name_of
from .pairs import columns_of, facts_of, figures_of, known_figures, written, written_change
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..comparison import TensorPair

__all__ = ["PairTable"]


class PairTable(Table):
    """The tensors of two files: types, sizes and a statistic of both, and which is nearer.

    Parameters
    ----------
    height : int
        Height in CSS pixels.
    """

    def __init__(self, *, height: int = 420) -> None:
        self._pairs: Sequence[TensorPair] = ()
        self._shown = "relative_rmse", False
        filters = [["nearer: any", "better"], ["any types", "types"], ["any kind", "kind"]]
        super().__init__(
            height=height,
            title="Tensors of A and B",
            label="Tensors of A and B",
            filters=[*filters, ["any state", "state"]],
        )

    def show(self, pairs: Sequence[TensorPair], statistic: str, *, direct: bool = False) -> None:
        """Show pairs of tensors.

        Parameters
        ----------
        pairs : sequence of TensorPair
        statistic : str
            Whose figures to show.
        direct : bool
            A is compared with B itself: there is one figure.
        """
        self._pairs, self._shown = pairs, (statistic, direct)
        self._facts, self._states, self._values, self._at, self._total = [], [], [], {}, 0
        for pair in pairs:
            if name_of(pair) not in self._at:
                self._add(
                    facts_of(pair, statistic),
                    [pair.status, printable(pair.reason, 300)],
                    figures_of(pair, statistic, direct=direct),
                )
        self._publish_rows(columns_of(statistic, direct=direct), figures=True)

    def __repr__(self) -> str:
        return f"<PairTable: {self._total:,} tensors>"

    def _static(self, limit: int | None) -> str:
        statistic, direct = self._shown
        columns = columns_of(statistic, direct=direct)
        rows = []
        for pair in self._pairs[:limit]:
            facts = facts_of(pair, statistic)
            state = f"{pair.status}: {pair.reason}" if pair.reason else pair.status
            known = pair.status in {"compared", "unverified"}
            a, b = known_figures(pair, statistic) if known else (None, None)
            change = pair.difference(statistic) if known else None
            figures = {
                "a": written(statistic, a),
                "b": written(statistic, b),
                "change": written_change(statistic, change),
            }
            rows.append(
                [
                    figures[c.id]
                    if c.id in figures
                    else state
                    if c.id == "state"
                    else ""
                    if facts[c.id] is None
                    else str(facts[c.id])
                    for c in columns
                ]
            )
        numeric = [i for i, c in enumerate(columns) if c.form != "text"]
        table = grid([c.label for c in columns], rows, numeric)
        return card(self.title, table, more(self._total, len(rows), "tensors"))
