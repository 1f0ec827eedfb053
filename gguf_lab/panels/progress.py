"""How far a run is, and a way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..file.text import printable
from ..markup import card
from .assets import script, style
from .base import Panel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Progress"]

_PATIENCE: Final = 0.5  # seconds that a run may take without a word


class Progress(Panel):
    """A progress bar with a button to cancel.

    It appears once a run has lasted half a second, and goes when all is done; after a failure or
    a cancel it stays.

    Parameters
    ----------
    cancel : callable, optional
        Called without arguments when the user asks to stop.
    """

    _esm = script("progress")
    _css = style("progress")

    state = traitlets.Enum(
        ("idle", "running", "done", "cancelled", "failed"), "idle", help="What the run does"
    ).tag(sync=True)
    done = traitlets.Int(0, help="Weights that are done").tag(sync=True)
    total = traitlets.Int(0, help="Weights to do").tag(sync=True)
    tensor = traitlets.Unicode("", help="The tensor that was finished last").tag(sync=True)
    seconds = traitlets.Float(0.0, help="Seconds since the start").tag(sync=True)
    shown = traitlets.Bool(False, help="Whether it is shown: only runs that last are").tag(
        sync=True
    )

    def __init__(self, cancel: Callable[[], None] | None = None) -> None:
        self._cancel = cancel
        super().__init__(label="Progress of the comparison")

    def report(
        self, state: str, *, done: int, total: int, seconds: float, tensor: str = ""
    ) -> None:
        """Show where a run is.

        Parameters
        ----------
        state : {"running", "done", "cancelled", "failed"}
            What the run does.
        done, total : int
            Weights.
        seconds : float
            Time since the start.
        tensor : str
            The tensor that was finished last.
        """
        with self.hold_sync():
            self.state, self.done, self.total = state, int(done), int(total)
            self.seconds, self.tensor = float(seconds), printable(tensor, 120)
            late = state == "running" and (self.shown or seconds > _PATIENCE)
            self.shown = late or state in ("cancelled", "failed")

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["ask"] == "cancel":
            if self._cancel is not None:
                self._cancel()
            return {}
        return super()._answer(question)

    def __repr__(self) -> str:
        return f"<Progress: {self.state}, {self.done:,} of {self.total:,} weights>"

    def _static(self, limit: int | None) -> str:
        del limit
        state = "under way" if self.state == "running" else self.state
        words = f"{state}: {self.done:,} of {self.total:,} weights"
        return card("Comparison", note=f"{words}. {self.error}" if self.error else words)
