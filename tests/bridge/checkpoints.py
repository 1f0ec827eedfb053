"""Checkpoints of the test models with something changed, and the files made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

import gguf_lab as gl
from gguf_lab.bridge.exporting import export
from gguf_lab.file import qtype
from gguf_lab.file.writer import Payload, write_file
from gguf_lab.quantization.requantize import _typed as typed
from gguf_lab.reference import open_checkpoint

from ..reference.support import write_checkpoint
from .small_models import DATA

if TYPE_CHECKING:
    from pathlib import Path


def exported(source: Any, target: Path, **settings: Any) -> gl.Model:
    settings = {"tokenizer": False, "qtype": "F32", "progress": False} | settings
    return gl.open(export(source, target, **settings))


def with_scales(model: gl.Model, target: Path, *, scaled: bool = True) -> Path:
    """The same model in F32, but its matrices are divided by powers of two, which are beside them.

    One for each expert where there are several: other ones. Files in NVFP4 are made so.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, tensor in model.tensors.items():
        values, layer = tensor.to_numpy(), tensor.layer
        if not scaled or layer is None or values.ndim < 2 or "gate_inp" in name:
            tensors[name] = values
            continue
        stem = name.removesuffix(".weight")
        scales = np.exp2(np.arange(len(values) if values.ndim == 3 else 1) + 5).astype("<f4")
        shape = (-1, *[1] * (values.ndim - 1)) if values.ndim == 3 else (1, 1)
        tensors[name] = values / scales.reshape(shape)
        tensors[f"{stem}.scale"] = scales
        tensors[f"{stem}.input_scale"] = np.ones_like(scales)
    payloads = [
        Payload(name, values.shape, qtype("F32"), lambda v=values: [v.reshape(-1).view(np.uint8)])
        for name, values in tensors.items()
    ]
    return write_file(
        target, {key: typed(model.metadata, key) for key in model.metadata}, payloads
    )[0]


def contents(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """What `write_checkpoint` writes as it was."""
    tensors = open_checkpoint(folder).tensors.values()
    return {t.name: (t.dtype, t.shape, t.read(0, t.n_rows).tobytes()) for t in tensors}


def tensors_of(folder: str) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return contents(DATA / folder / "hf")


def llama_tensors() -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return tensors_of("llama")


def checkpoint_with(folder: Path, model: str, tensors: Any, **settings: Any) -> Path:
    """The checkpoint of a model with other tensors or settings."""
    folder.mkdir()
    config = json.loads((DATA / model / "hf" / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    write_checkpoint(folder / "model.safetensors", tensors)
    return folder


def llama_with(folder: Path, tensors: Any, **settings: Any) -> Path:
    return checkpoint_with(folder, "llama", tensors, **settings)
