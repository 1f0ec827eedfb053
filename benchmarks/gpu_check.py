"""Check every format on a CUDA device: the bits against NumPy, then the speed against a copy.

Run by ``make gpu-check``, or as a script on a bare machine, where it needs torch, triton, NumPy,
safetensors and this repository. The grids of the IQ formats and the names of a model's tensors come
from the package gguf, which imports tqdm and yaml: carry the wheels of gguf, tqdm and pyyaml along
(the last one for that machine's Python; install them without dependencies). Without them the IQ
formats and the model are reported as unchecked; where Triton does not work (it wants a C compiler),
torch alone is checked.

Exit status: 0 everything is equal, 1 something differs or could not be checked, 2 there is no CUDA
device.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from options import one_of

sys.path.insert(0, str(Path(__file__).parents[1]))

import gguf_lab
from gguf_lab.codec import FORMATS, choose_backend, dequantize
from gguf_lab.comparison.statistics import Statistics, measure
from gguf_lab.errors import GGUFLabError

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("results")
DEVICE = "cuda"
CHECKED_BYTES = 1 << 20  # random bytes per format, compared with NumPy
TIMED_WEIGHTS = 1 << 28  # 1 GiB of float32: far more than any cache
TIMED_ROOM = 64  # bytes of the device's memory for each of them: torch alone takes many steps
STREAMED_WEIGHTS = 1 << 29
HUGE_WEIGHTS = (1 << 31) + (1 << 20)
IDLE_CLOCKS = 3_000_000  # of the device: 1 or 2 ms
SUMS = ("ee", "rr", "xx", "xr", "abs_e", "peak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "formats", nargs="*", type=one_of(FORMATS), metavar="FORMAT", help="default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random blocks")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON result")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("gpu-check: torch is not installed", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("gpu-check: torch sees no CUDA device here; nothing was checked", file=sys.stderr)
        return 2

    device, copy = torch.cuda.get_device_name(), measure_copy(DEVICE, 1 << 30, warm_up=0.3)
    trouble = triton_trouble(DEVICE)
    backends = ("torch",) if trouble else ("torch", "triton")
    print(f"{device}: copies {copy:.0f} GB/s (read and written); torch {torch.__version__}")
    if trouble:
        print(f"only torch is checked: {trouble}")
    print(
        "share of that reached by: decoding with torch, with Triton to float32, float16, bfloat16;"
    )
    print("the fused comparison with bfloat16, without and with histogram")
    room = torch.cuda.mem_get_info()[0] // TIMED_ROOM
    timed = min(TIMED_WEIGHTS, 1 << room.bit_length() - 1)
    rows: list[dict[str, Any]] = []
    extra: list[dict[str, Any]] = []
    result = {
        "device": device,
        "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "gguf_lab": gguf_lab.__version__,
        "torch": torch.__version__,
        "triton": triton_version(),
        "triton_trouble": trouble,
        "cuda": torch.version.cuda,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "seed": arguments.seed,
        "copy_gb_per_s": copy,
        "timed_weights": timed,
        "formats": rows,
        "others": extra,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"gpu-check-{re.sub('[^a-z0-9]+', '-', device.lower())}.json"

    def save() -> None:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for name in arguments.formats or FORMATS:
        generator = np.random.default_rng(arguments.seed)
        rows.append(check(name, DEVICE, backends, generator, CHECKED_BYTES))
        if not rows[-1]["error"]:
            rows[-1] |= guarded(speed, name, DEVICE, backends, copy, timed)
        print(line(rows[-1]), flush=True)
        save()  # whatever comes next
    for check_name, work, *parameters in (
        ("model", check_model),
        ("huge", check_huge, HUGE_WEIGHTS),
        ("streaming", check_streaming, STREAMED_WEIGHTS, backends[-1]),
    ):
        extra.append({"check": check_name, "wrong": []} | guarded(work, DEVICE, *parameters))
        print(*(f"{key}: {value}" for key, value in extra[-1].items()), sep="; ", flush=True)
        save()
    # a device that has grown warm is slower: how much tells what the shares above are worth
    result |= guarded(lambda: {"copy_gb_per_s_afterwards": measure_copy(DEVICE, 1 << 30)})
    save()
    failed = [row["format"] for row in rows if row["error"] or row["wrong"]]
    failed += [row["check"] for row in extra if row["error"] or row["wrong"]]
    if trouble:
        failed.append("triton")
    print(f"{len(rows)} formats; written to {path}")
    if failed:
        print(f"gpu-check: differing or unchecked: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def triton_trouble(device: str) -> str:
    """Return why Triton cannot be checked; "" if it can."""
    try:
        choose_backend(device, "triton")
    except GGUFLabError as error:
        return str(error)
    return ""


def triton_version() -> str | None:
    if not find_spec("triton"):
        return None
    import triton

    return str(triton.__version__)


def guarded(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Return what a check says, with its error; one that breaks must not hide the others."""
    import torch

    try:
        torch.cuda.empty_cache()  # raises, too, once a kernel has broken the device
        return {"error": None, **work(*arguments)}
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}


# --- is it right? ---------------------------------------------------------------------------------


def check(
    name: str, device: str, backends: tuple[str, ...], generator: np.random.Generator, n_bytes: int
) -> dict[str, Any]:
    """Compare the bits of one format with NumPy, and the fused comparison with the plain one."""
    n = max(1, n_bytes // FORMATS[name].qtype.type_size)
    row = {"format": name, "blocks": n, "wrong": []}
    return row | guarded(_check, name, device, backends, generator, n)


def _check(
    name: str, device: str, backends: tuple[str, ...], generator: np.random.Generator, n: int
) -> dict[str, Any]:
    import torch

    wrong: list[str] = []
    blocks = generator.integers(0, 256, (n, FORMATS[name].qtype.type_size), np.uint8)
    with np.errstate(all="ignore"):  # random bytes hold NaN, infinities and overflowing scales
        expected = dequantize(blocks, name, backend="numpy")
    on_device = torch.from_numpy(blocks).to(device)
    # at an address that is a multiple of 8 and of nothing more
    aside = torch.zeros(blocks.size + 8, dtype=torch.uint8, device=device)[8:].view(blocks.shape)
    aside.copy_(on_device)
    for backend in backends:
        for where, there in (("", on_device), (" at another address", aside)):
            found = dequantize(there, name, device=device, backend=backend).cpu().numpy()
            if differing := count_differing(expected, found):
                wrong.append(f"{backend}: {differing} values{where}")
    if "triton" not in backends:
        return {"wrong": wrong}

    from gguf_lab.codec.backends import triton_
    from gguf_lab.comparison.triton_kernels import measure_with_triton

    for dtype in (torch.float16, torch.bfloat16):
        rounded = torch.from_numpy(expected).to(dtype)
        got = triton_.dequantize(FORMATS[name], on_device, dtype).cpu()
        same = (got.view(torch.int16) == rounded.view(torch.int16)) | (
            got.isnan() & rounded.isnan()
        )
        if not same.all():
            wrong.append(f"triton: {int((~same).sum())} values as {dtype}")
    # A single NaN hides the sums. Of the largest numbers the squares are infinite in float32.
    kinds = {"sane": sane_blocks(name, generator, n), "random": blocks}
    kinds["finite"] = blocks[np.isfinite(expected).all(axis=1)]
    for kind, sample in kinds.items():
        with np.errstate(all="ignore"):
            x = dequantize(sample, name, backend="numpy")
        rows = reference_rows(x, generator)
        with np.errstate(all="ignore"):
            want = measure(x, dequantize(rows, "BF16", backend="numpy"))
        sides = (name, torch.from_numpy(sample)), ("BF16", torch.from_numpy(rows))
        found_ = measure_with_triton(*((qtype, side.to(device)) for qtype, side in sides))
        wrong += [f"comparison of {kind} blocks: {what}" for what in differences(found_, want)]
    return {"wrong": wrong}


def sane_blocks(name: str, generator: np.random.Generator, n: int) -> npt.NDArray[np.uint8]:
    """Return random blocks whose weights are numbers that a model could have."""
    pool = generator.integers(0, 256, (1 << 12, FORMATS[name].qtype.type_size), np.uint8)
    with np.errstate(all="ignore"):
        largest = np.abs(dequantize(pool, name, backend="numpy")).max(axis=1)
        kept = pool[(largest > 1e-6) & (largest < 1e6)]
    kept = kept if len(kept) else pool  # 64-bit integers
    return kept[generator.integers(0, len(kept), n)]


def reference_rows(
    x: npt.NDArray[np.float32], generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return bfloat16 rows not far from `x`: rounding to an even grid has an even error."""
    numbers = np.abs(x[np.isfinite(x)])  # with NaN among them the median is NaN, and every row
    with np.errstate(all="ignore"):
        step = np.float32(np.median(numbers)) / 4
        r = x + step * (generator.random(x.shape, np.float32) - np.float32(0.5))
    return (r.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def differences(found: Statistics, want: Statistics) -> list[str]:
    """Say in what two results differ: sums by more than 1e-6, counts at all."""
    wrong = [k for k in ("n", "n_nan", "n_inf") if getattr(found, k) != getattr(want, k)]
    if not np.array_equal(found.counts, want.counts):
        wrong.append(f"{int(np.abs(found.counts - want.counts).sum())} counts of the histogram")
    scale = {"xr": np.sqrt(want.xx) * np.sqrt(want.rr)}  # a sum of either sign
    for k in SUMS:
        a, b = getattr(found, k), getattr(want, k)
        # Not finite: both are NaN, or the same infinity.
        bound = 1e-6 * scale.get(k, abs(b))
        equal = abs(a - b) <= bound if np.isfinite(b) else np.array_equal(a, b, equal_nan=True)
        if not equal:
            wrong.append(f"{k} is {a}, expected {b}")
    return wrong


def count_differing(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> int:
    """Count the values whose bits differ; any NaN equals any NaN."""
    if expected.shape != found.shape:
        raise ValueError(f"shape {found.shape}, expected {expected.shape}")
    same = expected.view(np.uint32) == found.view(np.uint32)
    return int(np.count_nonzero(~(same | (np.isnan(expected) & np.isnan(found)))))


def check_huge(device: str, weights: int) -> dict[str, Any]:
    """Decode and compare a tensor of more than 2**31 weights: all zero but for both ends."""
    import torch

    from gguf_lab.codec.backends import triton_
    from gguf_lab.comparison.triton_kernels import measure_with_triton

    name, ends = "Q8_0", 1 << 10
    fmt, n = FORMATS[name], weights // 32
    generator = np.random.default_rng(0)
    sample = sane_blocks(name, generator, 2 * ends)
    x = dequantize(sample, name, backend="numpy")
    rows = reference_rows(x, generator)
    blocks = torch.zeros((n, fmt.qtype.type_size), dtype=torch.uint8, device=device)
    reference = torch.zeros((n, 64), dtype=torch.uint8, device=device)
    for there, here in ((blocks, sample), (reference, rows)):
        there[:ends] = torch.from_numpy(here[:ends])
        there[-ends:] = torch.from_numpy(here[-ends:])
    values = triton_.dequantize(fmt, blocks)
    wrong = [
        f"{differing} values at the {where}"
        for where, part in (("start", slice(ends)), ("end", slice(-ends, None)))
        if (differing := count_differing(x[part], values[part].cpu().numpy()))
    ]
    if int(torch.count_nonzero(values[ends:-ends])):
        wrong.append("zeros between them")
    del values
    want = measure(x, dequantize(rows, "BF16", backend="numpy"))
    want.counts[len(want.counts) // 2] += n * 32 - want.n
    want.n = n * 32
    wrong += differences(measure_with_triton((name, blocks), ("BF16", reference)), want)
    return {"weights": n * 32, "wrong": wrong}


def check_model(device: str) -> dict[str, Any]:
    """Compare and decode a small model there and on the CPU, through the doors that users take."""
    folder = Path(__file__).parents[1] / "tests" / "data" / "models" / "llama-256"
    (file,) = folder.glob("*Q4_K_M.gguf")
    wrong = []
    mine, theirs = (
        gguf_lab.compare(file, folder / "hf", device=one, progress=False) for one in (device, "cpu")
    )
    for found, want in zip(mine, theirs, strict=True):
        if (found.statistics is None) != (want.statistics is None):
            wrong.append(f"{found.name}: {found.status}")
        elif found.statistics is not None and want.statistics is not None:
            listed = differences(found.statistics, want.statistics)
            wrong += [f"{found.name}: {what}" for what in listed]
    with gguf_lab.open(file) as model:
        for tensor in model.tensors.values():
            values = tensor.dequantize(device=device).cpu().numpy()
            if differing := count_differing(tensor.to_numpy(), values):
                wrong.append(f"{tensor.name}: {differing} values")
    return {"tensors": len(mine), "wrong": wrong}


def check_streaming(device: str, weights: int, backend: str = "triton") -> dict[str, Any]:
    """Compare from host memory, as a run over a model does: buffers, bus and kernels at once.

    One chunk after the other has other weights, so that a buffer that is written too early shows:
    what is found must be, to the last bit, what each of them gives by itself.
    """
    from gguf_lab.comparison.on_device import measure_on_device
    from gguf_lab.comparison.staging import Stager

    generator, chunk = np.random.default_rng(0), min(weights // 10, 1 << 23) // 256 * 256
    samples = []
    for _ in range(5):  # no multiple of the slots: each meets all the buffers
        blocks = sane_blocks("Q4_K", generator, chunk // 256)
        x = dequantize(blocks, "Q4_K", backend="numpy")
        rows = reference_rows(x, generator)
        want = measure(x, dequantize(rows, "BF16", backend="numpy"))
        samples.append((blocks, rows, want))
    threads = 4

    def once(k: int, stager: Stager) -> Statistics:
        blocks, rows, _ = samples[k % len(samples)]
        sides = ("Q4_K", blocks), ("BF16", rows)
        return measure_on_device(*sides, device, backend=backend, stager=stager)

    alone = [once(k, Stager(device, 1)) for k in range(len(samples))]
    wrong = {what for k, one in enumerate(alone) for what in differences(one, samples[k][2])}
    work = partial(once, stager=Stager(device, threads))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))  # takes the buffers
        started = perf_counter()
        parts = list(pool.map(work, range(weights // chunk)))
        seconds = perf_counter() - started
    for k, part in enumerate(parts):
        one = alone[k % len(alone)]
        sums = [key for key in SUMS if getattr(part, key) != getattr(one, key)]
        if sums or not np.array_equal(part.counts, one.counts):
            wrong.add(f"{', '.join(sums) or 'counts'} of a chunk, among others")
    n_bytes = len(parts) * (samples[0][0].nbytes + samples[0][1].nbytes)
    return {
        "backend": backend,
        "threads": threads,
        "wrong": sorted(wrong),
        "weights_per_s": len(parts) * chunk / seconds,
        "gb_per_s": n_bytes / seconds / 1e9,
    }


# --- is it fast? ----------------------------------------------------------------------------------


def speed(
    name: str, device: str, backends: tuple[str, ...], copy: float, weights: int
) -> dict[str, Any]:
    """Measure decoding and comparing on the device, in bytes read and written per second."""
    import torch

    fmt, generator = FORMATS[name], np.random.default_rng(0)
    n, size = weights // fmt.qtype.block_size, fmt.qtype.block_size
    sample = sane_blocks(name, generator, min(n, (1 << 20) // size))
    repeats = -(-n // len(sample))
    blocks = torch.from_numpy(sample).to(device).repeat(repeats, 1)[:n]
    works: dict[str, tuple[Callable[[], Any], int]] = {}

    from gguf_lab.codec.backends import torch_

    works["torch"] = partial(torch_.dequantize, fmt, blocks), blocks.numel() + 4 * n * size
    if "triton" in backends:
        from gguf_lab.codec.backends import triton_
        from gguf_lab.comparison import triton_kernels

        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            out = torch.empty((n, size), dtype=dtype, device=device)
            work = partial(triton_.dequantize, fmt, blocks, dtype, out)
            works[str(dtype)] = work, blocks.numel() + out.numel() * out.itemsize
        rows = reference_rows(dequantize(sample, name, backend="numpy"), generator)
        reference = torch.from_numpy(rows).to(device).repeat(repeats, 1)[:n]
        x = triton_.Side(fmt, blocks)
        r = triton_.Side(FORMATS["BF16"], reference, run=x.groups * x.group)
        read = blocks.numel() + reference.numel()
        works["compare"] = partial(triton_kernels.start, x, r, count=False), read
        works["compare with histogram"] = partial(triton_kernels.start, x, r), read
    seconds = {key: time(work, device) for key, (work, _) in works.items()}
    moved = {key: n_bytes / seconds[key] / 1e9 for key, (_, n_bytes) in works.items()}
    return {
        "weights_per_s": {key: n * size / t for key, t in seconds.items()},
        "gb_per_s": moved,
        "of_copy": {key: rate / copy for key, rate in moved.items()},
    }


def measure_copy(device: str, n_bytes: int, warm_up: float = 0) -> float:
    """Measure a copy within the device: GB read and written per second.

    A device that has slept takes a while (`warm_up`, in seconds) to come to its clock.
    """
    import torch

    source = torch.ones(n_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    started = perf_counter()
    while perf_counter() - started < warm_up:
        target.copy_(source)
        torch.cuda.synchronize()
    return 2 * n_bytes / time(lambda: target.copy_(source), device) / 1e9


def time(work: Callable[[], Any], device: str, repetitions: int = 7, batch: int = 5) -> float:
    """Return the median seconds of a run, after some for warming up, on the device's own clock.

    Runs are started in batches, so that the device does not wait for Python between them.
    """
    import torch

    cuda = device.startswith("cuda")
    repetitions, batch = (repetitions, batch) if cuda else (1, 1)
    for _ in range(batch):
        work()
    seconds = []
    for _ in range(repetitions):
        if not cuda:
            started = perf_counter()
            work()
            seconds.append(perf_counter() - started)
            continue
        # Busy until Python has started the batch: else its first launch would be counted too.
        torch.cuda._sleep(IDLE_CLOCKS)  # type: ignore[no-untyped-call]
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        stop = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(batch):
            work()
        stop.record()
        torch.cuda.synchronize()
        seconds.append(float(start.elapsed_time(stop)) / 1000 / batch)
    return statistics.median(seconds)


def line(row: dict[str, Any]) -> str:
    state = row["error"] or "; ".join(row["wrong"]) or "equal"
    shares = (f"{share:7.1%}" for share in row.get("of_copy", {}).values())
    return f"{row['format']:<8} {row['blocks']:>8} {' '.join(shares)} {state}"


if __name__ == "__main__":
    sys.exit(main())
