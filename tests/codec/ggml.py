"""ggml's own quantizers, from the shared library of the package llama-cpp-python."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gguf_lab.codec import FORMATS


@cache
def _library() -> ctypes.CDLL:
    spec = find_spec("llama_cpp")
    if spec is None:
        pytest.skip("llama-cpp-python is not installed")
    library = ctypes.CDLL(str(next(Path(spec.origin).parent.rglob("libggml-base*"))))
    library.ggml_quantize_init.argtypes = [ctypes.c_int]
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        *[ctypes.c_void_p] * 2,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]
    return library


def ggml_quantize(name: str, rows: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
    """Return what ``ggml_quantize_chunk`` makes of float32 rows."""
    qtype = FORMATS[name].qtype
    rows = np.ascontiguousarray(rows, np.float32)
    out = np.zeros((len(rows), qtype.row_bytes(rows.shape[1])), np.uint8)
    weights = None
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        weights = importance.ctypes.data
    library = _library()
    library.ggml_quantize_init(qtype.id)
    size = library.ggml_quantize_chunk(
        qtype.id, rows.ctypes.data, out.ctypes.data, 0, *rows.shape, weights
    )
    assert size == out.nbytes
    return out
