"""Decode every format and compare with a bf16 reference: against gguf-py, ggml's C and memory.

One run, one machine, interleaved repetitions, medians; README.md in this folder says how to read
the tables. ggml's own ``to_float`` is taken from the shared library of the package
`llama-cpp-python`, if that is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import statistics
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import gguf
import numpy as np
from gguf import quants
from numba import njit
from options import at_least_one, file_to_write, one_of

from gguf_lab.codec import FORMATS, cpu_count, dequantize
from gguf_lab.codec.backends import numba_
from gguf_lab.codec.threads import run_chunks
from gguf_lab.comparison import kernels
from gguf_lab.comparison.kernels import measure_fused
from gguf_lab.file.qtypes import QTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

N = 1 << 24  # weights
SCALED = 1 << 26  # for all threads: waking them costs 0.3 ms, as much as N weights would show
ROW = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    which = "default: all but Q8_1, Q8_K, F64, I64"
    parser.add_argument("formats", nargs="*", type=one_of(FORMATS), metavar="FORMAT", help=which)
    parser.add_argument("--repetitions", type=at_least_one, default=7)
    parser.add_argument("--json", type=file_to_write, help="write the figures there too")
    arguments = parser.parse_args()
    names = arguments.formats or [
        t.name for t in QTYPES.values() if t.name not in ("Q8_1", "Q8_K", "F64", "I64")
    ]
    c = ggml_library()
    found: dict[str, Any] = {"threads": cpu_count(), "c": c is not None}
    found["dequantize"] = dequantize_table(names, c, arguments.repetitions)
    found["scaling"] = scaling_table(names, arguments.repetitions)
    found["compare"] = compare_table(arguments.repetitions)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def medians(sides: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Time each side in turns, so that a slow moment meets all of them; seconds."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for run in sides.values():
        run()  # compile, page in
    for _ in range(repetitions):
        for side, run in sides.items():
            start = perf_counter()
            run()
            times[side].append(perf_counter() - start)
    return {side: statistics.median(t) for side, t in times.items()}


def random_blocks(name: str, n: int = N) -> np.ndarray:
    """Random bytes, with half-precision scales that are neither NaN nor denormal."""
    qtype = FORMATS[name].qtype
    shape = (n // qtype.block_size, qtype.type_size)
    blocks = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for field in FORMATS[name].fields:
        if field.kind in ("f16", "bf16", "f32"):
            high = blocks[:, field.offset + field.width - 1]
            high[...] = 0x3C if field.kind != "f16" else 0x20 | (high & 0x0F)
    return blocks


def dequantize_table(names: list[str], c: Any, repetitions: int) -> list[dict[str, Any]]:
    print(f"Decoding {N / 1e6:.1f} M weights to float32 on one thread, milliseconds")
    print(f"{'':<8} {'gguf-py':>8} {'ggml C':>8} {'gguf_lab':>8} {'C / gguf_lab':>12}")
    rows: list[dict[str, Any]] = []
    for name in names:
        sides = dequantize_sides(name, c)
        t = {side: 1e3 * seconds for side, seconds in medians(sides, repetitions).items()}
        rows.append({"name": name, **t})
        cells = [f"{t[k]:8.1f}" if k in t else f"{'-':>8}" for k in ("gguf", "c", "one")]
        ratio = f"{t['c'] / t['one']:12.2f}" if "c" in t else f"{'-':>12}"
        print(f"{name:<8}", *cells, ratio, flush=True)
    ratios = [row["c"] / row["one"] for row in rows if "c" in row]
    if ratios:
        print(f"geometric mean of C / gguf_lab: {statistics.geometric_mean(ratios):.2f}", end=", ")
        print(f"lowest {min(ratios):.2f}")
    return rows


def scaling_table(names: list[str], repetitions: int) -> list[dict[str, Any]]:
    """Decode on one and on all threads, beside writing the same memory without any decoding."""
    print(f"\nThe same for {SCALED / 1e6:.1f} M weights, on one and on all {cpu_count()} CPUs")
    print(f"{'':<8} {'1 thread':>8} {'all':>8} {'1 / all':>8}  speed by that of filling: 1, all")
    rows: list[dict[str, Any]] = []
    filled = np.empty(SCALED, np.float32)

    def fill_all(threads: int) -> None:
        run_chunks(lambda a, b: fill(filled[a * ROW : b * ROW]), SCALED // ROW, ROW, threads)

    for name in names:
        fmt, blocks = FORMATS[name], random_blocks(name, SCALED)
        out = filled.reshape(-1, fmt.qtype.block_size)
        sides: dict[str, Callable[[], Any]] = {
            "one": partial(numba_.dequantize, fmt, blocks, 1, out),
            "all": partial(numba_.dequantize, fmt, blocks, None, out),
            "fill one": partial(fill_all, 1),
            "fill all": partial(fill_all, cpu_count()),
        }
        t = {side: 1e3 * seconds for side, seconds in medians(sides, repetitions).items()}
        rows.append({"name": name, **t})
        of_filling = [t["fill one"] / t["one"], t["fill all"] / t["all"]]
        cells = f"{t['one']:8.1f} {t['all']:8.1f} {t['one'] / t['all']:8.2f}"
        print(f"{name:<8} {cells} {of_filling[0]:>22.0%} {of_filling[1]:>5.0%}", flush=True)
    print("medians over the formats, one / all:", end=" ")
    print(f"{statistics.median(row['one'] / row['all'] for row in rows):.2f}", end=", filling: ")
    print(f"{statistics.median(row['fill one'] / row['fill all'] for row in rows):.2f}")
    return rows


def dequantize_sides(name: str, c: Any) -> dict[str, Callable[[], Any]]:
    fmt, blocks = FORMATS[name], random_blocks(name)
    out = np.empty((len(blocks), fmt.qtype.block_size), np.float32)
    sides: dict[str, Callable[[], Any]] = {"one": partial(numba_.dequantize, fmt, blocks, 1, out)}
    if name in gguf.GGMLQuantizationType.__members__:
        known = gguf.GGMLQuantizationType[name]
        with contextlib.suppress(NotImplementedError):  # gguf-py has no decoder for some
            quants.dequantize(blocks[:1], known)
            sides["gguf"] = partial(quants.dequantize, blocks, known)
    to_float = ggml_to_float(c, fmt.qtype.id) if c else None
    if to_float:
        sides["c"] = lambda: to_float(blocks.ctypes.data, out.ctypes.data, N)
    return sides


def compare_sides(name: str, reference: str, sums: Any) -> dict[str, Any]:
    """Compare with and without histogram, and as NumPy does it; `sums`: the kernel without."""
    n_rows = SCALED // ROW
    x = random_blocks(name, SCALED).reshape(n_rows, -1)
    r = random_blocks(reference, SCALED).reshape(n_rows, -1)

    def compare(threads: int, *, counting: bool = True) -> None:
        def work(start: int, stop: int) -> None:
            measure_fused((name, x[start:stop]), (reference, r[start:stop]))

        with contextlib.nullcontext() if counting else patch.object(kernels, "_kernel", sums):
            run_chunks(work, n_rows, ROW, threads)

    def as_numpy() -> None:
        for start in range(0, N // ROW, 64):  # some are enough
            part = slice(start, start + 64)
            error = dequantize(x[part], name, backend="numpy")
            error -= dequantize(r[part], reference, backend="numpy")
            np.square(error, dtype=np.float64).sum()
            np.abs(error).max()
            np.histogram(error, 64, (-1, 1))

    return {
        "one": partial(compare, 1),
        "all": partial(compare, cpu_count()),
        "all, sums alone": partial(compare, cpu_count(), counting=False),
        "numpy": as_numpy,
        "size": x.nbytes + r.nbytes,
    }


def compare_table(repetitions: int) -> list[dict[str, Any]]:
    data = np.random.default_rng(0).integers(0, 255, SCALED * 8, dtype=np.uint8).view(np.uint64)
    words = 1 << 18

    def read() -> None:
        threads = cpu_count()
        run_chunks(lambda a, b: total(data[a * words : b * words]), SCALED // words, words, threads)

    built = kernels._build(no_patterns, no_count, "without_histogram")
    rows = []
    print(f"\nComparing {SCALED / 1e6:.1f} M weights; GB/s of both sides together, with histogram")
    print(
        f"{'':<14} {'1 thread':>9} {'all':>9} {'of reading':>11} {'sums alone':>11}"
        f" {'ns a weight':>12} {'sums alone':>11} {'numpy':>7}"
    )
    for name in ("Q4_0", "Q8_0", "Q4_K", "Q6_K"):
        for reference in ("BF16", "F16", "F32"):
            sides = compare_sides(name, reference, lambda: built)
            size = sides.pop("size")
            t = medians(sides | {"read": read}, repetitions)
            speed = {side: size / t[side] / 1e9 for side in ("one", "all", "all, sums alone")}
            reading = data.nbytes / t["read"] / 1e9
            rows.append({"name": name, "reference": reference, "size": size, **t})
            print(
                f"{name:<6} {reference:<7} {speed['one']:>9.2f} {speed['all']:>9.2f}"
                f" {speed['all'] / reading:>11.0%} {speed['all, sums alone'] / reading:>11.0%}"
                f" {t['all'] / SCALED * 1e9:>12.2f}"
                f" {t['all, sums alone'] / SCALED * 1e9:>11.2f}"
                f" {t['numpy'] / N * 1e9:>7.1f}",
                flush=True,
            )
    print(f"plain reading: {reading:.1f} GB/s on all threads")
    return rows


def no_patterns(x: Any, r: Any, n: int, patterns: Any) -> None:
    """Stand for what finds the bins."""


def no_count(patterns: Any, n: int, counts: Any) -> None:
    """Stand for the count."""


@njit(nogil=True)
def total(data: Any) -> Any:
    """Read memory as fast as one thread can: integer sums vectorize."""
    sum_ = np.uint64(0)
    for i in range(data.size):
        sum_ += data[i]
    return sum_


@njit(nogil=True)
def fill(out: Any) -> None:
    """Write memory as the decoders do, without decoding."""
    for i in range(out.size):
        out[i] = np.float32(1)


class TypeTraits(ctypes.Structure):
    """The head of ``struct ggml_type_traits``."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


def ggml_library() -> Any:
    """Load ggml from `llama-cpp-python` without importing it; None if it is not installed."""
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        print("llama-cpp-python is not installed: no figures of ggml's own C code\n")
        return None
    library = next(Path(spec.origin).parent.rglob("libggml-base*"))
    c = ctypes.CDLL(str(library))
    c.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
    return c


def ggml_to_float(c: Any, id_: int) -> Any:
    traits = c.ggml_get_type_traits(id_).contents
    qtype = QTYPES[id_]
    if not traits.to_float or traits.type_size != qtype.type_size:
        return None
    return traits.to_float


if __name__ == "__main__":
    main()
