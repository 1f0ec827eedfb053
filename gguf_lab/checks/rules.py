"""The table of rules. A rule is a small function that yields what it finds in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..file.text import few, quoted
from .findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..comparison import Comparison, TensorComparison
    from ..file import Metadata
    from ..model import Model
    from ..reference import Checkpoint
    from .scan import Scan

__all__ = [
    "CONVERT",
    "CORRECT_KEY",
    "RULES",
    "Found",
    "Needs",
    "Rule",
    "Subject",
    "counted",
    "examples",
    "rule",
]

Needs = Literal["", "values", "comparison", "original", "jinja2"]

CONVERT = "Convert the model again."
CORRECT_KEY = f"{CONVERT[:-1]}, or correct the key with gguf_set_metadata.py."
"""What to do about a key that is a wrong number: no other can be set there, and none added."""

_SINGULAR = {"are": "is", "entries": "entry", "have": "has", "lack": "lacks", "matrices": "matrix"}
_SINGULAR |= {
    f"{noun}s": noun
    for noun in ("block", "key", "layer", "name", "tensor", "token", "type", "value")
}

_MOST = 100
"""Findings of a rule that are listed; a hostile file could have millions."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked, with all that was measured of it.

    Attributes
    ----------
    model : Model
    reference : Model, Checkpoint or None
    comparison : Comparison or None
        The model against the reference.
    scans : mapping of str to Scan
        What the values of each tensor are like; empty if they were not read.
    """

    model: Model
    reference: Model | Checkpoint | None = None
    comparison: Comparison | None = None
    scans: Mapping[str, Scan] = field(default_factory=dict)

    @property
    def metadata(self) -> Metadata:
        """Keys and values of the file."""
        return self.model.metadata

    @property
    def architecture(self) -> str:
        """The architecture, empty if the file does not say."""
        return self.model.architecture or ""

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor, None if the file does not have it."""
        tensors = self.model.tensors
        return tensors[name].shape if name in tensors else None

    def figure(self, key: str) -> int | None:
        """Return a whole number of the architecture, None if it is no such number."""
        return self.metadata.integer(f"{self.architecture}.{key}")

    @property
    def layers(self) -> int:
        """How many layers there are, without those that only predict further tokens."""
        return (self.figure("block_count") or 0) - (self.figure("nextn_predict_layers") or 0)

    @property
    def compared(self) -> list[TensorComparison]:
        """The tensors that were compared with the reference; none if nothing was."""
        return [] if self.comparison is None else self.comparison.compared

    @property
    def says_no_tokens(self) -> bool:
        """Whether the file says that it has no tokenizer."""
        return self.metadata.text("tokenizer.ggml.model") in {"none", "no_vocab"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule yields; the severity only where it is not the rule's own."""

    where: str
    message: str
    what_to_do: str = ""
    severity: Severity | None = None


_Find: TypeAlias = "Callable[[Subject], Iterable[Found]]"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the table.

    Attributes
    ----------
    code : str
        Its name.
    severity : {"error", "warning", "note"}
        Of what it finds, as a rule.
    source : str
        Why it is a rule: a specification, a place in llama.cpp, a reason.
    find : callable
        From a `Subject` to all that is found; its docstring is the rule in words.
    needs : str
        "values": the tensors' values; "comparison": figures against a reference; "original": a
        reference, and a tokenizer that can be read; "jinja2": the package.
    kinds : tuple of str
        Kinds of files that it is for; all if there are none.
    """

    code: str
    severity: Severity
    source: str
    find: _Find
    needs: Needs = ""
    kinds: tuple[str, ...] = ()

    def __call__(self, subject: Subject) -> Iterator[Finding]:
        """Yield the findings, a hundred at most; one more says if there are others."""
        for n, found in enumerate(self.find(subject)):
            if n == _MOST:
                words = f"{_MOST:,} findings of this rule are listed, there are more"
                yield Finding(self.severity, self.code, "file", words)
                return
            severity = found.severity or self.severity
            yield Finding(severity, self.code, found.where, found.message, found.what_to_do)


RULES: dict[str, Rule] = {}
"""Every rule by its code, in the order in which they are asked."""


def rule(
    code: str, severity: Severity, source: str, *, needs: Needs = "", kinds: tuple[str, ...] = ()
) -> Callable[[_Find], _Find]:
    """Enter a function into the table."""

    def enter(find: _Find) -> _Find:
        if code in RULES:
            raise ValueError(f"two rules have the code {code!r}")
        RULES[code] = Rule(code, severity, source, find, needs, kinds)
        return find

    return enter


def counted(number: int, words: str) -> str:
    """Write a number and what there are so many of, in the singular if there is one.

    Examples
    --------
    >>> counted(1, "tensors have"), counted(1_000, "tensors have")
    ('1 tensor has', '1,000 tensors have')
    """
    if number == 1:
        words = " ".join(_SINGULAR.get(word, word) for word in words.split())
    return f"{number:,} {words}"


def examples(names: Iterable[str]) -> str:
    """Write the first three of some names, and how many more there are."""
    return few(map(quoted, names))
