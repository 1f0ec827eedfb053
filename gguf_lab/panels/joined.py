"""Panels in tabs, made when they are first shown, and joined by what is selected."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

import ipywidgets  # type: ignore[import-untyped]
import traitlets

from .base import explain
from .comparing import OVER
from .places import Place
from .rooms import ROOMS, Contents, rooms_of
from .selection import Selection
from .tabs import Tabs

if TYPE_CHECKING:
    from ..comparison import TensorComparison

__all__ = ["Joined"]

_NO_REFERENCE: Final = (
    "No reference was given, so there are no errors to show. Give the original weights:\n"
    'gl.explore(model, reference="folder/with/safetensors")'
)
_WAITING: Final = "This tensor has not been compared yet."
_COMPARED: Final = ("table", "errors", "histograms")  # panels that take rows of a comparison
_JUMPS: Final = {"worst": "weights", "overview": "tensors"}  # the tab that a panel's links open


class Joined(Selection, ipywidgets.VBox):  # type: ignore[misc]
    """The rooms of a workbench: `tabs` chooses the one that is shown, `selected` goes everywhere.

    What reads weights follows a selection only while it is seen.
    """

    cell = traitlets.List(traitlets.Int(), [0, 0], minlen=2, maxlen=2)

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._results: dict[str, TensorComparison] = {}
        self._over = ""  # why what is not compared will not be
        self._made: dict[str, Any] = {}
        self._boxes: dict[str, Any] = {}
        self._stage = ipywidgets.Box()
        # Results come from a thread while the kernel's own makes panels and follows the user.
        self._joining = RLock()
        self._rooms = rooms_of(contents)
        self._room_of = {name: room for room in self._rooms.values() for name in room.panels}
        self.tabs = Tabs([(room.name, room.label) for room in self._rooms.values()])
        super().__init__()
        self._stage.add_class("gl-stage")
        self.add_class("gl-workbench")
        self.observe(self._follow, ["selected"])
        self.tabs.observe(self._open_tab, ["active"])

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        return self.tabs.active

    @tab.setter
    def tab(self, name: str) -> None:
        self.tabs.active = name

    def __getattr__(self, name: str) -> Any:
        """Give a panel, which is made if need be; None if it has nothing to show."""
        if name.startswith("_") or all(name not in room.panels for room in ROOMS):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        room = self._room_of.get(name)
        if room is None:
            return None
        self._make(room.name)
        return self._made[name]

    def _open_tab(self, _change: object = None) -> None:
        try:
            self._make(self.tab)
        except Exception as error:  # noqa: BLE001 - Jupyter would swallow it
            self.tabs.error = explain(error)
            return
        for name, box in self._boxes.items():
            (box.remove_class if name == self.tab else box.add_class)("gl-away")
        self._follow()

    def _make(self, name: str) -> None:
        """Make the panels of a room, once."""
        if name in self._boxes:
            return
        with self._joining:
            first = self.selected[0] if self.selected else self._worst()
            contents = replace(self._contents, selected=first)
            made = {key: make(contents) for key, make in self._rooms[name].panels.items()}
            self._made |= made
            for key, panel in made.items():
                self._join(key, panel)
            box = ipywidgets.Box(list(made.values()))
            for class_ in ("gl-room", f"gl-room-{name}", "gl-away"):
                box.add_class(class_)
            self._boxes[name] = box
            self._stage.children = [*self._stage.children, box]
        self._follow()

    def _worst(self) -> str | None:
        """Return the tensor with the largest relative error so far: that is looked at first."""
        known = [
            row
            for row in self._results.values()
            if row.name is not None and row.status == "compared" and row.relative_rmse
        ]
        return max(known, key=lambda row: row.relative_rmse or 0.0).name if known else None

    def _join(self, key: str, panel: Any) -> None:
        """Let a new panel take part in what is selected, and in what is known."""
        if key in _COMPARED and self._contents.reference is not None:
            if key != "table":
                panel.expect(self._contents.model)
                panel.over = self._over
            panel.extend(list(self._results.values()))
        if isinstance(panel, Place):
            if not self.selected and panel.selected:
                self.selected = panel.selected
            panel.observe(self._follow_cell, ["cell"])
        if isinstance(panel, Selection):
            panel.observe(self._take_selection, ["selected"])
        if key in {"histograms", "detail"}:
            panel.observe(self._set_modes, ["mode"])
        elif key in _JUMPS:
            panel.observe(lambda _: setattr(self, "tab", _JUMPS[key]), ["jumps"])
        if key in {"errors", "histograms"}:
            panel.add_class("gl-wide")

    def _extend(self, results: dict[str, TensorComparison]) -> None:
        """Take in rows of the comparison (called from its thread)."""
        with self._joining:
            self._results |= results
            for key in _COMPARED:
                if results and key in self._made:
                    self._made[key].extend(list(results.values()))
        self._show()

    def _end(self, state: str) -> None:
        """Let panels know that nothing comes any more if a run did not come to its end."""
        with self._joining:
            self._over = OVER.get(state, "")
            for key in ("errors", "histograms"):
                if key in self._made:
                    self._made[key].over = self._over
        self._show()

    # -- selection

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return list(dict.fromkeys([*self._contents.model.tensors, *self._results]))

    def _has(self, name: str) -> bool:
        return name in self._contents.model.tensors or name in self._results

    def _take_selection(self, change: Any) -> None:
        self.selected = list(change["new"])

    def _follow(self, change: Any = None) -> None:
        """Show in all panels what is selected; those that read weights follow when they are seen.

        Parameters
        ----------
        change : dict, optional
            Of the trait; None if a tab was opened.
        """
        names = list(self.selected)
        if change is not None and change["old"][:1] != names[:1]:
            self.cell = [0, 0]
        seen = set(self._rooms[self.tab].panels)
        for key, panel in self._made.items():
            if isinstance(panel, Place):
                if key in seen and names and panel._has(names[0]):
                    panel.selected = names[:1]
                    panel.cell = self.cell
            elif isinstance(panel, Selection):
                panel.selected = [name for name in names if panel._has(name)]
        self._show()

    def _follow_cell(self, change: Any) -> None:
        if change["owner"].selected != self.selected[:1]:
            return  # it is on its way to another tensor
        self.cell = list(change["new"])
        seen = self._rooms[self.tab].panels
        for key, panel in self._made.items():
            if isinstance(panel, Place) and key in seen and panel.selected == self.selected[:1]:
                panel.cell = self.cell

    def _set_modes(self, change: Any) -> None:
        for key in ("histograms", "detail"):
            if key in self._made:
                self._made[key].mode = change["new"]

    def _show(self) -> None:
        # Whoever comes last, the user or the run, shows what is selected then.
        detail = self._made.get("detail")
        if detail is None:
            return
        with self._joining:
            name = self.selected[0] if self.selected else None
            row = self._results.get(name) if name is not None else None
            histograms = self._made.get("histograms")
            limits = {} if histograms is None else histograms.shared_limits
            hint = ""
            if row is None:
                hint = _NO_REFERENCE if self._contents.reference is None else _WAITING
                if self._over:
                    hint = f"This tensor was not compared: {self._over}."
            detail.show(name, row, limits, hint)

    def _close_panels(self) -> None:
        for panel in [self.tabs, *self._made.values()]:
            panel.close()
        self._made = {}
        # Boxes that ipywidgets keeps would keep their panels.
        for box in [*self._boxes.values(), self._stage]:
            box.close()
            box.layout.close()
        self._boxes = {}
