"""Where the errors of one tensor are: its worst rows and blocks, why, and a jump to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..file.text import printable
from ..markup import card, fold, grid, note
from .assets import script, style
from .inquiry import Inquiry
from .numbers import percent, three_digits
from .worst import find_worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .worst import Span, Worst

__all__ = ["WorstPlaces"]

_WHY: Final = (
    "Crest: the largest weight of the reference over their RMS. That of a block sets its "
    "steps: the higher the crest, the coarser all its other weights."
)
_WIDER: Final = 1.2  # times the median: then the spread of a row is worth a word


class WorstPlaces(Inquiry):
    """The rows and blocks of a tensor that hold most of its squared error.

    Each is told with its share of the tensor's squared error, its relative error and its crest: the
    largest original weight over their RMS. A block has one scale (or few), which the largest weight
    sets: the wider the spread, the coarser the steps for all others. A click, or Enter, selects the
    weight with the largest error.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    name : str, optional
        The tensor to begin with; default the first matrix.
    reference : Checkpoint, Model, path or Address, optional
        The original weights; without them the panel says that there is nothing to measure.
    importance : mapping of str to array, optional
        An open importance matrix: errors then count as it says, column by column.
    selection : Place, optional
        A panel with which tensor and weight are shared.
    height : int
        Height in CSS pixels.

    Attributes
    ----------
    worst : Worst or None
        What was found; None until the tensor has been read.
    jumps : int
        How often the user has asked to see a place.
    """

    _esm = script("places", "worst_places")
    _css = style("places", "worst_places")

    _label = "Worst rows and blocks"
    _tall = 460
    _no_original = "There is no original to compare with: {}."
    _busy = "Reading all rows"

    worst: Worst | None = None
    rows = traitlets.List(traitlets.List(), help="[words..., row, column] of rows").tag(sync=True)
    blocks = traitlets.List(traitlets.List(), help="[words..., row, column] of blocks").tag(
        sync=True
    )
    why = traitlets.Unicode(_WHY, help="What the figures mean").tag(sync=True)
    jumps = traitlets.Int(0, help="How often a place was asked for").tag(sync=True)

    def _clear(self) -> None:
        self.worst, self.rows, self.blocks = None, [], []

    def _ask(self, name: str) -> Iterator[float]:
        weights = self._weights(name)
        found = yield from find_worst(self._sides, name, weights)
        self._publish(name, found, weighted=weights is not None)

    def _publish(self, name: str, found: Worst, *, weighted: bool) -> None:
        with self._publishing(name):
            self.worst = found
            self.rows = [_told(span, found, weighted=weighted) for span in found.rows]
            self.blocks = [_told(span, found, weighted=weighted) for span in found.blocks]
            self.verdict = _in_words(found, self.facts["n_rows"], weighted=weighted)

    def __repr__(self) -> str:
        return f"<WorstPlaces: {printable(self.name or 'no tensor', 80)}>"

    def _static(self, limit: int | None) -> str:
        columns = ("row", "columns", "share of squared error", "relative error", "crest")
        order = "by share of squared error"
        rows = grid(columns, [row[:5] for row in self.rows[:limit]], range(5))
        blocks = grid(columns, [row[:5] for row in self.blocks[:limit]], range(5))
        title = f"Worst rows and blocks of {self.facts.get('label') or 'no tensor'}, {order}"
        parts = [rows, fold("Blocks", blocks)] if self.rows else []
        return card(title, *parts, note(self.why), note=self.verdict)


def _told(span: Span, found: Worst, *, weighted: bool) -> list[Any]:
    share = (span.importance if weighted else span.squared) / found.squared
    columns = f"{span.left:,} to {span.right - 1:,}"
    figures = (percent(share), percent(span.relative), three_digits(span.crest))
    return [f"{span.row:,}", columns, *figures, span.row, span.peak]


def _in_words(found: Worst, n_rows: int, *, weighted: bool) -> str:
    """Say which row has the largest share of the error and what is special about it."""
    strange = ""
    if found.n_strange:
        what = "1 weight is" if found.n_strange == 1 else f"{found.n_strange:,} weights are"
        strange = f"{what} not finite, here or in the reference, and left out. "
    if not found.rows:
        return strange + ("All others are exact." if strange else "No row has an error.")
    first = found.rows[0]
    share = (first.importance if weighted else first.squared) / found.squared
    what = "importance-weighted squared error" if weighted else "squared error"
    words = (
        f"Row {first.row:,} has the largest share of the {what}: {percent(share)}; evenly spread, "
        f"each of {n_rows:,} would have {percent(1 / n_rows)}. Its relative error is "
        f"{percent(first.relative)} (median of all rows {percent(found.relative)})"
    )
    if first.crest > _WIDER * found.crest:
        words += (
            f"; its largest weight is {three_digits(first.crest)} times its RMS (median "
            f"{three_digits(found.crest)}), so that steps are wide for all its other weights"
        )
    elif first.relative < _WIDER * found.relative:
        words += "; it is not less exact than others, its weights are larger"
    return f"{strange}{words}."
