"""Work off the kernel's thread: a job is a generator, and what is asked last goes first."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

from ..errors import starting_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Job", "Jobs"]

_PATIENCE: Final = 0.5  # seconds that a job may take without a word
_PAUSE: Final = 0.2  # seconds between words


@dataclass(slots=True)
class Job:
    """Steps of work; each yields the share that is done, 0 to 1."""

    steps: Iterator[float]
    words: str
    rank: int
    started: float = field(default_factory=time.monotonic)


class Jobs:
    """One thread that takes a step at a time of the job with the lowest rank.

    A job replaces the one of the same name, which is what cancels a request that nobody waits for
    any more; its step under way goes on, and may end by `CancelledError` itself. The thread lives
    as long as there is work.

    Parameters
    ----------
    fail : callable
        Called with an exception of a job, in the thread.
    tell : callable
        Called as ``tell(words, share)`` now and then once a job has lasted half a second, and as
        ``tell("", 0.0)`` when there is nothing more to tell.
    """

    def __init__(
        self, fail: Callable[[BaseException], None], tell: Callable[[str, float], None]
    ) -> None:
        self._fail, self._tell = fail, tell
        self._jobs: dict[str, Job] = {}
        self._changed = Condition()
        self._running = False
        self._told = 0.0

    def put(self, name: str, steps: Iterator[float], words: str, rank: int = 0) -> None:
        """Start a job, in place of the one of this name."""
        with self._changed:
            if not self._running:
                with starting_threads():
                    Thread(target=self._work, name="gguf-lab-panel", daemon=True).start()
                self._running = True
            self._jobs[name] = Job(steps, words, rank)

    def has(self, name: str) -> bool:
        """Return whether a job of this name waits or is under way."""
        with self._changed:
            return name in self._jobs

    def cancel(self) -> bool:
        """Drop all jobs after the step under way; whether there was one."""
        with self._changed:
            dropped = bool(self._jobs)
            self._jobs.clear()
        return dropped

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do; False if `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                picked = min(self._jobs.items(), key=lambda item: item[1].rank, default=None)
            if picked is None:
                # Not under the lock: whoever is told may be waiting to put a job.
                self._quiet()
                with self._changed:
                    if self._jobs:
                        continue
                    self._running = False
                    self._changed.notify_all()
                    return
            name, job = picked
            over = True
            try:
                share = next(job.steps)
                over = False
                self._report(job, share)
            except (StopIteration, CancelledError):
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the user must see it
                self._fail(error)
            if over:
                with self._changed:
                    if self._jobs.get(name) is job:
                        del self._jobs[name]
                self._quiet()

    def _report(self, job: Job, share: float) -> None:
        now = time.monotonic()
        if now - job.started > _PATIENCE and now - self._told > _PAUSE:
            self._told = now
            self._tell(job.words, share)

    def _quiet(self) -> None:
        if self._told:
            self._told = 0.0
            self._tell("", 0.0)
