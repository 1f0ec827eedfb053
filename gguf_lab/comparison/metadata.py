"""What differs in the metadata of two files, the tokenizer and the chat template among it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ..file.text import preview, printable
from ..file.values import ArrayValue, NumericArray

if TYPE_CHECKING:
    from ..file.metadata import Metadata

__all__ = ["MetadataDifference", "compare_metadata"]

_KEYS = 1000  # differences listed: keys are untrusted
_WIDTH = 160  # of a value, in characters
_ITEMS = 4  # of an array
_BEFORE = 24  # characters of a text shown before the first that differs
_END = object()


@dataclass(frozen=True, slots=True)
class MetadataDifference:
    """A key whose values differ, in words that are safe to print.

    Attributes
    ----------
    key : str
    ours, theirs : str
        What stands there, shortened; of an array the first items that differ, of a long text what
        stands around the first character that differs. Empty where there is nothing.
    kind : str
        What the difference is: "only in the file", "3 of 32,000 items differ", ...
    """

    key: str
    ours: str
    theirs: str
    kind: str


def compare_metadata(ours: Metadata, theirs: Metadata) -> tuple[MetadataDifference, ...]:
    """List the keys whose values differ, in the order of the first file, then of the second.

    Arrays are walked side by side and never held as a whole. A thousand differences are listed at
    most; one more line then says how many keys were not looked at.

    Parameters
    ----------
    ours, theirs : Metadata
    """
    keys = list(dict.fromkeys([*ours, *theirs]))
    found: list[MetadataDifference] = []
    for at, key in enumerate(keys):
        if len(found) == _KEYS:
            kind = f"{len(keys) - at:,} further keys were not compared"
            found.append(MetadataDifference("\u2026", "", "", kind))
            break
        if difference := _compare_key(key, ours, theirs):
            found.append(difference)
    return tuple(found)


def _compare_key(key: str, ours: Metadata, theirs: Metadata) -> MetadataDifference | None:
    name = printable(key, _WIDTH)
    if key not in theirs:
        return MetadataDifference(name, preview(ours[key], _WIDTH), "", "only in the file")
    if key not in ours:
        return MetadataDifference(name, "", preview(theirs[key], _WIDTH), "only in the reference")
    a, b = ours[key], theirs[key]
    if isinstance(a, ArrayValue) and isinstance(b, ArrayValue):
        shown = _compare_arrays(a, b)
    elif isinstance(a, str) and isinstance(b, str):
        shown = _compare_texts(a, b)
    else:
        same = _same(a, b)
        shown = None if same else (preview(a, _WIDTH), preview(b, _WIDTH), "another value")
    types = ours.type_of(key), theirs.type_of(key)
    if shown:
        kind = shown[2] if types[0] == types[1] else f"{shown[2]}, {types[0]} and {types[1]}"
        return MetadataDifference(name, shown[0], shown[1], kind)
    if types[0] != types[1]:
        return MetadataDifference(name, types[0], types[1], "another type, the same value")
    return None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    # True == 1 in Python, and not in a file
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _compare_texts(a: str, b: str) -> tuple[str, str, str] | None:
    """Show two texts from shortly before the first character that differs."""
    if a == b:
        return None
    if max(len(a), len(b)) <= _WIDTH - 2:
        return preview(a, _WIDTH), preview(b, _WIDTH), "another value"
    place = _common_length(a, b)
    start = max(0, place - _BEFORE)
    ahead = "\u2026" if start else ""
    ours, theirs = (preview(ahead + text[start : start + _WIDTH + 1], _WIDTH) for text in (a, b))
    line = a.count("\n", 0, place) + 1
    kind = f"texts of {len(a):,} and {len(b):,} characters differ from line {line:,} on"
    return ours, theirs, kind


def _common_length(a: str, b: str) -> int:
    """Return how many characters two texts have in common from the start, by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _compare_arrays(a: ArrayValue, b: ArrayValue) -> tuple[str, str, str] | None:
    """Count the places at which two arrays differ, and show the first of them."""
    count, first = _different_items(a, b)
    if not count:
        return None
    kind = f"{count:,} of {max(len(a), len(b)):,} items differ"
    if len(a) != len(b):
        kind = f"{len(a):,} and {len(b):,} items, {kind}"
    more = ", \u2026" if count > len(first) else ""
    width = _WIDTH // _ITEMS - 12
    ours, theirs = (
        ", ".join(f"[{i}] {preview(array[i], width)}" for i in first if i < len(array)) + more
        for array in (a, b)
    )
    return ours, theirs, kind


def _different_items(a: ArrayValue, b: ArrayValue) -> tuple[int, list[int]]:
    if isinstance(a, NumericArray) and isinstance(b, NumericArray):
        x, y = a.to_numpy(), b.to_numpy()
        n, longest = min(x.size, y.size), max(x.size, y.size)
        x, y = x[:n], y[:n]
        places = np.flatnonzero((x != y) & ~((x != x) & (y != y)))  # noqa: PLR0124
        beyond = range(n, min(n + _ITEMS, longest))
        return places.size + longest - n, [*places[:_ITEMS].tolist(), *beyond][:_ITEMS]
    count = 0
    first: list[int] = []
    for place, (mine, yours) in enumerate(zip_longest(a, b, fillvalue=_END)):
        if not _same(mine, yours):
            count += 1
            if len(first) < _ITEMS:
                first.append(place)
    return count, first
