"""Merges, special tokens and chat template: what the converter takes from any tokenizer.

The rules are those of `SpecialVocab` in llama.cpp's `gguf-py/gguf/vocab.py`, which the `gguf` of
this name on the package index may be behind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .normalizing import normalizer_keys
from .quirks import NAMED
from .vocabulary import SPECIAL_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Source
    from .tokens import Tokens

__all__ = ["special_metadata"]

# The keys that the converter can write. It knows no key for `cls`.
_KEYS = {
    **{name: key for name, key in SPECIAL_KEYS.items() if name != "cls"},
    "eot": "tokenizer.ggml.eot_token_id",
    "eom": "tokenizer.ggml.eom_token_id",
}


# What llama.cpp takes where the file names none, by what the tokenizer calls it: WordPiece begins
# with [CLS], which is its bos. A byte-level BPE's 11 is Falcon's.
_TAKEN: dict[str, dict[str, int | None]] = {
    "llama": {"bos": 1, "eos": 2, "unk": 0},
    "bert": {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103},
    "t5": {"eos": 1, "unk": 2, "pad": 0},
    "gpt2": {"bos": 11, "eos": 11},
    "gemma4": {"bos": None, "eos": None},
}


def special_metadata(
    source: Source, tokens: Tokens | None = None, model: str = "", *, merges: bool = False
) -> dict[str, object]:
    """Return the keys for merges, special tokens, bos and eos, chat template and normalizer.

    Parameters
    ----------
    source : Source
        The tokenizer.
    tokens : Tokens, optional
        What the file has for each row; ids beyond do not count. Without it nothing is told but what
        the files say.
    model : str
        What `tokenizer.ggml.model` says.
    merges : bool
        Write the merges of a BPE.
    """
    special = _Special(source, None if tokens is None else len(tokens.texts))
    if tokens is not None:
        special.name_the_rest(source, tokens, model)
    found: dict[str, object] = {}
    if merges:
        pairs = list(_merges(source))
        if pairs:
            found["tokenizer.ggml.merges"] = pairs
    for name, token in special.ids.items():
        if name in _KEYS:
            found[_KEYS[name]] = token
    for name, value in special.add.items():
        if name in {"bos", "eos", "sep"}:
            found[f"tokenizer.ggml.add_{name}_token"] = value
    found |= _templates(source.template)
    return found | normalizer_keys(source.part("normalizer"))


def _merges(source: Source) -> Iterator[str]:
    """Yield the pairs; a space within a token is written as byte-level BPE writes it."""
    pairs = source.model.get("merges") or []
    for pair in pairs:
        yield pair if isinstance(pair, str) else " ".join(p.replace(" ", "\u0120") for p in pair)
    path = source.folder / "merges.txt"
    if not pairs and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines[lines[:1] != [] and lines[0].startswith("#") :]:
            parts = line.split()
            if len(parts) == 2:
                yield " ".join(parts)


def _templates(template: object) -> dict[str, object]:
    key = "tokenizer.chat_template"
    if isinstance(template, str):
        return {key: template}
    found: dict[str, object] = {}
    names: list[str] = []
    default = None
    for choice in template if isinstance(template, list) else []:
        text, name = choice.get("template"), choice.get("name")
        if not isinstance(text, str) or not isinstance(name, str) or not name:
            continue
        if name == "default":
            default = text
            continue
        name = re.sub("[^A-Za-z0-9]", "_", name)
        while name in names:  # "a-b" after "a_b"
            name += "_"
        names.append(name)
        found[f"{key}.{name}"] = text
    if names:
        found[f"{key}s"] = names
    if default is not None:
        found[key] = default
    return found


class _Special:
    """Ids of the special tokens, and which of them are added to a text."""

    def __init__(self, source: Source, count: int | None) -> None:
        self.ids: dict[str, int] = {}
        self._ends: tuple[str | None, str | None] = None, None
        self.add: dict[str, bool] = {}
        self.names = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]
        self.settings = None if source.settings is None else dict(source.settings)
        self._count = count
        if source.json is not None:
            self._from_post_processor(source.json)
        if self.settings is not None:
            self._from_settings(source.listed)
        text = source.config.get("text_config") or {}
        for name in self.names:
            token = source.config.get(f"{name}_token_id")
            self._set(name, text.get(f"{name}_token_id") if token is None else token)
        ids = {token.get("content"): token.get("id") for token in source.listed}
        for name, content in NAMED.get(source.config.get("model_type", ""), {}).items():
            self._set(name, ids.get(content))

    def _set(self, name: str, token: object) -> None:
        if type(token) is int and token >= 0 and (self._count is None or token < self._count):
            self.ids.setdefault(name, token)

    def name_the_rest(self, source: Source, tokens: Tokens, model: str) -> None:
        """Name what llama.cpp would take something else for."""
        ends = source.config.get("eos_token_id")
        if isinstance(ends, list) and ends:
            self._set("eos", ends[0])
        places = {text: place for place, text in enumerate(tokens.texts)}
        self._take_words(source, places)
        for name, taken in _TAKEN[model].items():
            if name not in self.ids:
                called = "cls" if (model, name) == ("bert", "bos") else name
                if source.is_loaded:
                    meant = self._meant_when_loaded(source, called)
                else:
                    meant = self._meant(source, called, places)
                if meant != taken:
                    self._set(name, meant)

    def _take_words(self, source: Source, places: dict[str, int]) -> None:
        """Begin and end with ordinary words if the settings say so: the converter looks at none."""
        listed = {token.get("content") for token in source.listed}
        for name in ("bos", "eos"):
            text = _content(self._text(name))
            if source.json is not None and text not in listed and text in places:
                self.ids[name] = places[text]

    def _meant_when_loaded(self, source: Source, name: str) -> object:
        place = getattr(source.tokenizer, f"{name}_token_id", None)
        if place is not None:
            return place
        first, last = self._ends
        meant = {"bos": first, "cls": first, "eos": last, "sep": last}
        meant["unk"] = source.model.get("unk_token")
        return source.tokenizer.get_vocab().get(meant.get(name))

    def _meant(self, source: Source, name: str, places: dict[str, int]) -> object:
        """Find what is meant without loading the tokenizer, which may need other libraries."""
        text = _content(self._text(name) or source.named.get(f"{name}_token"))
        if isinstance(text, str) and text in places:
            return places[text]
        if source.sentencepiece is not None:
            return source.sentencepiece.special.get(name)
        if name == "unk":
            return places.get(source.model.get("unk_token", ""), source.model.get("unk_id"))
        first, last = self._ends
        return places.get({"bos": first, "eos": last}.get(name) or "")

    def _text(self, name: str) -> Any:
        return (self.settings or {}).get(f"{name}_token")

    def _default(self, name: str, text: Any) -> None:
        """Take `text` for a special token, unless the settings name another."""
        if self.settings is not None and not self._text(name):
            self.settings[f"{name}_token"] = text

    def _from_post_processor(self, tokenizer: dict[str, Any]) -> None:
        if self._text("cls"):
            self._default("bos", self._text("cls"))
        if self._text("sep"):
            self._default("eos", self._text("sep"))
        whole = tokenizer.get("post_processor") or {}
        for processor in whole.get("processors", [whole]):
            kind = processor.get("type")
            if kind == "ByteLevel":
                self.add.setdefault("bos", False)
                self.add.setdefault("eos", False)
            elif kind == "RobertaProcessing":
                self.add |= {"bos": True, "eos": True, "sep": True}
                self._default("cls", processor.get("cls", [self._text("bos")])[0])
                self._default("sep", processor.get("sep", [self._text("eos")])[0])
            elif kind == "TemplateProcessing":
                self._from_template(processor)

    def _from_template(self, processor: dict[str, Any]) -> None:
        single, pair = processor.get("single", []), processor.get("pair", [])
        first = last = None
        # Without settings nothing says which token is which: what stands there is bos or eos.
        if len(single) > 1:
            first, last = _special_at(single, 0), _special_at(single, -1)
            self._ends = first, last
        if first:
            if first not in {_content(self._text("bos")), _content(self._text("cls"))}:
                self._default("bos", first)
                self._default("cls", first)
            known = {_content(self._text("bos")), _content(self._text("cls"))}
            self.add["bos"] = self.settings is None or first in known
        if last:
            if self.settings is not None and last != _content(self._text("eos")):
                # The end of a text is not what the settings call eos: that ends a turn.
                other = next((n for n in ("eot", "eom") if n not in self.names), None)
                if other is not None:
                    self.names.append(other)
                    self.settings[f"{other}_token"] = self._text("eos")
                self.settings["eos_token"] = last
            self.add["eos"] = True
        self._from_pair(pair, first, last)

    def _from_pair(self, pair: list[Any], first: str | None, last: str | None) -> None:
        """Conclude from "A [sep] [eos] B" that two texts are parted."""
        start = 1 if first and pair and _special_at(pair, 0) == first else 0
        stop = -1 if last and pair and _special_at(pair, -1) == last else None
        pair = pair[start:stop]
        if not pair or _sequence(pair[0]) != "A" or _sequence(pair[-1]) != "B" or len(pair) < 3:
            return
        between = pair[1:-1]
        ends = {_content(self._text("sep")), _content(self._text("eos"))} - {None}
        one = _special_at(between, 0)
        add = one in ends and not last if one else False
        if len(between) == 2 and (two := _special_at(between, 1)) and two in ends:
            add = True
        self.add["sep"] = add
        if add:
            self._default("sep", self._text("eos"))

    def _from_settings(self, listed: list[dict[str, Any]]) -> None:
        assert self.settings is not None
        ids: dict[str, int] = {}
        for token in listed:
            ids.setdefault(token.get("content", ""), token.get("id", -1))
        for name in self.names:
            add = self.settings.get(f"add_{name}_token")
            if isinstance(add, bool):
                # What the post-processor does counts more than what the settings say.
                self.add.setdefault(name, add)
            text = _content(self._text(name))
            if isinstance(text, str) and text in ids:
                self._set(name, ids[text])


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _special_at(template: list[Any], index: int) -> str | None:
    found: str | None = template[index].get("SpecialToken", {}).get("id")
    return found


def _sequence(part: dict[str, Any]) -> str | None:
    found: str | None = part.get("Sequence", {}).get("id")
    return found
