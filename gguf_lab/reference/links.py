"""Links in the folder of a checkpoint: none that is read may lead out of it.

What was read may be written into a file that its reader gives away, as a chat template is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..file.text import path_text, quoted

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_link", "check_links"]

# What is read: weights, configuration, tokenizer, templates, model card.
_READ = {".json", ".jinja", ".md", ".model", ".safetensors", ".tiktoken", ".txt"}


def check_links(folder: Path) -> None:
    """Raise CheckpointError if a file that is read in a folder is a link that leads out of it."""
    templates = folder / "additional_chat_templates"
    paths = [templates, *folder.iterdir(), *(templates.iterdir() if templates.is_dir() else ())]
    for path in paths:
        if path.is_symlink() and (path == templates or path.suffix in _READ):
            check_link(path, folder, f"{folder}: {quoted(path.name)}")


def check_link(path: Path, folder: Path, what: str) -> None:
    """Raise CheckpointError if a path leads out of a folder; `what` says what it is."""
    target, home = path.resolve(), folder.resolve()
    # the cache of huggingface_hub: snapshots/<revision>/.../<file> -> blobs/<hash> beside snapshots
    places = (place.parent for place in home.parents if place.name == "snapshots")
    cached = any(target.parent == place / "blobs" for place in places)
    if not target.is_relative_to(home) and not cached:
        raise CheckpointError(
            f"{what} is a link that leads out of the folder, to {path_text(target)}. Put the"
            " file itself there."
        )
