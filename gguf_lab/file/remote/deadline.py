"""Time: work that must end, pauses between attempts, and waiting that nobody wants any more."""

from __future__ import annotations

import math
import random
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from ...errors import RemoteError, starting_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .options import RemoteOptions

__all__ = ["InterruptedReadError", "Transient", "looks", "persist", "unless", "within"]

T = TypeVar("T")

_LOOK = 0.1  # seconds between looks whether an answer is still wanted


class InterruptedReadError(RemoteError):
    """Whoever waited for a server has left."""

    def __init__(self) -> None:
        super().__init__("the read was interrupted; read again")


_stopped: ContextVar[Callable[[], bool]] = ContextVar("_stopped", default=lambda: False)


@contextmanager
def unless(stopped: Callable[[], bool]) -> Iterator[None]:
    """Let what this thread waits for from a server end soon after `stopped` says so.

    Then it raises InterruptedReadError. A server that has gone silent is given minutes; whoever
    cancels or presses Ctrl-C shall not wait for threads that do.
    """
    token = _stopped.set(stopped)
    try:
        yield
    finally:
        _stopped.reset(token)


def looks(seconds: float = math.inf) -> Iterator[float]:
    """Divide a wait into short ones: yield how long each may take, until all is over.

    Raises
    ------
    InterruptedReadError
        If it is not wanted any more; see `unless`.
    """
    stopped, end = _stopped.get(), time.monotonic() + seconds
    while True:
        if stopped():
            raise InterruptedReadError
        if (left := end - time.monotonic()) <= 0:
            return
        yield min(left, _LOOK)


class Transient(Exception):  # noqa: N818 - not an error yet: it may go well the next time
    """An attempt failed in a way that another one may not.

    Attributes
    ----------
    words : str
        What went wrong, for the message if no attempt goes well.
    wait : str or None
        ``Retry-After`` of the server.
    at_once : bool
        Nothing is gained by waiting.
    """

    def __init__(self, words: str, wait: str | None = None, *, at_once: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.wait = wait
        self.at_once = at_once


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do work in a thread, and wait so long for it at most.

    The time-outs of a socket are between two bytes, and looking up a name has none: only from
    outside can an attempt be held to its time. Work that is late goes on until a socket's own
    time-out ends it; nobody waits for it, not even the end of the process.

    Raises
    ------
    TimeoutError
        If it takes longer.
    RemoteError
        If there can be no thread; if it is not wanted any more (see `unless`).
    """
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
            answers.put((None, problem))

    with starting_threads(RemoteError):
        threading.Thread(target=run, name="gguf_lab-request", daemon=True).start()
    for pause in looks(seconds):
        with suppress(Empty):
            value, problem = answers.get(timeout=pause)
            if problem is not None:
                raise problem
            return value  # type: ignore[return-value]
    raise TimeoutError


def persist(what: str, work: Callable[[float], T], options: RemoteOptions) -> T:
    """Try until it goes well, the attempts are used up, or the time is.

    Parameters
    ----------
    what : str
        What is wanted, for the message.
    work : callable
        Takes the time (of `time.monotonic`) by which it must end; raises `Transient`.
    options : RemoteOptions

    Raises
    ------
    RemoteError
        If no attempt goes well, or none is wanted any more (see `unless`).
    """
    end = time.monotonic() + options.total_timeout
    pause, attempt = options.pause, 0
    while True:
        attempt += 1
        try:
            return work(end)
        except TimeoutError:
            raise RemoteError(
                f"{what} did not come within {options.total_timeout:g} seconds. Try again later, "
                "or allow more time (total_timeout)."
            ) from None
        except Transient as problem:
            failed = problem
        wait = 0.0 if failed.at_once else pause * random.uniform(0.75, 1.25)  # noqa: S311
        asked = _seconds(failed.wait)
        if asked is not None:
            wait = max(asked, 0.0)
        late = time.monotonic() + wait >= end
        if attempt >= options.attempts or wait > options.longest_pause or late:
            raise RemoteError(_given_up(what, failed, attempt, asked, options))
        for short in looks(wait):
            time.sleep(short)
        pause *= 2


def _given_up(
    what: str, failed: Transient, attempts: int, asked: float | None, options: RemoteOptions
) -> str:
    times = "once" if attempts == 1 else f"{attempts} times"
    words = f"{what} cannot be had: {failed.words} (tried {times})."
    if asked is not None and asked > min(options.longest_pause, options.total_timeout):
        return f"{words} The server asks to come back in {asked:,.0f} seconds; do so."
    return f"{words} Check the network (of a mirror: HF_ENDPOINT), or try again later."


def _seconds(wait: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or a date; None if it is missing or neither."""
    if wait is None or len(wait) > 60:
        return None
    if wait.strip().isdecimal():
        return float(wait)
    try:
        return parsedate_to_datetime(wait).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
