"""Real files with something changed, written by the gguf package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, quants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewrite(
    source: Path,
    target: Path,
    *,
    architecture: str = "llama",
    qtype: Callable[[str], str | None] = lambda name: None,
    metadata: dict[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Path:
    """Copy a file under another architecture, with tensors of other types or shapes.

    Parameters
    ----------
    source, target : Path
    architecture : str
        Also takes the place of "llama" in the keys.
    qtype : callable
        Gives the new type of a tensor by its name; None: as it is.
    metadata : dict
        New values, None for a key that is left out.
    leave_out : tuple of str
        Names of tensors.
    shapes : dict of str to tuple of int
        Tensors that are cut to these shapes, as F32.
    """
    reader, writer = gguf.GGUFReader(source), gguf.GGUFWriter(target, architecture)
    changed = dict(metadata or {})
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        name = field.name.replace("llama.", f"{architecture}.", 1)
        value = changed.pop(name, field.contents())
        if value is not None:
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, value, field.types[0], sub_type=sub_type)
    for name, value in changed.items():
        writer.add_string(name, value)
    for tensor in reader.tensors:
        kind, new = tensor.tensor_type, qtype(tensor.name)
        shape = (shapes or {}).get(tensor.name)
        if tensor.name in leave_out:
            continue
        if new is None and shape is None:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=kind)
            continue
        values = np.asarray(quants.dequantize(tensor.data, kind), np.float32)
        if shape is not None:
            values = np.ascontiguousarray(values[tuple(slice(n) for n in shape)])
        kind = GGMLQuantizationType[new or "F32"]
        writer.add_tensor(tensor.name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
