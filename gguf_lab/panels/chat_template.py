"""The chat template of a file: its text, and what it makes of a conversation that one edits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..bridge import chat_prompt
from ..bridge.tokenizers.vocabulary import read_templates
from ..errors import ChatTemplateError, GGUFLabError
from ..file.text import printable
from ..markup import Html, card, fold, grid, more, note, preformatted
from .assets import script, style
from .base import Panel, Snapshot
from .jinja import beside, lines_of
from .jobs import Jobs
from .templates import templates_of
from .tokens import TokenList, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from ..bridge import ChatPrompt
    from ..model import Model
    from ..reference import Checkpoint
    from .jinja import Line
    from .owner import Openable

__all__ = ["ChatTemplate"]

_GREETING: Final = ({"role": "user", "content": "What is a GGUF file?"},)
_MOST_TEXT: Final = 20_000  # characters of a prompt that are shown
_MOST_TOKENS: Final = 2_000
_MOST_SOURCE: Final = 100_000  # characters of a template that are shown
_MOST_LINES: Final = 3_000

_whole = partial(printable, limit=None, lines=True)


class ChatTemplate(Panel):
    """The chat template, rendered for messages that the user edits, with the tokens it becomes.

    The template runs in a process of its own with little memory and time (see `chat_prompt`), away
    from the kernel's thread. Beside it stands the template of the original, if there is one.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    reference : Checkpoint, Model, str or path, optional
        Whose template to put beside the file's: a checkpoint or its folder, or a GGUF file.
    messages : sequence of mappings, optional
        The conversation to begin with.
    height : int
        Height in CSS pixels.

    Attributes
    ----------
    messages : list of dict
        The conversation; readable, settable, observable.
    add_generation_prompt : bool
        End where the model's answer is to begin.
    variables : dict
        What else the template shall see (``{"enable_thinking": False}``, ``{"tools": [...]}``).
    prompt : ChatPrompt or None
        What the template made of the messages last; None if it refused them.
    token : int
        The selected token's id, -1 for none.
    """

    _esm = script("chat_template")
    _css = style("chat_template")

    names = traitlets.List(traitlets.Unicode(), help="Names of the templates").tag(sync=True)
    name = traitlets.Unicode("", help="The template that is looked at").tag(sync=True)
    lines = traitlets.List(
        traitlets.List(),
        help="[ours, theirs, same]: pieces of a line of both templates, None: no such line",
    ).tag(sync=True)
    verdict = traitlets.Unicode("", help="How the file's template and the other relate").tag(
        sync=True
    )
    compared = traitlets.Bool(False, help="Whether there is another template beside it").tag(
        sync=True
    )
    messages = traitlets.List(traitlets.Dict(), help="The conversation").tag(sync=True)
    add_generation_prompt = traitlets.Bool(
        True, help="End where the model's answer is to begin"
    ).tag(sync=True)
    variables = traitlets.Dict(help="What else the template shall see")
    rendering = traitlets.Bool(False, help="Whether a rendering is under way").tag(sync=True)
    refusal = traitlets.Unicode("", help="Why there is no prompt").tag(sync=True)
    rendered = traitlets.Dict(help="The prompt for the browser, see `_show`").tag(sync=True)
    token = traitlets.Int(-1, help="The selected token; -1: none").tag(sync=True)

    def __init__(
        self,
        model: Openable,
        reference: Checkpoint | Model | str | PathLike[str] | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        height: int = 720,
    ) -> None:
        self._model = model = self._model_of(model)
        self._tokens = TokenList(model.metadata)
        self._serial = 0
        self.prompt: ChatPrompt | None = None
        problems = []
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] | None = None
        try:
            self._ours = read_templates(model.metadata)
        except GGUFLabError as error:
            problems.append(str(error))
        try:
            self._theirs = None if reference is None else templates_of(reference)
        except GGUFLabError as error:
            problems.append(str(error))
        names = list(dict.fromkeys([*self._ours, *(self._theirs or ())]))
        super().__init__(
            height=height,
            label="Chat template",
            error="\n".join(problems),
            names=names,
            name="default" if "default" in names else "".join(names[:1]),
            messages=[dict(m) for m in (_GREETING if messages is None else messages)],
        )
        self._jobs = Jobs(self._broke, lambda words, share: None)
        self._show_template()
        self.observe(self._show_template, ["name"])
        self.observe(self._begin, ["name", "messages", "add_generation_prompt", "variables"])
        self._begin()

    @traitlets.validate("name")
    def _check_name(self, proposal: dict[str, Any]) -> str:
        name = str(proposal["value"])
        if name and name not in self.names:
            known = ", ".join(printable(n, 80) for n in self.names) or "none"
            raise ChatTemplateError(
                f"There is no template {printable(name, 80)!r}; there are: {known}."
            )
        return name

    # -- the template

    def _show_template(self, _change: object = None) -> None:
        ours = self._ours.get(self.name)
        theirs = None if self._theirs is None else self._theirs.get(self.name)
        with self.hold_sync():
            self.verdict = self._relation(ours, theirs)
            self.lines, self.compared = [], False
            if ours is None and theirs is None:
                return
            left, right = (lines_of((text or "")[:_MOST_SOURCE]) for text in (ours, theirs))
            pairs = None if theirs is None or ours == theirs else beside(left, right)
            if pairs is None:
                if ours != theirs and theirs is not None:
                    self.verdict += " They have too many lines to be lined up."
                self.lines = [[_shown(line), None, True] for line in left[:_MOST_LINES]]
            else:
                self.compared = True
                self.lines = [
                    [_shown(pair.left), _shown(pair.right), pair.same]
                    for pair in pairs[:_MOST_LINES]
                ]

    def _relation(self, ours: str | None, theirs: str | None) -> str:
        if ours is None and theirs is None:
            return "The file has no chat template (tokenizer.chat_template)."
        if ours is None:
            return "The file has no template of this name; the reference has one."
        cut = "" if len(ours) <= _MOST_SOURCE else f" The first {_MOST_SOURCE:,} are shown."
        words = f"{len(ours):,} characters.{cut}"
        if self._theirs is None:
            return words
        if theirs is None:
            return f"{words} The reference has no template of this name."
        if ours == theirs:
            return f"{words} It is the same as that of the reference."
        if ours.split() == theirs.split():
            return f"{words} It differs from that of the reference in white space only."
        return f"{words} It differs from that of the reference ({len(theirs):,} characters)."

    # -- the prompt

    def _begin(self, _change: object = None) -> None:
        """Render anew, in place of what is being rendered."""
        self._serial += 1
        if self.name not in self._ours:
            self._show(None, "There is no template to render in the file." if self.name else "")
            return
        self.rendering = True
        self._jobs.put("render", self._render(self._serial), "Rendering the template")

    def _render(self, serial: int) -> Iterator[float]:
        if serial != self._serial:
            return
        prompt, refusal = None, ""
        options = {"add_generation_prompt": self.add_generation_prompt, **self.variables}
        try:
            prompt = chat_prompt(self._model, self.messages, template=self.name, **options)
        except GGUFLabError as error:
            refusal = str(error)
        if serial == self._serial:
            self._show(prompt, refusal)
        yield 1.0

    def _broke(self, error: BaseException) -> None:
        self.rendering = False
        self._fail(error)

    def _show(self, prompt: ChatPrompt | None, refusal: str) -> None:
        with self.hold_sync():
            self.prompt = prompt
            self.refusal = printable(refusal, 2000, lines=True)
            self.rendered = {} if prompt is None else self._rendered(prompt)
            self.rendering = False

    def _rendered(self, prompt: ChatPrompt) -> dict[str, Any]:
        text = prompt.text[:_MOST_TEXT]
        tokens = (prompt.tokens or ())[:_MOST_TOKENS]
        known = len(self._tokens)
        listed = []
        for token in tokens:
            stored = self._tokens.stored(token.id, token.id + 1) if token.id < known else []
            meaning = self._tokens.meaning(token.id, stored[0]) if stored else token.text
            listed.append([token.id, [list(piece) for piece in pieces(meaning)], token.special])
        return {
            "spans": _spans(text, tokens) if tokens else [[_whole(text), [], False]],
            "tokens": listed,
            "characters": len(prompt.text),
            "n_tokens": None if prompt.tokens is None else len(prompt.tokens),
            "n_special": sum(token.special for token in prompt.tokens or ()),
            "reason": printable(prompt.reason, 400),
            "cut": len(prompt.text) > _MOST_TEXT or len(prompt.tokens or ()) > _MOST_TOKENS,
        }

    def wait(self, timeout: float | None = None) -> ChatPrompt | None:
        """Wait until the messages are rendered, and return the prompt.

        Parameters
        ----------
        timeout : float, optional
            Most seconds to wait.
        """
        self._jobs.wait(timeout)
        return self.prompt

    # -- static form

    def __repr__(self) -> str:
        n = len(self.messages)
        return f"<ChatTemplate: {printable(self._model.name, 80)}, {n} message{'s' * (n != 1)}>"

    def snapshot(self, rows: int | None = 1000) -> Snapshot:
        """Return what the panel shows as an ordinary static output, once it is rendered.

        Parameters
        ----------
        rows : int, optional
            Most lines of the template and most tokens; None for all.
        """
        self.wait(10)
        return super().snapshot(rows)

    def _static(self, limit: int | None) -> str:
        shown = self.lines if limit is None else self.lines[:limit]
        parts = [note(self.verdict)]
        if shown:
            source = "\n".join(_plain(line[0]) for line in shown)
            parts.append(fold("Template", preformatted(source)))
            parts.append(more(len(self.lines), len(shown), "lines"))
        changed = [(_plain(a), _plain(b)) for a, b, same in shown if not same]
        if changed:
            head = ("in the file", "in the reference")
            parts.append(fold(f"{len(changed):,} lines differ", grid(head, changed)))
        parts += self._static_prompt(limit)
        return card(f"Chat template of {printable(self._model.name, 120)}", *parts)

    def _static_prompt(self, limit: int | None) -> list[Html]:
        if self.refusal:
            return [note(self.refusal)]
        if not self.rendered:
            return [note("The messages are being rendered.")] if self.rendering else []
        text = "".join(span[0] for span in self.rendered["spans"])
        tokens = self.rendered["tokens"]
        rows = [(str(t[0]), _plain(t[1]), "yes" if t[2] else "") for t in tokens[:limit]]
        return [
            note("The prompt:"),
            preformatted(text),
            fold(
                f"{self.rendered['n_tokens'] or 0:,} tokens",
                grid(("id", "token", "special"), rows, numeric=[0]),
                more(self.rendered["n_tokens"] or 0, len(rows), "tokens"),
            )
            if rows
            else note(self.rendered["reason"]),
        ]


def _shown(line: Line | None) -> list[list[str]] | None:
    return None if line is None else [[_whole(text), kind] for text, kind in line]


def _plain(line: Sequence[Sequence[str]] | None) -> str:
    return "".join(text for text, _ in line or ())


def _spans(text: str, tokens: Sequence[Any]) -> list[list[Any]]:
    """Cut a text at its tokens: [text, which tokens, special]; several may share a character."""
    spans: list[list[Any]] = []
    at = 0
    for number, token in enumerate(tokens):
        if spans and token.start < at:
            spans[-1][1].append(number)
            if token.stop > at:
                spans[-1][0] += _whole(text[at : token.stop])
        else:
            if token.start > at:
                spans.append([_whole(text[at : token.start]), [], False])
            spans.append([_whole(text[token.start : token.stop]), [number], token.special])
        at = max(at, token.stop)
    if at < len(text):
        spans.append([_whole(text[at:]), [], False])
    return spans
