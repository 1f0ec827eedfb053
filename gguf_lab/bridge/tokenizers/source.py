"""What a checkpoint's folder says about its tokenizer; a tokenizer in memory is saved to one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, UnsupportedError
from ...file.text import preview
from ...reference.links import check_links
from .sentencepiece import SentencePieceModel, read_sentencepiece

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Source", "open_folder", "open_source"]

_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_VOCABULARIES = ("tokenizer.json", *_SENTENCEPIECE, "vocab.json", "vocab.txt", "*.tiktoken")


@dataclass(frozen=True)
class Source:
    """A folder with a tokenizer, and the model's configuration.

    Attributes
    ----------
    folder : Path
        Where the files are.
    config : mapping
        The contents of `config.json`.
    notes : list of str
        What llama.cpp will do otherwise with this tokenizer: gathered while it is read.
    """

    folder: Path
    config: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """`tokenizer.json`, if it is there."""
        return self.read("tokenizer.json")

    @cached_property
    def settings(self) -> dict[str, Any] | None:
        """`tokenizer_config.json`, if it is there."""
        return self.read("tokenizer_config.json")

    @cached_property
    def generation(self) -> dict[str, Any]:
        """`generation_config.json`: ids that end a text, for example."""
        return self.read("generation_config.json") or {}

    @cached_property
    def named(self) -> dict[str, Any]:
        """`special_tokens_map.json`: texts by names such as "eos_token"."""
        return self.read("special_tokens_map.json") or {}

    @cached_property
    def added(self) -> dict[str, Any]:
        """`added_tokens.json`: ids by text."""
        return self.read("added_tokens.json") or {}

    @cached_property
    def sentencepiece(self) -> SentencePieceModel | None:
        """SentencePiece's model, under one of the names it is given."""
        for name in _SENTENCEPIECE:
            path = self.folder / name
            if path.is_file():
                return read_sentencepiece(path)
        return None

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer as Transformers loads it."""
        # without any, Transformers would make up an empty vocabulary for some models
        if not any(next(self.folder.glob(name), None) for name in _VOCABULARIES):
            raise CheckpointError(
                f"{self.folder} has no tokenizer: expected one of {', '.join(_VOCABULARIES)}. Give"
                " the folder that has it, as tokenizer=..., or tokenizer=False to write none."
            )
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise CheckpointError(
                f"Transformers cannot load the tokenizer in {self.folder}: {error}"
            ) from error

    def part(self, name: str) -> Any:
        """Return a part of `tokenizer.json`, such as "normalizer".

        Of a tokenizer that is loaded it is the part that Transformers uses: what
        `tokenizer_config.json` says (do_lower_case, add_prefix_space) overrides the other file.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None) if self.is_loaded else None
        if backend is None:
            return (self.json or {}).get(name)
        part = getattr(backend, name)
        try:
            return None if part is None else json.loads(part.__getstate__())
        except Exception as error:  # noqa: BLE001 - one that is written in Python
            raise UnsupportedError(
                f"The {name} of the tokenizer in {self.folder} cannot be read: {error}."
            ) from None

    @property
    def backend_model(self) -> Any:
        """The model of `tokenizers` within the tokenizer, if it is loaded and has one."""
        return getattr(getattr(self.tokenizer, "backend_tokenizer", None), "model", None)

    @property
    def is_loaded(self) -> bool:
        """Whether `tokenizer` was asked for, or given."""
        return "tokenizer" in self.__dict__

    @cached_property
    def model(self) -> dict[str, Any]:
        """The part "model" of `tokenizer.json`."""
        model = (self.json or {}).get("model")
        return model if isinstance(model, dict) else {}

    @cached_property
    def listed(self) -> list[dict[str, Any]]:
        """The added tokens of `tokenizer.json`."""
        listed = (self.json or {}).get("added_tokens")
        return [t for t in listed if isinstance(t, dict)] if isinstance(listed, list) else []

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """The ids of a BPE's `tokenizer.json` by text."""
        found = self.model.get("vocab")
        if isinstance(found, dict) and all(type(place) is int for place in found.values()):
            return found
        raise self._malformed("model.vocab", found, "an object with an id for each text")

    @cached_property
    def scored(self) -> list[tuple[str, float]]:
        """Texts and scores of a Unigram's `tokenizer.json`, in the order of their ids."""
        found = self.model.get("vocab")
        if isinstance(found, list) and all(
            isinstance(pair, list)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and type(pair[1]) in {int, float}
            for pair in found
        ):
            return [(text, float(score)) for text, score in found]
        raise self._malformed("model.vocab", found, "an array of texts with scores")

    def _malformed(self, name: str, found: object, expected: str) -> CheckpointError:
        path = self.folder / "tokenizer.json"
        return CheckpointError(f"{path}: {name} is {preview(found)}; expected {expected}.")

    @cached_property
    def template(self) -> object:
        """The chat template, as a text or as a list of named ones.

        Files of its own count more than `tokenizer_config.json`, as in Transformers.
        """
        template = (self.settings or {}).get("chat_template")
        choices = template if isinstance(template, list) else []
        if not (template is None or isinstance(template, str | list | dict)) or not all(
            isinstance(choice, dict) for choice in choices
        ):
            raise CheckpointError(
                f"The chat template in {self.folder} is neither a text nor a list of names and"
                f" templates: tokenizer_config.json has {preview(template)}."
            )
        path = self.folder / "chat_template.jinja"
        more = sorted((self.folder / "additional_chat_templates").glob("*.jinja"))
        found = [{"name": "default", "template": _text(path)}] if path.is_file() else []
        found += [{"name": p.stem, "template": _text(p)} for p in more]
        if found:
            return found[0]["template"] if path.is_file() and not more else found
        if template is None:
            template = (self.read("chat_template.json") or {}).get("chat_template")
        if isinstance(template, dict):
            return [{"name": name, "template": text} for name, text in template.items()]
        return template

    def read(self, name: str) -> dict[str, Any] | None:
        """Read a file of JSON in the folder, if it is there.

        Raises
        ------
        CheckpointError
            If it can't be read, or is something else than an object.
        """
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            value = json.loads(_text(path))
        except (json.JSONDecodeError, RecursionError) as error:
            raise CheckpointError(f"{path} is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise CheckpointError(f"{path} does not hold an object.")
        return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None


@contextmanager
def open_folder(given: Any, what: str, method: str = "save_pretrained") -> Iterator[Path]:
    """Give a folder, or one to which an object of Transformers is saved.

    Parameters
    ----------
    given : path or object
    what : str
        How messages call the object.
    method : str
        That one has besides ``save_pretrained``.

    Raises
    ------
    CheckpointError
        If it is neither, or links in the folder lead out of it.
    """
    if isinstance(given, str | Path):
        folder = Path(given)
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is not a folder.")
        check_links(folder)
        yield folder
    elif hasattr(given, "save_pretrained") and hasattr(given, method):
        with TemporaryDirectory() as place:
            given.save_pretrained(place)
            yield Path(place)
    else:
        raise CheckpointError(
            f"A {what} is a checkpoint's folder or a {what} of Transformers, not"
            f" {type(given).__name__}."
        )


@contextmanager
def open_source(source: object, config: Mapping[str, Any]) -> Iterator[Source]:
    """Give the `Source` of a folder, or of a tokenizer of Transformers."""
    with open_folder(source, "tokenizer", "get_vocab") as folder:
        found = Source(folder, config)
        if not isinstance(source, str | Path):
            # No need to load again what is at hand.
            found.__dict__["tokenizer"] = source
        yield found
