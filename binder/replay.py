"""Replay on this machine what mybinder.org does, with pip in place of conda, within its limits.

Run by ``make binder``. A virtual environment gets what ``environment.yml`` names and runs
``postBuild``; then notebooks are executed on one CPU, each process in 2 GiB of address space, and
the memory of all of them together is measured.

    python binder/replay.py [--folder .cache/binder] [notebooks/00_tour.ipynb ...]
"""

# ruff: noqa: INP001, S603, T201

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 2 << 30  # bytes

# the name on conda-forge -> the name on PyPI, where they differ
PYPI = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
NOT_INSTALLED = ("python", "pip")  # they are there


def requirements(environment: str) -> list[str]:
    """Return what an environment.yml names, of conda and of pip alike, as pip takes it."""
    found = []
    for line in environment.splitlines():
        if match := re.fullmatch(r" +- ([A-Za-z0-9_-]+)((?:>=|==|=)[0-9.]+)?", line):
            name, version = match[1], match[2] or ""
            if name not in NOT_INSTALLED and line.strip() != "- conda-forge":
                found.append(PYPI.get(name, name) + version)
    return found


def install(folder: Path) -> Path:
    """Make the environment as repo2docker does. Returns its programs' folder."""
    venv.create(folder, with_pip=True, clear=True)
    programs = folder / "bin"
    named = requirements((ROOT / "binder" / "environment.yml").read_text(encoding="utf-8"))
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), *named], check=True)
    before = frozen(programs)
    subprocess.run(
        [str(ROOT / "binder" / "postBuild")],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
    )
    print("postBuild added", ", ".join(sorted(frozen(programs) - before)))
    missing = complaints(told(programs, "check"))
    if missing:
        raise SystemExit("environment.yml does not give what the package needs:\n" + missing)
    return programs


def complaints(checked: str) -> str:
    """Return what `pip check` says of the package itself: the demo models lack a lot on purpose."""
    return "\n".join(line for line in checked.splitlines() if line.startswith("gguf-lab "))


def told(programs: Path, *question: str) -> str:
    """Return what pip answers; `pip check` exits with 1 if it has something to say."""
    command = [str(programs / "python"), "-m", "pip", *question]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def frozen(programs: Path) -> set[str]:
    """Return the names of what is installed."""
    lines = told(programs, "list", "--format=freeze").splitlines()
    return {line.partition("==")[0] for line in lines}


def confine() -> None:
    """Hold this process, and those it starts, to one CPU and to the limit of address space."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def descendants(process: int) -> list[int]:
    """Return a process and all that it has started, by /proc."""
    found, waiting = [], [process]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:  # it has ended meanwhile
                continue
    return found


def held(process: int) -> int:
    """Return the bytes that a process and its descendants hold; shared pages count once."""
    total = 0
    for current in descendants(process):
        try:
            text = Path(f"/proc/{current}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * sum(map(int, re.findall(r"^Pss: +(\d+) kB$", text, re.MULTILINE)))
    return total


def execute(programs: Path, notebook: Path, folder: Path) -> tuple[int, float, int]:
    """Execute a copy of a notebook. Returns the exit status, the seconds, the most bytes held."""
    shutil.copy(notebook, folder)
    start, most = time.monotonic(), 0
    with subprocess.Popen(
        [str(programs / "jupyter"), "execute", notebook.name, "--timeout=600"],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        preexec_fn=confine,  # noqa: PLW1509 -- there are no threads here
    ) as process:
        while process.poll() is None:
            most = max(most, held(process.pid))
            time.sleep(0.25)
    return process.returncode, time.monotonic() - start, most


def main(arguments: list[str] | None = None) -> int:
    """Install, execute, and say what it took. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Replay Binder's steps within its limits.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "binder")
    parser.add_argument(
        "--installed", action="store_true", help="the folder is ready: execute only"
    )
    asked = parser.parse_args(arguments)
    folder = asked.folder.resolve()
    programs = folder / "bin" if asked.installed else install(folder)
    failed = 0
    for notebook in asked.notebooks or [ROOT / "notebooks" / "00_tour.ipynb"]:
        with tempfile.TemporaryDirectory() as scratch:
            status, seconds, most = execute(programs, notebook.resolve(), Path(scratch))
        word = "ran" if status == 0 else f"FAILED ({status})"
        print(f"{notebook.name} {word}: {seconds:.0f} s, {most / 2**20:,.0f} MiB in all processes")
        failed |= status != 0 or most > LIMIT
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
