"""What a GGUF file says, read with suspicion: every error names the key, the value, what is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from ...errors import GGUFError, UnsupportedError
from ...model.names import MOST_LAYERS

__all__ = ["REQUIRED", "FileSide"]

_MOST = 2**31 - 1
_LARGEST = float(np.finfo(np.float32).max)


class _Required:
    """The key must be there."""


REQUIRED = _Required()


def full_key(architecture: str, key: str) -> str:
    """Write a key in full: with the architecture in front, but for those that have none."""
    return key if key.startswith(("tokenizer.", "xielu.")) else f"{architecture}.{key}"


@dataclass(frozen=True, slots=True)
class FileSide:
    """Metadata, tensor shapes and the factors of the rotary frequencies of one file.

    Attributes
    ----------
    architecture : str
        ``general.architecture``. Every key is asked for without it.
    metadata : Mapping
    shapes : Mapping of str to tuple of int
        As in PyTorch: a matrix is (rows, columns).
    factors : Mapping of str to sequence of float
        The values of ``rope_freqs.weight``, ``rope_factors_long.weight``,
        ``rope_factors_short.weight``, those that the file has.
    """

    architecture: str
    metadata: Mapping[str, object]
    shapes: Mapping[str, tuple[int, ...]]
    factors: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """Write a key in full."""
        return full_key(self.architecture, key)

    def has(self, key: str) -> bool:
        """Say whether the key is there."""
        return self.name(key) in self.metadata

    def tensor(self, pattern: str) -> bool:
        """Say whether a tensor of this name is there; ``*`` stands for anything."""
        return pattern in self.shapes or any(fnmatchcase(name, pattern) for name in self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor that must be there."""
        shape = self.shapes.get(name)
        if not shape:
            raise GGUFError(f"the file has no tensor {name}, which tells a size of the model")
        return shape

    def wrong(self, key: str, due: str) -> GGUFError:
        """Make the error for a value that cannot be meant."""
        value = self.metadata.get(self.name(key))
        return GGUFError(f"{self.name(key)} is {_shown(value)}; expected {due}")

    def unsupported(self, why: str) -> UnsupportedError:
        """Make the error for a file that Transformers cannot express."""
        return UnsupportedError(f"{self.architecture} as a Transformers model: {why}")

    def _raw(self, key: str, absent: object) -> object:
        value = self.metadata.get(self.name(key), absent)
        if value is REQUIRED:
            raise GGUFError(f"the metadata lack {self.name(key)}, without which no model is built")
        return value

    def count(self, key: str, absent: int | _Required = REQUIRED, least: int = 0) -> int:
        """Return a whole number that is not negative (a list of equal numbers counts as one)."""
        value = self._raw(key, absent)
        if _is_list(value):
            numbers = {*self.per_layer(key)}
            if len(numbers) != 1:
                raise self.unsupported(f"{self.name(key)} differs from layer to layer")
            value = numbers.pop()
        return self._counted(key, value, least)

    def _counted(self, key: str, value: object, least: int = 0) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise self.wrong(key, f"a whole number from {least}")
        if not least <= value <= _MOST:
            raise self.wrong(key, f"a whole number from {least} to {_MOST}")
        return int(value)

    def layers(self) -> int:
        """Return the number of layers."""
        key = "block_count"
        number = self._counted(key, self._raw(key, REQUIRED), least=1)
        if number > MOST_LAYERS:
            raise self.wrong(key, f"at most {MOST_LAYERS} layers")
        return number

    def counts(self, key: str, number: int) -> list[int]:
        """Return so many whole numbers."""
        items = self._items(key, self._raw(key, REQUIRED), number, f"{number} whole numbers")
        return [self._counted(key, item) for item in items]

    def per_layer(self, key: str) -> list[int]:
        """Return one whole number per layer; a single one counts for all."""
        value, layers = self._raw(key, REQUIRED), self.layers()
        if not _is_list(value):
            return [self._counted(key, value)] * layers
        return [self._counted(key, item) for item in self._items(key, value, layers)]

    def flags_per_layer(self, key: str, layers: int | None = None) -> list[bool]:
        """Return one truth value per layer: of the file, or of so many."""
        number = self.layers() if layers is None else layers
        items = self._items(key, self._raw(key, REQUIRED), number)
        if not all(isinstance(item, bool | np.bool_) for item in items):
            raise self.wrong(key, "truth values, one per layer")
        return [bool(item) for item in items]

    def _items(self, key: str, value: object, number: int, due: str = "") -> list[object]:
        # the length first: an array of 2**40 elements is not read to be refused
        if not _is_list(value) or len(value) != number:  # type: ignore[arg-type]
            raise self.wrong(key, due or f"{number} values, one per layer")
        return [*value]  # type: ignore[misc]

    def number(self, key: str, absent: float | _Required = REQUIRED) -> float:
        """Return a finite number: of a FLOAT32 the shortest decimal that means the same one.

        A configuration says 1e-06, the file 9.99999997e-07: it is the 1e-06 that is meant.
        """
        return shortest(self._finite(key, self._raw(key, absent)))

    def numbers_per_layer(self, key: str) -> list[float]:
        """Return one finite number per layer, as it is; a single one counts for all."""
        value, layers = self._raw(key, REQUIRED), self.layers()
        if not _is_list(value):
            return [self._finite(key, value)] * layers
        return [self._finite(key, item) for item in self._items(key, value, layers)]

    def _finite(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise self.wrong(key, "a number")
        if not -_LARGEST <= float(value) <= _LARGEST:
            raise self.wrong(key, "a finite number, and a float32")
        return float(value)

    def positive(self, key: str, absent: float | _Required = REQUIRED) -> float:
        """Return a number above zero."""
        number = self.number(key, absent)
        if number <= 0:
            raise self.wrong(key, "a number above zero")
        return number

    def flag(self, key: str, absent: bool | _Required = REQUIRED) -> bool:
        """Return a truth value."""
        value = self._raw(key, absent)
        if not isinstance(value, bool | np.bool_):
            raise self.wrong(key, "a truth value")
        return bool(value)

    def text(self, key: str, absent: str | _Required = REQUIRED) -> str:
        """Return a string."""
        value = self._raw(key, absent)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def texts(self, key: str, most: int) -> list[str]:
        """Return a list of strings, `most` of them or fewer."""
        value = self._raw(key, REQUIRED)
        if not _is_list(value) or len(value) > most:  # type: ignore[arg-type]
            raise self.wrong(key, f"at most {most} strings")
        items = [*value]  # type: ignore[misc]
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "strings")
        return items

    def head_size(self) -> int:
        """Return the size of a key of one head, as llama.cpp derives it."""
        if self.has("attention.key_length"):
            return self.count("attention.key_length", least=1)
        return self.width_of_head()

    def width_of_head(self) -> int:
        """Return the width divided by the heads, at least 1."""
        heads = max(self.per_layer("attention.head_count"))
        width = self.count("embedding_length", least=1)
        if not 1 <= heads <= width:
            raise self.wrong("attention.head_count", f"a number from 1 to {width}, the width")
        return width // heads


def shortest(value: float) -> float:
    """Return the shortest decimal that is the same float32, or `value` if it is no float32."""
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _shown(value: object) -> str:
    text = f"{len(value)} values" if _is_list(value) else repr(value)  # type: ignore[arg-type]
    return text if len(text) <= 60 else f"{text[:60]}…"
