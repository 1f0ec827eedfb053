"""A llama of random BF16 weights to Q4_K_M: gl.requantize against llama.cpp's llama_model_quantize.

The shapes are those of `whole_model.py` (1.1 billion weights with all 22 layers). Every run has a
process of its own, in turns; seconds of wall clock and of CPU are those of the call alone, after a
first call on a model of one small layer, which loads what there is to load. The tensors of the two
files are compared byte for byte; ``--best`` measures ``effort="best"`` too. Needs the package
`llama-cpp-python`, and 3 bytes of disk per weight.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from options import at_least_one, file_to_write
from whole_model import FEED_FORWARD, HEADS, KV_HEADS, LAYERS, MATRICES, VOCABULARY, WIDTH

SIDES = ("llama.cpp", "gguf_lab")
BEST = "gguf_lab-best"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--layers", type=at_least_one, default=LAYERS)
    parser.add_argument("--threads", type=at_least_one, default=2)
    parser.add_argument("--repetitions", type=at_least_one, default=3)
    parser.add_argument("--best", action="store_true", help='effort="best" as well')
    parser.add_argument("--folder", type=Path, help="keep the files; default: a temporary folder")
    parser.add_argument("--json", type=file_to_write, help="write the figures there too")
    parser.add_argument("--worker", nargs=4, help="internal")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(*arguments.worker)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        weights = write_model(folder / "random-BF16.gguf", arguments.layers, VOCABULARY)
        write_model(folder / "warm-up.gguf", 1, 256)
        sides = (*SIDES, BEST) if arguments.best else SIDES
        times: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(arguments.repetitions):
            for side in sides:
                command = [sys.executable, __file__, "--worker", side, str(folder)]
                command += [str(arguments.threads), "random-BF16.gguf"]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                times[side].append(json.loads(answer.stdout.splitlines()[-1]))
        same = compare(*(folder / f"{side}-Q4_K_M.gguf" for side in SIDES))
    rows: dict[str, Any] = {"weights": weights, "threads": arguments.threads, "same": same}
    print(f"{weights / 1e6:.0f} M weights, BF16 to Q4_K_M, {arguments.threads} threads")
    for side in sides:
        found = {
            key: statistics.median(t[key] for t in times[side]) for key in ("wall", "cpu", "peak")
        }
        rows[side] = found
        print(
            f"{side:<13} {found['wall']:7.2f} s wall, {found['cpu']:7.2f} s CPU, "
            f"{1e9 * found['cpu'] / weights:6.1f} ns CPU a weight, peak {found['peak']:.0f} MiB"
        )
    for key in ("wall", "cpu"):
        print(f"{key}: {rows['llama.cpp'][key] / rows['gguf_lab'][key]:.1f} times as fast")
    print(f"tensors equal: {same}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def write_model(path: Path, layers: int, vocabulary: int) -> int:
    """Write random weights, tensor by tensor; return how many."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(2048)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (vocabulary, WIDTH)}
    shapes |= {"output": (vocabulary, WIDTH), "output_norm": (WIDTH,)}
    for i in range(layers):
        shapes |= {f"blk.{i}.{name}": shape for name, _, shape, _ in MATRICES}
        shapes |= {f"blk.{i}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
    kinds = gguf.GGMLQuantizationType
    for name, shape in shapes.items():
        matrix = len(shape) > 1
        dtype = np.dtype(np.uint16 if matrix else np.float32)
        writer.add_tensor_info(
            f"{name}.weight",
            shape,
            dtype,
            int(np.prod(shape)) * dtype.itemsize,
            kinds.BF16 if matrix else kinds.F32,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(0)
    for shape in shapes.values():
        if len(shape) > 1:
            values = 0.02 * rng.standard_normal(shape, np.float32)
            writer.write_tensor_data((values.view(np.uint32) >> 16).astype(np.uint16))
        else:
            writer.write_tensor_data(np.ones(shape, np.float32))
    writer.close()
    return sum(int(np.prod(shape)) for shape in shapes.values())


def measure(side: str, folder: str, threads: str, name: str) -> dict[str, float]:
    """Run one side in this process; `peak` is all its memory, in MiB, mapped pages included."""
    from whole_model import memory

    efforts = {"gguf_lab": "ggml", BEST: "best"}
    run = partial(requantize, efforts[side]) if side in efforts else llama_quantize
    run(Path(folder) / "warm-up.gguf", Path(folder) / f"{side}-warm.gguf", int(threads))
    wall, cpu = time.perf_counter(), time.process_time()
    run(Path(folder) / name, Path(folder) / f"{side}-Q4_K_M.gguf", int(threads))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "peak": memory()["VmHWM"]}


def requantize(effort: str, source: Path, target: Path, threads: int) -> None:
    import gguf_lab as gl

    gl.requantize(
        source, target, "Q4_K_M", effort=effort, progress=False, threads=threads, overwrite=True
    )


def llama_quantize(source: Path, target: Path, threads: int) -> None:
    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = 15, threads  # LLAMA_FTYPE_MOSTLY_Q4_K_M
    given = ctypes.byref(parameters)
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), given):
        raise SystemExit("llama.cpp has refused to quantize the model")


def compare(one: Path, two: Path) -> bool:
    """Whether two files have the same tensors, byte for byte."""
    import gguf_lab as gl

    with gl.open(one) as a, gl.open(two) as b:
        if set(a.tensors) != set(b.tensors):
            return False
        return all(
            tensor.qtype == b.tensors[name].qtype
            and np.array_equal(tensor.blocks(), b.tensors[name].blocks())
            for name, tensor in a.tensors.items()
        )


if __name__ == "__main__":
    main()
