"""Checkpoints of the test models with something changed, and the files made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import gguf_lab as gl
from gguf_lab.bridge.exporting import export
from gguf_lab.reference import open_checkpoint

from ..reference.support import write_checkpoint
from .small_models import DATA

if TYPE_CHECKING:
    from pathlib import Path


def exported(source: Any, target: Path, **settings: Any) -> gl.Model:
    settings = {"tokenizer": False, "qtype": "F32", "progress": False} | settings
    return gl.open(export(source, target, **settings))


def tensors_of(folder: str) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    tensors = open_checkpoint(DATA / folder / "hf").tensors.values()
    return {t.name: (t.dtype, t.shape, t.read(0, t.n_rows).tobytes()) for t in tensors}


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
