"""The selection that panels share: names of tensors, readable and settable from both sides."""

from __future__ import annotations

from typing import Any

import traitlets

from ..errors import ComparisonError
from ..file.text import printable, suggest

__all__ = ["Selection"]


class Selection(traitlets.HasTraits):
    """A ``selected`` trait: a list of names of tensors.

    Set it from Python to select and to bring the first of them into view; read it, or observe it,
    to follow what is selected in the browser. A single name may be given without a list.
    """

    selected = traitlets.List(traitlets.Unicode(), help="Names of the selected tensors").tag(
        sync=True
    )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "selected" and isinstance(value, str):
            value = [value]
        super().__setattr__(name, value)

    @traitlets.validate("selected")
    def _check_selected(self, proposal: dict[str, Any]) -> list[str]:
        names = list(dict.fromkeys(proposal["value"]))
        for name in names:
            if not self._has(name):
                raise ComparisonError(
                    f"{type(self).__name__} has no tensor named '{printable(name, 120)}'."
                    f"{suggest(name, self.names)}"
                )
        return names

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        raise NotImplementedError

    def _has(self, name: str) -> bool:
        return name in self.names
