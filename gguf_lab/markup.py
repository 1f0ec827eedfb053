"""Static HTML without script: what every ``_repr_html_`` is made of.

Text is escaped here and nowhere else: a function takes plain text and returns `Html`, and leaves
alone what is `Html` already. Colours come from JupyterLab or VS Code where they are there, else
from what surrounds the output, so that a card can be read in light and dark.
"""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

from .file.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Html",
    "card",
    "escaped",
    "facts",
    "fold",
    "grid",
    "image",
    "mark",
    "more",
    "note",
    "preformatted",
    "stacked",
]

_COLOUR = "var(--jp-ui-font-color1, var(--vscode-foreground, inherit))"
_LINE = "1px solid var(--jp-border-color2, rgba(128,128,128,.4))"
# All of it is English: where a page is written from right to left, signs would change sides.
_BOX = (
    f"direction:ltr;border:{_LINE};border-radius:4px;padding:8px 12px;color:{_COLOUR};"
    "line-height:1.5;"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);"
    "font-size:var(--jp-ui-font-size1,13px);"
)
_QUIET = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,inherit));"
_MONO = "font-family:var(--jp-code-font-family,monospace);"
_WARNING = "border-left:4px solid var(--jp-warn-color1,#e69f00);padding:2px 8px;margin:6px 0;"
_TABLE = (
    "border-collapse:collapse;margin:4px 0;color:inherit;font-size:inherit;"
    "font-variant-numeric:tabular-nums;"
)
_CELL = "vertical-align:top;padding:1px 14px 1px 0;"
_SHORT = "white-space:pre;"
_LONG = "white-space:pre-wrap;overflow-wrap:anywhere;min-width:220px;"

# What scrolls on a screen is cut off on paper. Each output has it once, for itself: it may be the
# only one that is kept, copied or shown.
_PAPER = (
    "<style>@media print{.gguf-lab div{overflow:visible!important;max-height:none!important}"
    ".gguf-lab :is(th,td){white-space:pre-wrap!important;overflow-wrap:anywhere;"
    "min-width:0!important}}</style>"
)

# Okabe and Ito's colours, told apart by every eye; thin enough for the text of either theme.
_MARKS = ("0,114,178", "230,159,0", "0,158,115", "204,121,167", "86,180,233", "213,94,0")


class Html(str):
    """Markup that is safe as it is. All other text is taken for plain text."""

    __slots__ = ()


def escaped(text: str, limit: int | None = 400, *, lines: bool = False) -> Html:
    """Show a text inside HTML: `printable`, then with the characters of HTML escaped.

    Examples
    --------
    >>> escaped("<b>")
    '&lt;b&gt;'
    """
    if isinstance(text, Html):
        return text
    return Html(html.escape(printable(text, limit, lines=lines)))


def card(title: str, *parts: Html, note: str = "", warnings: Iterable[str] = ()) -> Html:
    """Frame parts under a title.

    Parameters
    ----------
    title : str
    *parts : Html
    note : str
        A line under the title.
    warnings : iterable of str
    """
    head = f'<div style="font-weight:600">{escaped(title)}</div>'
    if note:
        head += f'<div style="{_QUIET}margin:2px 0 6px">{escaped(note, 2000)}</div>'
    for text in warnings:
        head += f'<div role="note" style="{_WARNING}">Warning: {escaped(text, 2000)}</div>'
    return _once(f'<div class="gguf-lab" style="{_BOX}">{_PAPER}{head}{"".join(parts)}</div>')


def stacked(cards: Iterable[str]) -> Html:
    """Put cards below each other, as one output."""
    return _once('<div style="height:6px"></div>'.join(cards))


def _once(output: str) -> Html:
    """Leave the style for paper to the first card, also of those inside of others."""
    before, style, after = output.partition(_PAPER)
    return Html(before + style + after.replace(_PAPER, ""))


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """List labels and their values, a line each."""
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL}text-align:left;font-weight:normal;{_QUIET}">'
        f'{escaped(label)}</th><td style="{_CELL}text-align:left;overflow-wrap:anywhere">'
        f"{escaped(value)}</td></tr>"
        for label, value in pairs
    )
    return Html(f'<table style="{_TABLE}">{rows}</table>')


def grid(
    headers: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()
) -> Html:
    """Write a table, which scrolls if it is long.

    Parameters
    ----------
    headers, rows : sequences of str
    numeric : iterable of int
        Positions of the columns that are aligned to the right.
    """
    right = set(numeric)
    align = ["right" if i in right else "left" for i in range(len(headers))]
    head = "".join(
        f'<th scope="col" style="{_CELL}text-align:{a};white-space:nowrap;font-weight:600">'
        f"{escaped(h)}</th>"
        for h, a in zip(headers, align, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row, align))}</tr>" for row in rows)
    return Html(
        f'<div style="overflow:auto;max-height:420px"><table style="{_TABLE}"><thead><tr>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(text: str, align: str) -> str:
    space = _LONG if len(text) > 48 and not isinstance(text, Html) else _SHORT
    return f'<td style="{_CELL}{space}text-align:{align}">{escaped(text)}</td>'


def fold(summary: str, *parts: Html) -> Html:
    """Fold parts away under a line that unfolds them."""
    return Html(
        f'<details><summary style="cursor:pointer">{escaped(summary)}</summary>{"".join(parts)}'
        "</details>"
    )


def note(text: str) -> Html:
    """Write a quiet line; nothing if there is no text."""
    return Html(f'<div style="{_QUIET}margin-top:4px">{escaped(text, 2000)}</div>' if text else "")


def more(total: int, shown: int, what: str) -> Html:
    """Say how much was left out, if anything was."""
    return note(f"and {total - shown:,} more {what}" if shown < total else "")


def mark(text: str, number: int, title: str = "") -> Html:
    """Mark a piece of text in one of six colours; the same number is the same colour."""
    colour = _MARKS[number % len(_MARKS)]
    words = f' title="{escaped(title)}"' if title else ""
    return Html(
        f'<span style="{_MONO}padding:0 2px;background:rgba({colour},.28);'
        f'border-bottom:2px solid rgb({colour})"{words}>{escaped(text)}</span>'
    )


def preformatted(text: str, limit: int | None = 100_000) -> Html:
    """Keep the spaces and lines of a text."""
    return Html(
        f'<pre style="{_MONO}margin:6px 0;padding:0;overflow-x:auto;line-height:1.7;color:inherit;'
        f'background:none">{escaped(text, limit, lines=True)}</pre>'
    )


def image(svg: str, words: str) -> Html:
    """Embed an SVG as an image: shown even where inline SVG is removed, and unable to run."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    return Html(
        f'<img alt="{escaped(words, 1000)}" style="max-width:100%" '
        f'src="data:image/svg+xml;base64,{data}">'
    )
