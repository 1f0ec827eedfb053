"""What prepares images and texts for a model: its processor, as files or as an object."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ...file.text import preview
from ...reference.links import check_links
from ..tokenizers.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    if hasattr(given, "save_pretrained"):
        with TemporaryDirectory() as place:
            given.save_pretrained(place)
            yield _read(Source(Path(place), config))
        return
    if not (given is None or isinstance(given, str | Path)):
        raise CheckpointError(
            "A processor is a checkpoint's folder or a processor of Transformers, not"
            f" {type(given).__name__}."
        )
    if given is not None:
        folder = Path(given)
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is not a folder.")
    if folder is None:
        yield None
        return
    check_links(folder)
    yield _read(Source(folder, config))


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
