"""Bytes on their way to a device: disk, bus and kernels at work at the same time."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..codec import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Stager"]


class Stager:
    """A few slots, each with page-locked buffers, device buffers and a stream of its own.

    While one slot's kernel runs, the next one's bytes cross the bus, and those of a third are read
    from the file into its page-locked buffer. Each caller has its own thread.

    Parameters
    ----------
    device : str
        A torch device. Buffers and streams are for CUDA; to others the bytes are just copied.
    slots : int, optional
        How many callers are served at a time; the others wait.
    """

    def __init__(self, device: str, slots: int = 2) -> None:
        self.device = torch.device(device)
        self._free: SimpleQueue[_Slot] = SimpleQueue()
        for _ in range(slots):
            self._free.put(_Slot(self.device))

    @contextmanager
    def stage(self, *arrays: np.ndarray) -> Iterator[list[torch.Tensor]]:
        """Copy arrays to the device; what runs inside the ``with`` runs on the slot's stream.

        Parameters
        ----------
        *arrays : uint8 arrays
            Of any shape.

        Yields
        ------
        list of uint8 tensors (n_bytes,)
            On the device; not to be used after the ``with``, when the slot is another caller's.
        """
        slot = self._free.get()
        try:
            with slot.entered():
                yield [slot.send(k, array) for k, array in enumerate(arrays)]
        finally:
            try:
                slot.finish()
            finally:  # a broken device tells every caller; nobody waits for a slot of it
                self._free.put(slot)


class _Slot:
    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def entered(self) -> Any:
        """Return a context in which kernels go to the slot's stream."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def finish(self) -> None:
        """Wait for the slot's stream: what it still reads must not be overwritten."""
        if self._stream is not None:
            self._stream.synchronize()

    def send(self, k: int, array: np.ndarray) -> torch.Tensor:
        """Copy an array to the slot's k-th buffer on the device."""
        flat = np.ascontiguousarray(array).reshape(-1)
        if self._stream is None:
            return to_tensor(flat).to(self._device)
        if k not in self._buffers or self._buffers[k][0].numel() < flat.size:
            self._buffers[k] = (
                torch.empty(flat.size, dtype=torch.uint8, pin_memory=True),
                torch.empty(flat.size, dtype=torch.uint8, device=self._device),
            )
        locked, there = (buffer[: flat.size] for buffer in self._buffers[k])
        np.copyto(locked.numpy(), flat)  # without the GIL
        return there.copy_(locked, non_blocking=True)
