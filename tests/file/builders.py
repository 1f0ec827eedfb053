"""Writes GGUF files byte by byte, wrong ones too: nothing here checks anything."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gguf_lab.errors import GGUFError
from gguf_lab.file import GGUFFile, ValueType, open_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CODES = {
    "uint8": "B",
    "int8": "b",
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "float32": "f",
    "bool": "B",
    "uint64": "Q",
    "int64": "q",
    "float64": "d",
}
F32, F16, Q4_0, Q8_0, Q4_K = 0, 1, 2, 8, 12


@dataclass
class Builder:
    """A file in the making. What is given as None is computed as it should be."""

    version: int = 3
    byteorder: str = "little"
    alignment: int = 32
    magic: bytes = b"GGUF"
    n_keys: int | None = None
    n_tensors: int | None = None
    keys: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    data: bytes = b""
    pad_last: bool = True

    def pack(self, code: str, *values: Any) -> bytes:
        return struct.pack(("<" if self.byteorder == "little" else ">") + code, *values)

    def count(self, number: int) -> bytes:
        return self.pack("I" if self.version == 1 else "Q", number)

    def string(self, text: str | bytes) -> bytes:
        raw = text.encode() if isinstance(text, str) else text
        return self.count(len(raw)) + raw

    def value(self, kind: str, value: Any) -> bytes:
        """Write a value; an array is of kind "array[...]", nested ones too."""
        if kind == "string":
            return self.string(value)
        if kind.startswith("array["):
            inner = kind[6:-1]
            items = b"".join(self.value(inner, item) for item in value)
            return self.kind(inner) + self.count(len(value)) + items
        return self.pack(CODES[kind], value)

    def kind(self, kind: str) -> bytes:
        name = "ARRAY" if kind.startswith("array") else kind.upper()
        return self.pack("I", ValueType[name])

    def key(self, name: str | bytes, kind: str, value: Any) -> Builder:
        return self.raw_key(self.string(name) + self.kind(kind) + self.value(kind, value))

    def raw_key(self, raw: bytes) -> Builder:
        self.keys.append(raw)
        return self

    def tensor(
        self,
        name: str | bytes,
        ne: Sequence[int],
        kind: int = F32,
        data: bytes = b"",
        offset: int | None = None,
    ) -> Builder:
        """List a tensor (dimensions in ggml's order) and append its data."""
        if offset is None:
            offset = len(self.data)
        dimensions = b"".join(self.count(size % 2**64) for size in ne)
        entry = self.string(name) + self.pack("I", len(ne)) + dimensions
        self.tensors.append(entry + self.pack("IQ", kind, offset % 2**64))
        self.data += data + bytes(-len(data) % self.alignment)
        return self

    def head(self) -> bytes:
        n_keys = len(self.keys) if self.n_keys is None else self.n_keys
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        counts = self.count(n_tensors) + self.count(n_keys)
        version = self.pack("I", self.version)
        return self.magic + version + counts + b"".join(self.keys) + b"".join(self.tensors)

    def build(self) -> bytes:
        head = self.head()
        return head + bytes(-len(head) % self.alignment) + self.data

    def write(self, path: Path) -> Path:
        path.write_bytes(self.build())
        return path


def small(**settings: Any) -> Builder:
    """Make a valid file with one key and two tensors: "a" of 4 and "b" of 2 x 8 float32 values."""
    builder = Builder(**settings)
    builder.key("general.architecture", "string", "llama")
    order = "<" if builder.byteorder == "little" else ">"
    builder.tensor("a", [4], F32, struct.pack(f"{order}4f", *range(4)))
    return builder.tensor("b", [8, 2], F32, struct.pack(f"{order}16f", *range(16)))


def opened(folder: Path, content: Builder | bytes) -> GGUFFile:
    path = folder / "file.gguf"
    path.write_bytes(content if isinstance(content, bytes) else content.build())
    return open_file(path)


def refusal(folder: Path, content: Builder | bytes) -> str:
    """Return the message with which a file is refused, after checking that it names the place."""
    with pytest.raises(GGUFError) as caught:
        opened(folder, content)
    message = str(caught.value)
    assert str(folder / "file.gguf") in message
    assert ", byte " in message
    assert "Expected" in message
    assert message.endswith(".")
    return message


class Grudging:
    """A source that shows no byte of its head before it is asked for."""

    fetched = 0

    def __init__(self, content: bytes, name: str = "memory") -> None:
        self.name = name
        self.content = np.frombuffer(content, np.uint8)
        self.size = len(content)
        self.shown = 0

    def read(self, offset: int, n: int) -> np.ndarray:
        assert 0 <= offset <= offset + n <= self.size
        return self.content[offset : offset + n]

    def head(self, n: int) -> np.ndarray:
        self.shown = max(self.shown, n)
        return self.read(0, self.shown)

    def close(self) -> None:
        pass
