"""One hierarchy of errors. A message says what was read, where, what was expected, what to do."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

__all__ = [
    "ChatTemplateError",
    "CheckpointError",
    "ComparisonError",
    "GGUFError",
    "GGUFLabError",
    "QuantizationError",
    "RemoteError",
    "UnsupportedError",
    "starting_threads",
    "writing_to",
]


_LONGEST = 4000


class GGUFLabError(ValueError):
    """Root of every error that GGUF Lab raises on purpose.

    Its message is safe to print, whatever it quotes: the name of a file, too, is a stranger's.
    Characters that steer a terminal or turn the direction of writing are written as escapes.
    """

    def __init__(self, message: str = "") -> None:
        start = message[: _LONGEST + 1]
        shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in start)
        super().__init__(shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…")


class GGUFError(GGUFLabError):
    """A file is not a well-formed GGUF file, or the asked part of it is missing or cut short."""


class CheckpointError(GGUFLabError):
    """A safetensors checkpoint (file, index, configuration) is missing or malformed."""


class UnsupportedError(GGUFLabError):
    """The data is intact, but no definition is known that could decode it."""


class QuantizationError(GGUFLabError):
    """Values cannot be quantized: not finite, no whole number of blocks, a malformed importance."""


class ComparisonError(GGUFLabError):
    """A model and a reference cannot be compared: not made for each other, or an unknown name."""


class RemoteError(GGUFLabError):
    """Something on a server cannot be had: refused, out of reach, changed, not in time."""


class ChatTemplateError(GGUFLabError):
    """A chat template is missing, is malformed, refuses the messages, or does not end in bounds."""


@contextmanager
def starting_threads(error: type[GGUFLabError] = GGUFLabError) -> Iterator[None]:
    """Have the system's refusal of another thread say what can be done."""
    try:
        yield
    except RuntimeError as problem:
        raise error(
            f"no thread can be started ({problem}): a user or a container may have only so many, "
            "or memory is full. End what is not needed, or allow more (ulimit -u, pids.max)."
        ) from None


@contextmanager
def writing_to(path: str | PathLike[str]) -> Iterator[None]:
    """Have the system's errors name the file that is written: a full disk does not."""
    try:
        yield
    except OSError as problem:
        if problem.errno and not problem.filename:
            problem.filename = str(path)
        raise
