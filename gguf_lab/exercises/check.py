"""Hold a student's function against the codec, and say what is wrong first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec import FORMATS
from ..errors import GGUFLabError
from ..file.text import suggest
from .running import Outcome, run
from .tasks import EXERCISES, Task, find_task
from .verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

__all__ = ["check"]

_HALF = 2.0**-9  # what a few roundings to half precision amount to


def check(exercise: str, function: Callable[[Any], Any]) -> Verdict:
    """Try a student's function, and say which weight is the first wrong one and why.

    Parameters
    ----------
    exercise : str
        ``"Q8_0"``, ``"Q4_0"`` or ``"Q4_K"``: decode one block of that type. `function` takes its
        bytes, a uint8 array of shape (type_size,), and returns its weights, a float32 array of
        shape (block_size,). ``"quantize Q4_0"``: `function` takes 32 weights (float32) and returns
        the 18 bytes of a block (uint8). Any other type that the codec decodes can be tried too;
        wrong weights are then found, but mistakes not named.
    function : callable
        The student's. It is called once for each of a handful of blocks, with a copy of it.

    Returns
    -------
    Verdict
        True if every bit is right: of the float32 that ggml computes, of the bytes that it writes.
        Whatever the function does, an error included, is told in the verdict and not raised.

    Raises
    ------
    GGUFLabError
        If there is no such exercise.

    Examples
    --------
    >>> def decode(block):
    ...     return block[:2].view("<f2")[0] * block[2:].astype("f4")
    >>> check("Q8_0", decode).said[0]
    'Block 0 (a scale of 1), weight 0: expected -16.0, got 240.0.'
    """
    if not isinstance(exercise, str) or (exercise not in EXERCISES and exercise not in FORMATS):
        raise GGUFLabError(
            f"there is no exercise {exercise!r}: there are {', '.join(EXERCISES)}, and any other "
            f"type to decode.{suggest(str(exercise), dict.fromkeys([*EXERCISES, *FORMATS]))}"
        )
    if not callable(function):
        text = f"Give the function itself, as in check({exercise!r}, decode), not its result."
        return Verdict(exercise, "wrong", (text,))
    task = find_task(exercise)
    return _judge(task, [run(function, trial.given) for trial in task.solution.trials])


def _judge(task: Task, outcomes: Sequence[Outcome]) -> Verdict:
    if all(outcome.blank for outcome in outcomes):
        return Verdict(task.name, "not yet", ("Nothing is returned yet: write the function.",))
    numbers = [
        None if o.values is None or o.values.shape != right.shape else _as_asked(o.values, task)
        for o, right in zip(outcomes, task.right, strict=True)
    ]
    for k, values in enumerate(numbers):
        if values is None:
            return _no_numbers(task, k, outcomes[k])
        if _differing(values, task.right[k]).any():
            return _wrong_numbers(task, k, numbers, outcomes)
    return _right_numbers(task, outcomes)


def _as_asked(values: npt.NDArray[Any], task: Task) -> npt.NDArray[Any]:
    """Return weights as float32; bytes as they are, so that 300 or -1 is not hidden."""
    with np.errstate(all="ignore"):
        return values.astype(task.dtype) if task.dtype.kind == "f" else values


def _differing(values: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which numbers are wrong: of floats a single bit is enough, the sign of a zero too."""
    differ = values != right
    if right.dtype.kind == "f":
        differ |= np.signbit(values) != np.signbit(right)
    return np.asarray(differ)


def _right_numbers(task: Task, outcomes: Sequence[Outcome]) -> Verdict:
    for outcome in outcomes:
        if outcome.values is not None and outcome.values.dtype != task.dtype:
            text = (
                f"Every value is right, but of type {outcome.values.dtype}; {task.dtype} was asked "
                f"for: return np.asarray(result, np.{task.dtype})."
            )
            return Verdict(task.name, "wrong", (text,))
    count = sum(right.size for right in task.right)
    text = f"All {count:,} {task.unit}s of {len(task.right)} blocks are right, to the bit."
    return Verdict(task.name, "right", (text,))


def _no_numbers(task: Task, k: int, outcome: Outcome) -> Verdict:
    right = task.right[k]
    if outcome.values is None:
        text = "nothing was returned." if outcome.blank else outcome.trouble
        said = (f"{task.place(k)}: {text}", *_warned(outcome))
        return Verdict(task.name, "wrong", said, k, working=outcome.where)
    shape, size = outcome.values.shape, outcome.values.size
    advice = " Flatten it with .ravel()." if size == right.size else ""
    if size == 1:
        advice = f" Return all {right.size} {task.unit}s of the block."
    text = f"{task.place(k)}: expected an array of shape {right.shape}, got {shape}.{advice}"
    return Verdict(task.name, "wrong", (text, *_warned(outcome)), k)


def _wrong_numbers(
    task: Task,
    k: int,
    numbers: Sequence[npt.NDArray[Any] | None],
    outcomes: Sequence[Outcome],
) -> Verdict:
    values, right = numbers[k], task.right[k]
    assert values is not None
    index = int(np.flatnonzero(_differing(values, right))[0])
    expected, got = right[index], values[index]
    where = f"{task.place(k, index)}: expected {task.shown(expected)}, got {task.shown(got)}."
    mistakes = task.solution.recognise(k, numbers)
    said = [where]
    if mistakes:
        said += [f"It looks like this: {mistakes[0]}", *(f"And also: {m}" for m in mistakes[1:])]
    else:
        said += _unnamed(task, index, numbers, k)
    return Verdict(
        task.name,
        "wrong",
        (*said, *_warned(outcomes[k])),
        k,
        index,
        float(expected),
        float(got),
        " ".join(mistakes or ()),
        task.working(k, index),
    )


def _unnamed(
    task: Task, index: int, numbers: Sequence[npt.NDArray[Any] | None], k: int
) -> list[str]:
    """Say what can be said of wrong numbers that no known mistake gives."""
    values, right = numbers[k], task.right[k]
    assert values is not None
    wrong = _differing(values, right)
    verb = "is" if wrong.sum() == 1 else "are"
    count = f"{wrong.sum()} of its {right.size} {task.unit}s {verb} wrong."
    if task.dtype.kind != "f":
        return [count]
    pairs = [(v, r) for v, r in zip(numbers, task.right, strict=True) if v is not None]
    if all(np.array_equal(v, r) for v, r in pairs):
        return ["Only the sign of a zero is wrong: multiply as ggml does, the scale by the code."]
    if all((np.abs(v - r) <= _HALF * np.abs(r).max()).all() for v, r in pairs):
        return ["That is rounding only: it is not done in float32, or not in ggml's order."]
    if np.isnan(values[index]):
        count += " NaN is no number: it comes from bytes that are no scale, 0 / 0 or inf - inf."
    return [count]


def _warned(outcome: Outcome) -> tuple[str, ...]:
    return (f"Python warned: {outcome.warning}.",) if outcome.warning else ()
