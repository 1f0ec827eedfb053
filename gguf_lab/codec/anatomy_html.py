"""A block as static HTML: the byte map coloured by field, the fields, one weight step by step.

No script; colours follow JupyterLab, and a mark next to each name says what the colour says.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["html_of"]

_PER_LINE = 16

# Okabe and Ito's colours, told apart by every eye; thin enough for the text of either theme.
_COLOURS = ("0,114,178", "230,159,0", "0,158,115", "204,121,167", "86,180,233", "213,94,0")

_BOX = (
    "border: 1px solid var(--jp-border-color2, rgba(128,128,128,0.4)); border-radius: 4px; "
    "padding: 8px 12px; max-width: 60em; color: var(--jp-ui-font-color1, inherit); "
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); "
    "font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5;"
)
_MONO = "font-family: var(--jp-code-font-family, monospace);"
_MAP = (
    f"{_MONO} margin: 6px 0; padding: 0; white-space: pre; overflow-x: auto; line-height: 1.7; "
    "color: inherit; background: none;"
)
_TABLE = "border-collapse: collapse; margin: 4px 0; color: inherit; font-size: inherit;"
_QUIET = "color: var(--jp-ui-font-color2, inherit);"
_CELL = "text-align: left; vertical-align: top; padding: 1px 14px 1px 0; overflow-wrap: anywhere;"


def _paint(field: int) -> str:
    colour = _COLOURS[field % len(_COLOURS)]
    return f"background: rgba({colour},0.28); border-bottom: 2px solid rgb({colour});"


def _byte_map(fields: Sequence[tuple[str, int, bytes]]) -> str:
    """Draw 16 bytes to a line; a run of one field is one coloured piece."""
    size = fields[-1][1] + len(fields[-1][2])
    lines = []
    for start in range(0, size, _PER_LINE):
        pieces = []
        for k, (name, offset, raw) in enumerate(fields):
            a, b = max(start, offset), min(start + _PER_LINE, offset + len(raw))
            if a < b:
                title = escape(f"{name}: bytes {a}-{b - 1}", quote=True)
                text = raw[a - offset : b - offset].hex(" ")
                pieces.append(f'<span style="{_paint(k)}" title="{title}">{text}</span>')
        lines.append(f'<span style="{_QUIET}">{start:>4}</span>  ' + " ".join(pieces))
    return f'<pre style="{_MAP}">' + "\n".join(lines) + "</pre>"


def _table(rows: Iterable[Sequence[str]]) -> str:
    names = ("field", "kind", "bytes", "a bit drives", "values")
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in names)
    body = []
    for k, row in enumerate(rows):
        first = f'<span style="{_MONO} {_paint(k)} padding: 0 4px;">{escape(row[0])}</span>'
        cells = [first, *map(escape, row[1:])]
        body.append(
            "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"
        )
    return (
        f'<table style="{_TABLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def html_of(
    title: str,
    fields: Sequence[tuple[str, int, bytes]],
    rows: Iterable[Sequence[str]],
    note: str,
    explanation: object,
) -> str:
    """Return the card of a block.

    Parameters
    ----------
    title : str
        The first line. This and all other text is plain text.
    fields : sequence of (name, offset, bytes)
        The fields in order.
    rows : iterable of sequences of str
        Name, kind, bytes, reach and values of each field.
    note : str
        A line under the table.
    explanation : object
        Its text is folded away at the end.
    """
    return (
        f'<div class="gguf-lab" style="{_BOX}"><div style="font-weight: 600;">{escape(title)}</div>'
        f'{_byte_map(fields)}{_table(rows)}<div style="{_QUIET}">{escape(note)}</div>'
        '<details><summary style="cursor: pointer;">the first weight, step by step</summary>'
        f'<pre style="{_MAP}">{escape(str(explanation))}</pre></details></div>'
    )
