from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.bridge import chat_prompt
from gguf_lab.errors import ChatTemplateError, CheckpointError
from gguf_lab.panels import ChatTemplate
from gguf_lab.panels.jinja import beside, coloured, lines_of
from gguf_lab.panels.templates import templates_of

from ..bridge.test_chat import TEMPLATES
from .browser import until
from .support import HOSTILE, Metadata, StubModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .browser import Harness

ALPHABET = "{}%#'\"\\-+ \n|.ab1raw"

TRICKY = [
    "{% raw %}{{ not }} {% this %}{% endraw %}{{ x }}",
    "{%- raw -%} a {%- endraw -%} b",
    "{{ {'a': {'b': 1}} }} {{ [{}] }}",
    "{#- a {{ comment }} -#}x{{- y -}} z {%+ if a +%}",
    "{{ 'it\\'s' ~ \"}}\" }}{{ a.for }}{{ b | default(1.5e3) }}",
    "{{ x\n  if y\n else 'z' }}",
]


class Chat(StubModel):
    """A model with a chat template and no tokenizer."""

    def __init__(self, template: str | None, **more: Any) -> None:
        super().__init__()
        keys = {} if template is None else {"tokenizer.chat_template": template}
        self.metadata = Metadata({"general.name": "chat", **keys, **more})


@pytest.fixture(autouse=True)
def _stubs_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """`chat_prompt` opens what is no model: a stub is one."""
    monkeypatch.setattr("gguf_lab.bridge.chat.given_model", lambda model, _: model)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[gl.Model]:
    with gl.open(gl.demo.smollm2()) as model:
        yield model


# -- colours


def by_jinja2(template: str) -> str:
    """What jinja2's own lexer finds inside delimiters, without spaces."""
    jinja2 = pytest.importorskip("jinja2")
    parts = jinja2.Environment().lexer.tokeniter(template, None)
    away = ("whitespace", "data", "raw_begin", "raw_end")
    return "".join(
        text.strip() for _, kind, text in parts if kind not in away and "comment" not in kind
    )


def by_us(template: str) -> str:
    return "".join(text for text, kind in coloured(template) if kind not in {"", "com"})


def test_templates_are_read_as_jinja2_reads_them(smollm2: gl.Model) -> None:
    for template in (smollm2.metadata["tokenizer.chat_template"], *TEMPLATES, *TRICKY[2:]):
        assert by_us(template) == by_jinja2(template)
    # jinja2 takes the delimiters of raw blocks for one token each.
    assert [t for t, kind in coloured(TRICKY[0]) if not kind and t.strip()] == [
        "{{ not }} {% this %}"
    ]
    assert ("key" in {kind for text, kind in coloured(TRICKY[4]) if text == "for"}) is False
    assert [text for text, kind in coloured(TRICKY[4]) if kind == "filter"] == ["default"]


@given(st.text(ALPHABET, max_size=60))
def test_nothing_of_a_template_is_lost(template: str) -> None:
    assert "".join(text for text, _ in coloured(template)) == template
    lines = ["".join(text for text, _ in line) for line in lines_of(template)]
    assert "\n".join(lines) == template.removesuffix("\n")


@pytest.mark.parametrize(
    "part", ["{{", "{% '\\'", "{%" + " " * 9, "'a", "{#", "{% raw %}{% ", "{{{", "\\'\\"]
)
def test_hostile_templates_take_no_longer_than_their_length(part: str) -> None:
    template = "{{ " + part * (200_000 // len(part))
    start = time.process_time()
    assert sum(len(text) for text, _ in coloured(template)) == len(template)
    assert time.process_time() - start < 4


# -- two templates


def test_lines_are_paired_and_what_differs_is_marked() -> None:
    ours, theirs = "a\n{{ x }} b\nc\n", "a\n{{ y }} b\nnew\nc\n"
    pairs = beside(lines_of(ours), lines_of(theirs))
    assert pairs is not None
    assert [pair.same for pair in pairs] == [True, False, False, True]
    marked = [text for text, kind in pairs[1].left or [] if kind.endswith("!")]
    assert marked == ["x"]
    assert pairs[2].left is None
    assert pairs[2].right == [("new", "")]
    assert beside([[]] * 6000, [[]]) is None


def test_templates_of_every_kind_of_reference(tmp_path: Path, smollm2: gl.Model) -> None:
    assert templates_of(tmp_path) == {}
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps({"chat_template": "one"}))
    assert templates_of(str(tmp_path)) == {"default": "one"}
    listed = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    settings.write_text(json.dumps({"chat_template": listed}))
    assert templates_of(tmp_path / "model.safetensors") == {"default": "d", "tool_use": "t"}
    settings.write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("two")
    assert templates_of(tmp_path) == {"default": "two"}
    ours = {"default": smollm2.metadata["tokenizer.chat_template"]}
    assert templates_of(smollm2) == ours == templates_of(gl.demo.smollm2())
    settings.write_text(json.dumps({"chat_template": [1]}))
    with pytest.raises(CheckpointError, match="neither a text nor a list"):
        templates_of(tmp_path)
    with pytest.raises(CheckpointError, match="is not a folder"):
        templates_of(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(CheckpointError, match="hf://o/r is on a server"):
        templates_of("hf://o/r")


# -- the panel


def test_the_prompt_is_that_of_chat_prompt(smollm2: gl.Model) -> None:
    messages = [{"role": "user", "content": "Hello \u00e9 \U0001f389\n"}]
    panel = ChatTemplate(smollm2, messages=messages)
    prompt = panel.wait(30)
    assert prompt == gl.chat_prompt(smollm2, messages)
    shown = panel.rendered
    assert "".join(text for text, _, _ in shown["spans"]) == prompt.text
    assert [token[0] for token in shown["tokens"]] == [token.id for token in prompt.tokens or ()]
    # Three tokens share the characters of one sign.
    assert [len(n) for text, n, _ in shown["spans"] if "\U0001f389" in text] == [3]
    assert sum(len(numbers) for _, numbers, _ in shown["spans"]) == shown["n_tokens"]
    panel.add_generation_prompt = False
    panel.messages = [{"role": "user", "content": "x"}]
    prompt = panel.wait(30)
    assert prompt == gl.chat_prompt(
        smollm2, [{"role": "user", "content": "x"}], add_generation_prompt=False
    )
    assert not panel.rendering
    assert panel.error == ""


def test_the_kernel_does_not_wait_for_a_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "{% for i in range(99999) %}"
    impatient = partial(chat_prompt, timeout=0.5)
    monkeypatch.setattr("gguf_lab.panels.chat_template.chat_prompt", impatient)
    panel = ChatTemplate(Chat(2 * loop + 2 * "{% endfor %}"))
    start = time.perf_counter()
    panel.messages = [{"role": "user", "content": "x"}]
    assert time.perf_counter() - start < 0.2
    assert panel.rendering
    assert panel.wait(60) is None
    assert "did not end within 0.5 seconds" in panel.refusal


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must"),
        ("{{ messages.__class__ }}", "tried what a template must not do"),
        ("{% for %}", "cannot be rendered (line 1)"),
    ],
)
def test_a_refusal_is_words_and_no_failure(template: str, words: str) -> None:
    panel = ChatTemplate(Chat(template))
    assert panel.wait(30) is None
    assert words in panel.refusal
    assert (panel.error, panel.rendering, panel.rendered) == ("", False, {})
    assert words in panel.snapshot().html.replace("&#x27;", "'")


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gguf_lab.bridge.chat_process.find_spec", lambda name: None)
    panel = ChatTemplate(Chat("{{ messages }}"))
    panel.wait(30)
    assert "pip install 'gguf-lab[transformers]'" in panel.refusal
    assert panel.lines  # the text itself needs nothing


def test_without_a_tokenizer_there_is_a_text_and_a_reason() -> None:
    panel = ChatTemplate(Chat("<{{ messages[0].content }}>"), messages=[{"content": "hi"}])
    panel.wait(30)
    assert panel.rendered["spans"] == [["<hi>", [], False]]
    assert "no tokenizer" in panel.rendered["reason"]
    assert "no tokenizer" in panel.snapshot().html


def test_several_templates_and_variables() -> None:
    keys = {
        "tokenizer.chat_templates": ["tool_use"],
        "tokenizer.chat_template.tool_use": "T{{ n }}",
    }
    panel = ChatTemplate(Chat("D", **keys))
    assert (panel.names, panel.name) == (["default", "tool_use"], "default")
    panel.wait(30)
    assert panel.rendered["spans"][0][0] == "D"
    panel.variables = {"n": 7}
    panel.name = "tool_use"
    panel.wait(30)
    assert panel.rendered["spans"][0][0] == "T7"
    with pytest.raises(ChatTemplateError, match="no template 'x'; there are: default, tool_use"):
        panel.name = "x"


def test_the_relation_to_the_reference_is_said(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ a }}\n{{ b }}")
    same = ChatTemplate(Chat("{{ a }}\n{{ b }}"), tmp_path)
    assert "the same as that of the reference" in same.verdict
    assert not same.compared
    spaces = ChatTemplate(Chat("{{ a }} {{ b }}"), tmp_path)
    assert "in white space only" in spaces.verdict
    other = ChatTemplate(Chat("{{ a }}\n{{ c }}"), tmp_path)
    assert other.compared
    assert [line[2] for line in other.lines] == [True, False]
    assert "1 lines differ" in other.snapshot().html
    none = ChatTemplate(Chat(None), tmp_path)
    assert "has no template of this name; the reference has one" in none.verdict
    assert none.compared
    assert none.refusal == "There is no template to render in the file."
    assert "no chat template (tokenizer.chat_template)" in ChatTemplate(Chat(None)).verdict
    wrong = ChatTemplate(Chat("x"), tmp_path / "nowhere" / "x.safetensors")
    assert "is not a folder" in wrong.error


def test_static_form_escapes_everything() -> None:
    panel = ChatTemplate(Chat(HOSTILE + "{{ messages[0].content }}"))
    panel.messages = [{"role": HOSTILE, "content": HOSTILE}]
    html = panel.snapshot().html
    for forbidden in ("<script", "<img", "\x1b", "\u202e"):
        assert forbidden not in html
    assert html.count("&lt;script&gt;") >= 3


# -- in the browser


def settled(harness: Harness) -> None:
    harness.panels["panel"].wait(30)
    harness.push()


@pytest.mark.browser
@pytest.mark.slow
def test_a_conversation_is_edited_and_rendered(harness: Harness, smollm2: gl.Model) -> None:
    page = harness.page
    panel = ChatTemplate(smollm2)
    harness.add(panel)
    settled(harness)
    page.locator("pre.gl-prompt", has_text="What is a GGUF file?").wait_for()
    assert page.locator(".gl-j-key", has_text="endfor").count() == 1
    # Type: the prompt follows, and the editor keeps the focus.
    box = page.get_by_label("Message 1", exact=True)
    box.fill("Hi there")
    first = {"role": "user", "content": "Hi there"}
    until(page, panel, messages=[first])
    settled(harness)
    page.locator("pre.gl-prompt", has_text="Hi there").wait_for()
    assert box.evaluate("node => node === document.activeElement")
    # Another message by keyboard, and its role.
    page.get_by_role("button", name="Add message").press("Enter")
    page.keyboard.type("Hello!")
    until(page, panel, messages=[first, {"role": "assistant", "content": "Hello!"}])
    page.get_by_label("add_generation_prompt").uncheck()
    until(page, panel, add_generation_prompt=False)
    settled(harness)
    assert panel.prompt is not None
    assert panel.prompt.text.endswith("Hello!<|im_end|>\n")
    # Tokens, by keyboard.
    page.get_by_role("button", name="tokens").click()
    tokens = page.get_by_role("listbox")
    tokens.focus()
    page.keyboard.press("ArrowRight")
    until(page, panel, token=(panel.prompt.tokens or ())[1].id)
    chosen = page.locator(".gl-token[aria-selected=true]")
    expect(chosen).to_have_text(re.compile(r"^\s*system\s*9690\s*$"))
    assert tokens.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.get_by_role("button", name="Remove message 2").click()
    until(page, panel, messages=[first])
    # From Python.
    panel.messages = [{"role": "user", "content": "from Python"}]
    settled(harness)
    written = "() => document.querySelector('.gl-turn textarea').value === 'from Python'"
    page.wait_for_function(written)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
def test_two_templates_and_hostile_ones(harness: Harness, tmp_path: Path, light: bool) -> None:
    page = harness.page
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    harness.theme(light)
    (tmp_path / "chat_template.jinja").write_text("{{ a }}\n" + HOSTILE)
    message = {"role": HOSTILE, "content": HOSTILE}
    template = "{{ b }}\n{{ messages[0].content }}" + HOSTILE
    harness.add(ChatTemplate(Chat(template), tmp_path, messages=[message]))
    settled(harness)
    page.locator("pre.gl-prompt", has_text="<script>").wait_for()
    expect(page.locator(".gl-line-changed")).to_have_count(2)
    expect(page.get_by_label("differs")).to_have_count(4)
    page.get_by_role("button", name="Next difference").click()
    page.get_by_text("difference 1 of 2").wait_for(state="attached")
    assert page.locator("img, #root script").count() == 0
    text = page.locator("#root").inner_text()
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.browser
@pytest.mark.slow
def test_a_refusal_is_shown_where_the_prompt_would_be(harness: Harness) -> None:
    page = harness.page
    harness.add(ChatTemplate(Chat("{{ raise_exception('no system message') }}")))
    settled(harness)
    page.locator(".gl-refused", has_text="no system message").wait_for()
    assert page.locator("pre.gl-prompt").is_hidden()
    assert page.locator(".gl-error:visible").count() == 0
