"""A comparison that runs in a thread and reports now and then."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from ..errors import GGUFLabError, starting_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..comparison import Comparison, Run, TensorComparison

__all__ = ["Background"]

_SOONEST: Final = 0.25  # seconds between reports
_SHARE: Final = 0.08  # of the time so far: long runs report less often, and the cost stays small
_LATEST: Final = 3.0


class Background:
    """Run a comparison in one thread, report from another.

    Parameters
    ----------
    run : Run
        The comparison, not yet begun.
    report : callable
        Called as ``report(state, rows, seconds)`` from the reporting thread, with the rows finished
        since the last call; the last call has a state other than "running".
    """

    def __init__(
        self, run: Run, report: Callable[[str, list[TensorComparison], float], None]
    ) -> None:
        self._run = run
        self._report = report
        self._rows: list[TensorComparison] = []
        self._told = 0
        self._finished = Event()
        self._over = Event()
        self._cancelled = False
        self._start = time.monotonic()
        self.error: BaseException | None = None
        self.result: Comparison | None = None
        self._threads = [
            Thread(target=self._work, name="gguf-lab-comparison", daemon=True),
            Thread(target=self._watch, name="gguf-lab-report", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        try:
            with starting_threads():
                for thread in self._threads:
                    thread.start()
        except GGUFLabError:  # the first may have begun; nobody reports
            self.cancel()
            self._over.set()
            raise

    def cancel(self) -> None:
        """Ask the run to stop; what has finished is kept."""
        self._cancelled = True
        self._run.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the last report was made; False if `timeout` seconds were not enough."""
        return self._over.wait(timeout)

    def _work(self) -> None:
        try:
            for row in self._run:
                self._rows.append(row)
            self.result = self._run.result()
        except Exception as error:  # noqa: BLE001 - it is shown where the user looks
            self.error = error
        finally:
            self._finished.set()

    def _watch(self) -> None:
        try:
            pause = _SOONEST
            while not self._finished.wait(pause):
                self._tell("running")
                pause = min(max(_SOONEST, _SHARE * self._seconds()), _LATEST)
            if self.result is not None:
                # What only the reference has may come with the result alone.
                known = {(row.name, row.reference_name) for row in self._rows}
                rest = (r for r in self.result.rows if (r.name, r.reference_name) not in known)
                self._rows.extend(rest)
            if self.error is not None:
                self._tell("failed")
            else:
                self._tell("cancelled" if self._cancelled else "done")
        finally:
            self._over.set()

    def _seconds(self) -> float:
        return time.monotonic() - self._start

    def _tell(self, state: str) -> None:
        rows = self._rows[self._told :]
        self._told += len(rows)
        self._report(state, rows, self._seconds())
