"""What the scripts take on the command line, refused before anything is measured."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["at_least_one", "file_to_write", "one_of"]


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """Return what takes a name; `choices` of argparse would refuse a list of none."""

    def known(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(f"expected one of {', '.join(names)}; got {text!r}")
        return text

    return known


def at_least_one(text: str) -> int:
    """Return a whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def file_to_write(text: str) -> Path:
    """Return the path of a file whose folder exists."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise ArgumentTypeError(f"{text!r}: expected a file in a folder that exists")
    return path
