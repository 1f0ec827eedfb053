"""The metadata of a file: keys and values in the file's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .text import decode, preview, printable, suggest
from .values import ArrayValue, Value, ValueType

__all__ = ["Entry", "Metadata"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it was found: its type, where it stands, and a string still as bytes."""

    kind: ValueType
    offset: int
    value: int | float | bool | memoryview | ArrayValue


class Metadata(Mapping[str, Value]):
    """The keys and values of a file, read-only and in the file's order.

    Numbers and truth values are Python's own, strings are ``str``, arrays are `ArrayValue`: lazy
    sequences. A string is decoded each time it is looked at. A copy, or what comes back from a
    pickle, is a ``dict`` that does not depend on the file.

    Raises
    ------
    KeyError
        For a missing key, naming the keys closest to it.
    """

    __slots__ = ("_entries", "_name")

    def __init__(self, name: str, entries: Mapping[str, Entry]) -> None:
        self._name = name
        self._entries = entries

    def __getitem__(self, key: str) -> Value:
        entry = self._entry(key)
        return decode(entry.value) if isinstance(entry.value, memoryview) else entry.value

    def __reduce__(self) -> tuple[type, tuple[object]]:
        return dict, (dict(self),)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        """Return the value of `key`, or `default` if the file does not have it."""
        return self[key] if key in self._entries else default

    def type_of(self, key: str) -> str:
        """Return the type of a value as the file has it: "uint32", "string", "array[string]"."""
        entry = self._entry(key)
        if isinstance(entry.value, ArrayValue):
            return f"array[{entry.value.item_type}]"
        return entry.kind.label

    def offset_of(self, key: str) -> int:
        """Return where the type of a value stands in its file, in bytes from the start."""
        return self._entry(key).offset

    def text(self, key: str) -> str | None:
        """Return a value if it is there and is a string: what a stranger wrote may be anything."""
        value = self.get(key)
        return value if isinstance(value, str) else None

    def encoded(self, key: str) -> memoryview | None:
        """Return a string as the file has it, not decoded, if it is there and is a string."""
        value = self._entries[key].value if key in self._entries else None
        return value if isinstance(value, memoryview) else None

    def integer(self, key: str) -> int | None:
        """Return a value if it is there and is a whole number."""
        value = self.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _entry(self, key: str) -> Entry:
        try:
            return self._entries[key]
        except KeyError:
            raise KeyError(
                f"{self._name} has no metadata key {preview(key)}; it has {len(self)} keys."
                f"{suggest(key, self._entries)}"
            ) from None

    def __repr__(self) -> str:
        shown = list(self._entries)[:40]
        lines = [f"Metadata of {self._name}: {len(self)} keys"]
        lines += [
            f"  {printable(key)}: {self.type_of(key)} = {preview(self[key])}" for key in shown
        ]
        if len(self) > len(shown):
            lines.append(f"  … and {len(self) - len(shown)} more")
        return "\n".join(lines)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._entries)
