"""Records in tests/data/mixes/files.json what llama-quantize writes: digests of every tensor.

Run as ``python -m tests.quantization.record_files`` where the package llama_cpp is installed. The
weights are made of hashes, so that no file of them need be kept.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import gguf_lab as gl
from gguf_lab.quantization import MIXES

from .record_mixes import MIXES_FOLDER, Sketch, describe, write

RECORDED = MIXES_FOLDER / "files.json"

SKETCHES = {
    "llama": Sketch("llama", 4, n_rows=6, keys={"attention.head_count": 8}),
    "bloom": Sketch("bloom", 2, n_rows=4),
    "mixtral": Sketch("mixtral", 2, n_rows=3, keys={"expert_count": 8}),
    "llama-odd": Sketch("llama", 1, row=96, n_rows=3),
}


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return heavy-tailed numbers in [-1, 1], the same for the same name on every machine."""
    n = int(np.prod(shape))
    raw = hashlib.shake_256(name.encode()).digest(2 * n)
    return ((np.frombuffer(raw, "<i2") / 32768.0) ** 3).reshape(shape)


def importance(described: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return an importance matrix for all matrices but the embeddings, which have none."""
    return {
        name: np.abs(weights(f"{name}.importance", (*shape[:-2], shape[-1]))).astype(np.float32)
        + np.float32(0.001)
        for name, shape, _ in described["tensors"]
        if len(shape) > 1 and name != "token_embd.weight"
    }


def digests(path: Path) -> dict[str, str]:
    """Return a digest of the bytes of each tensor, and of the whole file under ""."""
    with gl.open(path) as model:
        found = {
            name: hashlib.sha256(tensor.blocks().tobytes()).hexdigest()[:12]
            for name, tensor in model.tensors.items()
        }
    return {**found, "": hashlib.sha256(path.read_bytes()).hexdigest()[:12]}


def record(sketch: Sketch, folder: Path) -> dict[str, str]:
    """Return for each mix the digests that llama-quantize's file has, joined by spaces."""
    from .llama_quantize import Refused, quantize

    described = describe(sketch)
    source = write(described, folder / "source.gguf", weights)
    found = {}
    for mix in MIXES:
        for imatrix in (None, importance(described)):
            run = mix if imatrix is None else f"{mix} imatrix"
            target = folder / "target.gguf"
            try:
                quantize(source, target, mix, imatrix=imatrix)
            except Refused:
                found[run] = "refused"
            else:
                found[run] = " ".join(digests(target).values())
    return found


def main() -> None:
    """Write the file."""
    recorded = {}
    for name, sketch in SKETCHES.items():
        with tempfile.TemporaryDirectory() as folder:
            recorded[name] = record(sketch, Path(folder))
        refused = [run for run, value in recorded[name].items() if value == "refused"]
        print(name, len(recorded[name]), "runs; refused:", *refused)
    RECORDED.write_text(json.dumps(recorded, indent=0) + "\n")


if __name__ == "__main__":
    main()
