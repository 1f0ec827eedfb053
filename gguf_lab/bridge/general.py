"""The keys ``general.*`` of an exported file, what a user may add or change, and the file's name.

What llama.cpp's converter gathers about a model (its name, the parts of it, licence, tags and
origin from the model card, sampling defaults from ``generation_config.json``) is gathered by the
same code: ``gguf.Metadata``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckpointError, GGUFError
from ..file.naming import FileName
from ..file.packing import check_key, type_of_value
from ..file.text import preview, printable, quoted

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["added", "file_name", "general_metadata", "given_metadata", "quantization_version"]

_STRUCTURAL = (
    "general.architecture",
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "general.type",
    "split.*",
    "tokenizer.ggml.model",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
)
"""Keys that say how the rest is to be read: no one but the exporter sets them."""

_NUMPY = {
    "UINT8": np.uint8, "INT8": np.int8, "UINT16": np.uint16, "INT16": np.int16,
    "UINT64": np.uint64, "INT64": np.int64, "FLOAT64": np.float64,
}  # fmt: skip


def general_metadata(
    name: str,
    folder: Path | None,
    shapes: Mapping[str, tuple[int, ...]],
    generation: Mapping[str, Any] | None = None,
) -> dict[str, object]:
    """Gather what is known about a model.

    Parameters
    ----------
    name : str
        Taken where neither the model card nor the folder has a name.
    folder : Path, optional
        Of the checkpoint.
    shapes : Mapping of str to tuple of int
        Of the tensors of the file.
    generation : mapping, optional
        What ``generation_config.json`` would say, where there is no folder.

    Returns
    -------
    dict
        ``general.name`` and its like, in the converter's order; the size label always.

    Raises
    ------
    CheckpointError
        If the model card can't be read.
    """
    import gguf

    total, shared, per_expert, experts = _parameters(shapes)
    try:
        gathered = gguf.Metadata.load(None, folder, None, total)
        if folder is None and name:
            gathered = _named(gathered, name, total)
        if generation:
            _set_sampling(gathered, generation)
        if gathered.name is None:
            gathered.name = name or "model"
        if gathered.size_label is None and total > 0:
            gathered.size_label = gguf.size_label(total, shared, per_expert, experts)
        writer = gguf.GGUFWriter(None, "none")
        writer.kv_data[0].clear()
        gathered.set_gguf_meta_model(writer)
        for key, value in writer.kv_data[0].items():
            _check_number(key, value)
    except Exception as error:  # what YAML or JSON of a stranger can be is without end
        where = "the model's name or generation_config"
        if folder:
            where = f"{folder}: README.md or generation_config.json"
        raise CheckpointError(
            f"{where} can't be read: {type(error).__name__}: {printable(str(error), 200)}."
        ) from error
    return {key: _typed(value) for key, value in writer.kv_data[0].items()}


def _named(gathered: Any, name: str, total: int) -> Any:
    """Take the parts of a name as the converter takes those of a folder's."""
    full, _, base, tune, version, size = gathered.get_model_id_components(name, total)
    gathered.name = gathered.id_to_title(full) if full else None
    gathered.basename, gathered.finetune = base, tune
    gathered.version, gathered.size_label = version, size
    return gathered


def _set_sampling(gathered: Any, generation: Mapping[str, Any]) -> None:
    """Take settings as `gguf.Metadata` takes them of the file, where all but one are called so."""
    for field in fields(gathered):
        name = field.name.removeprefix("sampling_")
        if name != field.name:
            setattr(gathered, field.name, generation.get({"temp": "temperature"}.get(name, name)))


def _check_number(key: str, value: Any) -> None:
    kind, given = value.type.name, value.value
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    if kind.startswith("FLOAT") and not (
        is_whole or (isinstance(given, float) and math.isfinite(given))
    ):
        raise ValueError(f"{key} would be {given!r}; expected a number")
    if kind.startswith(("INT", "UINT")) and not is_whole:
        raise ValueError(f"{key} would be {given!r}; expected a whole number")


def _typed(value: Any) -> object:
    kind = value.type.name
    return _NUMPY[kind](value.value) if kind in _NUMPY else value.value


def _parameters(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int, int, int]:
    """Count weights as ``gguf.GGUFWriter.get_total_parameter_count``: all, shared, per expert."""
    total = shared = per_expert = n_experts = n_tensors = 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        total += size
        if "_exps." in name and len(shape) >= 3:
            experts = shape[-2 if ".bias" in name else -3]
            per_expert += size // experts
            n_experts += experts
            n_tensors += 1
        else:
            shared += size
    return total, shared, per_expert, n_experts // n_tensors if n_tensors else 0


def quantization_version() -> int:
    """Return ggml's number for the layout of the blocks."""
    from gguf import GGML_QUANT_VERSION

    return int(GGML_QUANT_VERSION)


def given_metadata(metadata: object) -> Mapping[str, object]:
    """Take the keys that a user gives; None is none.

    Raises
    ------
    GGUFError
        If it is no mapping.
    """
    if not metadata:
        return {}
    if not isinstance(metadata, Mapping):
        raise GGUFError(f"metadata is {preview(metadata)}. Expected a mapping of keys to values.")
    return metadata


def added(metadata: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Add a user's keys, or change values.

    Raises
    ------
    GGUFError
        If a key has no form in a file, says how the file is to be read, or gets a value of
        another type than it has.
    """
    result = dict(metadata)
    for key, value in more.items():
        check_key(key)
        if any(re.fullmatch(p.replace(".", r"\.").replace("*", ".*"), key) for p in _STRUCTURAL):
            raise GGUFError(
                f"metadata key {quoted(key)} says how the file is to be read: it can't be set."
            )
        kind = type_of_value(key, value)
        due = type_of_value(key, result[key]) if key in result else kind
        if kind == "uint32" and due == "float32":  # 10000 is meant as 10000.0
            result[key] = float(value)  # type: ignore[arg-type]
            continue
        if kind != due:
            raise GGUFError(
                f"metadata key {quoted(key)} is of type {due}; {preview(value)} is of {kind}."
            )
        result[key] = value
    return result


def file_name(metadata: Mapping[str, object], encoding: str) -> str:
    """Name a file by the naming convention.

    Raises
    ------
    GGUFError
        If the name of the model has no place in it.
    """

    def told(key: str) -> str | None:
        value = metadata.get(f"general.{key}")
        return _words(value) if isinstance(value, str) else None

    version = told("version") or "v1.0"
    parts = FileName(
        base_name=told("basename") or told("name") or "model",
        size_label=(told("size_label") or "").replace(" ", "-") or None,
        fine_tune=told("finetune"),
        version=f"v{version}" if version[:1].isdigit() else version,
        encoding=encoding,
        type="mmproj" if told("type") == "mmproj" else None,
    )
    try:
        return parts.format()
    except GGUFError:
        pass
    try:  # a base name that has a size or a version in it is read as these
        return replace(parts, base_name=parts.base_name.replace(" ", "_")).format()
    except GGUFError as error:
        raise GGUFError(
            f"the file can't be named by the convention: {error} Or give the path of the file, not"
            " of a folder."
        ) from None


def _words(text: str) -> str | None:
    """Keep of a text what the convention allows."""
    return " ".join(re.sub(r"[^\w.+ ]+", " ", text).split()) or None
