"""How many threads, and a pool that shares rows out to them."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from numbers import Integral
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING

from ..errors import GGUFLabError, starting_threads

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool", "check_threads", "cpu_count", "pool", "run_chunks"]

# Weights per task, at least and at most, and tasks per thread. Handing one out takes 0.1 ms, in
# which some 100,000 weights are decoded; but the threads shall end together, and soon after Ctrl-C.
_TASK, _LARGEST_TASK = 1 << 21, 1 << 23
_TASKS = 8


@cache
def cpu_count() -> int:
    """Return the CPUs this process may use: affinity and cgroup quota, not what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return max(1, min(available, _cgroup_quota() or available))


def _cgroup_quota() -> int | None:
    """Return the CPU quota of the control group (version 2 or 1) in whole CPUs, rounded up."""
    folder = Path("/sys/fs/cgroup")
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):  # it is not there, or says "max"
            text = " ".join((folder / name).read_text() for name in names)
            quota, period = map(int, text.split())
            if quota > 0 and period > 0:  # -1: no quota
                return -(-quota // period)
    return None


def check_threads(threads: int | None) -> None:
    """Raise GGUFLabError unless this is None or a number of threads."""
    if threads is not None and (not isinstance(threads, Integral) or threads < 1):
        raise GGUFLabError(f"threads must be a whole number, at least 1; got {threads!r}")


class Pool(ThreadPoolExecutor):
    """A pool that does its work with fewer threads where the system allows no more.

    Without any, `submit` raises GGUFLabError.
    """

    def _adjust_thread_count(self) -> None:
        try:
            with starting_threads():
                super()._adjust_thread_count()
        except GGUFLabError:
            if not self._threads:
                self._work_queue.get_nowait()  # or a later thread would do what nobody waits for
                raise


_here = local()
"""`in_pool`: whether this thread is one of a pool."""


def _enter_pool() -> None:
    _here.in_pool = True


@cache
def pool(threads: int) -> Pool:
    """Return the shared pool of so many threads."""
    return Pool(threads, thread_name_prefix="gguf_lab", initializer=_enter_pool)


if hasattr(os, "register_at_fork"):
    # A child has the pools, but none of their threads.
    os.register_at_fork(after_in_child=pool.cache_clear)


def run_chunks(
    work: Callable[[int, int], None], n: int, weights_each: int, threads: int | None = None
) -> None:
    """Call ``work(start, stop)`` over ``range(n)``, in parallel where there is enough of it.

    Parameters
    ----------
    work : callable
        Releases the GIL; writes only its own part.
    n : int
        Number of items (blocks).
    weights_each : int
        Weights per item.
    threads : int, optional
        Default: :func:`cpu_count`. A thread of a pool does all of it alone.
    """
    check_threads(threads)
    threads = threads or cpu_count()
    step = max(_TASK // weights_each, -(-n // (_TASKS * threads)))
    step = max(1, min(step, _LARGEST_TASK // weights_each))
    # In a pool whose threads all wait for that pool, nothing would ever be done.
    if threads == 1 or n <= step or getattr(_here, "in_pool", False):
        work(0, n)
        return
    futures: list[Future[None]] = []
    try:
        futures.extend(pool(threads).submit(work, i, min(i + step, n)) for i in range(0, n, step))
        for future in futures:
            future.result()
    finally:
        # After an error or Ctrl-C: nothing may still write into the caller's memory.
        wait([future for future in futures if not future.cancel()])
