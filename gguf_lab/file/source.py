"""Where bytes come from. A source is read by ranges, so that one need not be a local file."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..errors import GGUFError, GGUFLabError

__all__ = ["ByteSource", "Bytes", "LocalFile"]

Bytes = npt.NDArray[np.uint8]

# After so many bytes read, the pages of a mapping are given back to the system's file cache, so
# that streaming through a file of any size adds little to the memory of the process.
_RESIDENT = 8 << 20


class ByteSource(Protocol):
    """Bytes that can be read by ranges.

    Attributes
    ----------
    name : str
        How messages call the source: the path of a file.
    size : int
        Bytes in all.
    fetched : int
        Bytes that came over a network for it; 0 for a file of this machine.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def fetched(self) -> int: ...  # noqa: D102

    def read(self, offset: int, n: int) -> Bytes:
        """Return the `n` bytes from `offset` as a read-only array; raise if they are not there."""
        ...

    def head(self, n: int) -> Bytes:
        """Return the first `n` bytes, and as many more as are at hand: what a header grows into."""
        ...

    def close(self) -> None:
        """Give back what the source holds."""
        ...


class LocalFile:
    """A file of this machine, mapped into memory: nothing is read before it is looked at.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    error : type of GGUFLabError
        What is raised if the file cannot be read; a checkpoint says `CheckpointError`.

    Attributes
    ----------
    path : pathlib.Path
        The path as it was given.
    name : str
        The same as text.
    size : int
        Bytes of the file when it was opened.

    Raises
    ------
    GGUFLabError
        If the file is missing, not a regular file, or not readable.

    Notes
    -----
    An array that `read` has returned stays valid after `close`: the mapping goes with the last of
    them. The file must not be shortened while it is mapped; no reader of mapped files can survive
    that.
    """

    fetched = 0

    def __init__(
        self, path: str | os.PathLike[str], *, error: type[GGUFLabError] = GGUFError
    ) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        self._error = error
        self._bytes: Bytes | None = None
        self._mapped: Any = None
        self._touched = 0
        try:
            # Before opening: a pipe would wait for a writer, a device has no size.
            if not stat.S_ISREG(self.path.stat().st_mode):
                kind = "a folder" if self.path.is_dir() else "not a regular file"
                raise error(f"{self.name} is {kind}; expected a file. Give the path of the file.")
            with self.path.open("rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                if self.size:
                    self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    self.size = len(self._mapped)
        except FileNotFoundError:
            raise error(
                f"{self.name} does not exist (looked from {Path.cwd()}). Check the path."
            ) from None
        except (OSError, ValueError) as problem:
            if isinstance(problem, GGUFLabError):
                raise
            raise error(f"{self.name} cannot be read: {problem}. Check path and rights.") from None
        # An empty file cannot be mapped.
        self._bytes = np.frombuffer(self._mapped or b"", np.uint8)

    def read(self, offset: int, n: int) -> Bytes:
        """Return the `n` bytes from `offset`: a read-only uint8 view of the mapping, no copy.

        Raises
        ------
        GGUFLabError
            If the range is not inside the file, or the file was closed.
        """
        if self._bytes is None:
            raise self._error(f"{self.name} is closed; open it again to read from it.")
        if offset < 0 or n < 0 or offset + n > self.size:
            raise self._error(
                f"{self.name}: bytes {offset} to {offset + n} were asked, but the file has "
                f"{self.size} bytes. It may have been cut short; fetch it again."
            )
        self._touched += n
        if self._touched > _RESIDENT and hasattr(self._mapped, "madvise"):
            # Arrays in use are not harmed: their pages come back from the cache when looked at.
            self._mapped.madvise(mmap.MADV_DONTNEED)
            self._touched = n
        return self._bytes[offset : offset + n]

    def head(self, n: int) -> Bytes:
        """Return all bytes: in a mapping they are at hand. Raises as `read` does."""
        return self.read(0, max(n, self.size))

    def close(self) -> None:
        """Let go of the mapping; it ends with the last array that was read from it."""
        self._bytes = self._mapped = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._bytes is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size:,} bytes"
        return f"LocalFile({self.name!r}, {state})"
