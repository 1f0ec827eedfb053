"""Quantize to every type, on one thread, against ggml's own C code; and what the first call costs.

Beside the bits of ggml (``effort="ggml"``) it times the wider search (``effort="best"``), and shows
by how much that lowers the squared error, weighted by the importance if there is one.

Both sides run in turns, in one process; the table shows medians. README.md in this folder says how
to read it. Without the package `llama-cpp-python` there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from codec import ggml_library
from options import at_least_one, file_to_write, one_of

from gguf_lab.codec import FORMATS, REQUIRES_IMPORTANCE, can_quantize, dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Callable

ROW = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    types = [name for name in FORMATS if can_quantize(name)]
    which = "default: all but F32"
    parser.add_argument("types", nargs="*", type=one_of(types), metavar="TYPE", help=which)
    parser.add_argument("--weights", type=int, default=1 << 22, help=f"{ROW} at least")
    parser.add_argument("--repetitions", type=at_least_one, default=3)
    parser.add_argument("--first-call", action="store_true", help="compile and load, instead")
    parser.add_argument("--json", type=file_to_write, help="write the figures there too")
    arguments = parser.parse_args()
    if arguments.weights < ROW:
        parser.error(f"--weights: expected {ROW} at least, got {arguments.weights}")
    names = arguments.types or [name for name in types if name != "F32"]
    if arguments.first_call:
        rows = first_calls(names)
    else:
        rows = speeds(names, arguments.weights // ROW, arguments.repetitions)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def speeds(names: list[str], n_rows: int, repetitions: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    values = (0.02 * rng.standard_t(4, (n_rows, ROW))).astype(np.float32)
    importance = rng.gamma(1, 1, ROW).astype(np.float32)
    c = ggml_library()
    print(f"Quantizing {values.size / 1e6:.1f} M weights on one thread, nanoseconds per weight")
    print(f"{'':<8} {'':<10} {'ggml C':>8} {'gguf_lab':>8} {'ratio':>6}")
    rows = []
    for name in names:
        for weights in (None, importance):
            if weights is None and name in REQUIRES_IMPORTANCE:
                continue
            ours = partial(quantize, values, name, importance=weights, threads=1)
            best = partial(quantize, values, name, importance=weights, effort="best", threads=1)
            sides: dict[str, Callable[[], Any]] = {"ours": ours}
            row: dict[str, Any] = {"name": name, "importance": weights is not None}
            row["gain"] = gain(values, ours(), best(), name, weights)  # compiles, too
            if name not in {"F16", "BF16"}:  # nothing to search
                sides["best"] = best
            if c is not None:
                sides["c"] = partial(ggml_quantize, c, values, name, weights)
                same = bool(np.array_equal(sides["c"](), ours()))
            t = {k: 1e9 * s / values.size for k, s in medians(sides, repetitions).items()}
            row |= t
            line = f"{name:<8} {'' if weights is None else 'importance':<10} "
            if c is not None:
                row["same"] = same
                line += f"{t['c']:8.2f} {t['ours']:8.2f} {t['c'] / t['ours']:6.2f}"
                line += "" if same else "  other bits"
            else:
                line += f"{'-':>8} {t['ours']:8.2f} {'-':>6}"
            if "best" in t:
                line += f" | best {t['best']:8.2f}, {1e3 / t['best']:6.1f} M weights/s, "
                line += f"{row['gain']:6.1%} less error"
            print(line, flush=True)
            rows.append(row)
    ratios = [row["c"] / row["ours"] for row in rows if "c" in row]
    if ratios:
        mean = statistics.geometric_mean(ratios)
        print(f"geometric mean of the ratios: {mean:.2f}, lowest {min(ratios):.2f}")
    return rows


def gain(
    values: np.ndarray,
    ggml: np.ndarray,
    best: np.ndarray,
    name: str,
    importance: np.ndarray | None,
) -> float:
    """Return by how much the (weighted) squared error is lower, as a fraction of ggml's."""
    weights = np.ones(ROW) if importance is None else importance.astype(np.float64)
    errors = [
        float((weights * (values - dequantize(blocks, name).astype(np.float64)) ** 2).sum())
        for blocks in (ggml, best)
    ]
    return 1 - errors[1] / errors[0] if errors[0] else 0.0


def medians(sides: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Time each side in turns, in CPU seconds of this thread: others at work do not count."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repetitions):
        for side, run in sides.items():
            start = time.thread_time()
            run()
            times[side].append(time.thread_time() - start)
    return {side: statistics.median(t) for side, t in times.items()}


def ggml_quantize(c: Any, values: np.ndarray, name: str, importance: np.ndarray | None) -> Any:
    qtype = FORMATS[name].qtype
    out = np.empty((len(values), qtype.row_bytes(values.shape[1])), np.uint8)
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    arguments = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    c.ggml_quantize_chunk.argtypes = arguments
    c.ggml_quantize_chunk.restype = ctypes.c_size_t
    weights = None if importance is None else importance.ctypes.data
    c.ggml_quantize_chunk(qtype.id, values.ctypes.data, out.ctypes.data, 0, *values.shape, weights)
    return out


FIRST = """
import sys, time, numpy as np
from gguf_lab.codec import quantize
quantize(np.ones((1, 256)), "F32")  # imports numba
start = time.perf_counter()
quantize(np.ones((1, 256)), sys.argv[1], importance=np.ones(256))
print(time.perf_counter() - start)
"""


def first_calls(names: list[str]) -> list[dict[str, Any]]:
    """Time the first call in a fresh process, with an empty cache of kernels, then a filled one."""
    print("First call of a type, seconds, in a process that has imported numba")
    print(f"{'':<8} {'compiled':>8} {'loaded':>8}")
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            t = [
                float(
                    subprocess.run(
                        [sys.executable, "-c", FIRST, name],
                        env=environment,
                        check=True,
                        capture_output=True,
                        text=True,
                    ).stdout
                )
                for _ in range(2)
            ]
        print(f"{name:<8} {t[0]:8.2f} {t[1]:8.2f}", flush=True)
        rows.append({"name": name, "compiled": t[0], "loaded": t[1]})
    return rows


if __name__ == "__main__":
    main()
