"""The check: what has to be read is read once, then every rule is asked."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..comparison import Run, check_is_of
from ..errors import ComparisonError, GGUFError
from ..file.remote import location
from ..model import Model, open_model
from ..progress import counted
from ..reference import given_reference

# Importing them enters their rules into the table, in this order.
from . import (  # noqa: F401
    against,
    architecture,
    chat,
    keys,
    layout,
    naming,
    projectors,
    tokenizer,
    types,
    values,
)  # isort: skip
from .findings import Finding, Findings
from .rules import RULES, Subject
from .scan import Scan, scan_tensor, scannable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..comparison import Comparison
    from ..file import Address
    from ..reference import Checkpoint

__all__ = ["check"]


def check(
    model: str | Path | Address | Model,
    reference: str | Path | Address | Checkpoint | Model | None = None,
    *,
    deep: bool = True,
    progress: bool = True,
    comparison: Comparison | None = None,
) -> Findings:
    """Say everything that is unusual or wrong in a GGUF file, the worst first.

    Parameters
    ----------
    model : str, path, Address or Model
        The file, or any file of a shard set.
    reference : str, path, Address, Checkpoint or Model, optional
        Its original, or another GGUF file, as in `compare`.
    deep : bool
        Read all values: NaN, infinities, zeros, odd scales. Of a file on a server all of it is
        fetched for that. False: the head of the file only, and no comparison.
    progress : bool
        Show a progress bar if it takes more than half a second.
    comparison : Comparison, optional
        What `compare` found for the two, so that it is not done again.

    Returns
    -------
    Findings
        A malformed file is a finding too, and the only one.

    Raises
    ------
    GGUFError
        If the file is missing or cannot be read at all.
    CheckpointError
        If the reference is malformed.
    ComparisonError
        If `comparison` is of another file, or with another reference.
    RemoteError
        If either lies on a server and cannot be had from there.

    Notes
    -----
    The rules are in ``gguf_lab.checks.RULES``, each with its source.
    """
    with ExitStack() as opened:
        if not isinstance(model, Model):
            file = location(model)
            try:
                model = opened.enter_context(open_model(model))
            except GGUFError as error:
                # Path.is_file raises where it may not look.
                if not isinstance(file, Path) or not os.path.isfile(file):  # noqa: PTH113
                    raise  # of a server, or missing: no finding about a file
                found = Finding("error", "malformed", "file", str(error))
                return Findings(file.name, [found], dict.fromkeys(RULES, "malformed file"))
        if reference is not None:
            reference = given_reference(reference, opened)
        if comparison is not None:
            check_is_of(comparison, model, reference)
        return _check(model, reference, comparison, deep=deep, progress=progress)


def _check(
    model: Model,
    reference: Checkpoint | Model | None,
    comparison: Comparison | None,
    *,
    deep: bool,
    progress: bool,
) -> Findings:
    skipped, found = {}, []
    scans: dict[str, Scan] = {}
    passes = deep * (1 + (reference is not None and comparison is None))
    with counted(progress, passes * model.n_parameters, "check") as count:
        if deep:
            scans = _scan(model, count)
        if deep and reference is not None and comparison is None:
            try:
                comparison = Run(model, reference).result(count)
            except ComparisonError as error:
                found.append(Finding("error", "other-model", "file", str(error)))
    subject = Subject(model, reference, comparison, scans)
    absent = {
        "values": "" if deep else "values were not read",
        "comparison": "" if comparison is not None else "nothing was compared",
        "original": _no_original(reference),
        "jinja2": "" if find_spec("jinja2") else "jinja2 is not installed",
    }
    for code, rule in RULES.items():
        if rule.kinds and model.kind not in rule.kinds:
            continue
        if why := absent.get(rule.needs):
            skipped[code] = why
        else:
            found.extend(rule(subject))
    return Findings(model.path.name, found, skipped)


def _no_original(reference: Checkpoint | Model | None) -> str:
    """Return why nobody can read the tokenizer of the original; "" if it is at hand."""
    if reference is None:
        return "no reference was given"
    if isinstance(reference, Model) or isinstance(reference.path, Path):
        return ""
    return "the checkpoint's tokenizer is on a server"


def _scan(model: Model, count: Callable[[int], object]) -> dict[str, Scan]:
    scans = {}
    for name, tensor in model.tensors.items():
        if scannable(tensor):
            scans[name] = scan_tensor(tensor)
        count(tensor.n_elements)
    return scans
