"""The naming convention of GGUF files, both ways.

``<BaseName>-<SizeLabel>-<FineTune>-<Version>-<Encoding>-<Type>-<Shard>.gguf``

Source: "GGUF Naming Convention" of the GGUF specification. Its own regular expression refuses most
names in use (a dot in a base name, a file without version), so reading here goes part by part from
the right and takes what is sure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..errors import GGUFError
from .file_types import file_type_name
from .text import printable

if TYPE_CHECKING:
    from .metadata import Metadata

__all__ = ["FileName"]

# Every expression is anchored and free of nested repetition: reading is linear in the name.
_SHARD = re.compile(r"-([0-9]{5})-of-([0-9]{5})$")
_TYPE = re.compile(r"[-.](lora|vocab|mmproj)$", re.IGNORECASE)
_ENCODING = re.compile(
    r"(?:^|[-.\s])((?:(?:ud|i1)-)?(?:i?q[0-9]+(?:_[a-z0-9]+)*|tq[0-9]_[0-9]|b?f(?:16|32)|fp(?:16|32)|"
    r"f64|mxfp4(?:_moe)?|nvfp4))$",
    re.IGNORECASE,
)
_ANY_ENCODING = re.compile(r"(?=\w*[0-9])\w+", re.ASCII)  # after a version: a word with a digit
_VERSION = re.compile(r"v[0-9]+(?:\.[0-9]+)*")
# A size counts weights in thousands and up. A small k is nearly always a context length.
_SIZE = re.compile(r"(?:[0-9]+x)?(?:[0-9]+\.)?[0-9]+[KMBTQmbtq]")
_ATTRIBUTE = re.compile(r"[A-Za-z]+(?:[0-9]+\.)?[0-9]+[A-Za-z]+")  # ContextLength4k, A3B
_SEPARATORS = re.compile(r"[-\s]+")
_WORDS = re.compile(r"[\w.+ ]*")
_TYPES = {"lora": "LoRA", "vocab": "vocab", "mmproj": "mmproj"}
_MMPROJ = "mmproj-"
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a file name that follows the convention.

    Attributes
    ----------
    base_name : str
        Name of the model family, words separated by spaces ("Hermes 2 Pro Llama 3"); "" if unknown.
    size_label : str or None
        Number of weights and attributes: "8B", "8x7B", "30B-A3B", "3.8B-ContextLength4k".
    fine_tune : str or None
        What it was tuned for, words separated by spaces: "Instruct".
    version : str
        "v1.0" if the name has none: the convention implies it.
    encoding : str or None
        How the weights are stored: "Q4_K_M".
    type : str or None
        "LoRA" or "vocab"; "mmproj" for a projector, for which the convention has no word and
        llama.cpp writes a prefix. None for a model.
    shard, shard_count : int or None
        Which file of how many, from 1.
    """

    base_name: str
    size_label: str | None = None
    fine_tune: str | None = None
    version: str = "v1.0"
    encoding: str | None = None
    type: str | None = None
    shard: int | None = None
    shard_count: int | None = None

    @classmethod
    def parse(cls, name: str | PurePath) -> FileName | None:
        """Read the name of a file, with or without its folder.

        Common departures from the convention are understood: a dot before the encoding, encodings
        in small letters or with a maker's mark (``UD-Q4_K_XL``), a missing version or size, the
        prefix ``mmproj-``. Of anything else the parts that are sure are taken.

        Parameters
        ----------
        name : str or pathlib.PurePath
            The name, ending in ``.gguf``.

        Returns
        -------
        FileName or None
            None if the name does not end in ``.gguf`` or if no part but a base name is in it.

        Examples
        --------
        >>> FileName.parse("Mixtral-8x7B-v0.1-KQ2.gguf")
        FileName(base_name='Mixtral', size_label='8x7B', fine_tune=None, version='v0.1', \
encoding='KQ2', type=None, shard=None, shard_count=None)
        """
        rest = PurePath(name).name
        if not rest.lower().endswith(".gguf") or len(rest) > _LONGEST:
            return None
        parts = _read_stem(rest[:-5])
        return None if parts == cls(parts.base_name) else parts

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> FileName:
        """Derive each part from the metadata of a file.

        ============  ====================================================================
        base_name     ``general.basename``, else what ``general.name`` has before the size
        size_label    ``general.size_label``, else the size in ``general.name``
        fine_tune     ``general.finetune``, else what follows the size in ``general.name``
        version       ``general.version``, else the version in ``general.name``, else v1.0
        encoding      ``general.file_type``, by the table of llama.cpp; None if unknown
        type          ``general.type``: adapter is LoRA, mmproj and vocab are themselves
        shard         ``split.no`` (from 0) and ``split.count``, if there are several
        ============  ====================================================================

        The parts of ``general.name`` are used only where ``general.basename`` is missing, so that
        two sources do not mix. A vocabulary file is not marked in the metadata; the caller knows
        that it has no tensors.
        """
        told = metadata.text
        base, size, tune = (
            _words(told(f"general.{key}")) for key in ("basename", "size_label", "finetune")
        )
        version = _words(told("general.version"))
        if base is None and (full := _words(told("general.name"))):
            guess = _read_stem(full)
            base, size = guess.base_name or full, size or guess.size_label
            tune, version = tune or guess.fine_tune, version or guess.version
        if version is None:
            version = "v1.0"
        elif version[:1].isdigit():
            version = f"v{version}"

        number = metadata.integer("general.file_type")
        count, shard = metadata.integer("split.count"), metadata.integer("split.no")
        split = count is not None and shard is not None and count > 1 and 0 <= shard < count
        kind = (told("general.type") or "").lower()
        return cls(
            base_name=base or "",
            size_label=size.replace(" ", "-") if size else None,
            fine_tune=tune,
            version=version,
            encoding=None if number is None else file_type_name(number),
            type=_TYPES.get("lora" if kind == "adapter" else kind),
            shard=shard + 1 if split and shard is not None else None,
            shard_count=count if split else None,
        )

    def format(self) -> str:
        """Return the file name, which reads back as exactly these parts.

        Raises
        ------
        GGUFError
            If a part that the convention requires is missing, if a part has a form that it does
            not allow, or if the parts together would be read differently.
        """
        problem = self._problem()
        name = str(self)
        if problem is None and FileName.parse(name) != self:
            problem = f"the name {name!r} would be read back as other parts"
        if problem:
            raise GGUFError(
                f"no file name can be written from {printable(repr(self), 400)}: {problem}. "
                "Expected <BaseName>-<SizeLabel>-<FineTune>-<Version>-<Encoding>-<Type>-<Shard>; "
                "change the part that does not fit."
            )
        return name

    def _problem(self) -> str | None:
        size, *attributes = (self.size_label or "").split("-", 1)
        if not self.base_name:
            return "the base name is missing"
        if not self.size_label:
            return "the size label is missing"
        if not _SIZE.fullmatch(size) or not all(map(_ATTRIBUTE.fullmatch, attributes)):
            return f"the size label {self.size_label!r} is not of a form like 8B or 8x7B"
        if not _VERSION.fullmatch(self.version):
            return f"the version {self.version!r} is not of a form like v1.0"
        for what, text in (("base name", self.base_name), ("fine tune", self.fine_tune or "")):
            if not _WORDS.fullmatch(text):
                return f"the {what} {text!r} has characters besides letters, digits, '.', '_', '+'"
        if self.type not in (None, *_TYPES.values()):
            return f"the type {self.type!r} is none of {', '.join(_TYPES.values())}"
        if (self.shard is None) != (self.shard_count is None):
            return "a shard needs both its number and the count"
        if self.shard is not None and not 1 <= self.shard <= (self.shard_count or 0) <= 99_999:
            return f"shard {self.shard} of {self.shard_count} is not between 1 and the count"
        return None

    def __str__(self) -> str:
        shard = None
        if self.shard is not None and self.shard_count is not None:
            shard = f"{self.shard:05d}-of-{self.shard_count:05d}"
        prefix, kind = (_MMPROJ, None) if self.type == "mmproj" else ("", self.type)
        parts = (self.base_name, self.size_label, self.fine_tune, self.version, self.encoding)
        words = (part.replace(" ", "-") for part in (*parts, kind, shard) if part)
        return f"{prefix}{'-'.join(words)}.gguf"


def _words(text: str | None) -> str | None:
    """Return the words of a part with single spaces between them, None if there are none."""
    return _SEPARATORS.sub(" ", text[:_LONGEST]).strip() or None if text else None


def _read_stem(stem: str) -> FileName:
    """Read a name without ``.gguf``, from the right."""
    found = FileName("")
    if match := _SHARD.search(stem):
        found = replace(found, shard=int(match[1]), shard_count=int(match[2]))
        stem = stem[: match.start()]
    if stem.lower().startswith(_MMPROJ):
        found = replace(found, type="mmproj")
        stem = stem[len(_MMPROJ) :]
    # The convention puts the type last; some makers put the encoding last.
    for _ in range(2):
        if found.type is None and (match := _TYPE.search(stem)):
            found = replace(found, type=_TYPES[match[1].lower()])
            stem = stem[: match.start()]
        if found.encoding is None and (match := _ENCODING.search(stem)):
            found = replace(found, encoding=_tidy_encoding(match[1]))
            stem = stem[: match.start()]

    tokens = [token for token in _SEPARATORS.split(stem) if token]
    versions = [i for i, token in enumerate(tokens) if i and _VERSION.fullmatch(token)]
    if versions:
        at = versions[-1]
        after = tokens[at + 1 :]
        if found.encoding is None and len(after) == 1 and _ANY_ENCODING.fullmatch(after[0]):
            found = replace(found, encoding=after.pop())
        found = replace(found, version=tokens[at])
        tokens = tokens[:at] + after
    sizes = [i for i, token in enumerate(tokens) if i and _SIZE.fullmatch(token)]
    if sizes:
        at = sizes[0]
        size, after = tokens[at], tokens[at + 1 :]
        size = size[:-1] + size[-1].upper()
        if after and _ATTRIBUTE.fullmatch(after[0]):
            size = f"{size}-{after.pop(0)}"
        found = replace(found, size_label=size, fine_tune=" ".join(after) or None)
        tokens = tokens[:at]
    return replace(found, base_name=" ".join(tokens))


def _tidy_encoding(text: str) -> str:
    mark, dash, plain = text.rpartition("-")
    return (mark if mark == "i1" else mark.upper()) + dash + plain.upper()
