"""The blocks of one file that were fetched: kept within a budget, fetched once, in parallel."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...errors import RemoteError, starting_threads
from .deadline import InterruptedReadError, looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..source import Bytes
    from .disk import DiskCache

__all__ = ["Blocks"]

_REQUEST = 4 << 20  # bytes that are asked for at once: so that several requests share a long read
_WINDOW = 32 << 20  # bytes of a long read that are on their way at once


class Blocks:
    """Blocks of equal size, the last one shorter. For any number of threads.

    Parameters
    ----------
    size : int
        Bytes of the file.
    block : int
        Bytes of a block.
    budget : int
        Bytes to be kept in memory.
    fetch : callable
        Returns the bytes [start, stop), checked.
    disk : DiskCache, optional
        Where blocks are kept too.
    """

    def __init__(
        self,
        size: int,
        block: int,
        budget: int,
        fetch: Callable[[int, int], bytes],
        disk: DiskCache | None = None,
    ) -> None:
        self._size, self._block = size, block
        self._most = budget // block
        self._fetch = fetch
        self._disk = disk
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()  # used last: at the end
        self._coming: dict[int, Future[bytes]] = {}

    def put(self, data: bytes) -> None:
        """Keep the beginning of the file: whole blocks of it."""
        for index in range(len(data) // self._block):
            self._keep(index, data[index * self._block : (index + 1) * self._block])

    def read(self, offset: int, n: int) -> Bytes:
        """Return bytes that are inside the file, as a read-only array.

        Raises
        ------
        RemoteError
            What `fetch` raises; or if there is no memory for so many.
        """
        try:
            result = np.empty(n, np.uint8)
        except MemoryError:
            raise RemoteError(f"{n:,} bytes do not fit into memory. Read fewer rows.") from None
        window = max(1, _WINDOW // self._block) * self._block
        at = offset
        while at < offset + n:
            # Windows begin where blocks do, so that no block is looked at twice.
            stop = min(at - at % self._block + window, offset + n)
            self._read_window(result[at - offset : stop - offset], at, stop)
            at = stop
        result.flags.writeable = False
        return result

    def clear(self) -> None:
        """Forget the blocks in memory."""
        with self._lock:
            self._kept.clear()

    def _read_window(self, result: Bytes, start: int, stop: int) -> None:
        while True:
            try:
                self._try_window(result, start, stop)
            except InterruptedReadError:
                next(looks())  # raises it again if it was for us; else another one has left
            else:
                return

    def _try_window(self, result: Bytes, start: int, stop: int) -> None:
        first, last = start // self._block, (stop - 1) // self._block
        found, coming, ours = self._claim(first, last)
        self._bring_all(ours)
        for index in range(first, last + 1):
            data = found[index] if index in found else _awaited(coming[index])
            at = index * self._block
            part = data[max(start - at, 0) : stop - at]
            begin = max(at, start) - start
            result[begin : begin + len(part)] = np.frombuffer(part, np.uint8)

    def _claim(
        self, first: int, last: int
    ) -> tuple[dict[int, bytes], dict[int, Future[bytes]], dict[int, Future[bytes]]]:
        """Return the blocks that are here, those that will come, and those of them to fetch."""
        found: dict[int, bytes] = {}
        coming: dict[int, Future[bytes]] = {}
        ours: dict[int, Future[bytes]] = {}
        with self._lock:
            for index in range(first, last + 1):
                if index in self._kept:
                    self._kept.move_to_end(index)
                    found[index] = self._kept[index]
                    continue
                if index not in self._coming:
                    ours[index] = self._coming[index] = Future()
                coming[index] = self._coming[index]
        return found, coming, ours

    def _bring_all(self, ours: dict[int, Future[bytes]]) -> None:
        """Take what the disk has, and fetch the others, side by side."""
        try:
            runs = list(self._runs(ours))
            with starting_threads(RemoteError):
                for run in runs[1:]:
                    # with what it knows of being wanted (`unless`)
                    work = partial(copy_context().run, self._bring, run)
                    threading.Thread(target=work, daemon=True).start()
            if runs:  # by this thread, so that a short read needs no other one
                self._bring(runs[0])
        except BaseException:  # whoever waits must not wait for ever
            self._fail(ours, InterruptedReadError())
            raise

    def _runs(self, ours: dict[int, Future[bytes]]) -> Iterator[dict[int, Future[bytes]]]:
        """Join the blocks that the disk does not have to requests of neighbours."""
        run: dict[int, Future[bytes]] = {}
        for index, future in ours.items():
            data = None if self._disk is None else self._disk.get(index, self._length(index))
            if data is not None:
                self._keep(index, data)
                future.set_result(data)
                continue
            if run and (index - 1 not in run or len(run) * self._block >= _REQUEST):
                yield run
                run = {}
            run[index] = future
        if run:
            yield run

    def _bring(self, run: dict[int, Future[bytes]]) -> None:
        """Fetch blocks that lie side by side, and give them to all who wait for them."""
        start = min(run) * self._block
        stop = min((max(run) + 1) * self._block, self._size)
        try:
            data = self._fetch(start, stop)
        except RemoteError as problem:
            self._fail(run, problem)
            return
        except BaseException:
            self._fail(run, RemoteError("the read was interrupted; read again"))
            raise
        parts = {
            index: data[number * self._block : (number + 1) * self._block]
            for number, index in enumerate(run)
        }
        for index, part in parts.items():
            self._keep(index, part)
            with suppress(InvalidStateError):
                run[index].set_result(part)
        if self._disk is not None:
            for index, part in parts.items():
                self._disk.put(index, part)

    def _fail(self, blocks: dict[int, Future[bytes]], problem: RemoteError) -> None:
        for index, future in blocks.items():
            with self._lock:
                if self._coming.get(index) is future:
                    del self._coming[index]
            with suppress(InvalidStateError):
                future.set_exception(problem)

    def _keep(self, index: int, data: bytes) -> None:
        with self._lock:
            self._coming.pop(index, None)
            self._kept[index] = data
            self._kept.move_to_end(index)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _length(self, index: int) -> int:
        return min(self._block, self._size - index * self._block)


def _awaited(block: Future[bytes]) -> bytes:
    """Wait for a block as long as it is wanted."""
    for pause in looks():
        with suppress(TimeoutError):
            return block.result(pause)
    raise AssertionError("looks without end have ended")
