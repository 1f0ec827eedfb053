"""Chat prompts: what Transformers makes of the same template, and what a hostile one gets."""

from __future__ import annotations

import errno
import json
import math
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

import gguf_lab as gl
from gguf_lab.bridge import chat, chat_process, chat_renderer
from gguf_lab.bridge.tokenizers import to_tokenizer

from .vocabularies import metadata, write_vocabulary

HELLO = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello <b>&amp; 世界"},
]
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}},
}


@pytest.fixture
def smollm2():
    with gl.open(gl.demo.smollm2()) as model:
        yield model


@pytest.fixture
def llama(tmp_path):
    with gl.open(write_vocabulary(tmp_path / "llama.gguf", metadata("llama"))) as model:
        yield model


def bare(tmp_path, **keys):
    """A file without a tokenizer."""
    keys = {f"tokenizer.{name}": value for name, value in keys.items()}
    return write_vocabulary(tmp_path / "bare.gguf", keys)


@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_text_and_tokens_are_those_of_transformers(smollm2, add_generation_prompt):
    tokenizer = to_tokenizer(smollm2.metadata)
    prompt = gl.chat_prompt(smollm2, HELLO, add_generation_prompt=add_generation_prompt)
    options = {"add_generation_prompt": add_generation_prompt}
    assert prompt.text == tokenizer.apply_chat_template(HELLO, tokenize=False, **options)
    ids = tokenizer.apply_chat_template(HELLO, return_dict=False, **options)
    assert [token.id for token in prompt.tokens] == ids
    assert [token.text for token in prompt.tokens] == tokenizer.convert_ids_to_tokens(ids)
    special = {token.text for token in prompt.tokens if token.special}
    assert special == {"<|im_start|>", "<|im_end|>"}
    for token in prompt.tokens:
        if token.special:
            assert prompt.text[token.start : token.stop] == token.text
    assert prompt.tokens[-1].stop == len(prompt.text)


# What templates use, each next to what Transformers renders it to.
TEMPLATES = [
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m.content | trim }}{% endfor %}",
    "{%- for m in messages %}\n  {%- if loop.last %}\n{% break %}\n {%- endif %}\nx\n{% endfor %}",
    "{{ messages | tojson }} {{ messages | tojson(indent=2) }} {{ {'b': 1, 'a': 'é'} | tojson }}",
    "{{ tools is none }} {{ documents is none }} {{ x is defined }} {{ add_generation_prompt }}",
    "{% set n = namespace(a=1) %}{% for m in messages %}{% set n.a = 2 %}{% endfor %}{{ n.a }}",
    "{% generation %}{% set a = 2 %}{{ a }}{% endgeneration %}{{ a is defined }}",
    "{{ dict(a=1).items() | list }} {{ dict.fromkeys(['x']) }}",
    "{% for m in messages %}{{ m.reasoning_content }}{{ m.thinking }}{% endfor %}",
    "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[0].content) }}{{ undefined_one }}",
    "{{ messages[1:] | map(attribute='content') | join(',') }} {{ 'a-b'.split('-')[-1] }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_see_what_they_see_in_transformers(llama, template):
    messages = [*HELLO, {"role": "assistant", "content": "", "reasoning": "because"}]
    (want,), _ = render_jinja_template(
        [messages], chat_template=template, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    prompt = gl.chat_prompt(llama, messages, template=template, add_generation_prompt=False)
    assert prompt.text == want


def test_named_templates_tools_and_variables(tmp_path):
    found = metadata("llama3") | {"tokenizer.chat_template": "default {{ bos_token }}"}
    found["tokenizer.chat_template.tool_use"] = "tools {{ tools | tojson }} {{ extra }}"
    found["tokenizer.chat_templates"] = ["tool_use"]
    path = write_vocabulary(tmp_path / "v.gguf", found)
    assert gl.chat_prompt(path, HELLO).text == "default <|endoftext|>"
    assert gl.chat_prompt(path, HELLO, template="default").text == "default <|endoftext|>"
    text = gl.chat_prompt(path, HELLO, tools=[TOOL], extra=[1, None]).text
    assert text == f"tools {json.dumps([TOOL])} [1, None]"
    assert gl.chat_prompt(path, HELLO, template="mine").text == "mine"

    def add(a: int):
        """
        Add one.

        Args:
            a: A number.
        """

    text = gl.chat_prompt(path, HELLO, tools=[add], template="{{ tools[0].function.name }}").text
    assert text == "add"
    del found["tokenizer.chat_template"]
    path = write_vocabulary(tmp_path / "w.gguf", found)
    with pytest.raises(gl.ChatTemplateError, match=r"Choose by name: tool_use"):
        gl.chat_prompt(path, HELLO)


def test_a_file_without_a_template_or_a_tokenizer(tmp_path):
    with pytest.raises(gl.ChatTemplateError, match=r"no chat template \(tokenizer.chat_template\)"):
        gl.chat_prompt(bare(tmp_path), HELLO)
    prompt = gl.chat_prompt(bare(tmp_path, chat_template="a{{ bos_token }}b"), HELLO)
    assert prompt.text == "ab"
    assert prompt.tokens is None
    assert "no tokenizer" in prompt.reason
    assert "the file has no tokenizer" in repr(prompt)
    assert "the file has no tokenizer" in prompt._repr_html_()


def test_an_id_beyond_the_vocabulary_is_passed_over(tmp_path):
    found = metadata("llama3") | {"tokenizer.ggml.padding_token_id": 1000}
    path = write_vocabulary(tmp_path / "v.gguf", found)
    prompt = gl.chat_prompt(path, HELLO, template="{{ bos_token }}{{ pad_token }}")
    assert prompt.text == "<|endoftext|>"


def test_an_unknown_tokenizer_leaves_the_text(tmp_path):
    found = metadata("llama") | {"tokenizer.ggml.model": "rwkv"}
    prompt = gl.chat_prompt(write_vocabulary(tmp_path / "v.gguf", found), HELLO)
    assert "Be brief." in prompt.text
    assert prompt.tokens is None
    assert '"rwkv"' in prompt.reason


def test_without_the_extra(llama, monkeypatch):
    absent = {"tokenizers"}
    for part in (chat, chat_process):
        look = lambda name: None if name in absent else find_spec(name)  # noqa: E731
        monkeypatch.setattr(part, "find_spec", look)
    assert "pip install 'gguf-lab[transformers]'" in gl.chat_prompt(llama, HELLO).reason
    absent.add("jinja2")
    with pytest.raises(gl.ChatTemplateError, match=r"need jinja2: pip install"):
        gl.chat_prompt(llama, HELLO)


def test_what_is_shown_is_escaped(llama):
    template = "<s><script>alert(1)</script>\u202e{{ messages[0].content }}</s>"
    prompt = gl.chat_prompt(
        llama, [{"role": "user", "content": "<img src=x>\x1b[31m"}], template=template
    )
    html = prompt._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html + repr(prompt)
    assert "\x1b" not in html + repr(prompt)
    assert 'title="token 1">&lt;s&gt;</span>' in html
    assert str(prompt) == prompt.text


def test_a_long_prompt_is_cut_when_shown(llama):
    prompt = gl.chat_prompt(llama, HELLO, template="<s>{{ 'x y ' * 50000 }}")
    assert len(prompt.text) == 200_003
    html = prompt._repr_html_()
    assert len(html) < 600_000
    assert "180,003 more characters" in html
    assert "more tokens" in html


# --- Hostile templates ---

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ 'x' | attr('__class__') }}",
    "{{ messages | map(attribute='__class__') | list }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ (messages | tojson).__class__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='x') }}",
    "{{ namespace(__class__=1) }}",
    "{% set f = lipsum.__globals__ %}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_there_is_no_way_out_of_the_sandbox(llama, template):
    with pytest.raises(gl.ChatTemplateError, match="what a template must not do"):
        gl.chat_prompt(llama, HELLO, template=template)


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ lipsum(n=1000000) }}",
    (
        "{% set ns = namespace(i=0) %}{% for a in range(99999) %}{% for b in range(99999) %}"
        "{% set ns.i = ns.i + 1 %}{% endfor %}{% endfor %}"
    ),
]


@pytest.mark.parametrize("template", ENDLESS)
def test_a_template_that_does_not_end_is_stopped(llama, template):
    start = time.monotonic()
    with pytest.raises(gl.ChatTemplateError, match=r"did not end within 0\.7 seconds|more memory"):
        gl.chat_prompt(llama, HELLO, template=template, timeout=0.7)
    assert time.monotonic() - start < 3


BOMBS = [
    "{{ 'a' * 10 ** 10 }}",
    "{{ [0] * 10 ** 9 }}",
    "{{ 'x'.ljust(10 ** 10) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ (range(99999) | list * 10000) | join('x') }}",
    "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% for a in range(10 ** 9) %}{% endfor %}",
]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is one of Linux")
@pytest.mark.parametrize("template", BOMBS)
def test_a_memory_bomb_does_not_go_off(llama, template):
    with pytest.raises(gl.ChatTemplateError, match=r"memory|Range too big|OverflowError"):
        gl.chat_prompt(llama, HELLO, template=template, timeout=20)


def test_a_renderer_stays_below_its_limit_of_memory(tmp_path):
    """The process itself: what it used at most, as the system counts it."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    request = {"template": BOMBS[5], "variables": {}, "longest": 100, "memory": chat_process.MEMORY}
    answer = subprocess.run(
        [sys.executable, "-I", chat_renderer.__file__],
        input=json.dumps(request | {"seconds": 20}).encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(answer.stdout)["error"] == "MemoryError"
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert used <= max(before, chat_process.MEMORY // 1024)


LONG = [
    "{{ 'a' * 10 ** 7 }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxx{% endfor %}{% endfor %}",
]


@pytest.mark.parametrize("template", LONG)
def test_giant_output_is_refused(llama, template):
    with pytest.raises(gl.ChatTemplateError, match="more than 4,194,304 characters"):
        gl.chat_prompt(llama, HELLO, template=template, timeout=20)


DEEP = [
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 50_000 + "]" * 50_000 + " }}",
    "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "{{ " + "-" * 20_000 + "1 }}",
]


@pytest.mark.parametrize("template", DEEP, ids=range(len(DEEP)))
def test_recursion_is_an_error(llama, template):
    message = "calls itself without end|broke the process|too many|cannot be rendered"
    with pytest.raises(gl.ChatTemplateError, match=message):
        gl.chat_prompt(llama, HELLO, template=template, timeout=20)


@pytest.mark.parametrize("name", ["open", "include", "import"])
def test_files_are_out_of_reach(llama, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    template = {
        "open": f"{{{{ open('{secret}').read() }}}}",
        "include": f"{{% include '{secret}' %}}",
        "import": f"{{% import '{secret}' as x %}}",
    }[name]
    with pytest.raises(gl.ChatTemplateError, match=r"cannot be rendered"):
        gl.chat_prompt(llama, HELLO, template=template)


def test_where_there_can_be_no_thread_no_process_is_left(llama, allow_threads):
    template = "{% for i in range(10**9) %}{% for j in range(10**9) %}{% endfor %}{% endfor %}"
    allow_threads(0)
    begun = time.monotonic()
    with pytest.raises(gl.GGUFLabError, match="no thread can be started"):
        gl.chat_prompt(llama, HELLO, template=template, timeout=20)
    assert time.monotonic() - begun < 10


def test_nothing_is_written_to_render_a_template(llama, monkeypatch):
    """A container may have no folder for temporary files that can be written to."""
    monkeypatch.setattr("tempfile.tempdir", "/no-such-folder")
    assert gl.chat_prompt(llama, HELLO, template="é" * 100_000).text == "é" * 100_000


def test_where_there_can_be_no_process_the_template_is_not_at_fault(llama, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    with pytest.raises(gl.GGUFLabError, match=r"no process can be started .*Resource") as caught:
        gl.chat_prompt(llama, HELLO)
    assert not isinstance(caught.value, gl.ChatTemplateError)


IN_PARTS = (
    "{% for m in messages %}{{ m.role }}:{% for part in m.content %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}<image>{% endif %}"
    "{% endfor %};{% endfor %}"
)


@pytest.mark.parametrize("strict", [False, True])
def test_a_template_that_wants_parts_is_given_parts(llama, strict):
    """Those of models that see: of a text they would write nothing, or end with an error."""
    template = IN_PARTS.replace("part['type'] ==", "part.type.lower() ==") if strict else IN_PARTS
    talk = [*HELLO, {"role": "assistant", "content": "Hi"}]
    text = gl.chat_prompt(llama, talk, template=template).text
    assert text == "".join(f"{m['role']}:{m['content']};" for m in talk)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in talk]
    assert gl.chat_prompt(llama, parts, template=template).text == text


def test_a_template_that_says_nothing_says_nothing(llama):
    assert gl.chat_prompt(llama, HELLO, template="{{ 1 + 1 }}").text == "2"
    assert gl.chat_prompt(llama, [], template=IN_PARTS).text == ""


def test_a_template_may_refuse(llama):
    template = "{{ raise_exception('Only users may\x1b[31m speak. ' ~ 'x' * 10000) }}"
    with pytest.raises(
        gl.ChatTemplateError, match=r"refuses these messages: Only users may"
    ) as caught:
        gl.chat_prompt(llama, HELLO, template=template)
    assert len(str(caught.value)) < 600
    assert "\x1b" not in str(caught.value)


def test_a_malformed_template_names_the_line(llama):
    with pytest.raises(gl.ChatTemplateError, match=r"line 3.*TemplateSyntaxError"):
        gl.chat_prompt(llama, HELLO, template="a\nb\n{% if %}")


def test_messages_must_be_json(llama):
    with pytest.raises(gl.ChatTemplateError, match="what JSON can say"):
        gl.chat_prompt(llama, [{"role": "user", "content": object()}])


@pytest.mark.parametrize("messages", ["hi", ["hi"], HELLO[0], 3, None])
def test_messages_are_a_list_of_mappings(llama, messages):
    with pytest.raises(gl.ChatTemplateError, match="Messages are a list such as"):
        gl.chat_prompt(llama, messages, template="safe")


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, None, "5"])
def test_a_timeout_is_a_number_of_seconds(llama, timeout):
    with pytest.raises(gl.ChatTemplateError, match=r"timeout is .* expected seconds"):
        gl.chat_prompt(llama, HELLO, template="safe", timeout=timeout)


def without_words(city: str) -> str:
    return city


@pytest.mark.parametrize("tools", ["x", [3], [without_words]])
def test_a_tool_that_is_not_described_is_refused(llama, tools):
    with pytest.raises(
        gl.ChatTemplateError, match=r"A tool (is a JSON schema|cannot be described)"
    ):
        gl.chat_prompt(llama, HELLO, template="safe", tools=tools)


def test_half_a_character_leaves_the_text_without_tokens():
    found = gl.chat_prompt(gl.demo.smollm2(), [{"role": "user", "content": "\ud83d"}])
    assert "\ud83d" in found.text
    assert found.tokens is None
    assert "not Unicode's" in found.reason


def test_the_environment_of_who_runs_it_changes_nothing(llama, tmp_path, monkeypatch):
    (tmp_path / "jinja2.py").write_text("raise SystemExit('taken over')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert gl.chat_prompt(llama, HELLO, template="safe").text == "safe"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_jinja2_may_be_installed_for_the_user_alone(llama, tmp_path, monkeypatch):
    """By pip install --user, or named by PYTHONPATH, as on clusters: -I alone does not see it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    assert gl.chat_prompt(llama, HELLO, template="seen").text == "seen"


def test_the_renderer_in_its_own_words():
    """What runs in the other process, run in this one."""
    request = {"template": "{{ a }}", "variables": {"a": 1}, "longest": 1}
    assert chat_renderer.render(request) == "1"
    with pytest.raises(OverflowError, match="more than 0 characters"):
        chat_renderer.render(request | {"longest": 0})
    with pytest.raises(TemplateError, match="no"):
        chat_renderer.render(request | {"template": "{{ raise_exception('no') }}"})


@pytest.mark.slow
def test_a_prompt_is_quick(smollm2):
    gl.chat_prompt(smollm2, HELLO)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        gl.chat_prompt(smollm2, HELLO)
        times.append(time.perf_counter() - start)
    assert min(times) < 1  # 0.1 s on a machine at rest
