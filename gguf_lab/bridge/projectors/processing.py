"""What prepares images and texts for a model: its processor, as files or as an object."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ...file.text import preview
from ..tokenizers.source import Source, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Processing", "open_processing"]


@dataclass(frozen=True, slots=True)
class Processing:
    """What a processor says.

    Attributes
    ----------
    settings : dict
        ``preprocessor_config.json`` and ``processor_config.json`` in one, as llama.cpp's converter
        joins them: what the parts for images say stands beside what the whole says.
    """

    settings: Mapping[str, Any]
    _source: Source

    def token(self, text: str) -> int | None:
        """Return the id of an added token, or None if there is none with this text."""
        source = self._source
        described = (source.settings or {}).get("added_tokens_decoder")
        for place, token in (described if isinstance(described, dict) else {}).items():
            if isinstance(token, dict) and token.get("content") == text and place.isdecimal():
                return int(place)
        found = (token.get("id") for token in source.listed if token.get("content") == text)
        number = next(found, None)
        return number if type(number) is int else None


@contextmanager
def open_processing(
    given: Any, folder: Path | None, config: Mapping[str, Any]
) -> Iterator[Processing | None]:
    """Read the processor that is given, or else that of a checkpoint's folder.

    Raises
    ------
    CheckpointError
        If the files can't be read, or are no JSON.
    """
    given = folder if given is None else given
    if given is None:
        yield None
        return
    with open_folder(given, "processor") as place:
        yield _read(Source(place, config))


def _read(source: Source) -> Processing:
    settings: dict[str, Any] = {}
    for name, part in (
        ("preprocessor_config.json", "media_proc_cfg"),
        ("processor_config.json", "image_processor"),
    ):
        found = source.read(name) or {}
        inner = found.get(part, {})
        if not isinstance(inner, dict):
            raise CheckpointError(
                f"{source.folder / name}: {part} is {preview(inner)}; expected an object."
            )
        settings |= found | inner
    return Processing(settings, source)
