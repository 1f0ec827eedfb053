"""An importance matrix as a user gives it: its file, or what is in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import QuantizationError
from ..file import preview
from .imatrix import Imatrix, open_imatrix

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import ExitStack
    from pathlib import Path

__all__ = ["check_knows", "file_of", "given_imatrix"]


def given_imatrix(
    given: str | os.PathLike[str] | Mapping[str, Any] | None, opened: ExitStack
) -> Mapping[str, Any] | None:
    """Return the matrix that was given; a file is opened, and closed with `opened`.

    Raises
    ------
    QuantizationError
        If it is neither a path nor a mapping.
    """
    if isinstance(given, str | os.PathLike):
        return opened.enter_context(open_imatrix(given))
    if given is not None and not isinstance(given, Mapping):
        raise QuantizationError(
            f"an importance matrix is given as {preview(given)}. Expected its file, or a mapping "
            "of the names of tensors to arrays."
        )
    return given


def file_of(imatrix: Mapping[str, Any] | None) -> tuple[Path, ...]:
    """Return the file of an importance matrix, if it is one."""
    return (imatrix.path,) if isinstance(imatrix, Imatrix) else ()


def check_knows(imatrix: Mapping[str, Any] | None, names: Collection[str], model: str) -> None:
    """Check that an importance matrix has an entry for one of a model's tensors.

    Raises
    ------
    QuantizationError
        If it has none.
    """
    if imatrix is not None and names and not any(name in imatrix for name in names):
        raise QuantizationError(
            f"none of the {len(imatrix)} entries of the importance matrix is a tensor of "
            f"{model}. Expected the importance matrix of this model."
        )
