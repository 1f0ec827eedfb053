"""A chat template in colours, and two of them side by side.

A template is untrusted and of any length: it is read once from the left, without backtracking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Line", "Piece", "beside", "coloured", "lines_of"]

Piece = tuple[str, str]
Line = list[Piece]

_KEYWORDS: Final = frozenset(
    (
        *("for", "endfor", "in", "recursive", "if", "elif", "else", "endif", "set", "endset"),
        *("macro", "endmacro", "call", "endcall", "filter", "endfilter", "block", "endblock"),
        *("with", "endwith", "raw", "endraw", "generation", "endgeneration", "break", "continue"),
        *("do", "not", "and", "or", "is", "true", "false", "none", "True", "False", "None"),
    )
)
_OPENS: Final = re.compile(r"\{[{%#][-+]?")
_PART: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<end>[-+]?%\}|-?\}\})
    |(?P<str>'(?:[^'\\]|\\.)*(?:'|\\?\Z)|"(?:[^"\\]|\\.)*(?:"|\\?\Z))
    |(?P<num>\d[\w.]*)
    |(?P<name>[^\W\d]\w*)
    |(?P<op>.)""",
    re.VERBOSE | re.DOTALL,
)
_ENDRAW: Final = re.compile(r"\{%[-+]?\s*endraw\b")
_WORD: Final = re.compile(r"\w+|\s+|[^\w\s]+")
_MOST_LINES: Final = 5000  # that are lined up with those of another template
_MOST_WORDS: Final = 3000  # of a changed line


def coloured(template: str) -> Iterator[Piece]:
    """Take a template apart.

    Parameters
    ----------
    template : str
        Jinja, well-formed or not.

    Yields
    ------
    text, kind : str
        Together the texts are the template. Kinds: "" (written as it stands), "tag" (delimiters),
        "key", "name", "filter", "str", "num", "op", "com" (comments).

    Examples
    --------
    >>> list(coloured("Hi {{ x }}"))
    [('Hi ', ''), ('{{', 'tag'), (' ', ''), ('x', 'name'), (' ', ''), ('}}', 'tag')]
    """
    at = 0
    while opening := _OPENS.search(template, at):
        start = opening.start()
        if start > at:
            yield template[at:start], ""
        if opening[0][1] == "#":
            end = template.find("#}", start)
            at = len(template) if end < 0 else end + 2
            yield template[start:at], "com"
            continue
        yield opening[0], "tag"
        at = opening.end()
        words: list[str] = []
        for text, kind in _inside(template, at, "%}" if opening[0][1] == "%" else "}}"):
            yield text, kind
            at += len(text)
            if text.strip():
                words.append(text)
        if opening[0][1] == "%" and words[:1] == ["raw"]:
            end_raw = _ENDRAW.search(template, at)
            stop = len(template) if end_raw is None else end_raw.start()
            if stop > at:
                yield template[at:stop], ""
            at = stop
    if at < len(template):
        yield template[at:], ""


def _inside(template: str, at: int, end: str) -> Iterator[Piece]:
    """Yield the parts of an expression or statement, its closing delimiter included."""
    depth = 0
    before = ""
    while part := _PART.match(template, at):
        text, kind = part[0], str(part.lastgroup)
        if kind == "end":
            # Inside brackets two of them close two: {{ {"a": {}} }}
            if depth or not text.endswith(end):
                text, kind = text[0], "op"
            else:
                yield text, "tag"
                return
        if kind == "op":
            depth = max(0, depth + (text in "([{") - (text in ")]}"))
        elif kind == "name":
            if before == "|":
                kind = "filter"
            elif text in _KEYWORDS and before != ".":
                kind = "key"
        at += len(text)
        if kind == "space":
            kind = ""
        else:
            before = text
        yield text, kind


def lines_of(template: str) -> list[Line]:
    """Return the lines of a template, in pieces; line ends are left out."""
    lines: list[Line] = [[]]
    for text, kind in coloured(template):
        first, *rest = text.split("\n")
        if first:
            lines[-1].append((first, kind))
        lines.extend([(line, kind)] if line else [] for line in rest)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()  # the last line had its end
    return lines


@dataclass(frozen=True, slots=True)
class Pair:
    """A line of one template and what stands in its place in the other.

    Attributes
    ----------
    left, right : list of piece, or None
        None: there is no such line. Kinds of pieces that differ end in "!".
    same : bool
    """

    left: Line | None
    right: Line | None
    same: bool


def beside(ours: Sequence[Line], theirs: Sequence[Line]) -> list[Pair] | None:
    """Line two templates up.

    Returns
    -------
    list of Pair, or None
        None if they are too long to be lined up.
    """
    if max(len(ours), len(theirs)) > _MOST_LINES:
        return None
    a, b = (["".join(text for text, _ in line) for line in side] for side in (ours, theirs))
    pairs = []
    for step, i, j, k, m in SequenceMatcher(None, a, b).get_opcodes():
        for left, right in zip_longest(ours[i:j], theirs[k:m]):
            if step == "equal":
                pairs.append(Pair(left, right, same=True))
            elif left is None or right is None:
                pairs.append(Pair(left, right, same=False))
            else:
                pairs.append(Pair(*_marked(left, right), same=False))
    return pairs


def _marked(left: Line, right: Line) -> tuple[Line, Line]:
    """Mark the words of two lines that differ."""
    left, right = (
        [(word, kind) for text, kind in line for word in _WORD.findall(text)]
        for line in (left, right)
    )
    if max(len(left), len(right)) > _MOST_WORDS:
        return [(text, f"{kind}!") for text, kind in left], [(t, f"{k}!") for t, k in right]
    out: tuple[Line, Line] = ([], [])
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for step, i, j, k, m in matcher.get_opcodes():
        mark = "" if step == "equal" else "!"
        for line, words in ((out[0], left[i:j]), (out[1], right[k:m])):
            for word, kind in words:
                _append(line, word, kind + mark)
    return out


def _append(line: Line, text: str, kind: str) -> None:
    if line and line[-1][1] == kind:
        line[-1] = (line[-1][0] + text, kind)
    else:
        line.append((text, kind))
