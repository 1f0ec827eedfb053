"""The page: a document without script or links, for screens in light and dark, and for paper.

Its policy (Content-Security-Policy) forbids everything but the style that it carries and pictures
that are part of it. Text is escaped by `markup`; what is not `Html` is plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markup import Html, escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["columns", "document", "figure", "paragraph", "section", "table"]

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_BREAKS = 48  # characters from which on a name may be broken anywhere
_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --quiet: #595959; --paper: #fff; --line: #d0d0d0;
  --shade: #f4f5f7; --link: #0b57a4; --error: #b3261e; --warning: #8a5300; --note: #17627f; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --quiet: #a8a8a8; --paper: #17181a;
  --line: #45474b; --shade: #212327; --link: #8ab8ee; --error: #ff9d94; --warning: #f2bd62;
  --note: #84cfea; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 24px 64px; max-width: 1080px; background: var(--paper);
  color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7em; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.25em; margin: 36px 0 8px; border-bottom: 1px solid var(--line); }
h3 { font-size: 1em; margin: 22px 0 6px; }
p { margin: 6px 0; max-width: 78ch; }
p.quiet, figcaption { color: var(--quiet); }
nav ul { padding: 0; margin: 12px 0; list-style: none; display: flex; flex-wrap: wrap;
  gap: 2px 18px; }
nav a { color: var(--link); }
a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.wide { overflow-x: auto; margin: 8px 0; }
table.rows { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
table.rows th, table.rows td { padding: 3px 14px 3px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
table.rows th { white-space: nowrap; }
table.rows td.n, table.rows th.n { text-align: right; white-space: nowrap; }
table.rows td.word { white-space: nowrap; }
table.rows td.long { min-width: 16em; overflow-wrap: anywhere; }
.severity { font-weight: 600; white-space: nowrap; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
figure { margin: 14px 0; }
figure img { background: #fff; border-radius: 4px; max-width: 100%; height: auto; }
pre { background: var(--shade); padding: 10px 12px !important; border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; }
@page { margin: 16mm 14mm; }
@media print {
  :root { --text: #000; --quiet: #444; --paper: #fff; --line: #bbb; --shade: #f4f4f4;
    --error: #b3261e; --warning: #8a5300; --note: #17627f; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  h2.apart { break-before: page; }
  .wide { overflow: visible; }
  table.rows { font-size: 7.5pt; width: 100%; }
  table.rows th, table.rows td { padding: 2px 8px 2px 0; }
  table.rows th { white-space: normal; vertical-align: bottom; }
  table.rows td.long { min-width: 0; }
  thead { display: table-header-group; }
  tr, figure { break-inside: avoid; }
  figure img { max-height: 225mm; width: auto; }
  pre { max-height: none; }
}
"""


def document(title: str, sections: Sequence[tuple[str, Html]], *head: Html) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
    sections : sequence of (name, Html)
        As `section` makes them; each is linked from the top by its name.
    *head : Html
        What stands above the links.
    """
    links = "".join(
        f'<li><a href="#s{i}">{escaped(name)}</a></li>' for i, (name, _) in enumerate(sections)
    )
    body = "".join(
        f'<section id="s{i}" aria-label="{escaped(name)}">{content}</section>\n'
        for i, (name, content) in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escaped(title)}</h1>{''.join(head)}</header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n{body}</main>\n'
        "</body>\n</html>\n"
    )


def section(name: str, *parts: Html, apart: bool = False) -> tuple[str, Html]:
    """Join parts under a heading; `apart` begins a new page on paper."""
    kind = ' class="apart"' if apart else ""
    return name, Html(f"<h2{kind}>{escaped(name)}</h2>{''.join(parts)}")


def paragraph(text: str, *, quiet: bool = False) -> Html:
    """Write a paragraph, nothing if there is no text."""
    kind = ' class="quiet"' if quiet else ""
    return Html(f"<p{kind}>{escaped(text, 4000)}</p>" if text else "")


def figure(image: Html, words: str) -> Html:
    """Show a picture with what it says below it."""
    return Html(f"<figure>{image}<figcaption>{escaped(words, 2000)}</figcaption></figure>")


def columns(*headers: str) -> list[tuple[str, str]]:
    """Name columns; those that begin with ``#`` are numbers, ``~`` long texts, ``=`` one word."""
    kinds = {"#": "n", "~": "long", "=": "word"}
    return [(h.lstrip("#~="), kinds.get(h[:1], "")) for h in headers]


def table(
    heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *, most: int, title: str = ""
) -> Html:
    """Write a table of at most so many rows, and how many more there are.

    Parameters
    ----------
    heads : sequence of (str, str)
        From `columns`.
    rows : iterable of sequences of str
    most : int
    title : str
        Its heading.
    """
    head = "".join(f'<th scope="col"{_class(kind)}>{escaped(name)}</th>' for name, kind in heads)
    kinds = [kind for _, kind in heads]
    body, left_out = [], 0
    for number, row in enumerate(rows):
        if number >= most:
            left_out += 1
            continue
        body.append(f"<tr>{''.join(map(_cell, row, kinds))}</tr>")
    heading = f"<h3>{escaped(title)}</h3>" if title else ""
    more = paragraph(f"and {left_out:,} more" if left_out else "", quiet=True)
    return Html(
        f'{heading}<div class="wide"><table class="rows"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></div>{more}"
    )


def _cell(text: str, kind: str) -> str:
    if not kind and len(text) > _BREAKS and not isinstance(text, Html):
        kind = "long"
    return f"<td{_class(kind)}>{escaped(text, 2000)}</td>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
