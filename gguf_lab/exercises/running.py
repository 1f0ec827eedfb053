"""Running a student's function: it may fail in every way, and is told so."""

from __future__ import annotations

import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["Outcome", "run"]

_HERE = Path(__file__).parent
_FRAMES = 3
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to.

    Attributes
    ----------
    values : numpy.ndarray or None
        What was returned, if it is numbers.
    blank : bool
        Whether nothing was written yet: it returned nothing, or raised NotImplementedError.
    trouble : str
        Why there are no values: an error, or something else was returned.
    where : str
        The lines that led to the error.
    warning : str
        The first warning of Python or NumPy.
    """

    values: npt.NDArray[Any] | None = None
    blank: bool = False
    trouble: str = ""
    where: str = ""
    warning: str = ""


def run(function: Callable[[Any], Any], argument: npt.NDArray[Any]) -> Outcome:
    """Call a function with a copy of `argument`, and catch what it raises.

    An interrupt by the user goes through.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            returned = function(argument.copy())
        except NotImplementedError:
            return Outcome(blank=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a student's code does
            return Outcome(trouble=_words(error), where=_lines(error))
        warning = str(caught[0].message) if caught else ""
        if returned is None or returned is Ellipsis:
            return Outcome(blank=True, warning=warning)
        return _numbers(returned, warning)


def _numbers(returned: Any, warning: str) -> Outcome:
    if isinstance(returned, (bytes, bytearray)):
        returned = np.frombuffer(returned, np.uint8)
    kind = type(returned).__name__
    try:
        values = np.array(returned)  # a copy: the function may write the next block into it
    except Exception as error:  # noqa: BLE001 -- a list of lists of different lengths, a strange object
        words = _words(error).rstrip(".")
        return Outcome(trouble=f"A {kind} was returned that is no array: {words}.")
    if values.dtype.kind not in "fiu":
        return Outcome(
            trouble=f"A {kind} was returned, with elements of type {values.dtype}. Return an array "
            "of numbers."
        )
    return Outcome(values, warning=warning)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _lines(error: BaseException) -> str:
    """Return the last lines of the student's own code: ours are of no interest to anybody."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent != _HERE
    ]
    lines = []
    for frame in frames[-_FRAMES:]:
        lines.append(f"line {frame.lineno}, in {frame.name}")
        if frame.line:
            lines.append(f"    {frame.line[:_LONGEST]}")
    if len(frames) > _FRAMES:
        lines.insert(0, f"({len(frames) - _FRAMES} calls before)")
    return "\n".join(lines)
