"""The longer run, led by coverage: `python -m tests.fuzz.run [SECONDS] [TARGET ...]`, with atheris.

Each target gets its share of the time in a process of its own, with limits on memory and on the
time of an input. A finding is written to `.cache/fuzz/<target>/`, and ends the run with status 1.
What reaches new code is kept in `.cache/fuzz/corpus/<target>`; `--keep` puts the smallest inputs
that reach lines beyond those of the seeds into the corpus of the tests.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

WORK = Path(".cache/fuzz")
MEMORY_MB = 2000  # resident; the packages alone take some 300
INPUT_SECONDS = 10
LONGEST = 1 << 16
KEPT_BYTES = 20_000  # of one target


def main(arguments: list[str]) -> int:
    """Run all targets, or those named, one after the other."""
    keep = "--keep" in arguments
    rest = [argument for argument in arguments if argument != "--keep"]
    seconds = int(rest[0]) if rest else 600
    from .seeds import seeds_of
    from .targets import TARGETS

    names = rest[1:] or list(TARGETS)
    failed = []
    for name in names:
        corpus = WORK / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds_of(name)):
            (corpus / f"seed-{number:03}").write_bytes(seed)
        (WORK / name).mkdir(exist_ok=True)
        print(f"== {name}: {seconds // len(names)} seconds", flush=True)
        found = _libfuzzer(name, f"-max_total_time={seconds // len(names)}", str(corpus))
        if found:
            failed.append(name)
        elif keep:
            _keep(name, corpus)
    if failed:
        print(f"findings: {', '.join(failed)}; the inputs are in {WORK}/<target>/", file=sys.stderr)
    return bool(failed)


def _libfuzzer(name: str, *arguments: str) -> int:
    command = [
        *(sys.executable, "-m", "tests.fuzz.run", "--target", name),
        *(f"-artifact_prefix={WORK / name}/", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1"),
        *(f"-timeout={INPUT_SECONDS}", f"-max_len={LONGEST}", "-verbosity=0", *arguments),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.run(command, check=False, env=environment).returncode


def _keep(name: str, corpus: Path) -> None:
    """Put the smallest inputs that reach lines of ours beyond the seeds' into the tests' corpus."""
    from .seeds import CORPUS, seeds_of

    known = set().union(*(_reached(name, seed) for seed in seeds_of(name)))
    room = KEPT_BYTES
    for path in sorted(corpus.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        new = _reached(name, data) - known
        if not new or len(data) > room:
            continue
        known |= new
        room -= len(data)
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        (CORPUS / name / hashlib.blake2b(data, digest_size=6).hexdigest()).write_bytes(data)


def _reached(name: str, data: bytes) -> set[tuple[str, int]]:
    """Return the lines of the package that an input reaches."""
    from .targets import try_out

    lines = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        if f"{os.sep}gguf_lab{os.sep}" not in frame.f_code.co_filename:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        try_out(name, data)
    finally:
        sys.settrace(None)
    return lines


def _target(name: str, arguments: list[str]) -> None:
    import atheris

    warnings.simplefilter("error")
    # what numba compiles has to stay as it is
    compiled = Path("gguf_lab/codec").rglob("*.py")
    names = [".".join(path.with_suffix("").parts) for path in compiled]
    with atheris.instrument_imports(include=["gguf_lab"], exclude=names):
        from .targets import try_out

    def one(data: bytes) -> None:
        try_out(name, data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        _target(sys.argv[2], sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
