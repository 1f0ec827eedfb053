"""Untrusted text made safe to show: what is not seen, or changes what is seen, is shown escaped."""

from __future__ import annotations

import html

from ..file.text import printable

__all__ = ["escaped", "visible"]

_LONGEST_ESCAPE = 10  # \U0001f600


def visible(text: str, limit: int | None = None, *, lines: bool = False) -> str:
    r"""Show a text as it is, control and bidirectional characters escaped.

    Parameters
    ----------
    text : str
        Any text, for example a token of a vocabulary.
    limit : int, optional
        Longest result; what is cut off is marked with an ellipsis.
    lines : bool
        Keep line breaks and tabs, as for preformatted text.

    Returns
    -------
    str
        Printable text. It is not HTML: use `escaped` for that.

    Examples
    --------
    >>> print(visible("a\x1b[31mred\n"))
    a\x1b[31mred\n
    >>> visible("one\n\ttwo\x00", lines=True)
    'one\n\ttwo\\x00'
    """
    if limit is None:
        limit = max(1, len(text) * _LONGEST_ESCAPE)
    if not lines:
        return printable(text, limit)
    cut = len(text) > limit
    shown = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text[:limit])
    return f"{shown}…" if cut else shown


def escaped(text: str, limit: int | None = 400, *, lines: bool = False) -> str:
    """Show a text inside HTML: `visible`, then with the characters of HTML escaped.

    Examples
    --------
    >>> escaped("<b>")
    '&lt;b&gt;'
    """
    return html.escape(visible(text, limit, lines=lines))
