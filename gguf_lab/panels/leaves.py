"""Metadata as the rows of a tree: plain values, ready to be sent and shown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np

from ..file.text import printable

__all__ = ["Leaf", "item_text", "leaves", "search_items"]

Leaf = dict[str, Any]

PREVIEW: Final = 20  # items of an array that are sent at once
MAX_LEAVES: Final = 5000
_VALUE: Final = 300  # characters of a value in its row
_ITEM: Final = 400  # characters of an item of an array
_PORTION: Final = 4096  # items that a search reads at once
_TEXT: Final = 6000  # characters of a long text that are sent at once


def item_text(value: object, limit: int = _ITEM) -> str:
    """Show one value on one line. Strings are quoted: spaces at their ends matter.

    Examples
    --------
    >>> item_text(" the"), item_text(True), item_text([1, 2, 3])
    ('" the"', 'true', '[1, 2, 3]')
    >>> item_text(0.1), item_text(100000000.0), item_text(3.1415926535897931)
    ('0.1', '100000000', '3.141592653589793')
    """
    if isinstance(value, str):
        return f'"{printable(value, limit)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        first = ", ".join(item_text(item, 40) for item in islice(value, 8))
        return f"[{first}, … {len(value):,} items]" if len(value) > 8 else f"[{first}]"
    return printable(str(value), limit)


def _float(value: float) -> str:
    """Write a number in as few digits as tell it from others: of a float32, if it is one."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return str(float(str(single)) if float(single) == value else value).removesuffix(".0")


def leaves(metadata: Any) -> list[Leaf]:
    """Describe every key of a file's metadata.

    Parameters
    ----------
    metadata : Metadata
        Mapping of keys to values with a ``type_of``.

    Returns
    -------
    list of dict
        ``id`` (position), ``key``, ``type``, ``value`` (one line), ``count`` and ``items`` (arrays:
        the first 20), ``text``, ``chars`` and ``more`` (strings that need more than one line).
        All text is `printable`.
    """
    return [
        _leaf(position, key, metadata) for position, key in enumerate(islice(metadata, MAX_LEAVES))
    ]


def _leaf(position: int, key: str, metadata: Any) -> Leaf:
    value = metadata[key]
    leaf: Leaf = {
        "id": position,
        "key": printable(key, 300),
        "type": printable(metadata.type_of(key), 80),
        "value": "",
        "count": None,
        "items": None,
        "text": None,
        "chars": None,
        "more": False,
    }
    if isinstance(value, str):
        leaf["value"] = item_text(value, _VALUE)
        if len(value) > 80 or "\n" in value:
            leaf["text"] = printable(value[:_TEXT], None, lines=True)
            leaf["chars"] = len(value)
            leaf["more"] = len(value) > _TEXT
    elif isinstance(value, Sequence):
        leaf["count"] = len(value)
        leaf["items"] = [item_text(item) for item in value[:PREVIEW]]
        first = ", ".join(item_text(item, 24) for item in value[:6])
        rest = ", …" if len(value) > 6 else ""
        items = "item" if len(value) == 1 else "items"
        leaf["value"] = f"{len(value):,} {items}: {first}{rest}" if len(value) else "empty"
    else:
        leaf["value"] = item_text(value, _VALUE)
    return leaf


Place = tuple[int, int]
"""Where a search goes on: the number of a key, and of an item of its array."""


def search_items(
    metadata: Mapping[str, Any],
    text: str,
    start: Place = (0, 0),
    *,
    hits: int = 200,
    seconds: float = 0.08,
) -> tuple[list[dict[str, Any]], Place | None]:
    """Find a text in the strings of arrays and in long texts, for as long as time allows.

    Parameters
    ----------
    metadata : Metadata
        Mapping of keys to values.
    text : str
        What to look for, in any case.
    start : (int, int)
        Where to begin.
    hits : int
        Most items that are returned for one array.
    seconds : float
        Time after which the search stops.

    Returns
    -------
    found : list of dict
        ``leaf`` (position), ``indices`` and ``items``, both empty for a text that contains it;
        ``cut`` if the array has more than `hits`.
    place : (int, int) or None
        Where to go on; None if everything was read.
    """
    wanted = text.lower()
    end = time.monotonic() + seconds
    found: list[dict[str, Any]] = []
    for position, key in enumerate(islice(metadata, start[0], MAX_LEAVES), start[0]):
        value = metadata[key]
        if time.monotonic() > end and (position, 0) > start:
            return found, (position, 0)
        if isinstance(value, str):
            if len(value) > _TEXT and wanted in value.lower():
                found.append({"leaf": position, "indices": [], "items": [], "cut": False})
            continue
        if not isinstance(value, Sequence) or not len(value) or not isinstance(value[0], str):
            continue
        first = start[1] if position == start[0] else 0
        indices, stopped = _scan(value, wanted, first, hits, end)
        if indices:
            cut = len(indices) > hits
            items = [item_text(value[i]) for i in indices[:hits]]
            found.append({"leaf": position, "indices": indices[:hits], "items": items, "cut": cut})
        if stopped is not None:
            return found, (position, stopped)
    return found, None


def _scan(
    strings: Sequence[str], wanted: str, first: int, hits: int, end: float
) -> tuple[list[int], int | None]:
    """Return the items that have a text, one more than `hits` at most, and where to go on.

    There is nothing to go on with (None) if the array was read, or has more than enough.
    """
    indices: list[int] = []
    for start in range(first, len(strings), _PORTION):
        for offset, item in enumerate(strings[start : start + _PORTION]):
            if wanted in item.lower():
                indices.append(start + offset)
                if len(indices) > hits:
                    return indices, None
        if time.monotonic() > end and start + _PORTION < len(strings):
            return indices, start + _PORTION
    return indices, None
