"""An importance matrix as a user gives it: its file, or what is in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import QuantizationError
from ..file import preview
from .imatrix import open_imatrix

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["given_imatrix"]


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
