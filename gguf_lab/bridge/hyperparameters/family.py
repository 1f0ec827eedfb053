"""What the table of a family is made of: lines that are read in two directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .config_side import ConfigSide, counted, real
from .file_side import REQUIRED, FileSide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

__all__ = ["Family", "Implied", "Line", "Pair", "Rule", "Written", "always"]


class Line(Protocol):
    """One line of a table. A later line overwrites what an earlier one said."""

    def to_file(self, config: ConfigSide) -> Mapping[str, object]:
        """Write keys of the file, without the architecture, of what ``config.json`` says."""

    def to_config(self, file: FileSide) -> Mapping[str, object]:
        """Write keys of ``config.json`` of what the file says."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same value under two names.

    Attributes
    ----------
    key : str
        In the file, after the architecture.
    names : tuple of str
        In ``config.json``; the first that is there counts, and the first is written.
    kind : type
        ``int`` (never negative), ``float`` or ``bool``.
    needed : bool
        Whether ``config.json`` must have it. Else a null writes no key.
    absent : object
        What llama.cpp takes it for if the file lacks the key: `REQUIRED` if it refuses such a
        file; None to say nothing, where Transformers has the same default.
    """

    key: str
    names: tuple[str, ...]
    kind: type[int | float | bool] = int
    needed: bool = False
    absent: object = None

    def to_file(self, config: ConfigSide) -> Mapping[str, object]:
        """See `Line`."""
        value = config.need(*self.names) if self.needed else config.find(*self.names)
        if value is None:
            return {}
        if self.kind is bool:
            if not isinstance(value, bool):
                raise config.wrong(self.names[0], value, "true or false")
            return {self.key: value}
        check = counted if self.kind is int else real
        if isinstance(value, list | tuple):
            return {self.key: [check(config, self.names[0], item) for item in value]}
        return {self.key: check(config, self.names[0], value)}

    def to_config(self, file: FileSide) -> Mapping[str, object]:
        """See `Line`."""
        if not file.has(self.key) and self.absent is not REQUIRED:
            return {} if self.absent is None else {self.names[0]: self.absent}
        if self.kind is bool:
            return {self.names[0]: file.flag(self.key)}
        read = file.count if self.kind is int else file.number
        return {self.names[0]: read(self.key)}


@dataclass(frozen=True, slots=True)
class Written:
    """A key with the same value in every file of the family."""

    key: str
    value: object

    def to_file(self, config: ConfigSide) -> Mapping[str, object]:
        """See `Line`."""
        return {self.key: self.value}

    def to_config(self, file: FileSide) -> Mapping[str, object]:
        """See `Line`."""
        return {}


@dataclass(frozen=True, slots=True)
class Implied:
    """A setting that llama.cpp's graph of the family has built in, so that no key tells it.

    Attributes
    ----------
    name : str
    value : object
    when : function, optional
        For which configurations it is built in, if not for all of the family; then it is not read
        from a file, which doesn't say whether it was made of such a one.
    """

    name: str
    value: object
    when: Callable[[ConfigSide], bool] | None = None

    def to_file(self, config: ConfigSide) -> Mapping[str, object]:
        """See `Line`."""
        return {}

    def to_config(self, file: FileSide) -> Mapping[str, object]:
        """See `Line`."""
        return {} if self.when else {self.name: self.value}


def always(_: ConfigSide) -> bool:
    """Say of a setting that it is built in for all of a family, and is not read from a file."""
    return True


def _nothing(_: object, /) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True)
class Rule:
    """A conversion where a pair of names does not do: two functions that undo each other."""

    to_file: Callable[[ConfigSide], Mapping[str, object]] = _nothing
    to_config: Callable[[FileSide], Mapping[str, object]] = _nothing


def no_factors(_: ConfigSide) -> Mapping[str, npt.NDArray[np.float32]]:
    """Most families have none."""
    return {}


def _never(_: Mapping[str, object]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Family:
    """The table of a family.

    Attributes
    ----------
    architectures : tuple of str
        Values of ``general.architecture``.
    classes : Mapping of str to str
        ``model_type`` in ``config.json`` to the class that is built. The first is what a file of
        the family is read as, unless `model_type` chooses.
    lines : sequence of Line
    model_type, architecture : function, optional
        Choose where the family has several. An architecture is else the first.
    spelled : Mapping of str to str
        Settings that this family's ``config.json`` calls differently from what the lines write.
    also : tuple of str
        Further model types that are written to files, which are read as another.
    without : tuple of str
        Settings that the shared lines write and this family doesn't know.
    as_saved : function
        Whether the converter reads ``config.json`` as it is, without the defaults of its class.
    factors : function
        Calculates the tensors that the converter makes of settings.
    """

    architectures: tuple[str, ...]
    classes: Mapping[str, str]
    lines: Sequence[Line]
    model_type: Callable[[FileSide], str] | None = None
    architecture: Callable[[ConfigSide], str] | None = None
    spelled: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    as_saved: Callable[[Mapping[str, object]], bool] = _never
    factors: Callable[[ConfigSide], Mapping[str, npt.NDArray[np.float32]]] = no_factors
