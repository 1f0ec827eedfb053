"""Everything about one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from ..file.text import printable
from ..markup import card, grid
from .assets import script, style
from .chart import Chart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..comparison import TensorComparison
    from .owner import Openable

__all__ = ["TensorDetail"]


class TensorDetail(Chart):
    """What a tensor is, what it was compared with, and its errors.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    height : int
        Height in CSS pixels.
    """

    _esm = script("axes", "chart", "detail")
    _css = style("axes", "chart", "detail")

    title = traitlets.Unicode("", help="Name of the tensor").tag(sync=True)
    facts = traitlets.List(traitlets.List(), help="[name, text]").tag(sync=True)
    idle = traitlets.Unicode("", help="What is said while no tensor is selected").tag(sync=True)
    hint = traitlets.Unicode("", help="What could be done to see more").tag(sync=True)

    def __init__(self, model: Openable, *, height: int = 420) -> None:
        self._model = self._model_of(model)
        self._name: str | None = None
        self._row: TensorComparison | None = None
        self._limits: dict[str, float] = {}
        idle = "Select a tensor in the table." if self._model.tensors else "There are no tensors."
        super().__init__(height=height, label="Selected tensor", idle=idle)
        self.observe(self._refresh, ["mode", "extent"])

    def show(
        self,
        name: str | None,
        row: TensorComparison | None = None,
        limits: Mapping[str, float] | None = None,
        hint: str = "",
    ) -> None:
        """Show a tensor.

        Parameters
        ----------
        name : str, optional
            Its name; None for no tensor.
        row : TensorComparison, optional
            Its comparison, if there is one yet.
        limits : mapping, optional
            End of the common axis by mode.
        hint : str
            Words under it.
        """
        self._row, self._limits = row, dict(limits or {})
        with self.hold_sync():
            self.title = printable(name, 300) if name is not None else ""
            self.facts = [] if name is None else self._facts(name, row)
            self.hint = hint if name is not None else ""
            self._refresh()

    def _refresh(self, _change: object = None) -> None:
        with self.hold_sync():
            self._draw(self._row, self._limits)

    def _facts(self, name: str, row: TensorComparison | None) -> list[list[str]]:
        facts: list[tuple[str, Any]] = []
        if name in self._model.tensors:
            tensor = self._model.tensors[name]
            facts += [
                ("type", tensor.qtype),
                ("shape", " × ".join(str(n) for n in tensor.shape)),
                ("weights", f"{tensor.n_elements:,}"),
                ("bytes", None if tensor.nbytes is None else f"{tensor.nbytes:,}"),
                ("layer", tensor.layer),
            ]
            if tensor.status != "ok":
                facts.append(("status", tensor.status))
        if row is not None:
            facts += [
                ("reference", row.reference_name or "none"),
                ("reference type", row.reference_qtype),
                ("aligned by", row.transform or None),
            ]
        return [[key, printable(str(text), 300)] for key, text in facts if text is not None]

    def __repr__(self) -> str:
        return f"<TensorDetail: {self.title or 'nothing selected'}>"

    def _static(self, limit: int | None) -> str:
        del limit
        figures = [f[:2] for f in self.chart.get("figures", [])]
        rows = [*self.facts, *figures]
        verdict = " ".join(filter(None, (self.chart.get(k) for k in ("doubt", "verdict"))))
        return card(self.title or "No tensor is selected", grid(("", ""), rows), note=verdict)
