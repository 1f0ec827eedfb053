"""Check every format on a CUDA device: the bits against NumPy, then the speed against a copy.

Run by ``make gpu-check``, or as a script where only torch and NumPy are installed. The formats
whose grids come from the ``gguf`` package need that too: without it they are reported as unchecked.

Exit status: 0 all formats are equal to the bit, 1 some differ or could not be checked, 2 there is
no CUDA device.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))

import gguf_lab
from gguf_lab.codec import FORMATS, dequantize

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

RESULTS = Path(__file__).with_name("results")
CHECKED_BYTES = 1 << 20  # random bytes per format, compared with NumPy
TIMED_WEIGHTS = 1 << 27  # 512 MiB of float32: far more than any cache
COPIED_BYTES = 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
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

    device = torch.cuda.get_device_name()
    copy = measure_copy()
    print(f"{device}: copies {copy:.0f} GB/s (read and written); torch {torch.__version__}")
    print(
        f"{'format':<8} {'blocks':>8} {'differing':>9} {'Gweight/s':>9} {'GB/s':>7} {'of copy':>7}"
    )
    generator = np.random.default_rng(arguments.seed)
    rows = [check(name, copy, generator) for name in FORMATS]
    for row in rows:
        print(line(row))
    result = {
        "device": device,
        "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "gguf_lab": gguf_lab.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "seed": arguments.seed,
        "copy_gb_per_s": copy,
        "formats": rows,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"gpu-check-{'-'.join(device.lower().split())}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = [row["format"] for row in rows if row["error"] or row["differing"]]
    equal = len(rows) - len(failed)
    print(f"{equal} of {len(rows)} formats are equal to the bit; written to {path}")
    if failed:
        print(f"gpu-check: differing or unchecked: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def check(name: str, copy: float, generator: np.random.Generator) -> dict[str, Any]:
    """Compare the bits of one format, then measure its speed."""
    import torch

    size = FORMATS[name].qtype.type_size
    row: dict[str, Any] = {"format": name, "blocks": CHECKED_BYTES // size, "error": None}
    row |= {"differing": None, "weights_per_s": None, "gb_per_s": None, "of_copy": None}
    blocks = generator.integers(0, 256, (row["blocks"], size), np.uint8)
    try:
        with np.errstate(all="ignore"):  # random bytes hold NaN, infinities and overflowing scales
            expected = dequantize(blocks, name, backend="numpy")
        on_device = torch.from_numpy(blocks).to("cuda")
        found = dequantize(on_device, name, device="cuda", backend="torch").cpu().numpy()
        row["differing"] = count_differing(expected, found)
        row |= measure(name, copy)
    except Exception as error:  # noqa: BLE001 -- one format must not hide the others
        row["error"] = f"{type(error).__name__}: {error}"
    return row


def count_differing(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> int:
    """Count the values whose bits differ; any NaN equals any NaN."""
    if expected.shape != found.shape:
        raise ValueError(f"shape {found.shape}, expected {expected.shape}")
    same = expected.view(np.uint32) == found.view(np.uint32)
    return int(np.count_nonzero(~(same | (np.isnan(expected) & np.isnan(found)))))


def measure(name: str, copy: float) -> dict[str, float]:
    """Measure dequantizing on the device: weights and bytes (read and written) per second."""
    import torch

    qtype = FORMATS[name].qtype
    n_blocks = TIMED_WEIGHTS // qtype.block_size
    blocks = torch.randint(0, 256, (n_blocks, qtype.type_size), dtype=torch.uint8, device="cuda")
    seconds = time(lambda: dequantize(blocks, name, device="cuda", backend="torch"))
    weights = n_blocks * qtype.block_size
    speed = (blocks.numel() + 4 * weights) / seconds / 1e9
    return {"weights_per_s": weights / seconds, "gb_per_s": speed, "of_copy": speed / copy}


def measure_copy() -> float:
    """Measure a copy within the device: GB read and written per second."""
    import torch

    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / time(lambda: target.copy_(source)) / 1e9


def time(work: Callable[[], torch.Tensor], repetitions: int = 10) -> float:
    """Return the median seconds of a run, on the device's own clock, after three for warming up."""
    import torch

    for _ in range(3):
        work()
    seconds = []
    for _ in range(repetitions):
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        stop = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        work()
        stop.record()
        torch.cuda.synchronize()
        seconds.append(float(start.elapsed_time(stop)) / 1000)
    return statistics.median(seconds)


def line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['format']:<8} {row['blocks']:>8} {row['error']}"
    return (
        f"{row['format']:<8} {row['blocks']:>8} {row['differing']:>9} "
        f"{row['weights_per_s'] / 1e9:>9.2f} {row['gb_per_s']:>7.0f} {row['of_copy']:>7.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
