from __future__ import annotations

from gguf_lab.file.text import printable
from gguf_lab.markup import Html, card, escaped, note, stacked

from .panels.support import HOSTILE


def test_nothing_invisible_is_left() -> None:
    shown = printable(HOSTILE, None)
    assert shown.isprintable()
    assert "\\x1b[31m" in shown
    assert "\\u202e" in shown


def test_html_cannot_be_closed() -> None:
    shown = escaped(HOSTILE + "\"'")
    assert "<" not in shown
    assert '"' not in shown
    assert "'" not in shown
    assert "onerror" in shown  # as text


def test_lines_are_kept_where_asked() -> None:
    assert printable("a\n\tb\x07\u2028c", None, lines=True) == "a\n\tb\\x07\\u2028c"
    assert printable("a\nb", None) == "a\\nb"


def test_long_texts_are_cut() -> None:
    assert printable("x" * 100, 10) == "x" * 9 + "…"
    assert printable("x" * 100, 10, lines=True) == "x" * 9 + "…"
    assert printable("\x00" * 50, None) == "\\x00" * 50


def test_each_output_has_the_style_for_paper_once() -> None:
    one = card("one", note("a"))
    nested = card("outer", one, note("b"), one)
    assert one.count("<style>") == nested.count("<style>") == 1
    assert nested.count('class="gguf-lab"') == 3
    below = stacked([nested, one])
    assert isinstance(below, Html)
    assert below.count("<style>") == 1
    assert below.count('class="gguf-lab"') == 4
    assert below.find("<style>") < below.find("outer")
