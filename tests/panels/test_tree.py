from __future__ import annotations

import time

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
    assert answer["complete"]
    data = Metadata(a=Tokens(5_000_000))
    start = time.monotonic()
    _, complete = search_items(data, "never there", seconds=0.05)
    assert not complete
    assert time.monotonic() - start < 1
    found, complete = search_items(data, "token", hits=5)
    assert len(found[0]["items"]) == 5
    assert not complete


def test_values_are_written_as_they_are() -> None:
    assert item_text(10000.0) == "10000"
    assert item_text(1e-05) == "1e-05"
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
