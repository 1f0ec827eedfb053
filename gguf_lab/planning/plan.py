"""The type for each tensor that leaves least error, for a size that one can afford."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..codec import check_effort
from ..errors import GGUFLabError, UnsupportedError
from ..file import known_qtype, quoted
from ..progress import counted
from ..quantization import check_knows, find_mix, fitting_type, given_imatrix
from ..quantization.imatrix import importance_of
from .basis import Basis, check_budget
from .measuring import Measured, measure, why_not
from .result import Plan
from .sources import open_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from ..quantization.measuring import Matrix
    from .sources import Candidate, Subject

__all__ = ["ALLOWED", "MIXES", "plan"]

ALLOWED = (
    *("Q2_K", "Q3_K", "Q4_0", "IQ4_XS", "IQ4_NL", "Q4_K", "Q5_0", "Q5_1", "Q5_K"),
    *("Q6_K", "Q8_0", "F16"),
)
"""Types to choose from if nothing is said: none needs an importance matrix."""

MIXES = (
    *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "IQ4_XS", "Q4_K_S", "Q4_K_M"),
    *("Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"),
)
"""Named mixes to compare with if nothing is said."""


def plan(
    reference: Any,
    *,
    target_bits_per_weight: float | None = None,
    target_bytes: int | None = None,
    importance: str | PathLike[str] | Mapping[str, Any] | None = None,
    allowed: Sequence[str] = ALLOWED,
    mixes: Sequence[str] = MIXES,
    effort: str = "ggml",
    rows: int | None = None,
    progress: bool | Callable[[int, int], object] = True,
) -> Plan:
    """Choose a type for each tensor, so that the error is least and the file not too large.

    Every type is tried on every tensor; then the sum of all squared errors is minimized under the
    budget (a knapsack problem, solved exactly).

    Parameters
    ----------
    reference : str, path, Model, Checkpoint or torch.nn.Module
        The weights: a GGUF file, or the folder of a checkpoint. What is quantized already keeps the
        errors that it has; only those that are added are measured.
    target_bits_per_weight, target_bytes : float, int
        The budget, one of the two: for the data of all tensors, norms and biases included, without
        metadata and padding.
    importance : str, path or mapping, optional
        An importance matrix: squared errors are weighted by it. That of each tensor is divided by
        its mean, so that tensors without entry count alike.
    allowed : sequence of str, optional
        Types to choose from. A tensor whose rows none of them fits gets what llama-quantize takes
        in their place.
    mixes : sequence of str, optional
        llama-quantize's named mixes to compare with.
    effort : {"ggml", "best"}, optional
        See :func:`gguf_lab.quantize`.
    rows : int, optional
        Measure a sample of so many rows of each tensor, evenly spaced. Default: all rows.
    progress : bool or callable, optional
        Show a progress bar if it takes more than half a second; or call a function with the weights
        that were tried and all of them. What it raises stops the work.

    Returns
    -------
    Plan
        ``.to_frame()`` has a row per tensor, ``.mixes`` the named mixes, ``.plot()`` both;
        ``.export(path)`` writes the file, ``.at(...)`` plans for another budget without measuring.

    Raises
    ------
    GGUFError, CheckpointError
        If the weights, or the file of the importance matrix, are missing or malformed.
    RemoteError
        If the weights lie on a server and cannot be had from there.
    GGUFLabError
        If the budget is impossible: the message says what is possible. If a name is unknown.
    UnsupportedError
        If a tensor can have none of the types.
    QuantizationError
        If a weight is not finite, or the importance matrix does not fit.

    Notes
    -----
    The error of weights is a proxy. It says how far the numbers are from the original ones, and
    counts each alike (or by its importance). How well a model answers is another question: some
    tensors matter more than their size, and only running the model shows it.
    """
    check_budget(target_bits_per_weight, target_bytes)
    names = _known(allowed)
    full = [find_mix(name)[0] for name in ([mixes] if isinstance(mixes, str) else mixes)]
    check_effort(effort)
    with ExitStack() as opened:
        imatrix = given_imatrix(importance, opened)
        subject = opened.enter_context(open_subject(reference))
        if not any(candidate.matrix.n_elements for candidate in subject.candidates):
            raise GGUFLabError(f"{subject.words} has no weights: there is nothing to plan.")
        free = [c for c in subject.candidates if not c.fixed]
        check_knows(imatrix, [c.matrix.name for c in free], subject.words)
        offered = {c.matrix.name: _offered(c, names, imatrix) for c in free}
        wanted = {name: _wanted(subject, name, imatrix) for name in full}
        types = {name: set(types) for name, (types, _) in offered.items()}
        for chosen in wanted.values():
            for name, kind in chosen.items() if isinstance(chosen, dict) else ():
                types[name].add(kind)
        measured = _measure(free, types, imatrix, effort=effort, rows=rows, progress=progress)
    basis = Basis(
        subject.words,
        tuple(
            (c.matrix.name, c.matrix.shape, c.matrix.qtype, c.fixed, c.reason)
            for c in subject.candidates
        ),
        offered,
        measured,
        wanted,
        rows if any(rows is not None and rows < c.matrix.n_rows for c in free) else None,
        importance,
        effort,
        subject.write,
    )
    return Plan.of(basis, target_bits_per_weight, target_bytes)


def _known(allowed: Sequence[str]) -> list[str]:
    names = [allowed] if isinstance(allowed, str) else allowed
    if not (known := dict.fromkeys(known_qtype(name).name for name in names)):
        raise GGUFLabError("allowed is empty: give at least one type to choose from")
    return list(known)


def _offered(
    candidate: Candidate, names: Sequence[str], imatrix: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], str]:
    """Return the types that a tensor may get, and a word if they are others than allowed."""
    matrix = candidate.matrix
    has = importance_of(imatrix, matrix.name, matrix.shape) is not None
    reasons = {name: why_not(matrix, name, importance=has) for name in names}
    fitting = tuple(name for name in names if not reasons[name])
    if fitting:
        return fitting, ""
    instead = tuple(
        dict.fromkeys(
            fits
            for name in names
            if (fits := fitting_type(name, matrix.row_values))
            and not why_not(matrix, fits, importance=has)
        )
    )
    if instead:
        return instead, f"no allowed type fits rows of {matrix.row_values}"
    listed = "; ".join(f"{name}: {why}" for name, why in reasons.items())
    raise UnsupportedError(
        f"tensor {quoted(matrix.name)} can have none of the allowed types ({listed}). Allow more."
    )


def _wanted(subject: Subject, mix: str, imatrix: Mapping[str, Any] | None) -> dict[str, str] | str:
    """Return the type that a mix gives each tensor that can be chosen for; or why it cannot."""
    try:
        choices = subject.choices(mix, has_imatrix=imatrix is not None)
    except UnsupportedError as error:
        return str(error)
    return {c.matrix.name: choices[c.matrix.name].qtype for c in subject.candidates if not c.fixed}


def _measure(
    free: Sequence[Candidate],
    types: Mapping[str, set[str]],
    imatrix: Mapping[str, Any] | None,
    *,
    effort: str,
    rows: int | None,
    progress: bool | Callable[[int, int], object],
) -> Measured:
    def weights(matrix: Matrix) -> int:
        return len(matrix.sample(rows)) * matrix.row_values

    total = sum(weights(c.matrix) * len(types[c.matrix.name]) for c in free)
    with counted(progress, total, "plan") as count:
        return {
            c.matrix.name: measure(
                c.matrix,
                types[c.matrix.name],
                imatrix=imatrix,
                effort=effort,
                rows=rows,
                on_chunk=count,
            )
            for c in free
        }
