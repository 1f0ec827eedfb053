"""How patient, how parallel and how frugal reading from a server is."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from ...errors import RemoteError
from ..source import expanded

__all__ = ["RemoteOptions"]

_SECONDS = ("connect_timeout", "read_timeout", "total_timeout", "pause", "longest_pause")
_POSITIVE = ("attempts", "connections")
_BLOCK = ("block_bytes",)
_BUDGETS = ("memory_bytes", "read_ahead_bytes", "head_bytes", "cache_bytes")


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Limits of time, of traffic and of memory.

    Attributes
    ----------
    connect_timeout, read_timeout : float
        Seconds until there is a connection, and seconds without a byte.
    total_timeout : float
        Seconds for one range of a file, with all attempts and the pauses between them.
    attempts : int
        How often a range is asked for before the last failure is reported.
    pause : float
        Seconds before the second attempt; doubled before each further one.
    longest_pause : float
        A server that asks for more patience (``Retry-After``) is not waited for.
    connections : int
        Ranges that are on their way at once, over all files of the process.
    block_bytes : int
        What is fetched and kept is a multiple of it; at least 512.
    memory_bytes : int
        Budget of the blocks that each open file keeps in memory.
    read_ahead_bytes : int
        The least that is fetched of a head which does not end in the first block.
    head_bytes : int
        The longest head of a GGUF file that is fetched.
    cache : pathlib.Path or None
        A folder in which blocks are kept from one session to the next; None: they are not.
    cache_bytes : int
        Budget of that folder.

    Raises
    ------
    RemoteError
        If a number makes no sense.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    total_timeout: float = 300.0
    attempts: int = 5
    pause: float = 0.5
    longest_pause: float = 60.0
    connections: int = 8
    block_bytes: int = 1 << 17
    memory_bytes: int = 64 << 20
    read_ahead_bytes: int = 1 << 20
    head_bytes: int = 256 << 20
    cache: Path | None = None
    cache_bytes: int = 10 << 30

    def __post_init__(self) -> None:
        for names, kind, least, words in (
            (_SECONDS, Real, 0, "seconds, not negative"),
            (_POSITIVE, Integral, 1, "a whole number, at least 1"),
            # Every block is looked up and kept by itself: with a few bytes each, that takes hours.
            (_BLOCK, Integral, 512, "a whole number of bytes, at least 512"),
            (_BUDGETS, Integral, 0, "a whole number of bytes, not negative"),
        ):
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, kind) or not least <= float(value) < math.inf:
                    raise RemoteError(f"{name} is {value!r}. Expected {words}.")
        if self.cache is not None:
            object.__setattr__(self, "cache", expanded(self.cache))

    @classmethod
    def from_environment(cls) -> RemoteOptions:
        """Return the defaults, with the folder GGUF_LAB_CACHE and its budget GGUF_LAB_CACHE_BYTES.

        Raises
        ------
        RemoteError
            If there is a folder, and the budget is not a whole number.
        """
        folder, budget = os.environ.get("GGUF_LAB_CACHE"), os.environ.get("GGUF_LAB_CACHE_BYTES")
        if not folder:
            return cls()
        if budget and not budget.isdecimal():
            raise RemoteError(
                f"GGUF_LAB_CACHE_BYTES is {budget[:40]!r}. Expected a number of bytes."
            )
        cache = Path(folder)
        return cls(cache=cache, cache_bytes=int(budget)) if budget else cls(cache=cache)
