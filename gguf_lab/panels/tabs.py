"""The tabs of the workbench."""

from __future__ import annotations

from typing import Any

import traitlets

from .assets import script, style
from .base import Panel

__all__ = ["Tabs"]


class Tabs(Panel):
    """A row of tabs of which one is chosen; what it shows is somebody else's concern.

    Parameters
    ----------
    tabs : list of (str, str)
        Name and label of each.
    """

    _esm = script("tabs")
    _css = style("tabs", page="workbench")

    tabs = traitlets.List(traitlets.List(), help="[name, label] of each tab").tag(sync=True)
    active = traitlets.Unicode("", help="Name of the tab that is chosen").tag(sync=True)

    def __init__(self, tabs: list[tuple[str, str]]) -> None:
        super().__init__(tabs=[list(tab) for tab in tabs], label="Parts of the workbench")
        self.active = tabs[0][0]

    @traitlets.validate("active")
    def _check_active(self, proposal: dict[str, Any]) -> str:
        names = [name for name, _ in self.tabs]
        if proposal["value"] not in names:
            raise traitlets.TraitError(f"there is no tab {proposal['value']!r}: {', '.join(names)}")
        return str(proposal["value"])

    def __repr__(self) -> str:
        return f"<Tabs: {self.active}>"

    def _static(self, limit: int | None) -> str:
        del limit
        return ""
