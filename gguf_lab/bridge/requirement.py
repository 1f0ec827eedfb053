"""Transformers is an extra: what is said where it is missing, or too old for the tables here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from ..errors import GGUFLabError

__all__ = ["INSTALL", "OLDEST", "require_transformers"]

INSTALL = "pip install 'gguf-lab[transformers]'"
OLDEST = (5, 18)
"""The oldest version of Transformers that loads every family as the tables say."""


def require_transformers(what: str) -> None:
    """Raise GGUFLabError unless Transformers is installed, and new enough."""
    try:
        found = version("transformers")
    except PackageNotFoundError:
        raise GGUFLabError(f"{what} needs the package transformers: {INSTALL}.") from None
    if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GGUFLabError(
            f"{what} needs transformers {oldest} or newer, and {found} is installed: {INSTALL}."
        )
