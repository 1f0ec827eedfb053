"""Blocks on disk, from one session to the next. What is damaged is as if it were not there.

One file for each block: its SHA-256 together with where it is from, then its bytes. So a block is
never taken for another one, and never believed after it was changed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import warnings
from pathlib import Path

__all__ = ["DiskCache", "DiskFolder"]

_DIGEST = 32
_SUFFIX = ".block"


class DiskFolder:
    """A folder with a budget: what was used longest ago goes first.

    Parameters
    ----------
    path : pathlib.Path
        Made if it is not there, readable for its owner alone.
    budget : int
        Bytes of all blocks in it, of all files and sessions.
    """

    def __init__(self, path: Path, budget: int) -> None:
        self.path = path
        self._budget = budget
        self._total: int | None = None  # as of the last look, with what was added since
        self._lock = threading.Lock()
        self._broken = False

    def of(self, url: str, certain: str, size: int, block: int) -> DiskCache:
        """Return the part of it for one version of one file, told by URL and ETag."""
        text = "\0".join(("1", url, certain, str(size), str(block)))
        return DiskCache(self, hashlib.sha256(text.encode()).hexdigest())

    def read(self, path: Path, n: int) -> bytes | None:
        """Return a file of at most `n` bytes, None if it is not there."""
        try:
            with path.open("rb") as file:
                data = file.read(n + 1)
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as problem:
            self.complain(problem)
            return None
        return data

    def write(self, path: Path, data: bytes) -> None:
        """Put a file into its place at once, and make room."""
        if self._broken:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._make_room(len(data))
        except OSError as problem:
            self._broken = True
            self.complain(problem)

    def complain(self, problem: OSError) -> None:
        """Say that the folder cannot be used; the bytes come from the server all the same."""
        warnings.warn(
            f"The cache {self.path} is not used: {problem.strerror or problem}.", stacklevel=2
        )

    def _make_room(self, added: int) -> None:
        with self._lock:
            if self._total is not None and self._total + added <= self._budget:
                self._total += added
                return
            found = []
            for file in self.path.glob("*/*"):
                try:
                    state = file.stat()
                except FileNotFoundError:  # another process makes room too
                    continue
                found.append((state.st_mtime_ns, state.st_size, file))
            self._total = sum(size for _, size, _ in found)
            if self._total <= self._budget:
                return
            # A tenth more than needed, so that not every block is a look through the folder.
            for _, size, file in sorted(found):
                if self._total <= 0.9 * self._budget:
                    break
                file.unlink(missing_ok=True)
                self._total -= size


class DiskCache:
    """The blocks of one version of one file. Made by `DiskFolder.of`."""

    def __init__(self, folder: DiskFolder, key: str) -> None:
        self._folder = folder
        self._key = key

    def get(self, index: int, n: int) -> bytes | None:
        """Return a block of `n` bytes; None if it is not there or, with a warning, damaged."""
        path = self._path(index)
        content = self._folder.read(path, _DIGEST + n)
        if content is None:
            return None
        data = content[_DIGEST:]
        if len(data) == n and content[:_DIGEST] == self._digest(index, data):
            return data
        path.unlink(missing_ok=True)
        warnings.warn(
            f"A block in the cache {self._folder.path} is damaged; it is fetched again.",
            stacklevel=2,
        )
        return None

    def put(self, index: int, data: bytes) -> None:
        """Keep a block."""
        self._folder.write(self._path(index), self._digest(index, data) + data)

    def _path(self, index: int) -> Path:
        return self._folder.path / self._key[:32] / f"{index}{_SUFFIX}"

    def _digest(self, index: int, data: bytes) -> bytes:
        return hashlib.sha256(f"{self._key} {index} ".encode() + data).digest()
