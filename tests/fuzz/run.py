"""The longer run, led by coverage: `python -m tests.fuzz.run [SECONDS] [TARGET ...]`, with atheris.

Each target gets its share of the time in a process of its own, with limits on memory and on the
time of an input. A finding is written to `.cache/fuzz/<target>/`, and ends the run with status 1.
What reaches new code is kept in `.cache/fuzz/corpus/<target>`; `--keep` puts the smallest part of
it that reaches as much into the corpus of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

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
    """Put the smallest inputs that reach all that was reached into the corpus of the tests."""
    from .seeds import CORPUS

    merged = WORK / "merged" / name
    merged.mkdir(parents=True, exist_ok=True)
    if _libfuzzer(name, "-merge=1", str(merged), str(corpus)):
        return
    target = CORPUS / name
    target.mkdir(parents=True, exist_ok=True)
    room = KEPT_BYTES
    for path in sorted(merged.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        room -= path.stat().st_size
        if room < 0:
            break
        (target / path.name[:12]).write_bytes(path.read_bytes())


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
