"""Rules about the bytes of the file: what a patient reader takes and llama.cpp does not."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from ..file import preview, quoted
from ..file.header import DEFAULT_ALIGNMENT
from ..model.words import bytes_in_words
from .rules import CONVERT, Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rules import Subject

__all__: list[str] = []

_AGAIN = "Fetch the file again or let the download finish."
_REWRITE = "Write the file again, for example with `gguf-lab quantize`."
_GAP_READ = 1 << 16
_KEY = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_FREE_KEYS = ("tokenizer.chat_template.",)  # followed by a name that the uploader chose
# What ggml has removed, and what took its place (enum ggml_type of ggml.h).
_REMOVED = {4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8"}
_REMOVED |= {36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8"}


@rule("version", "error", "gguf.cpp: 'GGUFv1 is no longer supported'")
def version(subject: Subject) -> Iterator[Found]:
    """Expect version 2 or 3."""
    if subject.model.version == 1:
        yield Found("file", "GGUF version 1, which llama.cpp has stopped to read", _REWRITE)


@rule(
    "byte-order", "error", "gguf.cpp: 'is there a mismatch between the host and model endianness'"
)
def byte_order(subject: Subject) -> Iterator[Found]:
    """Expect the byte order of this machine."""
    if subject.model.byteorder != sys.byteorder:
        yield Found(
            "file",
            f"the file is {subject.model.byteorder}-endian, and this machine is {sys.byteorder}-"
            "endian: llama.cpp refuses it here",
            "Get the file for this machine, or turn it round with gguf_convert_endian.py.",
        )


@rule("truncated", "error", "llama-model-loader.cpp: 'data is not within the file bounds'")
def truncated(subject: Subject) -> Iterator[Found]:
    """Expect all bytes of the tensors."""
    cut = [name for name, t in subject.model.tensors.items() if t.status == "truncated"]
    if cut:
        yield Found(
            "file",
            f"the file ends too early: {len(cut):,} of {len(subject.model.tensors):,} tensors "
            f"are cut off ({examples(cut)})",
            _AGAIN,
        )


@rule("unknown-type", "error", "gguf.cpp: 'invalid ggml type', the whole file is refused")
def unknown_type(subject: Subject) -> Iterator[Found]:
    """Expect types that ggml knows."""
    unknown: dict[int, list[str]] = {}
    for info in subject.model.file.tensors:
        if not info.qtype.known:
            unknown.setdefault(info.qtype.id, []).append(info.name)
    for number, names in unknown.items():
        if number in _REMOVED:
            why = f"{_REMOVED[number]}, which ggml has removed"
            advice = "Quantize again from the original with a type of today."
        else:
            why = "unknown here"
            advice = "Get a newer version of llama.cpp or GGUF Lab, or check where it is from."
        where = names[0]
        yield Found(
            where, f"{counted(len(names), 'tensors have')} type number {number}: {why}", advice
        )


@rule("order", "error", "gguf.cpp: 'tensor has offset, expected': data follows the list, no gaps")
def order(subject: Subject) -> Iterator[Found]:
    """Expect the data in the order of the list, each tensor right after the one before."""
    for number, header in enumerate(subject.model.file.headers):
        expected, path = header.data_offset, subject.model.file.paths[number]
        for info in header.tensors:
            if info.nbytes is None:
                break  # nobody knows where the next one has to begin
            if info.offset != expected:
                what = "a gap" if info.offset > expected else "data out of the order of the list"
                yield Found(
                    info.name,
                    f"{path.name}: its data begins at byte {info.offset:,}, expected at "
                    f"{expected:,}: {what}, for which llama.cpp refuses the file",
                    _REWRITE,
                )
                break
            expected += info.nbytes + -info.nbytes % header.alignment


@rule(
    "alignment",
    "error",
    "ggml-backend.cpp asserts TENSOR_ALIGNMENT where the file is mapped into memory",
    kinds=("model",),
)
def alignment(subject: Subject) -> Iterator[Found]:
    """Expect data that begins at a multiple of 32 bytes: less is written, and not loaded."""
    for number, header in enumerate(subject.model.file.headers):
        first = min(header.tensors, key=lambda info: info.offset, default=None)
        if first is not None and first.offset % DEFAULT_ALIGNMENT:
            yield Found(
                "general.alignment",
                f"{subject.model.file.paths[number].name}: the key is {header.alignment}, and the "
                f"data begins at byte {first.offset:,}, no multiple of {DEFAULT_ALIGNMENT}: "
                "llama.cpp ends where it maps the file",
                f"{_REWRITE} Until then load it with --no-mmap.",
            )


@rule("trailing", "warning", "gguf.md: nothing follows the tensor data but its padding")
def trailing(subject: Subject) -> Iterator[Found]:
    """Expect nothing after the last tensor but padding."""
    file = subject.model.file
    for number, header in enumerate(file.headers):
        if any(info.nbytes is None for info in header.tensors):
            continue
        ends = [info.offset + (info.nbytes or 0) for info in header.tensors]
        end = max(ends, default=header.data_offset)
        end += -end % header.alignment
        extra = file.sizes[number] - end
        if extra > 0:
            yield Found(
                "file",
                f"{file.paths[number].name}: {bytes_in_words(extra)} follow the last tensor, from "
                f"byte {end:,} on: nobody reads them",
                "Two files may have been joined, or a download resumed at a wrong place.",
            )


@rule("padding", "note", "gguf.md: padding is of bytes 0x00")
def padding(subject: Subject) -> Iterator[Found]:
    """Expect zeros between tensors."""
    file = subject.model.file
    for number, header in enumerate(file.headers):
        end, before = None, ""
        for info in sorted(header.tensors, key=lambda info: info.offset):
            if end is not None and end < info.offset <= file.sizes[number]:
                gap = file.bytes_of(number, end, min(info.offset - end, _GAP_READ))
                if gap.any():
                    yield Found(
                        info.name,
                        f"the {info.offset - end:,} bytes between {quoted(before)} and it are not "
                        "all zero",
                        "Harmless; some writer has left old memory there.",
                    )
                    break
            end = None if info.nbytes is None else info.offset + info.nbytes
            before = info.name


@rule("tensor-name", "warning", "gguf.md: a tensor has a name, by which it is asked for")
def tensor_name(subject: Subject) -> Iterator[Found]:
    """Expect printable names."""
    odd = [
        name
        for name in subject.model.tensors
        if not name or not name.isprintable() or name != name.strip()
    ]
    if odd:
        yield Found(
            odd[0],
            f"{counted(len(odd), 'tensor names are')} empty or no plain text ({examples(odd)})",
            "Convert the model again: tools that copy a file keep its names.",
        )


@rule("empty-tensor", "warning", "a dimension of zero: nothing can be computed with it")
def empty_tensor(subject: Subject) -> Iterator[Found]:
    """Expect at least one value in a tensor."""
    empty = [name for name, t in subject.model.tensors.items() if not t.n_elements]
    if empty:
        yield Found(
            empty[0],
            f"{counted(len(empty), 'tensors have')} no values ({examples(empty)})",
            "Convert again.",
        )


@rule("key-name", "note", "gguf.md: keys are hierarchical, lower_snake_case ASCII, parted by dots")
def key_name(subject: Subject) -> Iterator[Found]:
    """Expect keys of the form ``lower_case.words``."""
    odd = [
        key
        for key in subject.metadata
        if not _KEY.fullmatch(key) and not key.startswith(_FREE_KEYS)
    ]
    if odd:
        yield Found(
            odd[0],
            f"{counted(len(odd), 'keys are')} not of lower-case words and dots ({examples(odd)})",
        )


@rule(
    "architecture-key",
    "error",
    "llama-model-loader.cpp reads general.architecture as a string",
    kinds=("model", "adapter", "vocabulary", "mmproj"),
)
def architecture_key(subject: Subject) -> Iterator[Found]:
    """Expect the name of an architecture."""
    value = subject.metadata.get("general.architecture")
    if not isinstance(value, str) or not value:
        found = "is missing" if value is None else f"is {preview(value)}"
        yield Found(
            "general.architecture",
            f"the key {found}; without it nobody knows how to run the model",
            CONVERT,
        )


@rule("no-tensors", "error", "a model without tensors cannot run", kinds=("model",))
def no_tensors(subject: Subject) -> Iterator[Found]:
    """Expect tensors in a model."""
    if not subject.model.tensors:
        yield Found("file", "the file has neither tensors nor a tokenizer", "Fetch it again.")


@rule("quantization-version", "warning", "gguf.md: required if any tensor is quantized")
def quantization_version(subject: Subject) -> Iterator[Found]:
    """Expect a quantized file to say which version of ggml's quantization it has: 2."""
    key = "general.quantization_version"
    blocks = any(info.qtype.block_size > 1 for info in subject.model.file.tensors)
    value = subject.metadata.get(key)
    if value is None and blocks:
        yield Found(
            key,
            "the key is missing though there are quantized tensors",
            "Set it to 2 if the file was written after May 2023.",
        )
    elif value is not None and value != 2:
        yield Found(key, f"the key is {preview(value)}; ggml has had version 2 since May 2023")
