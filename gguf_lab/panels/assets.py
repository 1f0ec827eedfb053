"""The scripts and styles of the panels, joined from their files.

Every widget carries its whole script (a notebook stores it once per widget), so each stays small:
the shared helpers come first, then the panel's own file. There is no build step and no network.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["script", "style"]


@cache
def _read(name: str) -> str:
    text = (files(__package__) / "static" / name).read_text(encoding="utf-8")
    # Comments and indentation are for us: every notebook would store them again and again.
    text = re.sub(r"^\s*/\*\*.*?\*/\n", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)


def script(*names: str) -> str:
    """One ES module: the shared helpers and the named files, in order.

    Parameters
    ----------
    *names : str
        Stems of files in ``static``; the last one has the module's ``export default``.

    Returns
    -------
    str
        The source text of the module.
    """
    return "\n".join(_read(f"{name}.js") for name in ("shared", *names))


def style(*names: str) -> str:
    """One style sheet: the shared rules and those of the named files, in order."""
    return "\n".join(_read(f"{name}.css") for name in ("shared", *names))
