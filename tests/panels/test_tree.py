from __future__ import annotations

import math
import time

import numpy as np

from gguf_lab.panels import MetadataTree
from gguf_lab.panels.leaves import item_text, leaves, search_items

from .support import HOSTILE, Metadata, StubModel, Tokens, metadata


def ask(panel: MetadataTree, **question: object) -> dict[str, object]:
    sent: list[dict[str, object]] = []
    panel.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    panel._handle_custom_msg({"id": "7", **question}, [])
    assert sent[0]["id"] == "7"
    return sent[0]


def leaf(panel: MetadataTree, key: str) -> dict[str, object]:
    return next(x for x in panel.leaves if x["key"] == key)


def test_leaves_say_type_value_and_count() -> None:
    panel = MetadataTree(StubModel())
    block_count = leaf(panel, "llama.block_count")
    assert (block_count["value"], block_count["type"]) == ("4", "uint32")
    tokens = leaf(panel, "tokenizer.ggml.tokens")
    assert tokens["count"] == 500
    assert tokens["type"] == "array[string]"
    assert tokens["items"] == [f'"token{i}"' for i in range(20)]


def test_only_the_preview_of_an_array_is_read() -> None:
    data = metadata(262_144)
    tokens: Tokens = data["tokenizer.ggml.tokens"]
    leaves(data)
    assert tokens.decoded <= 30


def test_pages_come_by_message_and_are_bounded() -> None:
    panel = MetadataTree(StubModel(tokens=10_000))
    at = leaf(panel, "tokenizer.ggml.tokens")["id"]
    answer = ask(panel, ask="items", leaf=at, start=400, stop=600)
    assert answer["items"] == [f'"token{i}"' for i in range(400, 600)]
    assert len(ask(panel, ask="items", leaf=at, start=0, stop=10_000)["items"]) == 200  # type: ignore[arg-type]
    assert panel.error == ""


def test_a_wrong_question_is_answered_and_seen() -> None:
    panel = MetadataTree(StubModel())
    assert ask(panel, ask="items", leaf=999, start=0, stop=1) == {"id": "7"}
    assert "999" in panel.error
    ask(panel, ask="nonsense")
    assert "nonsense" in panel.error


def test_the_chat_template_keeps_its_lines() -> None:
    panel = MetadataTree(StubModel())
    template = leaf(panel, "tokenizer.chat_template")
    assert "\n  <b>" in str(template["text"])
    assert "\\n" in str(template["value"])
    assert ask(panel, ask="text", leaf=template["id"])["text"] == template["text"]


def test_search_finds_tokens_and_stops_in_time() -> None:
    panel = MetadataTree(StubModel(tokens=3000))
    answer = ask(panel, ask="search", text="TOKEN29")
    hit = answer["hits"][0]  # type: ignore[index]
    assert hit["indices"][:3] == [29, 290, 291]
    assert hit["cut"] is False
    assert answer["next"] is None
    found, rest = search_items(Metadata(a=Tokens(3000)), "token", hits=5)
    assert (len(found[0]["items"]), found[0]["cut"], rest) == (5, True, None)
    found, _ = search_items(Metadata(a=Tokens(5)), "token", hits=5)
    assert (len(found[0]["items"]), found[0]["cut"]) == (5, False)


def test_a_search_goes_on_where_it_stopped_and_finds_the_same() -> None:
    data = Metadata(a=Tokens(20_000), b="x", c=Tokens(9_000), d="token " * 2000)
    whole, rest = search_items(data, "oken7", seconds=60, hits=20_000)
    assert rest is None
    indices: dict[int, list[int]] = {}
    place: tuple[int, int] | None = (0, 0)
    parts = 0
    while place is not None:
        found, place = search_items(data, "oken7", place, seconds=0, hits=20_000)
        parts += 1
        for hit in found:
            indices.setdefault(hit["leaf"], []).extend(hit["indices"])
    assert parts > 5
    assert indices == {hit["leaf"]: hit["indices"] for hit in whole}


def test_a_part_of_a_search_takes_no_longer_than_it_may() -> None:
    panel = MetadataTree(StubModel(tokens=3_000_000))
    start = time.process_time()
    answer = ask(panel, ask="search", text="never there")
    assert time.process_time() - start < 0.2
    assert answer["hits"] == []
    assert answer["next"] is not None
    later = ask(panel, ask="search", text="never there", start=answer["next"])
    assert later["next"] > answer["next"]  # type: ignore[operator]


def test_values_are_written_as_they_are() -> None:
    assert item_text(10000.0) == "10000"
    assert item_text(1e-05) == "1e-05"
    assert item_text(1e7) == "10000000"
    assert item_text(float(np.float32(0.1))) == "0.1"
    # no digit is lost: neither of a float32 nor of a float64
    assert item_text(float(np.float32(1.2345678))) == "1.2345678"
    assert item_text(2.0**24 + 2) == "16777218"
    assert item_text(0.1 + 0.2) == "0.30000000000000004"
    assert item_text(1e300) == "1e+300"
    assert [item_text(x) for x in (math.inf, -math.inf)] == ["inf", "-inf"]
    assert item_text(list(range(9))) == "[0, 1, 2, 3, 4, 5, 6, 7, … 9 items]"
    assert "\\x1b" in item_text(HOSTILE)


def test_static_form_escapes_everything() -> None:
    panel = MetadataTree(StubModel())
    data, _ = panel._repr_mimebundle_()
    html = data["text/html"]
    for forbidden in ("<script", "<img", "\x1b", "\u202e", "\u2066"):
        assert forbidden not in html
    assert "&lt;script&gt;" in html
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == "<MetadataTree: 12 keys of Stub 1B>"
    assert panel.snapshot()._repr_html_() == panel.snapshot().html
    assert "<script" not in panel.snapshot().html
