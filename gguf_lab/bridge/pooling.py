"""How an embedding model makes one vector of a text's many: what sentence-transformers keeps.

It is in no ``config.json`` but in a folder of the module ``Pooling``, which ``modules.json`` names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..file.text import preview, quoted

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pooling_of"]

_TYPES = {"mean": 1, "cls": 2, "lasttoken": 3}  # enum llama_pooling_type of llama.h
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
}


def pooling_of(folder: Path | None) -> tuple[int | None, str]:
    """Read how a checkpoint of sentence-transformers pools.

    Parameters
    ----------
    folder : Path, optional
        Of the checkpoint.

    Returns
    -------
    pooling : int or None
        The value of the key ``pooling_type``; None if the checkpoint says nothing.
    unsaid : str
        What it says, if no value of the key stands for it; else empty.

    Raises
    ------
    CheckpointError
        If a file of it is malformed, or not in the folder.
    """
    if folder is None or not (folder / "modules.json").is_file():
        return None, ""
    place = _place(folder)
    if place is None:
        return None, ""
    settings = _read(place / "config.json")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{place / 'config.json'} does not hold an object.")
    modes = [name for flag, name in _FLAGS.items() if settings.get(flag) is True]
    modes += [str(key) for key, on in settings.items() if key not in _FLAGS and _is_flag(key, on)]
    if not modes and (mode := settings.get("pooling_mode")) is not None:
        modes = [mode] if isinstance(mode, str) else [preview(mode)]
    if len(modes) == 1 and modes[0] in _TYPES:
        return _TYPES[modes[0]], ""
    return None, " and ".join(preview(mode) for mode in modes)


def _is_flag(key: object, on: object) -> bool:
    return str(key).startswith("pooling_mode_") and on is True


def _place(folder: Path) -> Path | None:
    """Find the folder of the pooling module, which must lie in that of the checkpoint."""
    path = folder / "modules.json"
    modules = _read(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{path} does not hold a list of modules.")
    for module in modules:
        if str(module.get("type")).endswith("Pooling"):
            place = folder / str(module.get("path"))
            try:
                inside = place.resolve().is_relative_to(folder.resolve())
            except (OSError, ValueError):  # no name of a file: a zero in it, half a character
                inside = False
            if not inside:
                raise CheckpointError(
                    f"{path} names {quoted(str(module.get('path')))}, which is not in the folder."
                )
            return place
    return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}.") from None
