"""Real files for the panels that read values: GGUF files written here, one tensor or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
from gguf.quants import quantize

if TYPE_CHECKING:
    from pathlib import Path


def write_gguf(path: Path, tensors: dict[str, tuple[Any, str]], **options: Any) -> Path:
    """Write arrays: ``name: (float32 array, type)``; uint8 arrays are blocks already."""
    writer = gguf.GGUFWriter(path, "llama", **options)
    for name, (values, qtype) in tensors.items():
        kind = gguf.GGMLQuantizationType[qtype]
        raw = values if values.dtype == np.uint8 else quantize(values, kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def with_scales(source: Path, path: Path, scales: dict[str, float]) -> Path:
    """Copy a file; the first block of some tensors gets another scale: of types that begin so."""
    data = bytearray(source.read_bytes())
    for tensor in gguf.GGUFReader(source).tensors:
        if tensor.name in scales:
            at = int(tensor.data_offset)
            data[at : at + 2] = np.float16(scales[tensor.name]).tobytes()
    path.write_bytes(data)
    return path


def large_blocks(n_rows: int, n_columns: int) -> np.ndarray:
    """Q4_0 blocks of random weights with a scale of 2**-10: uint8 (n_rows, row bytes)."""
    random = np.random.default_rng(0)
    row = random.integers(0, 256, (64, n_columns // 32, 18), dtype=np.uint8)
    row[:, :, :2] = np.frombuffer(np.float16(2**-10).tobytes(), np.uint8)
    return np.resize(row, (n_rows, n_columns // 32, 18)).reshape(n_rows, -1)
