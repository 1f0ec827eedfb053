"""Compare MiniLM with its original: ``gguf_lab.compare`` against the obvious script.

The obvious script reads the file with gguf-py, dequantizes with ``gguf.quants``, reads the original
with safetensors and computes each figure with NumPy, whole tensors in memory. Each side runs in
processes of its own, in turns; README.md in this folder says how to read the table.

Exit status: 0, or 1 if the figures of the two disagree.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from options import at_least_one

TOLERANCE = 1e-5  # relative, on every figure of every tensor
FIGURES = ("rmse", "relative_rmse", "sqnr_db", "cosine", "max_abs_error")
SIDES = ("obvious", "gguf_lab")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--qtype", default="Q4_0", help="what MiniLM is quantized to")
    parser.add_argument("--repetitions", type=at_least_one, default=5, help="processes a side")
    parser.add_argument("--worker", nargs=3, metavar=("SIDE", "FILE", "FOLDER"), help="internal")
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(*arguments.worker)))
        return 0

    from gguf_lab import demo

    folder = demo.minilm()
    with tempfile.TemporaryDirectory() as temporary:
        file = demo.write_minilm_gguf(temporary, arguments.qtype)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(arguments.repetitions):
            for side in SIDES:  # in turns, so that a slow minute of the machine meets both
                command = [sys.executable, __file__, "--worker", side, str(file), str(folder)]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                runs[side].append(json.loads(answer.stdout))
    print(
        f"all-MiniLM-L6-v2 as {arguments.qtype} against its original, {len(runs['obvious'])} ",
        end="",
    )
    print("processes each, medians")
    print_table(runs)
    return check_figures(runs["obvious"][0]["figures"], runs["gguf_lab"][0]["figures"])


def print_table(runs: dict[str, list[dict[str, Any]]]) -> None:
    print(f"{'':<34} {'obvious':>10} {'gguf_lab':>10} {'ratio':>8}")
    for key, what, unit in (
        ("imports", "imports, seconds", 1),
        ("first", "first comparison, seconds", 1),
        ("second", "second comparison, seconds", 1),
        ("peak", "peak memory, MiB", 1024),
        ("growth", "  of which above imports, MiB", 1024),
    ):
        theirs, ours = (statistics.median(run[key] for run in runs[side]) / unit for side in SIDES)
        print(f"{what:<34} {theirs:>10.3f} {ours:>10.3f} {theirs / ours:>7.1f}x")


def check_figures(theirs: dict[str, dict[str, float]], ours: dict[str, dict[str, float]]) -> int:
    """Hold each figure of each tensor of one side against the other's."""
    wrong = [f"{name}: only one side has it" for name in theirs.keys() ^ ours.keys()]
    worst = 0.0
    for name in theirs.keys() & ours.keys():
        for figure in FIGURES:
            a, b = theirs[name][figure], ours[name][figure]
            if math.isclose(a, b, rel_tol=TOLERANCE):
                worst = max(worst, abs(a - b) / abs(a) if a and math.isfinite(a) else 0.0)
            else:
                wrong.append(f"{name}: {figure} is {b!r}, the obvious script says {a!r}")
    print("\n".join(wrong[:20]))
    n_figures = len(theirs) * len(FIGURES)
    print(
        f"{n_figures} figures of {len(theirs)} tensors, largest relative difference {worst:.1e}: ",
        end="",
    )
    print("DISAGREE" if wrong else f"agree to {TOLERANCE:g}")
    return 1 if wrong else 0


def measure(side: str, file: str, folder: str) -> dict[str, Any]:
    """Run one side twice in this process."""
    start = perf_counter()
    compare = import_obvious() if side == "obvious" else import_ours()
    imports = perf_counter() - start
    before = status("VmHWM")
    seconds = []
    for _ in range(2):
        start = perf_counter()
        figures = compare(file, folder)
        seconds.append(perf_counter() - start)
    return {
        "imports": imports,
        "first": seconds[0],
        "second": seconds[1],
        "peak": status("VmHWM"),
        "growth": status("VmHWM") - before,
        "figures": figures,
    }


def status(field: str) -> int:
    """Return a memory figure of this process in KiB, as Linux counts it."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}: this benchmark needs Linux")
    return int(found[1])


def import_ours() -> Any:
    import gguf_lab

    compare = gguf_lab.compare

    def run(file: str, folder: str) -> dict[str, dict[str, float]]:
        result = compare(gguf_lab.open(file), folder, progress=False)
        return {
            str(row.name): {figure: getattr(row, figure) for figure in FIGURES}
            for row in result.rows
            if row.status == "compared"
        }

    return run


def import_obvious() -> Any:
    import gguf
    import numpy as np
    from gguf.quants import dequantize
    from safetensors import safe_open

    def run(file: str, folder: str) -> dict[str, dict[str, float]]:
        figures = {}
        reader = gguf.GGUFReader(file)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, 6)
        with safe_open(f"{folder}/model.safetensors", framework="np") as original:
            stored_as = {
                names.get_name(name, try_suffixes=(".weight", ".bias")): name
                for name in original.keys()  # noqa: SIM118 -- it is no mapping
            }
            for tensor in reader.tensors:
                found = dequantize(tensor.data, tensor.tensor_type)
                expected = original.get_tensor(stored_as[tensor.name])
                error = found - expected
                # Summed in float64: NumPy's float32 sums would not be right to 1e-5.
                mse = np.mean(error * error, dtype=np.float64)
                power = np.mean(expected * expected, dtype=np.float64)
                signal = np.mean(found * found, dtype=np.float64)
                product = np.mean(found * expected, dtype=np.float64)
                np.histogram(error, bins=64)
                figures[tensor.name] = {
                    "rmse": float(np.sqrt(mse)),
                    "relative_rmse": float(np.sqrt(mse / power)),
                    "sqnr_db": float(10 * np.log10(power / mse)) if mse else math.inf,
                    "cosine": float(product / np.sqrt(power * signal)),
                    "max_abs_error": float(np.max(np.abs(error))),
                }
        return figures

    return run


if __name__ == "__main__":
    sys.exit(main())
