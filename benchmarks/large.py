"""A model of 70 billion weights: what it takes to open it, and a layer on one and two processes.

The files have true heads and holes for the data; the tensors of one layer have numbers (2.3 GB in
both files together), and are read from the page cache. Each figure is the median of several runs,
taken in turns. The load of the machine is part of the result: on a busy one the seconds of the
clock say little, those of the processor still tell how well the work divides.

Usage: ``python benchmarks/large.py [--json FILE]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holes import LLAMA_70B, fill, tensors, write_checkpoint, write_model
from options import file_to_write

import gguf_lab as gl

if TYPE_CHECKING:
    from collections.abc import Callable

LAYER = 40
RUNS = 3

# Runs in a fresh process: imports first, then the clock.
_PROBE = """
import json, sys, time
from pathlib import Path
import gguf_lab as gl

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

gl.open, gl.open_checkpoint
start = time.perf_counter()
model = gl.open(sys.argv[1])
opened = time.perf_counter()
checkpoint = gl.open_checkpoint(sys.argv[2])
both = time.perf_counter()
found = {"seconds": [opened - start, both - opened], "peak": [peak()]}
gl.compare(model, checkpoint, tensors=sys.argv[3], progress=False)
found["peak"].append(peak())
print(json.dumps(found))
"""


def main() -> None:
    """Write the files, measure, print a table and, if wanted, JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=file_to_write, help="where to write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "llama-70b-Q4_K_M.gguf"
        write_model(model, LLAMA_70B)
        write_checkpoint(folder, LLAMA_70B, shards=30)
        names = [ours for ours, *_ in tensors(LLAMA_70B) if ours.startswith(f"blk.{LAYER}.")]
        fill(model, folder, LLAMA_70B, dict.fromkeys(names, 128), repeat=True)
        found = _machine() | _fresh(model, folder) | _layer(model, folder)
    _show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "load before": round(os.getloadavg()[0], 2),
    }


def _fresh(model: Path, folder: Path) -> dict[str, Any]:
    """Open in processes of their own."""
    pattern = f"blk.{LAYER}.*"
    command = [sys.executable, "-c", _PROBE, str(model), str(folder), pattern]
    answers = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(RUNS)
    ]
    first, second = zip(*(answer["seconds"] for answer in answers), strict=True)
    opened, compared = zip(*(answer["peak"] for answer in answers), strict=True)
    return {
        "open the file, seconds": statistics.median(first),
        "open the checkpoint, seconds": statistics.median(second),
        "peak memory after opening, bytes": statistics.median(opened),
        "peak memory after a layer, bytes": statistics.median(compared),
    }


def _layer(model: Path, folder: Path) -> dict[str, Any]:
    """Compare one layer on this machine, and on clusters of one and two processes."""
    import distributed

    cluster: Any = distributed.LocalCluster
    client: Any = distributed.Client
    compare = partial(gl.compare, model, folder, tensors=f"blk.{LAYER}.*", progress=False)
    settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        cluster(n_workers=1, **settings) as one,
        cluster(n_workers=2, **settings) as two,
        client(one) as alone,
        client(two) as both,
    ):
        ways: dict[str, tuple[Callable[[], gl.Comparison], Callable[[], list[float]]]] = {
            "1 thread": (partial(compare, threads=1), _mine),
            "2 threads": (partial(compare, threads=2), _mine),
            "1 worker": (partial(compare, client=alone), partial(_theirs, alone)),
            "2 workers": (partial(compare, client=both), partial(_theirs, both)),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        processor: dict[str, list[list[float]]] = {way: [] for way in ways}
        sums: dict[str, list[tuple[float, float]]] = {}
        for number in range(RUNS + 1):
            for way, (run, used) in ways.items():
                before, start = used(), time.perf_counter()
                result = run()
                took = time.perf_counter() - start
                spent = [b - a for a, b in zip(before, used(), strict=True)]
                if number:  # the first loads numba, and fills the page cache
                    seconds[way].append(took)
                    processor[way].append(spent)
                sums[way] = [(r.statistics.ee, r.statistics.rr) for r in result if r.statistics]
        assert all(found == sums["1 thread"] for found in sums.values())
        weights = sum(row.n_elements for row in result.compared)
    # The longest of several processes decides: what a machine with nothing else to do waits for.
    longest = {way: statistics.median(map(max, found)) for way, found in processor.items()}
    return {
        "weights of a layer": weights,
        "seconds of a layer": {way: statistics.median(found) for way, found in seconds.items()},
        "processor seconds, all processes": {
            way: statistics.median(map(sum, found)) for way, found in processor.items()
        },
        "processor seconds, the busiest process": longest,
        "weights per processor second": round(weights / longest["1 worker"]),
        "load after": round(os.getloadavg()[0], 2),
    }


def _mine() -> list[float]:
    return [time.process_time()]


def _theirs(client: Any) -> list[float]:
    return [seconds for _, seconds in sorted(client.run(time.process_time).items())]


def _show(found: dict[str, Any]) -> None:
    for key, value in found.items():
        for name, figure in value.items() if isinstance(value, dict) else [("", value)]:
            shown = f"{figure:,.3f}" if isinstance(figure, float) else figure
            print(f"{key}{': ' if name else ''}{name}".ljust(40), shown)


if __name__ == "__main__":
    main()
