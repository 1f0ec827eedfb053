from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.errors import GGUFError
from gguf_lab.panels import Vocabulary
from gguf_lab.panels.tokens import TokenList, pieces

from .browser import until
from .support import HOSTILE, Metadata, StubModel, Tokens

if TYPE_CHECKING:
    from .browser import Harness


def asked(panel: Any, **question: object) -> Any:
    """What a panel answers, as the browser gets it."""
    sent: list[Any] = []
    panel.send = lambda content, buffers=None: sent.append(content)
    panel._handle_custom_msg({"id": "7", **question}, [])
    return json.loads(json.dumps(sent[0], allow_nan=False))


def vocabulary(model: str, tokens: Any, **more: Any) -> Metadata:
    keys = {"tokenizer.ggml.model": model, "tokenizer.ggml.tokens": tokens}
    return Metadata({**keys, **{f"tokenizer.ggml.{key}": value for key, value in more.items()}})


def panel_of(metadata: Metadata) -> Vocabulary:
    model = StubModel()
    model.metadata = metadata
    return Vocabulary(model)


def found(tokens: TokenList, text: str, kind: int | None = None) -> list[int]:
    return [i for part, _ in tokens.find(text, kind) for i in part]


# -- what a token stands for


def test_byte_level_tokens_mean_what_the_tokenizers_library_decodes() -> None:
    decoders = pytest.importorskip("tokenizers").decoders
    model = gl.open(gl.demo.smollm2())
    tokens = TokenList(model.metadata)
    decoder = decoders.ByteLevel()
    for i, text in enumerate(tokens.stored(0, 49152)):
        if i < 17 or i % 37:  # the first are control tokens, which stand for themselves
            continue
        meaning = tokens.meaning(i, text)
        assert isinstance(meaning, bytes)
        assert meaning.decode("utf-8", "replace") == decoder.decode([text])
    model.close()


def test_every_byte_has_a_character_in_the_alphabet() -> None:
    alphabet = pytest.importorskip("tokenizers").pre_tokenizers.ByteLevel.alphabet()
    tokens = TokenList(vocabulary("gpt2", sorted(alphabet)))
    meanings = [tokens.meaning(i, text) for i, text in enumerate(sorted(alphabet))]
    assert sorted(meanings) == [bytes([i]) for i in range(256)]
    assert tokens.meaning(0, "a b") == "a b"  # a space is not of the alphabet


def test_other_vocabularies_have_other_signs() -> None:
    types = [1, 6, 3, 4]
    sentencepiece = TokenList(vocabulary("llama", list("abcd"), token_type=types))
    assert sentencepiece.meaning(0, "\u2581the") == " the"
    assert sentencepiece.meaning(1, "<0xE2>") == b"\xe2"
    assert sentencepiece.meaning(0, "<0xE2>") == "<0xE2>"  # no byte: a normal token of that text
    assert sentencepiece.meaning(3, "\u2581x") == "\u2581x"  # matched as it stands
    wordpiece = TokenList(vocabulary("bert", list("ab")))
    assert wordpiece.meaning(0, "\u2581the") == "the"
    assert wordpiece.meaning(1, "ing") == "##ing"
    assert TokenList(vocabulary("no such", list("a"))).meaning(0, "\u0120a") == "\u0120a"


@given(st.text())
def test_nothing_that_is_not_seen_is_left_unsigned(text: str) -> None:
    shown = pieces(text, 1000)
    plain = "".join(piece for piece, kind in shown if not kind)
    assert plain.isprintable()
    assert not set(plain) & {" ", "\ufe0f", "\u3164", "\u200d"}
    signs = "".join(piece for piece, kind in shown if kind)
    assert signs.isprintable()
    assert "\udc80" not in signs


def test_long_tokens_are_cut_and_say_so() -> None:
    shown = pieces("x" * 1000)
    assert [len(shown[0][0]), shown[1]] == [120, ("\u2026 1,000 characters", "sign")]
    assert pieces(b" \xf0\x9f") == [("\u2423\\xf0\\x9f", "sign")]


# -- the list


def test_search_looks_at_what_is_stored_and_what_it_means() -> None:
    tokens = TokenList(
        vocabulary("gpt2", ["\u0120hello", "Hello", "\u0120\u00f0\u0141\u0130\u012b", "x"])
    )
    assert found(tokens, " HEL") == [0]
    assert found(tokens, "hello") == [0, 1]
    assert found(tokens, "\u0120") == [0, 2]
    assert found(tokens, "\U0001f389") == [2]  # its four bytes
    assert found(tokens, "") == [0, 1, 2, 3]


def test_types_filter_and_order() -> None:
    metadata = vocabulary(
        "llama", list("abcdef"), token_type=[3, 1, 1, 6, 3, 1], scores=[0.0, -3, -1, 0, 0, -2]
    )
    tokens = TokenList(metadata)
    assert found(tokens, "", 3) == [0, 4]
    assert found(tokens, "e", 3) == [4]
    every = np.arange(6)
    assert tokens.ordered(every, "score", down=False).tolist() == [1, 5, 2, 0, 3, 4]
    assert tokens.ordered(every, "type", down=True).tolist() == [3, 0, 4, 1, 2, 5]
    assert tokens.ordered(every, "id", down=True).tolist() == [5, 4, 3, 2, 1, 0]
    with pytest.raises(GGUFError, match="cannot be ordered"):
        tokens.ordered(every, "weight", down=False)


def test_merges_are_those_that_make_the_token() -> None:
    merges = ["a b", "ab c", "a bc", "  x", "nothing"]
    tokens = TokenList(vocabulary("gpt2", ["a", "ab", "abc", " x"], merges=merges))
    assert tokens.merge_of(1) is None
    shares = list(tokens.index_merges())
    assert shares == sorted(shares)
    assert all(0 <= share < 1 for share in shares)
    assert [tokens.merge_of(i) for i in range(4)] == [None, (0, "a b"), (1, "ab c"), (3, "  x")]
    order = tokens.ordered(np.arange(4), "merge", down=True)
    assert order.tolist() == [3, 2, 1, 0]  # what no merge makes comes last


def test_all_merges_of_a_real_vocabulary_make_a_token() -> None:
    with gl.open(gl.demo.smollm2()) as model:
        tokens = TokenList(model.metadata)
        for _ in tokens.index_merges():
            pass
        assert tokens.merged is not None
        made = tokens.merged[tokens.merged >= 0]
        assert sorted(made.tolist()) == list(range(len(tokens.merges)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"token_type": [1, 1]}, "token_type has 2 items for 3 tokens"),
        ({"scores": "high"}, 'scores is "high"; expected an array of numbers'),
        ({"merges": [1, 2]}, "merges is [1, 2]; expected an array of strings"),
        ({"bos_token_id": 17}, "bos_token_id is 17; expected an id of one of 3 tokens"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_and_the_rest_is_shown(more: Any, words: str) -> None:
    panel = panel_of(vocabulary("gpt2", ["a", "b", HOSTILE], **more))
    assert words in panel.error
    assert [row["id"] for row in asked(panel, ask="rows", start=0, stop=9)["rows"]] == [0, 1, 2]


def test_a_file_without_tokens_has_an_empty_panel() -> None:
    panel = panel_of(Metadata({"general.name": "x"}))
    assert (panel.total, panel.error, panel.first) == (0, "", [])
    assert asked(panel, ask="find", text="a", kind=None) == {"id": "7", "found": 0, "looked_at": 0}
    hostile = panel_of(vocabulary("gpt2", 5))
    assert "tokens is 5; expected an array of strings" in hostile.error


# -- the panel


def test_a_huge_vocabulary_opens_without_being_read() -> None:
    tokens = Tokens(262_144)
    start = time.monotonic()
    panel = panel_of(vocabulary("gpt2", tokens))
    assert time.monotonic() - start < 0.2
    assert tokens.decoded < 100
    assert panel.total == 262_144
    rows = asked(panel, ask="rows", start=262_000, stop=270_000)["rows"]
    assert [rows[0]["id"], rows[-1]["id"], len(rows)] == [262_000, 262_143, 144]
    assert tokens.decoded < 300
    state = json.dumps({key: panel.get_state()[key] for key in ("first", "kinds", "columns")})
    assert len(state) < 20_000


def test_a_search_answers_in_parts_and_never_blocks_for_long() -> None:
    panel = panel_of(vocabulary("gpt2", Tokens(262_144)))
    question = {"text": "never there", "kind": None}
    longest, looked = 0.0, 0
    while looked < panel.total:
        start = time.process_time()
        answer = asked(panel, ask="find", **question)
        longest = max(longest, time.process_time() - start)
        assert answer["looked_at"] > looked
        looked = answer["looked_at"]
    assert longest < 0.2
    assert answer["found"] == 0
    assert asked(panel, ask="find", **question)["looked_at"] == panel.total  # it is kept


def test_rows_of_a_search_in_any_order() -> None:
    tokens = ["a", "ab", "b", "abc", "cab"]
    scores = [0.0, -5.0, float("nan"), -1.0, -3.0]
    panel = panel_of(vocabulary("llama", tokens, scores=scores))
    question = {"text": "ab", "kind": None, "sort": "score", "down": True}
    assert asked(panel, ask="find", **question)["found"] == 3
    rows = asked(panel, ask="rows", start=0, stop=10, **question)["rows"]
    assert [row["id"] for row in rows] == [3, 4, 1]
    assert asked(panel, ask="place", token=4, **question)["place"] == 1
    assert asked(panel, ask="place", token=0, **question)["place"] == -1
    assert asked(panel, ask="rows", start=2, stop=3)["rows"][0]["score"] == "nan"


def test_the_token_can_be_set_and_only_to_one_that_there_is() -> None:
    panel = panel_of(vocabulary("gpt2", list("abc")))
    panel.token = 2
    with pytest.raises(GGUFError, match="there is no token 3: the vocabulary has 3"):
        panel.token = 3
    assert panel.token == 2


def test_static_form_escapes_everything() -> None:
    panel = panel_of(vocabulary("gpt2", [HOSTILE, "\u0120a"], token_type=[3, 1]))
    data, _ = panel._repr_mimebundle_()
    for forbidden in ("<script", "<img", "\x1b", "\u202e"):
        assert forbidden not in data["text/html"]
    assert "&lt;script&gt;" in data["text/html"]
    assert "\u2423a" in data["text/html"]
    assert data["text/plain"] == "<Vocabulary: 2 tokens of Stub 1B>"
    assert "and 1 more tokens" in panel.snapshot(1).html


# -- in the browser


def ids(page: Any) -> list[str]:
    cells = page.locator(".gl-vocabulary-grid .gl-tr[aria-rowindex]")
    pairs = cells.evaluate_all(
        "rows => rows.map(r => [Number(r.getAttribute('aria-rowindex')), r.firstChild.textContent])"
    )
    return [text for _, text in sorted(pairs)]


@pytest.mark.browser
@pytest.mark.slow
def test_a_real_vocabulary_by_mouse_and_keyboard(harness: Harness) -> None:
    page = harness.page
    with gl.open(gl.demo.smollm2()) as model:
        panel = Vocabulary(model)
        harness.add(panel)
        page.locator(".gl-count").get_by_text("49,152 tokens", exact=True).wait_for()
        assert page.locator(".gl-tr").count() < 40
        assert panel.wait(30)
        harness.push()
        page.get_by_label("Search tokens by text").fill(" hello")
        page.locator(".gl-count").get_by_text("2 of 49,152", exact=True).wait_for()
        page.get_by_text("38,699").first.wait_for()
        assert ids(page) == ["33,662", "38,699"]
        page.get_by_label("Search tokens by text").press("ArrowDown")
        page.keyboard.press("ArrowDown")
        until(page, panel, token=33_662)
        bytes_of = "6 bytes: 20 68 65 6c 6c 6f \u00b7 made by merge"
        expect(page.locator(".gl-token-note")).to_contain_text(bytes_of)
        # An id, with the filter in the way.
        page.get_by_label("Go to a token by its id").fill("40,000")
        page.keyboard.press("Enter")
        page.locator(".gl-tr[aria-selected=true]").get_by_text("40,000").wait_for()
        until(page, panel, token=40_000)
        page.get_by_label("Go to a token by its id").fill("49152")
        page.keyboard.press("Enter")
        page.get_by_text("ids go from 0 to 49,151").wait_for()
        # Types, and another order.
        page.get_by_label("Type of token").select_option(label="control (17)")
        page.locator(".gl-count").get_by_text("17 of 49,152", exact=True).wait_for()
        page.get_by_label("Type of token").select_option(label="any type")
        page.get_by_role("button", name="merge").click()
        page.locator("#" + page.locator(".gl-tr").first.get_attribute("id")).wait_for()
        page.get_by_text("\u0120 t", exact=True).wait_for()
        expect(page.locator("[aria-sort=ascending]")).to_have_text(re.compile(r"^merge"))
        # From Python.
        panel.token = 5
        harness.push()
        page.locator(".gl-tr[aria-selected=true]").get_by_text("<file_sep>").first.wait_for()


@pytest.mark.browser
@pytest.mark.slow
def test_a_huge_vocabulary_scrolls_to_its_end(harness: Harness, capsys: Any) -> None:
    page = harness.page
    harness.add(panel_of(vocabulary("gpt2", Tokens(262_144))))
    page.locator(".gl-vocabulary-grid").focus()
    start = time.perf_counter()
    page.keyboard.press("End")
    page.get_by_text("token262143").first.wait_for()
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\n262,144 tokens: key to the last page in {1000 * seconds:.0f} ms")


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
def test_hostile_tokens_stay_text(harness: Harness, light: bool) -> None:
    page = harness.page
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    harness.theme(light)
    harness.add(panel_of(vocabulary("llama", [HOSTILE, HOSTILE * 9], merges=[HOSTILE] * 2)))
    page.get_by_text("<script>").first.wait_for()
    assert page.locator("img, #root script").count() == 0
    assert "\u202e" not in page.locator("#root").inner_text()
