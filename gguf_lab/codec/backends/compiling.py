"""When kernels are compiled: one at a time, once, and where Ctrl-C does no harm."""

from __future__ import annotations

from concurrent.futures import Future
from functools import wraps
from threading import RLock, Thread, current_thread, main_thread
from typing import Any

__all__ = ["compile_once"]

_compiling = RLock()


def compile_once(fn: Any) -> Any:
    """Cache a function that compiles: one thread compiles at a time, and nothing twice.

    What is there already is given at once, whatever is being compiled meanwhile.
    """
    made: dict[Any, Any] = {}

    def make(*arguments: Any) -> None:
        with _compiling:
            if arguments not in made:
                made[arguments] = fn(*arguments)

    @wraps(fn)
    def look_up(*arguments: Any) -> Any:
        if arguments not in made:
            _apart(make, *arguments)
        return made[arguments]

    return look_up


def _apart(make: Any, *arguments: Any) -> None:
    """Call from another thread than the main one, which Ctrl-C interrupts.

    LLVM calls back into Python, from where no exception can pass: an interrupt would be lost, and
    numba would find what it has compiled to be missing. So the main thread waits, and what another
    one compiles when it is interrupted will be there the next time.
    """
    if current_thread() is not main_thread():
        make(*arguments)
        return
    done: Future[None] = Future()

    def work() -> None:
        try:
            done.set_result(make(*arguments))
        except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(problem)

    try:
        Thread(target=work, name="gguf-lab-compile").start()
    except RuntimeError:  # no more threads are allowed
        work()
    done.result()
