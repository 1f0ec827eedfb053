"""Files as ranges of bytes."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gguf_lab.errors import CheckpointError, GGUFError
from gguf_lab.file import LocalFile


def test_read_is_a_read_only_view(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))
    with LocalFile(path) as file:
        part = file.read(10, 5)
        assert part.tolist() == [10, 11, 12, 13, 14]
        assert part.dtype == np.uint8
        assert not part.flags.writeable
        assert np.shares_memory(part, file.read(0, 100))
        assert file.read(100, 0).size == 0
        assert (file.name, file.size) == (str(path), 100)


@pytest.mark.parametrize(("offset", "n"), [(-1, 2), (0, 101), (100, 1), (2**70, 1), (5, -1)])
def test_ranges_outside_are_refused(tmp_path: Path, offset: int, n: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100))
    with LocalFile(path) as file, pytest.raises(GGUFError, match="the file has 100 bytes"):
        file.read(offset, n)


def test_views_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc" * 1000)
    file = LocalFile(path)
    part = file.read(0, 3000)
    file.close()
    file.close()
    assert file.closed
    assert bytes(part[-3:]) == b"abc"
    with pytest.raises(GGUFError, match="is closed"):
        file.read(0, 1)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with LocalFile(tmp_path / "f") as file:
        assert file.size == 0
        assert file.read(0, 0).size == 0


def test_forgotten_files_are_closed_silently(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(10))
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        LocalFile(path)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_the_error_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        LocalFile(tmp_path / "missing", error=CheckpointError)


def test_streaming_through_a_file_keeps_little_of_it_in_memory(tmp_path: Path) -> None:
    """Pages looked at are given back, and arrays in use stay right."""
    size = 256 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
        file.write(b"first")
    code = (
        "import sys, re; from pathlib import Path; from gguf_lab.file.source import LocalFile\n"
        "def resident():\n"
        "    text = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'RssFile:\\s+(\\d+)', text)[1]) << 10\n"
        "before, step = resident(), 4 << 20\n"
        "with LocalFile(sys.argv[1]) as file:\n"
        "    first, peak = file.read(0, 5), 0\n"
        "    for offset in range(0, file.size, step):\n"
        "        file.read(offset, step).max()\n"
        "        peak = max(peak, resident() - before)\n"
        "    assert bytes(first) == b'first', bytes(first)\n"
        "print(peak)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(run.stdout) < 80 << 20
