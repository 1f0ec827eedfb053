"""The report: check and compare once, write the page in one piece."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..checks import check
from ..comparison import check_is_of, compare
from ..errors import GGUFError, writing_to
from ..file.source import expanded
from ..file.text import path_text, printable
from ..file.writer import check_target, is_read, partial_path
from ..model import given_model
from ..model.card import title_of
from ..reference import given_reference
from . import about, differences
from .page import document
from .reading import how_it_was_made, how_to_read

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from ..checks import Findings
    from ..comparison import Comparison
    from ..file import Address
    from ..model import Model
    from ..reference import Checkpoint

__all__ = ["html_of", "report"]


def report(
    model: str | Path | Address | Model,
    path: str | os.PathLike[str],
    reference: str | Path | Address | Checkpoint | Model | None = None,
    *,
    comparison: Comparison | None = None,
    findings: Findings | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write what there is to say about a GGUF file as one HTML page that needs nothing else.

    The page has no script and no links, prints, and is below 3 MB.

    Parameters
    ----------
    model : str, path, Address or Model
        The file, or any file of a shard set.
    path : str or os.PathLike
        The page to write.
    reference : str, path, Address, Checkpoint or Model, optional
        The original, or another GGUF file, as in `compare`. Without one the page has no errors.
    comparison, findings : Comparison, Findings, optional
        What `compare` and `check` found for the same files, so that it is not done again.
    overwrite : bool
        Replace what is there.
    progress : bool
        Show progress bars if it takes more than half a second.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    GGUFError
        If the file is malformed, or the page cannot be written: there is a file at `path` and
        `overwrite` is not set, or it is a file that the page is about; or `findings` are of
        another file.
    CheckpointError
        If the reference is malformed.
    ComparisonError
        If the reference is of another model, or `comparison` of another file or
        with another reference.
    RemoteError
        If either lies on a server and cannot be had from there.

    See Also
    --------
    check, compare : what the page shows, as objects.
    """
    path = expanded(path)
    check_target([path], 0, overwrite)
    with ExitStack() as opened:
        model = given_model(model, opened)
        if reference is not None:
            reference = given_reference(reference, opened)
        sides = (model,) if reference is None else (model, reference)
        if any(is_read(path, side.sources) for side in sides):
            raise GGUFError(
                f"{path_text(path)} is a file that the page is about: it would be lost. Give"
                " the page another name."
            )
        if comparison is not None:
            check_is_of(comparison, model, reference)
        names = {model.path.name, *(part.name for part in model.file.paths)}
        if findings is not None and findings.name not in names:
            raise GGUFError(
                f"the findings are of {printable(findings.name)}, the page about "
                f"{printable(model.path.name)}. Check this file, or leave out findings=..."
            )
        if reference is not None and comparison is None:
            comparison = compare(model, reference, progress=progress)
        if findings is None:
            findings = check(model, reference, comparison=comparison, progress=progress)
        content = html_of(model, findings, comparison).encode()
    partial = partial_path(path)
    try:
        with writing_to(path):
            partial.write_bytes(content)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def html_of(model: Model, findings: Findings, comparison: Comparison | None = None) -> str:
    """Return the page as text.

    Parameters
    ----------
    model : Model
    findings : Findings
    comparison : Comparison, optional
    """
    from .. import __version__

    sections = [about.about_file(model), about.findings(findings), about.sizes(model)]
    if comparison is not None:
        sections.append(differences.weight_errors(comparison))
        sections += filter(
            None,
            (differences.left_out(comparison), differences.metadata_differences(comparison)),
        )
    sections += [differences.all_tensors(model, comparison), about.metadata(model)]
    sections += [how_to_read(), how_it_was_made(model, comparison, __version__)]
    return document(title_of(model), sections, about.verdict(findings))
