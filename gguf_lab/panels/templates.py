"""The chat templates of a reference: of a checkpoint's folder, or of another GGUF file."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from ..bridge.tokenizers.source import open_source
from ..bridge.tokenizers.vocabulary import read_templates
from ..errors import CheckpointError
from ..file.remote import Address, location
from ..model import Model, open_model
from ..reference import is_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from ..reference import Checkpoint

__all__ = ["templates_of"]


def templates_of(reference: Checkpoint | Model | str | PathLike[str]) -> dict[str, str]:
    """Return the chat templates of a reference by name; the one without a name is "default".

    Parameters
    ----------
    reference : Checkpoint, Model, str or path
        A folder (`chat_template.jinja`, `chat_template.json` or `tokenizer_config.json` in it), a
        file of a checkpoint, or a GGUF file.

    Raises
    ------
    CheckpointError
        If there is no such folder, or what says the template is malformed; or if the checkpoint
        lies on a server: only its weights can be had from there.
    GGUFError
        If the GGUF file is malformed.
    """
    if isinstance(reference, Model):
        return read_templates(reference.metadata)
    place = location(reference) if isinstance(reference, str | PathLike) else reference.path
    if is_gguf(place):
        with open_model(place) as model:
            return read_templates(model.metadata)
    if isinstance(place, Address):
        raise CheckpointError(
            f"{place} is on a server; give a folder on this machine to see its chat template."
        )
    with open_source(place if place.is_dir() else place.parent, {}) as source:
        return _named(source.template, source.folder)


def _named(template: object, folder: Path) -> dict[str, str]:
    if template is None:
        return {}
    if isinstance(template, str):
        return {"default": template}
    if isinstance(template, list) and all(isinstance(choice, dict) for choice in template):
        named = {choice.get("name"): choice.get("template") for choice in template}
        if all(isinstance(text, str) for pair in named.items() for text in pair):
            return named
    raise CheckpointError(
        f"The chat template in {folder} is neither a text nor a list of names and templates."
    )
