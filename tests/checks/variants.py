"""Real files with one thing changed: what a rule is to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import gguf_lab as gl

from ..file.builders import Builder
from ..models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LLAMA = MODELS / "llama" / "llama-bf16.gguf"
Q4_K_M = MODELS / "llama-256" / "llama-Q4_K_M.gguf"


def variant(
    source: Path,
    path: Path,
    *,
    keys: Mapping[str, tuple[str, Any] | None] | None = None,
    tensors: Mapping[str, tuple[int, tuple[int, ...], bytes] | None] | None = None,
    values: Mapping[str, Callable[[np.ndarray], None]] | None = None,
    edit: Callable[[Builder], None] | None = None,
    tail: bytes = b"",
    cut: int = 0,
) -> Path:
    """Write a file again with changes.

    Parameters
    ----------
    source, path : Path
    keys : mapping
        Type and value of keys to change or to add; None leaves one out.
    tensors : mapping
        Type number, dimensions in ggml's order and data of tensors, in the same way.
    values : mapping
        Functions that change the bytes of a tensor, a row of them per row.
    edit : callable
        A last change of the builder.
    tail : bytes
        What follows the file.
    cut : int
        How many bytes are missing at its end.
    """
    keys, tensors = dict(keys or {}), dict(tensors or {})
    builder = Builder()
    with gl.open(source) as model:
        for key, value in model.metadata.items():
            kind = model.metadata.type_of(key)
            plain = list(value) if kind.startswith("array") else value
            entry = keys.pop(key, (kind, plain))
            if entry is not None:
                builder.key(key, *entry)
        for key, entry in keys.items():
            if entry is not None:
                builder.key(key, *entry)
        for name, tensor in model.tensors.items():
            raw = np.array(tensor.blocks()).reshape(tensor.n_rows, -1).view(np.uint8)
            if name in (values or {}):
                values[name](raw)
            shape = tuple(reversed(tensor.shape))
            entry = tensors.pop(name, (tensor.info.qtype.id, shape, raw.tobytes()))
            if entry is not None:
                number, ne, data = entry
                builder.tensor(name, ne, number, data)
        for name, (number, ne, data) in tensors.items():
            builder.tensor(name, ne, number, data)
    if edit is not None:
        edit(builder)
    content = builder.build() + tail
    path.write_bytes(content[: len(content) - cut])
    return path
