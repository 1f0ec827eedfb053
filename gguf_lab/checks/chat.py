"""Rules about the chat template: there, in order, and that of the original."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..bridge.chat import chat_text
from ..bridge.tokenizers import has_tokenizer
from ..bridge.tokenizers.source import open_source
from ..bridge.tokenizers.special import special_metadata
from ..errors import ChatTemplateError, GGUFError, UnsupportedError
from ..file import preview
from ..model import Model
from ..reference import Checkpoint
from .rules import Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .rules import Subject

__all__: list[str] = []

_KEY = "tokenizer.chat_template"
_CHAT = re.compile(r"(^|[^a-z])(instruct|chat|it|assistant)([^a-z]|$)", re.IGNORECASE)
_SPECIAL = re.compile(r"tokenizer\.ggml\.([a-z_]+_token_id|add_[a-z]+_token)")
_BOUNDS = re.compile(r".*\.(add_)?(bos|eos|eot|eom)_token(_id)?")
_SECONDS = 20  # also where everything is slow: an answer too late is no fault of the template
_REFUSES = "The chat template refuses these messages"


@rule("no-template", "warning", "llama.cpp falls back on ChatML where there is no template")
def no_template(subject: Subject) -> Iterator[Found]:
    """Expect a chat template in a model that is called one for chats."""
    if subject.model.kind != "model" or not has_tokenizer(subject.metadata):
        return
    keys = ("general.name", "general.finetune", "general.basename")
    names = [subject.model.path.name, *filter(None, map(subject.metadata.text, keys))]
    called = next((name for name in names if _CHAT.search(name)), None)
    if called and not any(key.startswith(_KEY) for key in subject.metadata):
        yield Found(
            _KEY,
            f"the key is missing, but the model is called {called!r:.80}: programs will guess how "
            "a conversation is written",
            "Convert again with the template of the original (or --chat-template-file).",
        )


@rule(
    "template",
    "warning",
    "a template that fails leaves no way to write a conversation",
    needs="jinja2",
)
def template(subject: Subject) -> Iterator[Found]:
    """Expect the template to render a question and an answer (in a sandbox)."""
    if _KEY not in subject.metadata:
        return
    question = {"role": "user", "content": "Hello"}
    talk = [question, {"role": "assistant", "content": "Hi"}, question]
    try:
        text = chat_text(subject.model, talk, timeout=_SECONDS)
    except ChatTemplateError as error:
        if not str(error).startswith(_REFUSES):
            yield Found(_KEY, str(error), "Take the template of the original checkpoint.")
        return
    except (GGUFError, UnsupportedError):
        return  # of the tokenizer, which has its own rules
    if "Hello" not in text:
        yield Found(
            _KEY,
            "the template writes nothing of what the user says",
            "Take the template of the original checkpoint.",
        )


def _original(subject: Subject) -> Mapping[str, object]:
    """Return the keys of the tokenizer that the original has, or would have as GGUF."""
    original = subject.reference
    if isinstance(original, Model):
        return original.metadata
    assert isinstance(original, Checkpoint)
    assert isinstance(original.path, Path)
    folder = original.path if original.path.is_dir() else original.path.parent
    with open_source(folder, original.config) as source:
        return special_metadata(source)


@rule(
    "template-differs",
    "warning",
    "the template is a part of the model: another one gives other prompts",
    needs="original",
)
def template_differs(subject: Subject) -> Iterator[Found]:
    """Expect the template of the original."""
    theirs, ours = _original(subject).get(_KEY), subject.metadata.text(_KEY)
    if not isinstance(theirs, str) or not has_tokenizer(subject.metadata):
        return
    if ours is None:
        yield Found(_KEY, "the key is missing, but the original has a template")
    elif ours != theirs:
        same = ours.split() == theirs.split()
        yield Found(
            _KEY,
            "the template differs from that of the original"
            + (", in white space only" if same else ""),
            "" if same else "Look at both; uploaders correct templates, and break them.",
            "note" if same else None,
        )


@rule(
    "special-differs",
    "warning",
    "a model stops, and begins, with the tokens that it was trained with",
    needs="original",
)
def special_differs(subject: Subject) -> Iterator[Found]:
    """Expect the special tokens of the original."""
    if not has_tokenizer(subject.metadata):
        return
    for key, due in _original(subject).items():
        if _SPECIAL.fullmatch(key) and (got := subject.metadata.get(key, due)) != due:
            yield Found(
                key,
                f"the key is {preview(got)}, in the original it is {preview(due)}",
                "Find out who is right: generation_config.json of the original may say more.",
                None if _BOUNDS.fullmatch(key) else "note",
            )
