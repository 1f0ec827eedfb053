"""Comparing a tensor with an original in few bits, beside the same one in bfloat16.

A matrix of 33.6 million weights in Q4_K is compared, file to result, with its original in bfloat16,
in FP8 with a scale for each 128 x 128 weights, in 4 bits with one for each 32 of a row (without
zero points, with them, and by GPTQ), and in NVFP4; and a file of it in NVFP4, with its second scale
beside it, with the one in bfloat16; all in turns. Printed are nanoseconds a weight, medians, and
how many times those of the first they are.

Usage: ``python benchmarks/few_bits.py``
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

import gguf_lab as gl
from gguf_lab.file import qtype
from gguf_lab.file.writer import Payload, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

SHAPE, RUNS = (8192, 4096), 7
NAME = "model.layers.0.mlp.down_proj.weight"
STORED = "blk.0.ffn_down"
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
INT4 = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"all": {"weights": {"num_bits": 4, "group_size": 32}}},
}
GPTQ = {"quant_method": "gptq", "bits": 4}


def write_original(folder: Path, tensors: Mapping[str, torch.Tensor], how: Any = None) -> Path:
    """Write a checkpoint of one tensor, or of its parts."""
    folder.mkdir()
    save_file(dict(tensors), folder / "model.safetensors")
    config = {"model_type": "llama", "quantization_config": how}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_model(file: Path, tensors: Mapping[str, Any]) -> None:
    """Write a file of tensors: type, shape and blocks of each."""

    def payload(name: str, kind: str, shape: tuple[int, ...], blocks: Any) -> Payload:
        return Payload(name, shape, qtype(kind), lambda: [blocks])

    payloads = [payload(name, *given) for name, given in tensors.items()]
    write_file(file, {"general.architecture": "llama"}, payloads)


def main() -> None:
    """Write the files, measure in turns, print a table."""
    if sys.argv[1:]:
        raise SystemExit(__doc__)
    rows, columns = SHAPE
    random = np.random.default_rng(1)
    weights = random.standard_normal(SHAPE, np.float32) * np.float32(0.02)
    plain = torch.from_numpy(weights)
    numbers = random.integers(0, 1 << 32, (rows, columns // 8), np.uint32)
    words = torch.from_numpy(numbers.view(np.int32))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, small = folder / "model.gguf", folder / "nvfp4.gguf"
        write_model(file, {f"{STORED}.weight": ("Q4_K", SHAPE, gl.quantize(weights, "Q4_K"))})
        blocks = gl.quantize(weights * 4096, "NVFP4")
        scale = np.array([[2**-12]], np.float32).view(np.uint8)
        scaled = {f"{STORED}.weight": ("NVFP4", SHAPE, blocks)}
        write_model(small, scaled | {f"{STORED}.scale": ("F32", (1,), scale)})
        packed = {f"{NAME}_packed": words, f"{NAME}_scale": torch.rand(rows, columns // 32)}
        zeros = {f"{NAME}_zero_point": words[: rows // 8, : columns // 32].clone()}
        stem, groups = NAME.removesuffix(".weight"), columns // 128
        gptq = {
            f"{stem}.qweight": words.reshape(columns // 8, rows),
            f"{stem}.qzeros": words.reshape(columns, -1)[:groups, : rows // 8].clone(),
            f"{stem}.scales": torch.rand(groups, rows).half(),
            f"{stem}.g_idx": (torch.arange(columns) // 128).int(),
        }
        original = write_original(folder / "bf16", {NAME: plain.bfloat16()})
        pairs = {
            "bfloat16": (file, original),
            "FP8": (
                file,
                write_original(
                    folder / "fp8",
                    {
                        NAME: (plain / 2e-4).to(torch.float8_e4m3fn),
                        f"{NAME}_scale_inv": torch.full((rows // 128, columns // 128), 2e-4),
                    },
                    FP8,
                ),
            ),
            "4 bits": (file, write_original(folder / "int4", packed, INT4)),
            "and zero points": (file, write_original(folder / "zeros", packed | zeros, INT4)),
            "GPTQ": (file, write_original(folder / "gptq", gptq, GPTQ)),
            "NVFP4": (
                file,
                write_original(
                    folder / "nvfp4",
                    {
                        NAME: words.view(torch.uint8),
                        f"{NAME}_scale": torch.rand(rows, columns // 16).to(torch.float8_e4m3fn),
                        f"{NAME}_scale_2": torch.tensor(2e-2),
                    },
                ),
            ),
            "a file in NVFP4": (small, original),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in pairs}
        for run in range(RUNS + 1):
            for kind, pair in pairs.items():
                start = time.perf_counter()
                result = gl.compare(*pair, progress=False)
                if run:  # the first loads numba, and fills the page cache
                    seconds[kind].append(time.perf_counter() - start)
                assert len(result.compared) == 1
    each = {kind: statistics.median(took) / weights.size for kind, took in seconds.items()}
    for kind, took in each.items():
        print(f"{kind:16}{1e9 * took:6.2f} ns a weight  {took / each['bfloat16']:.1f}x")


if __name__ == "__main__":
    main()
