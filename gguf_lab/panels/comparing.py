"""What panels that compare have in common: files of their own, and a run in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .background import Background
from .base import explain
from .columns import name_of
from .owner import Owner

if TYPE_CHECKING:
    from .progress import Progress

__all__ = ["OVER", "Comparing"]

OVER: Final = {"cancelled": "the comparison was stopped", "failed": "the comparison failed"}
"""Why what is missing does not come any more, by the state of the run."""

Result = TypeVar("Result")


class Comparing(Owner, Generic[Result]):
    """Runs a comparison in the background, reports it, and closes what it has opened.

    A subclass opens its files by `_opened`, sets `_run` and `progress`, calls `_start`, and says in
    `_take` what to do with results.

    Attributes
    ----------
    progress : Progress
    """

    progress: Progress
    _run: Any = None
    _background: Background | None = None

    @property
    def result(self) -> Result | None:
        """What has been found, once the run has finished (or was cancelled)."""
        raise NotImplementedError

    def _take(self, state: str, rows: list[Any], seconds: float) -> None:
        """Take over what the background has to report (called from its thread)."""
        raise NotImplementedError

    def _release(self) -> None:
        """Close panels and what was opened."""
        raise NotImplementedError

    def _start(self) -> None:
        self.progress.report("running", done=0, total=self._run.total, seconds=0.0)
        self._background = Background(self._run, self._report)
        self._background.start()

    def _unfinished(self) -> list[Progress]:
        """Return what tells, in the static form, that not everything has been compared."""
        return [self.progress] if self.progress.state not in {"idle", "done"} else []

    def _report(self, state: str, rows: list[Any], seconds: float) -> None:
        try:
            self._take(state, rows, seconds)
            last = name_of(rows[-1]) if rows else self.progress.tensor
            done, total = self._run.done, self._run.total
            self.progress.report(state, done=done, total=total, seconds=seconds, tensor=last)
            if self._background is not None and self._background.error is not None:
                self.progress.error = f"The comparison failed. {explain(self._background.error)}"
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.progress.shown = True
            self.progress.error = explain(error)

    def wait(self, timeout: float | None = None) -> Result | None:
        """Wait for the run and return its result.

        Parameters
        ----------
        timeout : float, optional
            Most seconds to wait.
        """
        if self._background is not None:
            self._background.wait(timeout)
        return self.result

    def cancel(self) -> None:
        """Stop the run; what has finished is kept."""
        if self._background is not None:
            self._background.cancel()

    def close(self) -> None:
        """Stop the run, close the panels and the files that were opened here."""
        if self._background is not None:
            self._background.cancel()
            self._background.wait(10)
        self._release()
        super().close()  # type: ignore[misc]
        self.layout.close()  # type: ignore[attr-defined]
