"""What the tests of this room share: small files made by hand, and models without a file."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from gguf_lab.file import qtype
from gguf_lab.file.writer import Payload, write_file
from gguf_lab.model import open_model
from gguf_lab.reference import Alignment, align, open_checkpoint

from ..models import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = MODELS
TABLES = DATA.parent / "tables"
PROJECTORS = DATA.parent / "projectors"

# the values of MXFP4's four bits, 1 sign, 2 exponent, 1 mantissa
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def aligned(name: str | Path) -> tuple[Any, Alignment]:
    """A model, by its path or its place among the models, lined up with the checkpoint beside."""
    path = DATA / name
    model = open_model(path)
    return model, align(model, open_checkpoint(path.parent / "hf"))


def write_raw(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file, right or wrong."""
    length = len(header) if length is None else length
    path.write_bytes(struct.pack("<Q", length) + header + data)
    return path


def write_checkpoint(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """A well-formed safetensors file of (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return write_raw(path, json.dumps(header).encode(), data)


def write_model(
    path: Path, tensors: Mapping[str, Any], architecture: str = "llama", **metadata: Any
) -> Path:
    """A file of one layer, of arrays, or of pairs of a type and blocks."""
    payloads = []
    for name, given in tensors.items():
        kind, rows = given if isinstance(given, tuple) else ("F32", given.astype("<f4"))
        data = np.ascontiguousarray(rows).view(np.uint8)
        width = data.shape[-1] // qtype(kind).type_size * qtype(kind).block_size
        shape = (*data.shape[:-1], width)
        payloads.append(Payload(name, shape, qtype(kind), lambda data=data: [data]))
    known = {"general.architecture": architecture, f"{architecture}.block_count": np.uint32(1)}
    write_file(path, known | metadata, payloads)
    return path


def contents_of(model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors of a model and its numbers, as `write_model` takes them."""
    tensors = {
        name: (tensor.qtype, tensor.blocks().reshape(*(tensor.shape[:-1] or (1,)), -1))
        for name, tensor in model.tensors.items()
    }
    return tensors, {k: np.uint32(v) for k, v in model.metadata.items() if type(v) is int}


def ramp(*shape: int) -> tuple[str, tuple[int, ...], bytes]:
    """An F32 tensor in which every element differs."""
    return "F32", shape, np.arange(math.prod(shape), dtype="<f4").tobytes()


@dataclass(frozen=True)
class ArrayRows:
    """An array as rows, with a record of what was read."""

    array: np.ndarray
    dtype: str = "F32"
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        rows = math.prod(self.shape[:-1])
        assert 0 <= start <= stop <= rows
        self.asked.append((start, stop))
        flat = np.ascontiguousarray(self.array).reshape(rows, *(self.shape[-1:] or (1,)))
        return flat.view(np.uint8)[start:stop]


def fake_model(
    architecture: str, shapes: dict[str, tuple[int, ...]], **metadata: Any
) -> SimpleNamespace:
    """A model that has names, shapes and metadata, but no bytes."""
    tensors = {
        name: SimpleNamespace(name=name, shape=shape, qtype="F32", status="ok")
        for name, shape in shapes.items()
    }
    return SimpleNamespace(
        path=Path("model.gguf"),
        architecture=architecture,
        metadata={f"{architecture}.{k.replace('__', '.')}": v for k, v in metadata.items()},
        tensors=tensors,
    )
