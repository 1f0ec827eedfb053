"""How long it takes to open a file, and what it adds to memory, beside ``gguf.GGUFReader``.

Each figure is the median of runs in fresh processes. Added memory is the resident set after opening
less the one before, with all imports done. The files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

_TOKENS = 262_144

# Runs in a fresh process: imports first, then the clock.
_PROBE = """
import json, sys, time
from pathlib import Path

def resident():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in l)
    return int(line.split()[1]) * 1024

reader, path = sys.argv[1:]
if reader == "gguf_lab":
    import gguf_lab
    import gguf_lab.model
    opener = gguf_lab.open
else:
    from gguf import GGUFReader as opener
before, start = resident(), time.perf_counter()
opened = opener(path)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "added": resident() - before}))
"""


def write_vocabulary(path: Path, count: int = _TOKENS) -> None:
    """Write a file with a vocabulary of `count` tokens, their scores and types, and no tensors."""

    def string(text: str) -> bytes:
        raw = text.encode()
        return struct.pack("<Q", len(raw)) + raw

    def array(key: str, kind: int, items: bytes) -> bytes:
        return string(key) + struct.pack("<IIQ", 9, kind, count) + items

    tokens = b"".join(string(f"▁tok{i * 7919 % 999_983:x}") for i in range(count))
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 4))
        file.write(string("general.architecture") + struct.pack("<I", 8) + string("llama"))
        file.write(array("tokenizer.ggml.tokens", 8, tokens))
        file.write(array("tokenizer.ggml.scores", 6, bytes(4 * count)))
        file.write(array("tokenizer.ggml.token_type", 5, bytes(4 * count)))


def measure(reader: str, path: Path, runs: int) -> tuple[float, int]:
    """Return the median seconds and added bytes of opening a file in fresh processes."""
    results = []
    for _ in range(runs):
        command = [sys.executable, "-c", _PROBE, reader, str(path)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results.append(json.loads(output))
    return (
        statistics.median(result["seconds"] for result in results),
        statistics.median_low(result["added"] for result in results),
    )


def main(paths: list[Path] | None = None) -> None:
    """Measure SmolLM2 (or the given files) and a vocabulary of 262,144 tokens; print a table."""
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / f"vocabulary-{_TOKENS}.gguf"
        write_vocabulary(vocabulary)
        if not paths:
            from gguf_lab import demo

            paths = [demo.smollm2()]
        print(f"{'file':40} {'size':>9}  {'reader':10} {'open':>10} {'added memory':>13}")
        for path in (*paths, vocabulary):
            for reader, runs in (("gguf_lab", 5), ("gguf", 1)):
                seconds, added = measure(reader, path, runs)
                size = path.stat().st_size
                print(
                    f"{path.name[:40]:40} {size / 1e6:6.1f} MB  {reader:10} "
                    f"{seconds * 1e3:7.1f} ms {added / 1e6:10.1f} MB"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path, help="default: SmolLM2")
    arguments = parser.parse_args()
    for path in arguments.files:
        if not path.is_file():
            parser.error(f"{path} is no file")
    main(arguments.files)
