"""Static HTML for places without a kernel: no script, inline styles, escaped text."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from .text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["card", "grid", "image", "more"]

_LINE = "1px solid rgba(128,128,128,.35)"
_CELL = f"padding:2px 10px;border-bottom:{_LINE};"
_SHORT = "white-space:pre;"
_LONG = "white-space:pre-wrap;overflow-wrap:anywhere;min-width:220px;"


def card(title: str, *parts: str, note: str = "") -> str:
    """Frame static parts under a title.

    Parameters
    ----------
    title : str
        Plain text.
    *parts : str
        HTML.
    note : str
        Plain text under the title.
    """
    head = f'<div style="font-weight:600;font-size:14px">{escaped(title)}</div>'
    if note:
        head += f'<div style="opacity:.75;margin:2px 0 6px">{escaped(note, 2000)}</div>'
    return (
        f'<div style="font-family:sans-serif;font-size:13px;line-height:1.4;border:{_LINE};'
        f'border-radius:6px;padding:8px 12px">{head}{"".join(parts)}</div>'
    )


def grid(headers: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """Write a table.

    Parameters
    ----------
    headers, rows : sequences of str
        Plain text.
    numeric : iterable of int
        Positions of the columns that are aligned to the right.
    """
    right = set(numeric)
    align = ["right" if i in right else "left" for i in range(len(headers))]
    head = "".join(
        f'<th scope="col" style="{_CELL}text-align:{a};white-space:nowrap">{escaped(h)}</th>'
        for h, a in zip(headers, align, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row, align))}</tr>" for row in rows)
    return (
        '<div style="overflow:auto;max-height:420px"><table style="border-collapse:collapse;'
        f'font-variant-numeric:tabular-nums"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _cell(text: str, align: str) -> str:
    space = _LONG if len(text) > 48 else _SHORT
    return f'<td style="{_CELL}{space}text-align:{align}">{escaped(text)}</td>'


def more(total: int, shown: int, what: str) -> str:
    """Say how much was left out, if anything was."""
    if shown >= total:
        return ""
    return (
        f'<div style="opacity:.75;margin-top:4px">and {total - shown:,} more {escaped(what)}</div>'
    )


def image(svg: str, words: str) -> str:
    """Embed an SVG as an image: shown even where inline SVG is removed, and unable to run."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    return (
        f'<img alt="{escaped(words, 1000)}" style="max-width:100%" '
        f'src="data:image/svg+xml;base64,{data}">'
    )
