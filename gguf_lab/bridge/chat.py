"""A conversation as the model gets to see it: the text that the file's own template makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..errors import ChatTemplateError, GGUFLabError
from ..file.text import preview, printable
from ..markup import Html, card, escaped, fold, grid, mark, more, preformatted
from ..model import Model, given_model
from .chat_process import UnreadyTemplateError, render
from .requirement import INSTALL
from .tokenizers import has_tokenizer
from .tokenizers.building import build
from .tokenizers.vocabulary import read_special, read_templates, read_vocabulary

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tokenizers import Tokenizer

__all__ = ["ChatPrompt", "ChatToken", "chat_prompt", "chat_text"]

_LONGEST_WAIT = 3600
_SHOWN_TEXT, _SHOWN_TOKENS = 20_000, 1_000
_REASONING = ("reasoning_content", "thinking", "reasoning")

_tokenizers: WeakKeyDictionary[Model, Tokenizer] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class ChatToken:
    """A token of a prompt.

    Attributes
    ----------
    id : int
        Its place in the vocabulary.
    text : str
        The token as the vocabulary has it ("\u2581Hello", "\u0120world", "<|im_start|>").
    special : bool
        Whether it is a control token, not text.
    start, stop : int
        Which characters of the prompt it stands for. Several tokens may share a character.
    """

    id: int
    text: str
    special: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True, repr=False)
class ChatPrompt:
    """What a model is given to continue.

    Attributes
    ----------
    text : str
        The text that the template made of the messages.
    tokens : tuple of ChatToken, or None
        The text in tokens, without any that a tokenizer would add: the template writes them all.
    reason : str
        Why there are no tokens; empty if there are.
    """

    text: str
    tokens: tuple[ChatToken, ...] | None
    reason: str = ""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = printable(self.text[:_SHOWN_TEXT], None, lines=True)
        return f"Chat prompt, {self._counts()}:\n{text}"

    def _counts(self) -> str:
        characters = f"{len(self.text):,} characters"
        if self.tokens is None:
            return f"{characters}, no tokens: {self.reason}"
        special = sum(token.special for token in self.tokens)
        return f"{characters}, {len(self.tokens):,} tokens, {special:,} of them special"

    def _repr_html_(self) -> str:
        parts = [preformatted(self._marked(), None)]
        parts.append(more(len(self.text), min(len(self.text), _SHOWN_TEXT), "characters"))
        if self.tokens:
            rows = [
                (str(t.id), mark(t.text, 0) if t.special else t.text, "yes" if t.special else "")
                for t in self.tokens[:_SHOWN_TOKENS]
            ]
            table = grid(("id", "token", "special"), rows, numeric=[0])
            left_out = more(len(self.tokens), len(rows), "tokens")
            parts.append(fold(f"{len(self.tokens):,} tokens", table, left_out))
        return card("Chat prompt", *parts, note=self._counts())

    def _marked(self) -> Html:
        """Return the text with its special tokens marked."""
        shown, at = "", 0
        for token in self.tokens or ():
            if token.special and at <= token.start < token.stop <= _SHOWN_TEXT:
                shown += escaped(self.text[at : token.start], None, lines=True)
                shown += mark(self.text[token.start : token.stop], 0, f"token {token.id}")
                at = token.stop
        return Html(shown + escaped(self.text[at:_SHOWN_TEXT], None, lines=True))


def chat_prompt(
    model: Model | str | os.PathLike[str],
    messages: Sequence[Mapping[str, object]],
    *,
    add_generation_prompt: bool = True,
    tools: Sequence[Mapping[str, object] | Callable[..., object]] | None = None,
    template: str | None = None,
    timeout: float = 5.0,
    **variables: object,
) -> ChatPrompt:
    """Render messages with a file's chat template, and take the text apart into tokens.

    Parameters
    ----------
    model : Model, str or path
        The file. Only its metadata is read.
    messages : sequence of mappings
        The conversation: ``[{"role": "user", "content": "Hello"}]``. A template that writes
        nothing of it is given each text as a list of parts, as llama.cpp does it:
        ``[{"type": "text", "text": "Hello"}]``.
    add_generation_prompt : bool
        End where the model's answer is to begin.
    tools : sequence of mappings or functions, optional
        Tools that the model may call: JSON schemas, or functions with type hints and docstrings.
    template : str, optional
        The name of one of the file's templates, or a template to render instead. Default: the one
        for tools if there are tools, else the file's template without a name.
    timeout : float
        Seconds that the template may take: at most 3600.
    **variables
        What else the template shall see (``enable_thinking=False``).

    Returns
    -------
    ChatPrompt
        The text, and its tokens; a notebook shows the special ones marked.

    Raises
    ------
    ChatTemplateError
        If the file has no template, or the template is malformed, refuses the messages, tries to
        leave its sandbox, or asks for too much time, memory or text; if a tool is not described.
    GGUFError
        If the metadata of the tokenizer is malformed.
    """
    with ExitStack() as stack:
        opened = given_model(model, stack)
        text = chat_text(
            opened,
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            template=template,
            timeout=timeout,
            **variables,
        )
        try:
            return ChatPrompt(text, _tokens(opened, text))
        except _NoTokensError as reason:
            return ChatPrompt(text, None, str(reason))


def chat_text(
    model: Model,
    messages: Sequence[Mapping[str, object]],
    *,
    add_generation_prompt: bool = True,
    tools: Sequence[Mapping[str, object] | Callable[..., object]] | None = None,
    template: str | None = None,
    timeout: float = 5.0,
    **variables: object,
) -> str:
    """Return the text of `chat_prompt` alone: no tokenizer is built, which takes long if large."""
    if not isinstance(messages, Sequence) or not all(isinstance(m, Mapping) for m in messages):
        raise ChatTemplateError(
            'Messages are a list such as [{"role": "user", "content": "Hello"}].'
        )
    if not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST_WAIT:
        raise ChatTemplateError(
            f"timeout is {timeout!r}: expected seconds, more than 0 and at most {_LONGEST_WAIT}."
        )
    request = {
        **_special_tokens(model),
        **variables,
        "messages": [_with_reasoning(message) for message in messages],
        "tools": None if tools is None else [_schema(tool) for tool in tools],
        "add_generation_prompt": add_generation_prompt,
    }
    request.setdefault("documents", None)
    chosen = _choose(model, template, tools=bool(tools))
    try:
        text = render(chosen, request, timeout)
    except UnreadyTemplateError as error:
        if text := _in_parts(chosen, request, timeout):
            return text
        raise ChatTemplateError(str(error)) from None
    return text if _says(text, messages) else _in_parts(chosen, request, timeout) or text


def _says(text: str, messages: Sequence[Mapping[str, object]]) -> bool:
    """Whether a prompt has anything of what the user says; also if there is nothing to say."""
    said = (message.get("content") for message in messages if message.get("role") == "user")
    words = [content.strip() for content in said if isinstance(content, str)]
    return not any(words) or any(part in text for part in words if part)


def _in_parts(template: str, request: Mapping[str, Any], timeout: float) -> str:
    """Render with contents as lists of parts, which templates of models that see may want.

    llama.cpp does so, too (``messages_inp_normalizer``). Empty if that says no more.
    """
    parts = [
        {**message, "content": [{"type": "text", "text": content}]}
        if isinstance(content := message.get("content"), str)
        else message
        for message in request["messages"]
    ]
    with suppress(ChatTemplateError):
        text = render(template, {**request, "messages": parts}, timeout)
        if _says(text, request["messages"]):
            return text
    return ""


class _NoTokensError(Exception):
    """Why a text cannot be taken apart into tokens."""


def _choose(model: Model, template: str | None, *, tools: bool) -> str:
    known = read_templates(model.metadata)
    if template is not None:
        return known.get(template, template)
    if tools and "tool_use" in known:
        return known["tool_use"]
    if "default" in known:
        return known["default"]
    if known:
        names = ", ".join(printable(name) for name in known)
        raise ChatTemplateError(f"No template is the default one. Choose by name: {names}.")
    raise ChatTemplateError(
        "The file has no chat template (tokenizer.chat_template): it is not a model for chats, or"
        " was converted without it. Give one as `template`."
    )


def _special_tokens(model: Model) -> dict[str, str]:
    """Return the variables `bos_token` and so on."""
    if not has_tokenizer(model.metadata):
        return {}
    tokens: Any = model.metadata["tokenizer.ggml.tokens"]
    special = read_special(model.metadata, beyond=True)
    return {f"{name}_token": tokens[place] for name, place in special.items()}


def _with_reasoning(message: Mapping[str, object]) -> dict[str, object]:
    """Give a message's reasoning every name that templates know it by."""
    found = next((message[key] for key in _REASONING if message.get(key) is not None), None)
    if found is None:
        return dict(message)
    return {"thinking": found, **message, "reasoning_content": found}


def _schema(tool: Mapping[str, object] | Callable[..., object]) -> object:
    if isinstance(tool, Mapping):
        return tool
    if not callable(tool):
        raise ChatTemplateError(f"A tool is a JSON schema or a function, not {preview(tool)}.")
    from transformers.utils.chat_template_utils import (
        DocstringParsingException,
        TypeHintParsingException,
        get_json_schema,
    )

    try:
        return get_json_schema(tool)
    except (DocstringParsingException, TypeHintParsingException) as error:
        raise ChatTemplateError(f"A tool cannot be described: {error}") from None


def _tokenizer(model: Model) -> Tokenizer:
    """Build the tokenizer of a model once."""
    if model not in _tokenizers:
        _tokenizers[model] = build(read_vocabulary(model.metadata))
    return _tokenizers[model]


def _tokens(model: Model, text: str) -> tuple[ChatToken, ...]:
    if not has_tokenizer(model.metadata):
        raise _NoTokensError("the file has no tokenizer")
    if find_spec("tokenizers") is None:
        raise _NoTokensError(f"that needs tokenizers: {INSTALL}")
    try:
        tokenizer = _tokenizer(model)
        encoding = tokenizer.encode(text, add_special_tokens=False)
    except GGUFLabError as error:
        raise _NoTokensError(str(error)) from None
    except (UnicodeEncodeError, TypeError):  # which of them depends on the version
        raise _NoTokensError("the text has characters that are not Unicode's") from None
    special = {n for n, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return tuple(
        ChatToken(place, token, place in special, start, stop)
        for place, token, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.offsets, strict=True
        )
    )
