"""Values of a file's metadata, checked: each error names the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import GGUFError
from ...file.text import preview
from ...file.values import StringArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["get", "numbers", "strings"]


def get(metadata: Mapping[str, object], key: str, kind: type, default: Any) -> Any:
    """Return a value of just this type, or the default."""
    value = metadata.get(key, default)
    if type(value) is not kind:
        expected = {str: "text", bool: "true or false", int: "a whole number"}[kind]
        raise GGUFError(f"{key} is {preview(value)}; expected {expected}.")
    return value


def strings(metadata: Mapping[str, object], key: str) -> list[str]:
    """Return an array of strings, all of which are UTF-8."""
    value = metadata.get(key)
    if isinstance(value, StringArray):
        result = []
        for index, raw in enumerate(value.encoded()):
            try:
                result.append(raw.decode())
            except UnicodeDecodeError:
                raise GGUFError(
                    f"{key}[{index}] is not UTF-8: {preview(raw)}. The file was not written by"
                    " llama.cpp's converter, or is damaged."
                ) from None
        return result
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    raise GGUFError(f"{key} is {preview(value)}; expected an array of strings.")


def numbers(
    metadata: Mapping[str, object], key: str, count: int, kinds: str
) -> Sequence[int | float]:
    """Return the numbers of a key, one for each token, or nothing if it is not there."""
    if key not in metadata:
        return ()
    try:
        value = np.asarray(metadata[key])
    except ValueError:
        value = np.empty(0, object)
    if value.ndim != 1 or value.dtype.kind not in kinds:
        raise GGUFError(f"{key} is {preview(metadata[key])}; expected an array of numbers.")
    # llama.cpp wants enough of them, and does not mind more.
    if len(value) < count:
        raise GGUFError(f"{key} has {len(value)} items for {count} tokens.")
    if not np.isfinite(value).all():
        where = int(np.argmin(np.isfinite(value)))
        raise GGUFError(f"{key}[{where}] is {value[where]}; expected a finite number.")
    result: list[int | float] = value[:count].tolist()
    return result
