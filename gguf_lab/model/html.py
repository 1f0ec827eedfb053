"""Static HTML without script: a card and a table, readable in light and dark, text escaped.

Colours come from JupyterLab where it is there, else from what surrounds the output.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["card", "table"]

_LINE = "1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.4))"
_BOX = (
    f"border: {_LINE}; border-radius: 4px; padding: 8px 12px; max-width: 60em; "
    "color: var(--jp-ui-font-color1, inherit); "
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); "
    "font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5;"
)
_QUIET = "color: var(--jp-ui-font-color2, inherit);"
_TABLE = "border-collapse: collapse; margin: 4px 0;"
_CELL = "text-align: left; vertical-align: top; padding: 1px 14px 1px 0; overflow-wrap: anywhere;"
_WARNING = "border-left: 4px solid var(--jp-warn-color1, #e69f00); padding: 2px 8px; margin: 6px 0;"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL} font-weight: normal; {_QUIET}">{escape(label)}</th>'
        f'<td style="{_CELL}">{escape(value)}</td></tr>'
        for label, value in facts
    )
    return f'<table style="{_TABLE}">{rows}</table>'


def _grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(
        f'<th scope="col" style="{_CELL} font-weight: 600;">{escape(name)}</th>' for name in columns
    )
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def card(
    title: str,
    facts: Iterable[tuple[str, str]],
    warnings: Iterable[str] = (),
    details: Iterable[tuple[str, Sequence[str], Iterable[Sequence[str]]]] = (),
) -> str:
    """Return a card.

    Parameters
    ----------
    title : str
        The first line. This and all other text is plain text.
    facts : iterable of (label, value)
        One line each.
    warnings : iterable of str
        What is wrong with the file.
    details : iterable of (summary, columns, rows)
        Tables that are folded away.
    """
    parts = [f'<div style="font-weight: 600;">{escape(title)}</div>']
    parts += [
        f'<div role="note" style="{_WARNING}">Warning: {escape(text)}</div>' for text in warnings
    ]
    parts.append(_facts(facts))
    parts += [
        f'<details><summary style="cursor: pointer;">{escape(summary)}</summary>'
        f"{_grid(columns, rows)}</details>"
        for summary, columns, rows in details
    ]
    return f'<div class="gguf-lab" style="{_BOX}">{"".join(parts)}</div>'


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """Return a titled table of plain text, and a note under it."""
    return (
        f'<div class="gguf-lab" style="{_BOX}"><div style="font-weight: 600;">{escape(title)}</div>'
        f'{_grid(columns, rows)}<div style="{_QUIET}">{escape(note)}</div></div>'
    )
