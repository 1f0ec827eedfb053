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
    text = re.sub(r"(^[ \t]*|[ \t]+)// [^\"'`\n]*$\n?", "\n", text, flags=re.MULTILINE)
    return re.sub(r"^\s+", "", text, flags=re.MULTILINE)


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


def style(*names: str, page: str | None = None) -> str:
    """One style sheet: the shared rules, and those of the named files inside the panel alone.

    A page has one name space of classes for all its panels. So what is a panel's own is nested in
    the class of its root (``&`` in a file is that root), and styles no other panel.

    Parameters
    ----------
    *names : str
        Stems of files in ``static``; the last one is that of the panel's script, too.
    page : str, optional
        A file of rules for what lies outside the panel.

    Returns
    -------
    str
    """
    root = re.search(r'export default panel\("([a-z-]+)"', _read(f"{names[-1]}.js"))
    if root is None:
        raise ValueError(f"{names[-1]}.js has no panel")
    own = "\n".join(_read(f"{name}.css") for name in names)
    outside = _read(f"{page}.css") if page else ""
    return f"{_read('shared.css')}\n.gl-{root[1]} {{\n{own}\n}}\n{outside}"
