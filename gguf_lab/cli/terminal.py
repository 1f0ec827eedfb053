"""What all commands share: what they call a file, tables, JSON, one line for an error."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

__all__ = ["FILE", "escape", "fail", "listed", "plain", "print_json", "print_table", "say", "show"]

FILE = "a GGUF file, or any file of a shard set; hf://owner/repo/file or a URL"

_ARRAY_ITEMS = 3  # of an array, in a table
_WIDTH = 72  # of a text, in a table
_NARROW = 12  # what a column of texts can be folded to
# Of a cell that is just this word; never colour alone.
_STYLES = {
    "error": "bold red",
    "warning": "yellow",
    "note": "cyan",
    "truncated": "bold red",
    "opaque": "yellow",
    "unverified": "yellow",
    "unmatched": "yellow",
    "unsupported": "yellow",
}


def fail(message: str) -> int:
    """Say why a command failed; give its exit status."""
    say(message)
    return 2


def say(message: str) -> None:
    """Say something on standard error, in one line; if nobody reads it, that is no failure."""
    with suppress(OSError):
        print(f"gguf-lab: {escape(' '.join(message.split()))}", file=sys.stderr)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()
) -> None:
    """Print columns, those numbered in `right` to the right.

    In a terminal they fit its width and have colours; a pipe gets aligned text, a row on a line.
    """
    if sys.stdout.isatty():
        _print_rich(columns, rows, {*right})
        return
    from ..file.text import aligned

    for line in aligned([columns, *rows], {*right}):
        print(line)


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: set[int]) -> None:
    """Fold texts where it is narrow, but no number: its halves would be read as two."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    console.width = console.width or 80  # COLUMNS=0: nothing at all would be printed
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    gaps = 2 * len(columns)
    heads = [*columns]
    if sum(widths) + gaps > console.width:
        for i in numbers:
            heads[i] = columns[i].replace("_", "_\n").replace(" ", "\n")
            widths[i] = max(map(len, (*heads[i].split("\n"), *(row[i] for row in rows))))
        least = (width if i in numbers else min(width, _NARROW) for i, width in enumerate(widths))
        if sum(least) + gaps > console.width:
            _print_two_lines(console, (columns, *rows), numbers)
            return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, head in enumerate(heads):
        side: Literal["left", "right"] = "right" if i in numbers else "left"
        table.add_column(Text(head), justify=side, overflow="fold", no_wrap=i in numbers)
    for row in rows:  # as text: what looks like markup in a file is none
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _print_two_lines(console: Console, rows: Sequence[Sequence[str]], numbers: set[int]) -> None:
    """Print the texts of a row, and its numbers below them; the first row is in bold."""
    from rich.text import Text

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for n, row in enumerate(rows):
        texts, figures = Text(), Text("  ")
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            line = figures if i in numbers else texts
            line.append(cell.rjust(width) if i in numbers else cell, _STYLES.get(cell, ""))
            line.append(" " * (2 if i in numbers else width - len(cell) + 2))
        for line in (texts, figures):
            line.rstrip()
            console.print(line, style="" if n else "bold", overflow="fold")


def print_json(value: object) -> None:
    """Print JSON. It knows no NaN or infinity: null says that there is no number.

    Letters stay as they are; what would steer a terminal is written as an escape of JSON.
    """
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        unsafe = not text.replace("\n", "").isprintable()
    except UnicodeEncodeError:  # a terminal that lacks a letter would get Python's escape of it
        text, unsafe = json.dumps(_finite(value), indent=2), True
    safe = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    print("".join(safe) if unsafe else text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """Turn the lazy arrays of the metadata, nested ones too, into lists."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return value
    return [plain(item) for item in value]


def show(value: Any) -> str:
    """Put a value in a cell: short, on one line, safe for the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = escape(value[: _WIDTH + 1])
        return text if len(value) <= _WIDTH else text[: _WIDTH - 3] + "..."
    if not hasattr(value, "__len__"):
        return str(value)
    items = ", ".join(show(item)[:24] for item in value[:_ARRAY_ITEMS])
    more = f", ... {len(value):,} in all" if len(value) > _ARRAY_ITEMS else ""
    return f"[{items}{more}]"


def escape(text: str) -> str:
    """Show control characters as escapes: what a file says must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(names: Sequence[str]) -> str:
    """Join names with commas and an "or"."""
    return f"{', '.join(names[:-1])} or {names[-1]}"
