"""Text of a file that nobody vouches for: decoded without failing, shown without harm.

What is not seen, or changes what is seen, is shown as an escape.
"""

from __future__ import annotations

import difflib
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["aligned", "decode", "few", "path_text", "preview", "printable", "quoted", "suggest"]

_LONGEST_ESCAPE = 10  # \U0001f600


def decode(raw: bytes | memoryview) -> str:
    r"""Decode UTF-8; bytes that are not UTF-8 become ``\xNN``.

    Examples
    --------
    >>> decode(b"caf\xc3\xa9 \xff")
    'café \\xff'
    """
    return str(raw, "utf-8", "backslashreplace")


def printable(text: str, limit: int | None = 80, *, lines: bool = False) -> str:
    r"""Return `text` with at most `limit` characters, control characters escaped.

    Whatever ``str.isprintable`` refuses (control characters, line separators, the characters that
    turn the direction of writing) is written as Python would write it in a literal. It is not HTML.

    Parameters
    ----------
    text : str
        Any text, for example a token of a vocabulary.
    limit : int or None
        Longest result; what is cut off is marked with an ellipsis.
    lines : bool
        Keep line breaks and tabs, as for preformatted text.

    Examples
    --------
    >>> print(printable("a\x1b[31m\u202eb\n"))
    a\x1b[31m\u202eb\n
    >>> printable("x" * 10, limit=5)
    'xxxx…'
    >>> printable("one\n\ttwo\x00", lines=True)
    'one\n\ttwo\\x00'
    """
    if limit is None:
        limit = max(1, len(text) * _LONGEST_ESCAPE)
    kept = "\n\t" if lines else ""
    cut = len(text) > limit
    text = text[:limit]
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)
        cut = cut or len(text) > limit
    return text[: limit - 1] + "…" if cut else text


def path_text(path: object) -> str:
    """Return a path as printable text, whole: its end says which file it is."""
    return printable(str(path), None)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Write rows of a table as lines, the columns numbered in `right` to the right.

    Examples
    --------
    >>> aligned([("name", "size"), ("a", "10"), ("bc", "5")], right=[1])
    ['name  size', 'a       10', 'bc       5']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def few(words: Iterable[str], between: str = ", ", most: int = 3) -> str:
    """Return the first of some words, and how many more there are.

    Examples
    --------
    >>> few("abcde")
    'a, b, c and 2 more'
    """
    every = list(words)
    left = len(every) - most
    return between.join(every[:most]) + (f" and {left:,} more" if left > 0 else "")


def quoted(text: str) -> str:
    """Return a name of the file, safe to print, in quotes."""
    return f"'{printable(text)}'"


def preview(value: object, limit: int = 80) -> str:
    """Return a metadata value as one line of at most `limit` characters.

    Text is quoted, numbers and truth values are written as Python writes them, arrays by their own
    short ``repr``.
    """
    if isinstance(value, str):
        return f'"{printable(value, limit - 2)}"'
    return printable(repr(value), limit)


def suggest(word: object, names: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the names closest to `word`, or nothing.

    Looks at 20,000 names at most, and not at very long ones, so that a hostile file cannot make a
    wrong name expensive.
    """
    if not isinstance(word, str) or len(word) > 1000:
        return ""
    near = [n for n in islice(names, 20_000) if len(n) < 2 * len(word) + 16]
    found = difflib.get_close_matches(word, near, n=3)
    if not found:
        found = [n for n in near if word and word in n][:3]
    if not found:
        return ""
    # In double quotes: a KeyError shows the repr of its message, which then needs no backslashes.
    return f" Did you mean {' or '.join(map(preview, found))}?"
