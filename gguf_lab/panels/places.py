"""The selection of panels that look into one tensor: which tensor, and which of its weights."""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import traitlets

from ..codec import can_decode
from ..errors import ComparisonError, GGUFLabError
from ..file.text import printable, quoted
from ..reference.stored import in_words
from .base import Panel
from .jobs import Jobs
from .numbers import exact
from .selection import Selection
from .sides import SIDES, Sides, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    from ..file.remote import Address
    from ..model import Model
    from ..reference import Checkpoint
    from .owner import Openable

__all__ = ["MOST_NAMES", "Place", "told"]

MOST_NAMES: Final = 5000  # in the list to choose from; any name can be set from Python


class Place(Selection, Panel):
    """A panel that looks at one tensor, and at one weight in it.

    Attributes
    ----------
    selected : list of str
        The tensor shown (its name; the first one if there are several).
    cell : list of int
        Row and column of the selected weight.
    """

    _sides: Sides
    _corner: ClassVar[tuple[int, int]] = (6, 8)  # rows and columns of the table around the weight

    cell = traitlets.List(
        traitlets.Int(),
        [0, 0],
        minlen=2,
        maxlen=2,
        help="Row and column of the selected weight; rows are flattened over all but the last axis",
    ).tag(sync=True)
    choices = traitlets.List(traitlets.List(), help="[name, words] of the tensors to look at").tag(
        sync=True
    )
    corner = traitlets.Dict(help="The selected weight in words, and where the table begins").tag(
        sync=True
    )
    corner_values = traitlets.Bytes(b"", help="float32: the table, side by side").tag(sync=True)
    facts = traitlets.Dict(help="What the tensor is").tag(sync=True)
    progress = traitlets.Dict(help="What takes long, and the share that is done").tag(sync=True)

    def __init__(
        self,
        model: Openable,
        name: str | None,
        reference: Checkpoint | Model | str | PathLike[str] | Address | Sides | None,
        selection: Place | None,
        **traits: Any,
    ) -> None:
        # First what `close` needs: it is called too where the rest is refused.
        self._jobs = Jobs(self._fail, self._tell)
        self._links: list[traitlets.link] = []
        self._owns = False
        model = self._model_of(model)
        shared = selection._sides if selection is not None and reference is None else reference
        self._owns = not isinstance(shared, Sides) or shared.model is not model
        if isinstance(shared, Sides):
            self._sides = Sides(model) if self._owns else shared
        else:
            self._sides = Sides(model, shared)
        self._shown: str | None = None
        super().__init__(**traits)
        self.choices = self._list_choices()
        self.observe(self._change_name, ["selected"])
        self.observe(self._look, ["cell"])
        if selection is not None:
            # The tensor first: a place is checked against it.
            self._links = [
                traitlets.link((selection, trait), (self, trait)) for trait in ("selected", "cell")
            ]
        first = name if name is not None else self._first()
        if first is not None and (name is not None or not self.selected):
            self.selected = [first]
        if self._shown is None:
            self.facts = self._describe(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything asked for is there; False if `timeout` seconds were not enough."""
        return self._jobs.wait(timeout)

    def close(self) -> None:
        """Stop what is under way, and close what the panel itself has opened."""
        for link in self._links:
            link.unlink()
        self._links = []
        self._jobs.cancel()
        self._jobs.wait(10)
        if self._owns:
            self._sides.close()
        super().close()

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return list(self._sides.model.tensors)

    def _has(self, name: str) -> bool:
        return name in self._sides.model.tensors

    @property
    def name(self) -> str | None:
        """The tensor that is shown, None if there is none."""
        return self.selected[0] if self.selected else None

    # -- what a panel does with a place

    def _enter(self, name: str | None) -> None:
        """Show another tensor, or none; `facts` says whether it can be shown."""

    def _look(self, _change: object = None) -> None:
        """Show another weight of it."""
        if self._able:
            self._jobs.put("corner", self._read_corner(self.name or ""), "Reading values")

    def _read_corner(self, name: str) -> Iterator[float]:
        row, column = self.cell
        tensor = self._sides.tensor(name)
        tall, wide = min(self._corner[0], tensor.n_rows), min(self._corner[1], tensor.row_values)
        top = min(max(0, row - tall // 2), tensor.n_rows - tall)
        left = min(max(0, column - wide // 2), tensor.row_values - wide)
        found = read(self._sides.readers(name, SIDES), [(top, top + tall)], left, left + wide)
        yield 0.5
        values = {side: one[row - top, column - left] for side, one in found.items()}
        with self._publishing(name):
            self.corner = {
                "cell": [row, column],
                "top": top,
                "left": left,
                "shape": [tall, wide],
                "sides": [self._sides.called(side) for side in found],
                "words": f"row {row:,}, column {column:,}: {told(self._sides, values)}",
            }
            self.corner_values = np.stack(list(found.values())).astype(np.float32).tobytes()

    @contextmanager
    def _publishing(self, name: str) -> Iterator[None]:
        """Send what a job has found as one message.

        Raises
        ------
        CancelledError
            If another tensor is shown by now: what was found of this one is not what is asked for.
        """
        with self.hold_sync():
            if self._shown != name:
                raise CancelledError
            yield

    def _change_name(self, _change: object) -> None:
        if self.name == self._shown:
            return
        self._jobs.cancel()
        self._shown = self.name
        with self.hold_sync():
            self.facts = self._describe(self.name)
            self.progress = {}
            self.corner, self.corner_values = {}, b""
            if self.cell != [0, 0]:
                self.cell = [0, 0]
            self._enter(self.name)
            self._look()

    @property
    def _able(self) -> bool:
        return self.name is not None and self.facts.get("problem") == ""

    def _first(self) -> str | None:
        """Return the first matrix that can be shown, else the first tensor that can."""
        able = [
            tensor
            for tensor in self._sides.model.tensors.values()
            if tensor.status == "ok" and can_decode(tensor.qtype) and tensor.n_elements
        ]
        matrices = [tensor for tensor in able if tensor.n_rows > 1]
        return next((tensor.name for tensor in [*matrices, *able]), None)

    def _list_choices(self) -> list[list[str]]:
        listed = list(self._sides.model.tensors.values())[:MOST_NAMES]
        return [[t.name, f"{printable(t.name, 120)}  ({printable(t.qtype, 20)})"] for t in listed]

    def _describe(self, name: str | None) -> dict[str, Any]:
        if name is None:
            called = self._sides.called("original")
            return {"problem": "No tensor is selected.", "label": "", "name": "", "called": called}
        tensor = self._sides.model.tensors[name]
        problem, size = "", 1
        try:
            size = self._sides.block_size(name)
            if not tensor.n_elements:
                problem = "The tensor has no weights."
        except GGUFLabError as error:
            problem = printable(str(error), 400)
        pair, scale = self._sides.pair(name), self._sides.scale(name)
        remarks = [self._sides.why_not(name)]
        if pair is None and scale is not None:
            remarks.insert(0, in_words("", scale))
        return {
            "name": name,
            "label": printable(name, 200),
            "qtype": printable(tensor.qtype, 40),
            "shape": " × ".join(str(n) for n in tensor.shape),
            "n_rows": tensor.n_rows,
            "n_columns": tensor.row_values,
            "block_size": size,
            "compared": pair is not None,
            "called": self._sides.called("original"),
            "original": "" if pair is None else printable(", ".join(pair.reference_names), 200),
            "transform": "" if pair is None else printable(pair.transform, 300),
            "remark": printable("; ".join(filter(None, remarks)), 300),
            "problem": problem,
        }

    @traitlets.validate("cell")
    def _check_cell(self, proposal: dict[str, Any]) -> list[int]:
        row, column = proposal["value"]
        if self.name is not None and [row, column] != [0, 0]:
            tensor = self._sides.model.tensors[self.name]
            if not (0 <= row < tensor.n_rows and 0 <= column < tensor.row_values):
                raise ComparisonError(
                    f"tensor {quoted(tensor.name)} has rows 0 to {tensor.n_rows - 1} and columns "
                    f"0 to {tensor.row_values - 1}: there is no weight at row {row}, column "
                    f"{column}"
                )
        return [row, column]

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["ask"] == "cancel":
            self._jobs.cancel()
            return {}
        return super()._answer(question)

    def _tell(self, words: str, share: float) -> None:
        self.progress = {"words": words, "share": share} if words else {}


def told(sides: Sides, values: Mapping[str, Any]) -> str:
    """Tell the value of a weight, side by side."""
    return ", ".join(
        f"{sides.called(side)} {value if isinstance(value, str) else exact(value)}"
        for side, value in values.items()
    )
