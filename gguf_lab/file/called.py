"""What a file or a folder is called where several are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .remote import Address

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["called"]

_SAY_NOTHING: Final = frozenset({"model", "pytorch_model", "checkpoint", "original", "hf"})


def called(path: Path | Address) -> str:
    """Return the name of a file or folder; where that says nothing, with what it is in.

    A repository of a hub is ``owner/repo``, one in the cache of ``huggingface_hub`` too, where the
    folder itself is called by a hash.

    Examples
    --------
    >>> from pathlib import Path
    >>> called(Path("/data/llama-3-8b")), called(Path("/data/llama-3-8b/model.safetensors"))
    ('llama-3-8b', 'llama-3-8b/model.safetensors')
    >>> called(Path("/cache/models--owner--repo/snapshots/86b58ae7d0"))
    'owner/repo'
    """
    if isinstance(path, Address):
        if path.repository and not path.path:
            return path.repository
        return _with_place(path, path.parent)
    path = path.absolute()
    repository = path.parent.parent.name
    if path.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1)
    return _with_place(path, path.parent)


def _with_place(path: Path | Address, folder: Path | Address) -> str:
    silent = path.name.partition(".")[0] in _SAY_NOTHING and folder != path
    return f"{called(folder)}/{path.name}" if silent else path.name
