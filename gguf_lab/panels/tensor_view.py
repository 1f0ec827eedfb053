"""The picture of a tensor: any part of it at any zoom, and the numbers behind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..errors import GGUFLabError
from ..file.text import printable
from ..markup import card, facts, grid, note
from .assets import script, style
from .bins import merged
from .heat import heat
from .numbers import finite, number, percent
from .pictures import picture, strongest
from .places import Place, told
from .pooling import Region
from .sides import SIDES, read
from .survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from ..file.remote import Address
    from ..model import Model
    from ..reference import Checkpoint
    from .owner import Openable
    from .pooling import How
    from .survey import Survey

__all__ = ["TensorView"]

# Larger regions get a coarse picture first.
_SMALL: Final = 1 << 21  # weights
_MOST_CELLS: Final = 1 << 21
_BINS: Final = 120
_SPREAD: Final = 4  # RMS that the histogram reaches on either side
_MOST_ROWS: Final = 1 << 14  # points of the curves beside the picture; beyond, the largest of each
_HOW: Final = {"extreme": "largest magnitude", "mean": "mean"}


class TensorView(Place):
    """A tensor as a picture: stored values, those of the original, and the difference.

    Zoom with the wheel (once the picture has the focus, or with Ctrl) or + and -, pan by dragging,
    walk with the arrow keys, select a weight by a click or Enter. A cell of the picture stands for
    one weight or, zoomed out, for a rectangle of them: for the one of the largest magnitude (which
    a click selects), or for their mean. Everything is read in pieces, off the kernel's thread; a
    large picture comes coarse first, from one row of each cell, and says so.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    name : str, optional
        The tensor to begin with; default the first matrix.
    reference : Checkpoint, Model, path or Address, optional
        The original weights; rows are aligned as the converter has arranged them.
    selection : TensorView or BlockView, optional
        A panel with which tensor and weight are shared; its reference is used if none is given.
    height : int
        Height of the panel in CSS pixels.

    Attributes
    ----------
    selected : list of str
        The tensor shown (its name; the first one if there are several).
    cell : list of int
        Row and column of the selected weight.
    show : {"quantized", "original", "difference", "all"}
        What the picture shows. A reference that is a GGUF file is not called an original there.
    pooling : {"extreme", "mean"}
        What a cell of several weights shows.
    limit : float
        End of the colour scale of values; 0: the 99.5 % quantile of what the picture shows.

    Raises
    ------
    ComparisonError
        If the reference does not belong to the model, or a name or place is unknown.
    """

    _esm = script("axes", "places", "pixels", "heatmap", "figures", "tensor_view")
    _css = style("places", "tensor_view")

    show = traitlets.Enum((*SIDES, "all"), "quantized", help="Which values are shown").tag(
        sync=True
    )
    pooling = traitlets.Enum(
        ("extreme", "mean"), "extreme", help="What a cell of several weights shows"
    ).tag(sync=True)
    limit = traitlets.Float(
        0.0, min=0.0, help="End of the colour scale of values; 0: by what is seen"
    ).tag(sync=True)
    summary = traitlets.Dict(help="What is known once all rows are read").tag(sync=True)
    row_curves = traitlets.Bytes(b"", help="float32: norms of rows, then relative errors").tag(
        sync=True
    )
    value_bins = traitlets.Bytes(b"", help="float64: edges, then counts").tag(sync=True)

    def __init__(
        self,
        model: Openable,
        name: str | None = None,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        *,
        selection: Place | None = None,
        height: int = 680,
    ) -> None:
        self._survey: Survey | None = None
        self._surveyed: str | None = None
        super().__init__(model, name, reference, selection, height=height, label="Tensor picture")

    def wait(self, timeout: float | None = None) -> bool:
        """Read all rows (unless that was done) and wait until everything asked for is there.

        Reading that was cancelled begins anew.

        Returns
        -------
        bool
            False if `timeout` seconds were not enough.
        """
        self._begin_survey(again=True)
        return super().wait(timeout)

    @property
    def row_norms(self) -> np.ndarray | None:
        """Euclidean norm of every stored row: float64 (n_rows,), None until it is known."""
        return None if self._survey is None else self._survey.norms

    @property
    def row_errors(self) -> np.ndarray | None:
        """Relative error of every row: float64 (n_rows,), None if unknown or without original."""
        return None if self._survey is None else self._survey.relative

    # -- another tensor, another weight

    def _enter(self, name: str | None) -> None:
        self._survey = self._surveyed = None
        self.summary, self.row_curves, self.value_bins = {}, b"", b""
        if name is None or not self.facts["compared"]:
            self.show = "quantized"

    def _begin_survey(self, *, again: bool = False) -> None:
        """Read all rows once somebody looks: a panel that is not seen reads nothing.

        What was stopped stays so while the picture is moved, unless it is asked for `again`.
        """
        stopped = self._survey is None and not self._jobs.has("survey")
        if self._able and (self._surveyed != self.name or (again and stopped)):
            self._surveyed = self.name
            self.summary = {}
            self._jobs.put("survey", self._walk(self.name or ""), "Reading all rows", rank=2)

    def _walk(self, name: str) -> Iterator[float]:
        try:
            found = yield from survey(self._sides, name)
        except Exception:
            self._stop_survey()
            raise
        self._publish(name, found)

    def _stop_survey(self) -> None:
        """Let the browser offer to read all rows again."""
        if self._survey is None and self._surveyed == self.name:
            self.summary = {"stopped": True}

    def _publish(self, name: str, found: Survey) -> None:
        curves = [found.norms] if found.relative is None else [found.norms, found.relative]
        each = -(-len(found.norms) // _MOST_ROWS)
        starts = np.arange(0, len(found.norms), each)
        total = found.histogram.total
        bins, beyond, why = b"", 0, ""
        if found.rms > 0:
            kept = merged(found.histogram, _SPREAD * found.rms, _BINS)
            beyond = kept.below + kept.above
            if kept.counts.any():
                bins = np.concatenate([kept.edges, kept.counts]).tobytes()
            else:
                why = "All values lie beyond the bins of the histogram."
        elif math.isnan(found.rms):
            why = "There is no finite value."
        worst = [[row, _share(ratio)] for row, ratio in found.worst()]
        with self._publishing(name):
            self._survey = found
            self.summary = {
                "each": each,
                "worst": worst,
                "rms": number(finite(found.rms)),
                "why": why,
                "n_nan": found.n_nan,
                "n_inf": found.n_inf,
                "beyond": beyond,
                "total": total + found.n_nan,
            }
            joined = [np.maximum.reduceat(curve, starts) for curve in curves]
            self.row_curves = np.concatenate(joined).astype(np.float32).tobytes()
            self.value_bins = bins

    # -- questions of the browser

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        ask, name = question["ask"], self.name
        if ask == "cancel":
            self._jobs.cancel()
            self._stop_survey()
            return {}
        if ask == "survey":
            self._begin_survey(again=True)
            return {}
        if ask not in ("picture", "peek", "pick"):
            return super()._answer(question)
        if not self._able or name is None or name != question.get("name"):
            return {}  # it asks for a tensor that it is about to leave
        region, how = self._region(name, question["region"]), str(question.get("how"))
        sides = [side for side in SIDES if side in question.get("sides", SIDES)]
        if how not in _HOW or not sides:
            raise GGUFLabError(f"there is no picture of {sides} pooled by {how!r}")
        # A panel may be seen in several places at once, each at a zoom of its own.
        view = str(question.get("view", ""))[:40]
        whose = {"view": view, "name": name}
        if ask == "picture":
            steps = self._drawn(whose, region, how, sides, question.get("ticket"))
            self._jobs.put(f"picture {view}", steps, "Reading the picture", rank=1)
            self._begin_survey()
        elif ask == "peek":
            steps = self._peek(whose, region, how, question.get("ticket"))
            self._jobs.put(f"peek {view}", steps, "Reading values")
        else:
            self._jobs.put("pick", self._pick(name, region, sides[0]), "Looking for the weight")
        return {}

    def _region(self, name: str, asked: list[int]) -> Region:
        """Check what the browser asks for: it is cut to the tensor, and to the grid of cells."""
        tensor = self._sides.tensor(name)
        top, bottom, left, right, tall, wide = (int(n) for n in asked)
        tall, wide = max(1, tall), max(1, wide)
        top, left = max(0, top) // tall * tall, max(0, left) // wide * wide
        region = Region(
            top, min(bottom, tensor.n_rows), left, min(right, tensor.row_values), tall, wide
        )
        rows, columns = region.shape
        if rows < 1 or columns < 1 or rows * columns > _MOST_CELLS:
            raise GGUFLabError(
                f"a picture of {rows} × {columns} cells of {printable(name, 120)} was asked for; "
                f"expected between 1 and {_MOST_CELLS:,} cells inside the tensor"
            )
        return region

    def _drawn(
        self, whose: dict[str, str], region: Region, how: Any, sides: list[str], ticket: object
    ) -> Iterator[float]:
        """Draw a picture; of one that does not come to its end the browser is told."""
        try:
            yield from self._draw(whose, region, how, sides, ticket)
        except BaseException:
            self.send({"unread": ticket, **whose})
            raise

    def _draw(
        self, whose: dict[str, str], region: Region, how: Any, sides: list[str], ticket: object
    ) -> Iterator[float]:
        readers = self._sides.readers(whose["name"], sides)
        passes = [True, False] if region.n_weights > _SMALL and region.tall > 1 else [False]
        for sampled in passes:
            pools = yield from picture(readers, region, how, sampled=sampled)
            cells = np.stack([pool.cells() for pool in pools.values()])
            marks = np.stack([pool.marks() for pool in pools.values()])
            content = {
                "picture": ticket,
                **whose,
                "how": how,
                "sides": list(pools),
                "region": [
                    *(region.top, region.bottom, region.left, region.right),
                    *(region.tall, region.wide),
                ],
                "shape": list(region.shape),
                "sampled": sampled,
            }
            self.send(content, [cells.tobytes(), marks.tobytes()])

    def _peek(
        self, whose: dict[str, str], region: Region, how: Any, ticket: object
    ) -> Iterator[float]:
        """Tell one cell in words, every side of it."""
        readers = self._sides.readers(whose["name"], SIDES)
        if region.n_weights == 1:
            found = read(readers, [(region.top, region.bottom)], region.left, region.right)
            values: dict[str, Any] = {side: one[0, 0] for side, one in found.items()}
        else:
            pools = yield from picture(readers, region, how)
            values = {side: pool.words(0, 0) for side, pool in pools.items()}
        parts = [_span("row", region.top, region.bottom)]
        parts.append(_span("column", region.left, region.right))
        if region.n_weights > 1:
            parts.append(f"{_HOW[how]} of {region.n_weights:,} weights")
        words = f"{', '.join(parts)}: {told(self._sides, values)}"
        self.send({"peek": ticket, "view": whose["view"], "words": words})

    def _pick(self, name: str, region: Region, side: str) -> Iterator[float]:
        reader = self._sides.readers(name, [side, "quantized"])
        place = yield from strongest(reader.get(side, reader["quantized"]), region)
        if self.name == name:
            self.cell = list(place)

    # -- static form

    def __repr__(self) -> str:
        if self.name is None:
            return "<TensorView: no tensor>"
        return f"<TensorView: {self.facts['label']}, {self.facts['shape']}, {self.facts['qtype']}>"

    def _static(self, limit: int | None) -> str:
        del limit
        name = self.name
        if name is None or not self._able:
            return card(self.facts["label"] or "No tensor", note(self.facts["problem"]))
        rows = [("type", self.facts["qtype"]), ("shape", self.facts["shape"])]
        rows += [(self.facts["called"], self.facts["original"])] if self.facts["compared"] else []
        sides = SIDES if self.facts["compared"] else SIDES[:1]
        try:
            how: How = "mean" if self.pooling == "mean" else "extreme"
            images, words = heat(self._sides, name, sides, how)
        except GGUFLabError as error:  # the file may have been closed since
            return card(self.facts["label"], facts(rows), note(str(error)))
        worst = [] if self._survey is None else self._survey.worst()
        lines = [(f"{row:,}", _share(ratio)) for row, ratio in worst]
        table = (grid(("row", "relative error"), lines, (0, 1)),) if lines else ()
        return card(self.facts["label"], facts(rows), images, note(words), *table)


def _share(ratio: float) -> str:
    """Write a relative error; of a row with weights that are not finite there is none."""
    return "not finite" if math.isnan(ratio) else percent(ratio)


def _span(word: str, first: int, stop: int) -> str:
    if stop - first == 1:
        return f"{word} {first:,}"
    return f"{word}s {first:,} to {stop - 1:,}"
