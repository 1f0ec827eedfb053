"""The golden data: what ggml itself makes of quantized and of random blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
TYPES = sorted(path.stem for path in GOLDEN.glob("*.npz"))


def same_bits(got: np.ndarray, want: np.ndarray) -> bool:
    """Whether two float32 arrays are equal bit for bit; any NaN equals any NaN."""
    assert got.dtype == want.dtype == np.float32
    equal = got.view(np.uint32) == want.view(np.uint32)
    return bool((equal | (np.isnan(got) & np.isnan(want))).all())


def cases(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (blocks, values) pairs of a type: random bytes, and quantized rows if it has them."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        pairs = [("raw", "raw_dequantized"), ("quantized", "dequantized")]
        return [(data[a], data[b]) for a, b in pairs if a in data] + every_scale(name)


def every_scale(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """All 256 values of an 8-bit scale, by gguf-py: the golden bytes are random and miss some."""
    if name not in ("MXFP4", "NVFP4"):
        return []
    from gguf import GGMLQuantizationType, quants

    scales = 1 if name == "MXFP4" else 4
    blocks = np.full((256, {"MXFP4": 17, "NVFP4": 36}[name]), 0x5A, np.uint8)
    blocks[:, :scales] = np.arange(256)[:, None]
    with np.errstate(over="ignore"):
        return [(blocks, quants.dequantize(blocks, GGMLQuantizationType[name]))]
