"""Hyperparameters as llama.cpp reads them: numbers of the architecture's own keys, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import GGUFError
from ..file import ArrayValue, preview, printable
from ..model.names import MOST_LAYERS

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["HyperParameters"]

_LIMIT: Final = 1 << 32


class HyperParameters:
    """The keys of a model's architecture: ``number("attention.head_count")``.

    Raises
    ------
    GGUFError
        For a key that is needed and missing, and for a value that cannot be meant.
    """

    __slots__ = ("_metadata", "_name", "architecture", "n_layers")

    def __init__(self, model: Model) -> None:
        self._metadata = model.metadata
        self._name = printable(model.path.name)
        self.architecture = model.architecture or ""
        if not self.architecture:
            raise GGUFError(f"{self._name} has no general.architecture: it says not what it is")
        self.n_layers = self.number("block_count")
        if not 0 < self.n_layers <= MOST_LAYERS:
            raise GGUFError(
                f"{self._name}: {self._key('block_count')} is {self.n_layers}, where 1 to "
                f"{MOST_LAYERS} layers are possible"
            )

    def _key(self, end: str) -> str:
        return f"{self.architecture}.{end}"

    def has(self, end: str) -> bool:
        """Whether the file has the key."""
        return self._key(end) in self._metadata

    def number(self, end: str, default: int | None = None) -> int:
        """Return a number; of an array, as some files have it per layer, the first."""
        value = self._metadata.get(self._key(end))
        if isinstance(value, ArrayValue) and len(value):
            value = value[0]
        return self._checked(end, value, default)

    def numbers(self, end: str, default: int | list[int] | None = None) -> list[int]:
        """Return a number for each layer: those of an array, or the same for all."""
        value = self._metadata.get(self._key(end))
        if isinstance(value, ArrayValue):
            if len(value) < self.n_layers:
                raise GGUFError(
                    f"{self._name}: {printable(self._key(end))} has {len(value)} items for "
                    f"{self.n_layers} layers"
                )
            return [self._checked(end, item, None) for item in value[: self.n_layers]]
        if value is None and isinstance(default, list):
            return default
        assert not isinstance(default, list) or value is not None
        same = self._checked(end, value, None if isinstance(default, list) else default)
        return [same] * self.n_layers

    def flags(self, end: str) -> list[bool] | None:
        """Return a truth value for each layer, False where the array ends; None if it is none."""
        value = self._metadata.get(self._key(end))
        if not isinstance(value, ArrayValue):
            return None
        found = [bool(self._checked(end, item, None)) for item in value[: self.n_layers]]
        return found + [False] * (self.n_layers - len(found))

    def _checked(self, end: str, value: object, default: int | None) -> int:
        if value is None and default is not None:
            return default
        if isinstance(value, int) and 0 <= value < _LIMIT:
            return int(value)
        found = "missing" if value is None else preview(value, 60)
        raise GGUFError(
            f"{self._name}: {printable(self._key(end))} is {found}, where a whole number below "
            "2^32 is needed"
        )
