"""What a table says: the lines of which a family's specification is made.

Patterns are matched against the whole name of a checkpoint tensor. ``*`` stands for any text,
``{layer}`` and other names in braces for a number, which ``to`` may use again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ..facts import SAME_IN_BOTH, Facts, Quantity
from ..transforms import AsStored, Stack, Transform

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Family",
    "LeftOut",
    "Row",
    "Spelling",
    "line_in",
    "number_in",
    "pattern_of",
    "reason_in",
    "stacked",
]


@dataclass(frozen=True, slots=True)
class Spelling:
    """Part of a name that some checkpoints write and others don't.

    Attributes
    ----------
    old, new : str
    where : {"start", "end", "anywhere"}
    """

    old: str
    new: str
    where: str = "start"

    def apply(self, name: str) -> str:
        """Spell `name` as the table does."""
        if self.where == "anywhere":
            return name.replace(self.old, self.new)
        if self.where == "start" and name.startswith(self.old):
            return self.new + name[len(self.old) :]
        if self.where == "end" and name.endswith(self.old):
            return name[: -len(self.old)] + self.new
        return name


def _always(_: Facts) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Tensors that the converter leaves out on purpose, and why.

    Attributes
    ----------
    pattern, reason : str
    if_zero : bool
        Whether it refuses the checkpoint if any of their values is not zero.
    when : callable
        Whether they are left out for these facts.
    """

    pattern: str
    reason: str
    if_zero: bool = False
    when: Callable[[Facts], bool] = _always


_AS_STORED = AsStored()


@dataclass(frozen=True, slots=True)
class Row:
    """Tensors that are not simply copied under the name that ``gguf.TensorNameMap`` gives.

    A tensor that several rows speak of is split: each row makes one tensor of the file.

    Attributes
    ----------
    pattern : str
    to : str
        The name, of the file or of a checkpoint, that ``TensorNameMap`` is asked for instead;
        empty: the tensor's own.
    transform : Transform or callable
        A transform, or a function of the facts and the layer that chooses it.
    join : callable, optional
        Makes the transform that joins all tensors with the same result, in the order of the
        number ``{index}`` in the pattern; it is given how many they are.
    place : int, optional
        The place in this order of a tensor whose name has no number.
    copies : str
        If several tensors have the same result: why the first by name is as good as the others.
    when : callable
        Whether the row holds for these facts.
    number : callable, optional
        Gives the number in the file of ``{layer}`` of the pattern, or None if it has none.
    """

    pattern: str
    to: str = ""
    transform: Transform | Callable[[Facts, int | None], Transform] = _AS_STORED
    join: Callable[[int], Transform] | None = None
    place: int | None = None
    copies: str = ""
    when: Callable[[Facts], bool] = _always
    number: Callable[[Facts, int], int | None] | None = None

    def name_for(self, facts: Facts, numbers: dict[str, str]) -> str:
        """Fill the numbers of a match into ``to``; empty if that is."""
        if self.number and "layer" in numbers:
            number = self.number(facts, int(numbers["layer"]))
            numbers = {**numbers, "layer": "?" if number is None else str(number)}
        return self.to.format(**numbers)

    def transform_for(self, facts: Facts, layer: int | None) -> Transform:
        """Choose the transform of a tensor in `layer`."""
        return self.transform(facts, layer) if callable(self.transform) else self.transform


def stacked(pattern: str, to: str, what: str = "experts") -> Row:
    """Make a row for experts, each in a tensor of its own, that the converter stacks."""
    return Row(pattern, to, join=partial(Stack, what=what))


@dataclass(frozen=True, slots=True)
class Family:
    """The table of a family of architectures.

    Attributes
    ----------
    architectures : tuple of str
        Values of ``general.architecture`` that it serves.
    model_types : tuple of str
        Values of ``model_type`` in ``config.json`` that belong to it and to no other family; none
        for the encoders of a model, whose language model has them.
    spellings : tuple of Spelling
        Applied first, in this order. ``{next}`` is the number of the layer after the last.
    left_out : tuple of LeftOut
    rows : tuple of Row
    made_up : tuple of LeftOut
        Tensors of the file that come from no tensor of the checkpoint (patterns of their names).
    same : tuple of Quantity
        What file and checkpoint must agree on.
    like : str
        An architecture with the same names; for one that the ``gguf`` package may be too old for.
    projectors : tuple of str
        Of a multimodal projector (architecture "clip"): the values of ``clip.projector_type``, or
        of those of its encoders, that it serves.
    borrowed : tuple of str
        Values of ``model_type`` (patterns) that belong to other families, and that checkpoints of
        this one have too.
    """

    architectures: tuple[str, ...]
    model_types: tuple[str, ...]
    spellings: tuple[Spelling, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    rows: tuple[Row, ...] = ()
    made_up: tuple[LeftOut, ...] = ()
    same: tuple[Quantity, ...] = SAME_IN_BOTH
    like: str = ""
    projectors: tuple[str, ...] = ()
    borrowed: tuple[str, ...] = ()

    def spell(self, name: str) -> str:
        """Spell a name as the table does."""
        for spelling in self.spellings:
            name = spelling.apply(name)
        return name

    def borrows(self, model_type: str) -> bool:
        """Whether its checkpoints may have this model type of another family."""
        return any(pattern_of(pattern).fullmatch(model_type) for pattern in self.borrowed)


@lru_cache(maxsize=1024)
def pattern_of(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of a table.

    >>> pattern_of("*.{layer}.q_proj.weight").fullmatch("model.7.q_proj.weight")["layer"]
    '7'
    """
    text = re.escape(pattern).replace(r"\*", ".*")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]{1,9})", text), re.DOTALL)


def number_in(name: str) -> int | None:
    """Find the first number between dots, which is the layer, as converters take it.

    >>> number_in("model.layers.7.mlp.experts.3.w1.weight")
    7
    """
    found = re.search(r"(?:^|\.)([0-9]{1,9})(?:\.|$)", name)
    return int(found[1]) if found else None


def line_in(table: tuple[LeftOut, ...], name: str) -> LeftOut | None:
    """Find the first line of a table that matches."""
    return next((line for line in table if pattern_of(line.pattern).fullmatch(name)), None)


def reason_in(table: tuple[LeftOut, ...], name: str) -> str | None:
    """Find the reason that the first matching line of a table gives."""
    return line.reason if (line := line_in(table, name)) else None
