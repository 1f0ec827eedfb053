"""Rules about the name of the file: what it says should be so inside."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from ..file import FileName, quoted
from ..footprint import active_parameters
from ..model.words import count_in_words
from ..quantization.mixes import ALIASES
from .rules import CONVERT, Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rules import Subject

__all__: list[str] = []

_RENAME = "Rename the file, or correct the key with gguf_set_metadata.py."
_LABEL = {
    "file": "Rename the file.",
    "general.size_label": f"{CONVERT[:-1]}, or take the key away with gguf_new_metadata.py "
    "(--remove-metadata).",
}
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15}
_SIZE = re.compile(r"(?:([0-9]{1,6})x)?([0-9.]{1,12})([KMBTQ])", re.IGNORECASE)
# Uploaders' own mixes (Q4_K_XL, Q6_K_L, UD-…): the metadata name the mix that they began with.
_OWN_MIX = re.compile(r"_X?L$|^UD-", re.IGNORECASE)
_SAME = {"FP16": "F16", "FP32": "F32", "MXFP4": "MXFP4_MOE", **ALIASES}
_BITS = re.compile(r"Q([0-9]+)")  # nothing but bits: "phi-3-q4.gguf"
_SLACK = 1.5  # sizes in names are rounded, and some leave the embeddings out
# Of a small model that sees, up to half is in another file: SmolVLM-256M has 163 M beside it.
_SMALL, _SLACK_OF_SMALL = 1e9, 2.0


@rule("name", "note", "GGUF naming convention: <BaseName>-<SizeLabel>-<Version>-<Encoding>.gguf")
def name(subject: Subject) -> Iterator[Found]:
    """Expect a name that ends in .gguf and tells the size and the encoding."""
    parts = subject.model.file_name
    if subject.model.kind not in {"model", "mmproj"}:
        return
    lacks = []
    if parts is None or parts.size_label is None:
        lacks.append("the size")
    if parts is None or parts.encoding is None:
        lacks.append("the encoding")
    if lacks:
        told = FileName.from_metadata(subject.metadata)
        advice = f"By its metadata it would be {quoted(str(told))}." if told.base_name else ""
        yield Found(
            "file", f"{quoted(subject.model.path.name)} does not tell {' and '.join(lacks)}", advice
        )


@rule("name-encoding", "warning", "GGUF naming convention; general.file_type is enum llama_ftype")
def name_encoding(subject: Subject) -> Iterator[Found]:
    """Expect the encoding in the name to be that of ``general.file_type``."""
    parts = subject.model.file_name
    told = FileName.from_metadata(subject.metadata).encoding
    if parts is None or parts.encoding is None or told is None or _OWN_MIX.search(parts.encoding):
        return
    named = parts.encoding.removeprefix("i1-").upper()
    if (bits := _BITS.fullmatch(named)) and re.findall("[0-9]+", told)[:1] == [bits[1]]:
        return
    if _SAME.get(named, named) != _SAME.get(told, told):
        yield Found(
            "general.file_type",
            f"the name of the file says {named}, the key says {told}",
            _RENAME,
        )


@rule("name-size", "warning", "GGUF naming convention: the size label counts the weights")
def name_size(subject: Subject) -> Iterator[Found]:
    """Expect the size in the name, and in ``general.size_label``, to be that of the tensors."""
    if subject.model.kind != "model":
        return
    parts = subject.model.file_name
    labels = {"file": (parts and parts.size_label) or ""}
    labels["general.size_label"] = subject.metadata.text("general.size_label") or ""
    n = subject.model.n_parameters
    # Of experts names count all, or those that are used: Llama-4-Scout-17B-16E, OLMoE-1B-7B.
    active = active_parameters(subject.model)
    counts = [n] if active is None else [n, active]
    least = _SLACK_OF_SMALL if n < _SMALL else _SLACK
    for where, label in labels.items():
        sizes = _sizes(label)[: None if active else 1]
        # Of experts the label may count one; what they share is counted once.
        fits = (
            size / least <= m <= size * experts * _SLACK for experts, size in sizes for m in counts
        )
        if n and sizes and not any(fits):
            yield Found(
                where,
                f"the size label is {quoted(label)}, but the tensors have {count_in_words(n)} "
                "weights",
                _LABEL[where],
            )


def _sizes(label: str) -> list[tuple[int, float]]:
    """Return the sizes in a label that begins with one, each with how many of it there are."""
    found = []
    for match in _SIZE.finditer(label) if _SIZE.match(label) else ():
        with suppress(ValueError):  # two dots
            found.append((int(match[1] or 1), float(match[2]) * _UNITS[match[3].upper()]))
    return found


@rule(
    "name-shard", "warning", "llama-gguf-split writes split.no, split.count and the name together"
)
def name_shard(subject: Subject) -> Iterator[Found]:
    """Expect a file that is called a shard to be one."""
    parts = subject.model.file_name
    if parts is None or parts.shard is None:
        return
    count = subject.metadata.integer("split.count")
    if (count or 1) == 1 and parts.shard_count != 1:
        yield Found(
            "split.count",
            f"the name says shard {parts.shard} of {parts.shard_count}, but by its metadata the "
            "file is whole",
            "If it was cut with a tool for any file, join the parts first (`cat`).",
        )
