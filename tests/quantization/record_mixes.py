"""Records in tests/data/mixes which types llama-quantize chooses: a file per model.

Run as ``python -m tests.quantization.record_mixes`` where the package llama_cpp is installed. The
models are those of tests/data/models, made taller: as many layers as are wanted, and rows of 256.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import gguf_lab as gl
from gguf_lab.file import QTYPES, ArrayValue
from gguf_lab.quantization import MIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parents[1] / "data"
MODELS, MIXES_FOLDER = DATA / "models", DATA / "mixes"


@dataclass(frozen=True)
class Sketch:
    """A model to be made: which one it is taken from, its layers, what is changed."""

    source: str
    n_layer: int
    row: int = 256
    n_rows: int = 2
    tied: bool = False
    keys: dict[str, Any] = field(default_factory=dict)


SKETCHES = {
    "llama": Sketch("llama", 22, keys={"attention.head_count": 8}),
    "llama-multi-head": Sketch(
        "llama", 9, keys={"attention.head_count": 8, "attention.head_count_kv": 8}
    ),
    "llama-tied": Sketch("llama", 16, tied=True, keys={"attention.head_count": 4}),
    "llama-70b": Sketch("llama", 80, keys={"attention.head_count": 16}),
    "llama-65b": Sketch(
        "llama", 80, keys={"attention.head_count": 8, "attention.head_count_kv": 8}
    ),
    "llama-odd": Sketch("llama", 9, row=96),
    "llama-odder": Sketch("llama", 3, row=40),
    "mixtral": Sketch("mixtral", 18, keys={"expert_count": 8}),
    "mixtral-4": Sketch("mixtral", 10, keys={"expert_count": 4}),
    "qwen2": Sketch("qwen2", 28),
    "qwen2-70b": Sketch(
        "qwen2", 80, keys={"attention.head_count": 4, "attention.head_count_kv": 2}
    ),
    "qwen2moe": Sketch("qwen2moe", 24, keys={"expert_count": 8}),
    "phi3": Sketch("phi3-long", 32),
    "bloom": Sketch("bloom", 30),
    "gemma2": Sketch("gemma2", 26),
    "bert": Sketch("bert", 12),
    "falcon": Sketch("falcon", 32),
    "falcon-new": Sketch("falcon-new", 60),
    "deepseek2": Sketch("deepseek2", 27),
    "gpt-oss": Sketch("gpt-oss", 24, keys={"expert_count": 32}),
    "mamba": Sketch("mamba", 24),
    "t5": Sketch("t5", 6),
}

IMATRIX_MATTERS = ("Q4_0", "Q5_0", "IQ3_XXS", "IQ4_NL", "IQ4_XS", "Q4_K_M")
OVERRIDES = {"blk\\.[01]\\.(ffn_down|ssm_out)": "Q8_0", "attn|ssm_in": "Q3_K"}


def layers(names: list[str], n_layer: int) -> Iterator[tuple[str, str]]:
    """Yield new names and the names they are taken from; the last layer is the pattern of all."""
    last = max(int(m[1]) for n in names if (m := re.match(r"(?:enc\.|dec\.)?blk\.(\d+)\.", n)))
    kinds = {n: re.sub(r"blk\.\d+\.", "blk.{}.", n) for n in names}
    for name, kind in kinds.items():
        if "{}" not in kind:
            yield name, name
        elif f"blk.{last}." in name or kind not in [k for n, k in kinds.items() if n != name]:
            yield from ((kind.format(layer), name) for layer in range(n_layer))


def describe(sketch: Sketch) -> dict[str, Any]:
    """Return what the model says of itself: metadata and tensors as (name, shape, type)."""
    path = next((MODELS / sketch.source).glob("*.gguf"))
    with gl.open(path) as model:
        metadata: dict[str, Any] = {
            key: list(value) if isinstance(value, ArrayValue) else value
            for key, value in model.metadata.items()
            if key.startswith((f"{model.architecture}.", "general.architecture"))
        }
        wanted = dict(layers(list(model.tensors), sketch.n_layer))
        tensors = []
        for name, source in wanted.items():
            if sketch.tied and name == "output.weight":
                continue
            tensor = model.tensors[source]
            shape = tensor.shape
            if len(shape) == 1 and re.search(r"blk\.[1-9]", name):
                continue  # as in layer 0
            if len(shape) > 1:
                experts = sketch.keys.get("expert_count", shape[0])
                shape = (*(experts for _ in shape[:-2]), sketch.n_rows, sketch.row)
            qtype = tensor.qtype if tensor.qtype in {"F32", "F16"} else "F16"
            tensors.append((name, shape, qtype))
    architecture = metadata["general.architecture"]
    for key, value in {"block_count": sketch.n_layer, **sketch.keys}.items():
        metadata[f"{architecture}.{key}"] = value
    for key, value in metadata.items():  # one for each layer
        if isinstance(value, list) and key.startswith(architecture):
            metadata[key] = [value[-1]] * sketch.n_layer if len(value) > 1 else value
    return {"metadata": metadata, "tensors": tensors}


def zeros(_name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return weights for a model whose weights do not matter."""
    return np.zeros(shape)


def write(
    described: dict[str, Any],
    path: Path,
    weights: Callable[[str, tuple[int, ...]], np.ndarray] = zeros,
) -> Path:
    """Write the model."""
    import gguf

    metadata = dict(described["metadata"])
    writer = gguf.GGUFWriter(path, metadata.pop("general.architecture"))
    for key, value in metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, shape, qtype in described["tensors"]:
        dtype = {"F32": np.float32, "F16": np.float16}[qtype]
        writer.add_tensor(name, weights(name, tuple(shape)).astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def record(described: dict[str, Any], path: Path) -> dict[str, str]:
    """Ask llama.cpp for its choices.

    Returns
    -------
    dict of str to str
        For each mix, with the options after it, a letter per tensor: `letter_of` its type.
    """
    from .llama_quantize import Refused, quantize

    imatrix = {"no such tensor": np.ones(1, np.float32)}
    runs: dict[str, dict[str, Any]] = {mix: {"mix": mix} for mix in MIXES}
    for mix in IMATRIX_MATTERS:
        runs[f"{mix} imatrix"] = {"mix": mix, "imatrix": imatrix}
    for mix in ("Q4_K_M", "IQ2_M"):
        runs[f"{mix} overrides"] = {"mix": mix, "overrides": OVERRIDES}
    runs["Q4_K_S pure"] = {"mix": "Q4_K_S", "pure": True}
    choices = {}
    for name, options in runs.items():
        try:
            found = quantize(path, None, **options)
        except Refused as refused:
            lines = str(refused).strip().splitlines()
            choices[name] = "refused: " + lines[-1].partition("failed to quantize: ")[2]
        else:
            choices[name] = "".join(letter_of(found[name]) for name, *_ in described["tensors"])
    return choices


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def letter_of(qtype: str) -> str:
    """Return the letter that stands for a type in the recorded files."""
    return LETTERS[[t.name for t in QTYPES.values()].index(qtype)]


def main() -> None:
    """Write all files."""
    MIXES_FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, sketch in SKETCHES.items():
            described = describe(sketch)
            path = write(described, Path(folder) / f"{name}.gguf")
            choices = record(described, path)
            (MIXES_FOLDER / f"{name}.json").write_text(
                json.dumps({**described, "choices": choices}, separators=(",", ":")) + "\n"
            )
            refused = {c for c in choices.values() if c.startswith("refused")}
            print(name, len(described["tensors"]), "tensors", *refused)


if __name__ == "__main__":
    main()
