"""Files as ranges of bytes."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import CheckpointError, GGUFError
from gguf_lab.file import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_read_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))
    with LocalFile(path) as file:
        part = file.read(10, 5)
        assert part.tolist() == [10, 11, 12, 13, 14]
        assert part.dtype == np.uint8
        assert not part.flags.writeable
        assert file.read(100, 0).size == 0
        assert (file.name, file.size) == (str(path), 100)


@pytest.mark.parametrize(("offset", "n"), [(-1, 2), (0, 101), (100, 1), (2**70, 1), (5, -1)])
def test_ranges_outside_are_refused(tmp_path: Path, offset: int, n: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100))
    with LocalFile(path) as file, pytest.raises(GGUFError, match="the file has 100 bytes"):
        file.read(offset, n)


def test_what_was_read_outlives_the_file(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "double", [copy.deepcopy, lambda file: pickle.loads(pickle.dumps(file))], ids=["copy", "pickle"]
)
def test_a_copy_does_not_close_the_file_under_the_original(tmp_path: Path, double: Any) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with LocalFile(path) as file:
        with pytest.raises(TypeError, match="hand its path on"):
            double(file)
        gc.collect()
        assert bytes(file.read(0, 3)) == b"abc"


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
    size = 256 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
        file.write(b"first")
    code = (
        "import sys, re; from pathlib import Path; from gguf_lab.file.source import LocalFile\n"
        "def resident():\n"
        "    text = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmRSS:\\s+(\\d+)', text)[1]) << 10\n"
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


@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, 3 << 20, (1 << 24) + 5])
def test_a_head_grows_and_stays_right(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    content.tofile(tmp_path / "f")
    with LocalFile(tmp_path / "f") as file:
        seen = []
        for n in sorted({0, min(size, 1), size // 3, size // 2, size}):
            seen.append(file.head(n))
            assert seen[-1].size >= n
            assert not seen[-1].flags.writeable
        for part in seen:
            assert np.array_equal(part, content[: part.size])
        with pytest.raises(GGUFError, match=f"the file has {size} bytes"):
            file.head(size + 1)


@pytest.mark.parametrize("left", [0, 10, 4096])
def test_a_file_that_is_cut_while_open_is_an_error_and_no_crash(tmp_path: Path, left: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100_000))
    with LocalFile(path) as file:
        before = file.read(0, 100_000)
        os.truncate(path, left)
        for offset, n in ((0, 10), (50_000, 50_000)):
            with pytest.raises(GGUFError, match=f"had 100000 bytes and has {left} now"):
                file.read(offset, n)
        assert before.max() == 0


def test_a_file_that_is_written_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100))
    with LocalFile(path) as file:
        os.utime(path, ns=(1, 1))
        with pytest.raises(GGUFError, match="was changed while it was open"):
            file.read(0, 10)


def test_a_file_that_is_replaced_or_deleted_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    (tmp_path / "g").write_bytes(b"new one")
    with LocalFile(path) as file:
        (tmp_path / "g").replace(path)
        assert bytes(file.read(0, 3)) == b"old"
        path.unlink()
        assert bytes(file.read(0, 3)) == b"old"


def test_closing_while_others_read_mixes_nothing_up(tmp_path: Path) -> None:
    """A number of a descriptor is given away again at once: a reader must not see the next file."""
    (tmp_path / "f").write_bytes(b"f" * 4_000_000)
    (tmp_path / "g").write_bytes(b"g" * 4_000_000)
    for _ in range(20):
        file = LocalFile(tmp_path / "f")
        found: list[np.ndarray] = []

        def read(file: LocalFile = file, found: list[np.ndarray] = found) -> None:
            with contextlib.suppress(GGUFError):  # closed before it began
                found.append(file.read(0, 4_000_000))

        thread = threading.Thread(target=read)
        thread.start()
        file.close()
        with LocalFile(tmp_path / "g") as other:
            other.read(0, 10)
            thread.join()
        assert all((part == ord("f")).all() for part in found)


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(200, 700), st.integers(0, 3)),
        min_size=2,
        max_size=12,
    )
)
def test_room_is_read_into_again_only_when_nobody_looks_at_it(
    numbered: LocalFile, reads: list[tuple[int, int, int]]
) -> None:
    """Whole arrays, views of views, memory views and tensors of torch: all keep what they show."""
    held: list[tuple[Any, int, int]] = []
    for first, n, how in reads:
        data = numbered.read(4096 * first, 1024 * n)
        start = 1024 * n // 2 if how else 0
        view: Any = data[start:]
        if how == 2:
            view = view[::1].view(np.uint8).data
        if how == 3:
            with warnings.catch_warnings():  # torch does not know memory that is read only
                warnings.simplefilter("ignore")
                view = torch.from_numpy(view)
        held.append((view, 4096 * first + start, 1024 * n - start))
        del data, view
        if n % 3 == 0:
            held.pop(n % len(held))
    for view, offset, n in held:
        found = np.asarray(view).reshape(-1).view("<u4")
        assert (found == np.arange(offset // 4, (offset + n) // 4)).all()


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFile]:
    """A file of 3 MB that numbers its words."""
    path = tmp_path_factory.mktemp("numbered") / "f"
    path.write_bytes(np.arange(750_000, dtype="<u4").tobytes())
    with LocalFile(path) as file:
        yield file


def test_reading_large_pieces_one_after_the_other_takes_the_memory_of_one(
    numbered: LocalFile,
) -> None:
    def address(n: int) -> int:
        return int(numbered.read(0, n).ctypes.data)

    first = address(1 << 20)
    assert [address(1 << 20), address(900_000), address(1 << 20)] == [first] * 3
    kept = numbered.read(0, 1 << 20)
    assert address(1 << 20) != kept.ctypes.data


def test_where_there_is_no_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv")
    (tmp_path / "f").write_bytes(bytes(range(100)))
    with LocalFile(tmp_path / "f") as file:
        assert file.read(90, 10).tolist() == list(range(90, 100))


@pytest.mark.parametrize("system", ["preadv", "read"])
def test_no_more_is_asked_of_the_system_at_once_than_it_reads(
    numbered: LocalFile, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """As on macOS, which refuses 2 GiB."""
    if system == "read":
        monkeypatch.delattr(os, "preadv", raising=False)
    given, asked = getattr(os, system), []

    def read(file: int, what: Any, *offset: int) -> Any:
        asked.append(what if isinstance(what, int) else len(what[0]))
        if asked[-1] > 1000:
            raise OSError(errno.EINVAL, "Invalid argument")
        return given(file, what, *offset)

    monkeypatch.setattr(os, system, read)
    monkeypatch.setattr("gguf_lab.file.source._PIECE", 1000)
    words = numbered.read(4_000, 4_002).view("<u2")[::2]
    assert words.tolist() == list(range(1000, 2001))
    assert asked == [1000] * 4 + [2]


def test_a_head_of_any_length_is_read_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = np.random.default_rng(0).integers(0, 256, 10_000, np.uint8)
    content.tofile(tmp_path / "f")
    monkeypatch.setattr("gguf_lab.file.source._ROOMS", (16,))
    monkeypatch.setattr("gguf_lab.file.source._STEP", 16)
    read, seen = LocalFile.read, []
    monkeypatch.setattr(LocalFile, "read", lambda *given: (seen.append(given[2]), read(*given))[1])
    with LocalFile(tmp_path / "f") as file:
        for n in range(1, content.size, 5):
            assert np.array_equal(file.head(n)[:n], content[:n])
    assert sum(seen) < 4 * content.size


def test_more_bytes_than_memory_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    with (tmp_path / "f").open("wb") as holes:
        holes.truncate(1 << 33)
    with LocalFile(tmp_path / "f", error=CheckpointError) as file:
        monkeypatch.setattr("gguf_lab.file.source._fresh", refuse)
        monkeypatch.setattr("gguf_lab.file.source._Rooms.take", refuse)
        for read in (file.head, lambda n: file.read(0, n)):
            with pytest.raises(CheckpointError, match="f: 8,589,934,592 bytes at once do not fit"):
                read(1 << 33)


MANY = """
import resource, sys
from gguf_lab.file import LocalFile
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[2])))
files = [LocalFile(sys.argv[1]) for _ in range(300)]
print(files[0].read(0, 2).tobytes(), files[-1].read(2, 2).tobytes())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    ("hard", "said"),
    [(1024, "b'ab' b'cd'\n"), (128, "Too many open files.*ulimit -n")],
)
def test_more_files_are_open_than_a_process_may_have_at_first(
    hard: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abcd")
    answer = subprocess.run(
        [sys.executable, "-c", MANY, str(path), str(hard)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(said, answer.stdout + answer.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that one is in stays there")
def test_a_missing_file_is_told_from_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(GGUFError, match=r"f does not exist \(looked from a folder that was"):
        LocalFile("f")
