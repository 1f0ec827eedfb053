"""Where bytes come from. A source is read by ranges, so that one need not be a local file."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..errors import GGUFError, GGUFLabError

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ByteSource", "Bytes", "LocalFile", "expanded", "looked_for"]

Bytes = npt.NDArray[np.uint8]


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
    version : str
        Equal only if the file and all of its bytes are the same; empty if nothing tells.
    stamp : str
        Equal wherever the same version of the file is seen from, on another machine too. Weaker:
        another version could have the same by chance.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def fetched(self) -> int: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def stamp(self) -> str: ...  # noqa: D102

    def read(self, offset: int, n: int) -> Bytes:
        """Return the `n` bytes from `offset` as a read-only array; raise if they are not there."""
        ...

    def head(self, n: int) -> Bytes:
        """Return the first `n` bytes, and as many more as are at hand: what a header grows into."""
        ...

    def close(self) -> None:
        """Give back what the source holds."""
        ...


# Owner and name of a repository on a hub, and what a path ends with that is none.
_REPOSITORY = re.compile(r"\w[\w.-]*", re.ASCII)
_FILES = (".gguf", ".safetensors", ".json", ".bin", ".pt", ".pth")
# A header is read in steps into a buffer of one of these sizes: room not yet filled costs nothing.
_STEP = 1 << 20
_ROOMS = (1 << 16, 1 << 20, 1 << 24, 1 << 28)
# Rows are read into memory that is used again; what is smaller or larger than this is not kept.
_SMALLEST_KEPT, _LARGEST_KEPT = 1 << 18, 1 << 24


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home of a user for a ``~`` at its beginning.

    Raises
    ------
    GGUFLabError
        If it is the home of who runs this, and nobody knows it, as in a container without HOME for
        a user without a name. A folder that is called "~" would be made, or looked for.
    """
    found = Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path refuses "~no-such-user"
    if found.parts[:1] == ("~",):
        raise GGUFLabError(f"{found}: this user has no home (~). Set HOME, or give a whole path.")
    return found


def looked_for(path: Path) -> str:
    """Say from where a path was looked for, and what it may be if it is the name of a repository.

    >>> looked_for(Path("owner/model-GGUF"))  # doctest: +ELLIPSIS
    '(looked from ...). Check the path. On a hub? Then begin with hf://owner/model-GGUF.'
    """
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        here = "a folder that was deleted"
    parts = path.parts
    alike = len(parts) == 2 and all(_REPOSITORY.fullmatch(part) for part in parts)
    hub = alike and path.suffix.lower() not in _FILES
    hint = f" On a hub? Then begin with hf://{path.as_posix()}." if hub else ""
    return f"(looked from {here}). Check the path.{hint}"


class _Descriptor:
    """A file descriptor that is closed with the last one who uses it: a read under way counts."""

    __slots__ = ("number",)

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        _let_more_be_open(self.number)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def __reduce__(self) -> NoReturn:
        # A second owner of the number would close it under the first, or close another's file.
        raise TypeError(
            "an open file can be neither copied nor pickled: hand its path on, and open it there"
        )


def _let_more_be_open(number: int) -> None:
    """Raise the limit of open files when half of them are: macOS begins with 256 a process.

    The shards of a large checkpoint and of a large model together are more. What is opened gets the
    lowest `number` that is free.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or 2 * number < soft:
        return
    more = 2 * soft if hard == resource.RLIM_INFINITY else min(2 * soft, hard)
    with suppress(OSError, ValueError):  # a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))


class _Rooms(threading.local):
    """Memory of this thread that was read into, and nobody looks at any more.

    A large array that is dropped goes back to the system. To get it anew costs a fifth of reading
    into it, and on a virtual machine that lends out its free memory many times as much.
    """

    def __init__(self) -> None:
        self._kept: list[Bytes] = []

    def take(self, n: int) -> Bytes:
        """Return room for `n` bytes."""
        if not _SMALLEST_KEPT <= n <= _LARGEST_KEPT:
            return np.empty(n, np.uint8)
        for room, references in zip(self._kept, _references(self._kept), strict=True):
            if room.size >= n and references == _UNSEEN:
                return room[:n]
        room = np.empty(n, np.uint8)
        self._kept = [*self._kept[-1:], room]  # two: a model's, and that of its original
        return room[:n]


def _references(rooms: list[Bytes]) -> list[int]:
    """Count who holds each array. A view holds the array that has the memory, never a view."""
    return [sys.getrefcount(room) for room in rooms]


_UNSEEN = _references([np.empty(0, np.uint8)])[0]
_rooms = _Rooms()


def _fresh(n: int) -> Bytes:
    return np.empty(n, np.uint8)


class LocalFile:
    """A file of this machine. Nothing is read before it is asked for.

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
    Bytes are copied out of the system's file cache. A mapping would spare the copy, but pages of a
    file that somebody shortens end the process that looks at them (SIGBUS), and they count as its
    memory; the copy is a fifth of the time that a comparison takes. A file that is replaced or
    deleted is still read as it was. One that is written to is refused, unless whoever writes puts
    the time of the last change back: what would tell then (ctime) changes with the name, the rights
    and the links of a file too, and all its bytes are the same.
    """

    fetched = 0

    def __init__(
        self, path: str | os.PathLike[str], *, error: type[GGUFLabError] = GGUFError
    ) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        self._error = error
        try:
            # Before opening: a pipe would wait for a writer, a device has no size.
            if not stat.S_ISREG(self.path.stat().st_mode):
                kind = "a folder" if self.path.is_dir() else "not a regular file"
                raise error(f"{self.name} is {kind}; expected a file. Give the path of the file.")
            self._file: _Descriptor | None = _Descriptor(self.path)
            found = os.fstat(self._file.number)
        except FileNotFoundError:
            raise error(f"{self.name} does not exist {looked_for(self.path)}") from None
        except (OSError, ValueError) as problem:
            if isinstance(problem, GGUFLabError):
                raise
            many = getattr(problem, "errno", None) == errno.EMFILE
            advice = "Let a process open more (ulimit -n)." if many else "Check path and rights."
            raise error(f"{self.name} cannot be read: {problem}. {advice}") from None
        self.size, self._modified = found.st_size, found.st_mtime_ns
        self._inode, self._changed = found.st_ino, found.st_ctime_ns
        self._device = found.st_dev
        self._head, self._filled = np.empty(0, np.uint8), 0

    @property
    def version(self) -> str:
        """Path, inode, size and times: what no program that writes to the file leaves as it is.

        Raises
        ------
        GGUFLabError
            If the file was closed, or changed since it was opened.
        """
        self.read(0, 0)  # refuses
        numbers = self._inode, self.size, self._modified, self._changed
        return " ".join(["file", *map(str, numbers), os.path.realpath(self.path)])

    @property
    def stamp(self) -> str:
        """Size and second of the last change, which machines that share a folder agree on."""
        return f"{self.size} bytes of second {self._modified // 10**9}"

    def is_at(self, path: Path) -> bool:
        """Whether a path that is there leads to this file, or to what has taken its place."""
        found = path.stat()  # `self.path` may count from a folder that one is in no more
        same = (found.st_dev, found.st_ino) == (self._device, self._inode)
        return same or (self.path.exists() and path.samefile(self.path))

    def read(self, offset: int, n: int) -> Bytes:
        """Return the `n` bytes from `offset`: a read-only uint8 array.

        Raises
        ------
        GGUFLabError
            If the range is not inside the file, or the file was closed, or changed since it was
            opened.
        """
        file = self._opened()
        if offset < 0 or n < 0 or offset + n > self.size:
            raise self._error(
                f"{self.name}: bytes {offset} to {offset + n} were asked, but the file has "
                f"{self.size} bytes. It may have been cut short; fetch it again."
            )
        data = self._room(n, _rooms.take)
        self._fill(file, data, offset)
        data.flags.writeable = False
        return data

    def _opened(self) -> _Descriptor:
        file = self._file  # another thread may close it
        if file is None:
            raise self._error(f"{self.name} is closed; open it again to read from it.")
        return file

    def _fill(self, file: _Descriptor, data: Bytes, offset: int) -> None:
        """Read as many bytes from `offset` as there is room for; raises as `read` does."""
        n = len(data)
        try:
            got = _read_into(file.number, data.data, offset)
            now = os.fstat(file.number)
        except OSError as problem:
            raise self._error(
                f"{self.name}: bytes {offset} to {offset + n} cannot be read: {problem}."
            ) from None
        # after reading, so that no byte is older than the question
        if got < n or (now.st_size, now.st_mtime_ns) != (self.size, self._modified):
            raise self._error(
                f"{self.name} was changed while it was open: it had {self.size} bytes and has "
                f"{now.st_size} now. Open it again when it is complete."
            )

    def _room(self, n: int, take: Callable[[int], Bytes]) -> Bytes:
        """Return room for `n` bytes; a file with holes can have more than there is memory."""
        try:
            return take(n)
        except MemoryError:
            raise self._error(
                f"{self.name}: {n:,} bytes at once do not fit into memory. Read fewer rows, or "
                "check whether the file is what it claims to be."
            ) from None

    def head(self, n: int) -> Bytes:
        """Return the first `n` bytes and some more, for a header to grow; raises as `read` does.

        They stand in one buffer, which is filled step by step: what was returned before is a part
        of it, until the buffer has to be a larger one.
        """
        if n > self.size:
            return self.read(0, n)  # refuses
        if n > self._head.size:
            # Beyond these rooms twice the last one: no head is read again at each of its numbers.
            room = next((r for r in _ROOMS if r >= n), max(n, 2 * self._head.size))
            self._head, self._filled = self._room(min(room, self.size), _fresh), 0
        if n > self._filled:
            stop = min(max(n, self._filled + _STEP), self._head.size)
            self._fill(self._opened(), self._head[self._filled : stop], self._filled)
            self._filled = stop
        seen = self._head[: self._filled]
        seen.flags.writeable = False
        return seen

    def close(self) -> None:
        """Close the file; what was read from it stays valid."""
        self._file, self._head, self._filled = None, np.empty(0, np.uint8), 0

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size:,} bytes"
        return f"LocalFile({self.name!r}, {state})"


_POSITION = threading.Lock()  # where there is no pread, all share the position in the file
# macOS refuses to read 2 GiB at once; and without preadv what is read is in memory twice.
_PIECE = 1 << 26


def _read_into(file: int, target: memoryview, offset: int) -> int:
    """Fill `target` from a file, and count the bytes: fewer if the file ends before."""
    got = 0
    while got < len(target):
        room = target[got : got + _PIECE]
        if hasattr(os, "preadv"):
            n = os.preadv(file, [room], offset + got)
        else:
            with _POSITION:
                os.lseek(file, offset + got, os.SEEK_SET)
                part = os.read(file, len(room))
            n = len(part)
            room[:n] = part
        if n == 0:
            break
        got += n
    return got
