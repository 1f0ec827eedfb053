"""How tensors are measured on this machine: in chunks of rows, a few of them ahead in a pool."""

from __future__ import annotations

import warnings
from collections import deque
from concurrent.futures import Future, wait
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ..codec import choose_backend, cpu_count, dequantize
from ..codec.threads import check_threads, pool
from ..errors import GGUFLabError
from ..file.remote import InterruptedReadError, unless
from .exact import decode, is_wide
from .statistics import Statistics, measure
from .weighting import weigh, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import numpy as np

    from ..model import Tensor
    from ..reference import Pair
    from .staging import Stager
    from .weighting import Importance, Weights

__all__ = ["Measuring"]

_CHUNK = 1 << 21
"""Weights per chunk. Fixed, because it decides the order of the sums. With a quarter of it, threads
wait for each other in Python: a whole model takes a third longer."""
_DEVICE_CHUNK = 1 << 23
"""The same on a device with a bus in between: fewer and larger copies and launches."""
_EXACT_BYTES = 1 << 22
"""Bytes of both sides that are decoded at once where float64 is needed."""
_NETWORK_THREADS = 8
"""Threads at least where bytes come over a network: most of the time they wait for it."""
_SLOTS = {"triton": 4, "torch": 2}
"""Chunks at most that are at once on their way to a device. Of each, torch alone makes many copies
there, in float64 too: two of them take a gigabyte and more."""
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/dxg", r"C:\Windows\System32\nvcuda.dll")
"""Where an NVIDIA driver shows: on Linux, in Windows' Linux and on Windows."""


class Measuring:
    """Device, backend and threads, and what they decide.

    Parameters
    ----------
    device : str
        ``"auto"``: a CUDA device if there is one, else the CPU.
    threads : int, optional
        Default: one more than the CPUs that this process may use, so that one reads while the
        others compute; and more if bytes come over a network.
    network : bool, optional
        Whether they do.
    importance : mapping of str to array, optional
        What the columns of a tensor count; see `weigh`.

    Attributes
    ----------
    device, backend : str
        What does the arithmetic.
    threads : int
    chunk : int
        Weights that are summed up at once.
    """

    def __init__(
        self,
        device: str,
        threads: int | None,
        *,
        network: bool = False,
        importance: Importance | None = None,
    ) -> None:
        check_threads(threads)
        self._importance = importance
        self.device = _choose_device(device)
        self.backend = choose_backend(self.device)
        self.threads = threads or max(cpu_count() + 1, _NETWORK_THREADS if network else 1)
        self.chunk = _CHUNK
        self._stager: Stager | None = None
        if self.backend in {"torch", "triton"}:
            self._prepare_device()

    def _prepare_device(self) -> None:
        from .staging import Stager

        if not self.device.startswith("cpu"):
            # One thread reads while another one waits for the device.
            self.chunk, self.threads = _DEVICE_CHUNK, max(2, self.threads)
        self._stager = Stager(self.device, min(self.threads, _SLOTS[self.backend]))

    @property
    def how(self) -> tuple[str, str, int]:
        """What figures may depend on in their last bits: backend, device, weights per chunk."""
        return self.backend, self.device, self.chunk

    def parts(
        self, jobs: Iterable[tuple[Tensor, Pair]], stopped: Callable[[], bool]
    ) -> Generator[tuple[Statistics, bool]]:
        """Measure tensors one after the other.

        Parameters
        ----------
        jobs : iterable of (Tensor, Pair)
        stopped : callable
            Whether to leave it at what is done.

        Yields
        ------
        Statistics, bool
            Of the chunks, in the order of the rows; and whether it is the last one of its tensor.
        """
        ahead: deque[tuple[Future[Statistics], bool]] = deque()
        left = Event()
        wanted = unless(lambda: left.is_set() or stopped())
        tasks = self._tasks(jobs, wanted(self._measure))
        try:
            while not stopped():
                ahead.extend(islice(tasks, 3 * self.threads - len(ahead)))
                if not ahead:
                    return
                future, last = ahead[0]
                part = future.result()
                ahead.popleft()
                yield part, last
        except InterruptedReadError:  # by `stopped`, while it waited for a server
            return
        finally:
            left.set()
            # Cancelled or failed: nothing may still read when the files are closed.
            wait([future for future, _ in ahead if not future.cancel()])

    def whole(self, tensor: Tensor, pair: Pair) -> Statistics:
        """Measure one tensor."""
        merged = Statistics()
        for part, _ in self.parts([(tensor, pair)], lambda: False):
            merged.add(part)
        return merged

    def _tasks(
        self, jobs: Iterable[tuple[Tensor, Pair]], measure: Callable[..., Statistics]
    ) -> Iterator[tuple[Future[Statistics], bool]]:
        for tensor, pair in jobs:
            together = pair.rows_per_read
            step = max(1, self.chunk // max(1, tensor.row_values))
            step = -(-step // together) * together
            weights = weights_of(self._importance, tensor)
            n_rows = tensor.n_rows if tensor.row_values else 0  # empty rows may be 2^60
            for start in range(0, max(1, n_rows), step):
                stop = min(start + step, n_rows)
                chunk = tensor, pair, slice(start, stop), weights
                yield self._submit(partial(measure, *chunk)), stop >= n_rows

    def _submit(self, work: Callable[[], Statistics]) -> Future[Statistics]:
        if self.threads > 1:
            return pool(self.threads).submit(work)
        future: Future[Statistics] = Future()
        future.set_result(work())
        return future

    def _measure(
        self, tensor: Tensor, pair: Pair, rows: slice, weights: Weights | None
    ) -> Statistics:
        span = rows.start, rows.stop
        sides = (pair.stored_dtype, pair.read_stored(*span)), (pair.dtype, pair.read(*span))
        found = self._sum_up(sides)
        if weights is not None:
            found.wee, found.wrr = weigh(sides, weights, rows.start, tensor.n_rows)
        return found

    def _sum_up(self, sides: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]) -> Statistics:
        if any(is_wide(qtype) for qtype, _ in sides):
            return _measure_exactly(*sides)
        if self.backend in {"torch", "triton"}:
            from .on_device import measure_on_device

            return measure_on_device(*sides, self.device, backend=self.backend, stager=self._stager)
        if self.backend == "numba":
            from .kernels import measure_fused

            return measure_fused(*sides)
        x, r = (dequantize(bytes_, qtype, backend=self.backend) for qtype, bytes_ in sides)
        return measure(x, r)


def _measure_exactly(
    weights: tuple[str, np.ndarray], reference: tuple[str, np.ndarray]
) -> Statistics:
    """Sum up what float32 has no room for, a few rows at a time: it takes three times the room."""
    (qtype, blocks), (dtype, rows) = weights, reference
    step = max(1, _EXACT_BYTES // max(1, blocks.shape[-1] + rows.shape[-1]))
    merged = Statistics()
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        merged.add(measure(decode(qtype, blocks[part]), decode(dtype, rows[part])))
    return merged


def _choose_device(device: str) -> str:
    if device != "auto":
        return str(device)
    # torch takes seconds to import: ask it only on a machine that has an NVIDIA driver.
    if not any(Path(sign).exists() for sign in _DRIVERS):
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    try:
        choose_backend("cuda")
    except GGUFLabError as error:  # full, somebody else's alone, too old, or this is a fork
        warnings.warn(f"the CPU compares: {error}", stacklevel=2)
        return "cpu"
    return "cuda"
