"""A file on a server as a source of bytes: nothing is fetched before it is looked at."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Self

import numpy as np

from ...errors import RemoteError
from .address import parse_address
from .blocks import Blocks
from .disk import DiskFolder
from .options import RemoteOptions
from .ranges import RangeReader

if TYPE_CHECKING:
    from pathlib import Path

    from ..source import Bytes
    from .address import Address

__all__ = ["RemoteFile"]


class RemoteFile:
    """A file on a server that gives ranges. For any number of threads.

    Parameters
    ----------
    address : str or Address
        ``hf://owner/repo/file`` or a URL.
    options : RemoteOptions, optional
        Default: those of the environment.

    Attributes
    ----------
    path : Address
        As it was given.
    pinned : Address
        The same at the commit that it had when it was opened, if it is on a hub.
    name : str
        As text, without what may be secret.
    size : int
        Bytes in all.

    Raises
    ------
    RemoteError
        If it cannot be had, or only whole. Later too: if what comes is not exactly the bytes that
        were asked, if it does not come in time, or if the file is no longer the one that was
        opened. No such bytes are given out or kept.
    """

    def __init__(self, address: str | Address, options: RemoteOptions | None = None) -> None:
        self.path = parse_address(address)
        self.name = str(self.path)
        options = options or RemoteOptions.from_environment()
        self._reader = RangeReader(self.path, options)
        first = self._reader.open(options.block_bytes)
        identity = self._reader.identity
        if identity is None:
            raise AssertionError("a file that was opened has an identity")
        self.pinned = self._reader.address
        self.size = identity.size
        self._certain, self._told = identity.certain, identity.etag or identity.modified
        disk = None
        if options.cache is not None and identity.certain:
            folder = _folder(options.cache, options.cache_bytes)
            disk = folder.of(self.path.url, identity.certain, self.size, options.block_bytes)
        self._blocks = Blocks(
            self.size, options.block_bytes, options.memory_bytes, self._reader.read, disk
        )
        self._blocks.put(first)
        self._head: Bytes = np.frombuffer(first, np.uint8)
        self._options = options
        self.closed = False

    @property
    def fetched(self) -> int:
        """Bytes that came from the server, also in attempts that failed."""
        return self._reader.fetched

    @property
    def version(self) -> str:
        """URL and strong ETag; empty if the server gives none. What may be secret is hashed."""
        if not self._certain:
            return ""
        text = f"{self.path.url}\0{self._certain}\0{self.size}"
        return f"url {hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def stamp(self) -> str:
        """Size and ETag, or date."""
        return f"{self.size} bytes of {self._certain or self._told}"

    def read(self, offset: int, n: int) -> Bytes:
        """Return the `n` bytes from `offset` as a read-only uint8 array.

        Raises
        ------
        RemoteError
            If the range is not inside the file, the file was closed, or the bytes cannot be had.
        """
        if self.closed:
            raise RemoteError(f"{self.name} is closed; open it again to read from it.")
        if offset < 0 or n < 0 or offset + n > self.size:
            raise RemoteError(
                f"{self.name}: bytes {offset} to {offset + n} were asked, but the file has "
                f"{self.size} bytes."
            )
        if offset + n <= self._head.size:
            return self._head[offset : offset + n]
        return self._blocks.read(offset, n)

    def head(self, n: int) -> Bytes:
        """Return the first `n` bytes or more: at least twice as many as the last time.

        Raises
        ------
        RemoteError
            If it is longer than any sensible head; what `read` raises.
        """
        seen = self._head.size
        if n > seen:
            longest = self._options.head_bytes
            if n > longest:
                raise RemoteError(
                    f"{self.name}: its head goes on after {longest:,} bytes, which is "
                    "more than is fetched of one. It is damaged, or must be downloaded."
                )
            stop = min(max(n, 2 * seen, self._options.read_ahead_bytes), self.size, longest)
            head = np.concatenate([self._head, self.read(seen, stop - seen)])
            head.flags.writeable = False
            self._head = head
        return self._head

    def close(self) -> None:
        """Let go of what was fetched. Arrays that were read stay valid."""
        self.closed = True
        self._blocks.clear()
        self._head = self._head[:0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size:,} bytes, {self.fetched:,} fetched"
        return f"RemoteFile({self.name!r}, {state})"


@cache
def _folder(path: Path, budget: int) -> DiskFolder:
    return DiskFolder(path, budget)
