"""The command line, ``gguf-lab``: a module for each command."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import GGUFLabError
from .check import add_check
from .compare import add_compare
from .export import add_export
from .inspect import add_info, add_tensors
from .lab import add_lab
from .memory import add_memory
from .quantize import add_quantize
from .report import add_report
from .terminal import fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

_COMMANDS = (
    *(add_info, add_tensors, add_check, add_compare, add_report, add_memory),
    *(add_export, add_quantize, add_lab),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 if the command failed: then one line on standard error says why. ``check`` and
        ``compare --fail-above`` have a 1 too: done, and something is not as it should be. 130 after
        Ctrl-C; SIGTERM and SIGHUP raise SystemExit, of 128 and their number as a shell says it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us (>&-): nobody reads it
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and not arguments.takes_rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    if isinstance(sys.stdout, io.TextIOWrapper):  # tokens hold letters that a terminal may lack
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _ended_in_order():
            status: int = arguments.run(arguments)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader, say `head`, has left. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GGUFLabError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError as error:
        return fail(f"the memory does not suffice: {str(error) or 'no more could be had'}.")
    except KeyboardInterrupt:
        return 130
    return status


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let what is told to end (SIGTERM), or loses its terminal (SIGHUP), leave nothing behind.

    Python would be gone at once. What is ignored, as nohup has it, stays so.
    """

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a shell sends it again when it ends itself
        raise SystemExit(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    here = current_thread() is main_thread()  # no other one may ask for signals
    taken = [n for n in known if here and signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gguf-lab", description="Look inside quantized language models (GGUF files)."
    )
    parser.add_argument("--version", action="version", version=f"gguf-lab {__version__}")
    parser.set_defaults(takes_rest=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser
