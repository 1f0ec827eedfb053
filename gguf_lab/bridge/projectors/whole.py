"""From two files, of a language model and of a projector, to the settings of one model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ...errors import GGUFError, UnsupportedError
from ...file import ArrayValue
from ...file.text import quoted
from ...reference.architectures.projectors import projector_types
from ..hyperparameters.file_side import FileSide
from .readings import READINGS, UNMERGED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...model import Model
    from .readings import Reading

__all__ = ["whole_settings"]


def whole_settings(text: Model, projector: Model, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Say what ``config.json`` would say of the model that two files are together.

    Parameters
    ----------
    text, projector : Model
    settings : Mapping
        Those of the language model.

    Raises
    ------
    UnsupportedError
        If there is no way to read this projector beside this language model.
    GGUFError
        If keys are missing or make no sense, or the two don't belong together.
    """
    if projector.kind != "mmproj":
        raise UnsupportedError(f"{projector.path} is no projector, but of kind {projector.kind}")
    kind = next(iter(projector_types(projector.metadata)), "")
    if kind == "pixtral" and "mm.patch_merger.weight" not in projector.tensors:
        kind = UNMERGED
    reading = READINGS.get((kind, text.architecture or ""))
    if reading is None:
        can = ", ".join(sorted(f"{name} beside {of}" for name, of in READINGS))
        raise UnsupportedError(
            f"{projector.path}: projectors of type {quoted(kind)} beside a language model of "
            f"architecture {quoted(text.architecture or '')} can't be read yet; those can: {can}"
        )
    shapes = {name: tensor.shape for name, tensor in projector.tensors.items()}
    file = FileSide("clip", projector.metadata, shapes)
    given = reading.settings(file)
    width = file.count(f"{'vision' if 'vision_config' in given else 'audio'}.projection_dim")
    if width != settings["hidden_size"]:
        raise GGUFError(
            f"{projector.path} is for a language model {width} numbers wide, {text.path} is"
            f" {settings['hidden_size']}: they don't belong together"
        )
    language = {name: value for name, value in settings.items() if name != "architectures"}
    if language["pad_token_id"] is None:
        del language["pad_token_id"]  # some put it in the place of an image: then its default
    if reading.text:
        language["model_type"] = reading.text
    return {
        "model_type": reading.model_type,
        "architectures": [reading.kind],
        **given,
        "text_config": language,
        "tie_word_embeddings": settings["tie_word_embeddings"],
        **_tokens(text, reading),
    }


def _tokens(text: Model, reading: Reading) -> dict[str, int]:
    """Look the tokens up that stand for what is seen or heard."""
    listed = text.metadata.get("tokenizer.ggml.tokens")
    places = {word: name for name, word in reading.tokens.items()}
    found = {
        places[token]: number
        for number, token in enumerate(listed if isinstance(listed, ArrayValue) else ())
        if token in places
    }
    if absent := [word for name, word in reading.tokens.items() if name not in found]:
        warnings.warn(
            f"{text.path} has no token {', '.join(map(quoted, absent))}: which one stands for what"
            " the model sees or hears is left at the default of Transformers",
            stacklevel=4,
        )
    return found
