"""Memory for the weights, made ready while Transformers is being imported."""

from __future__ import annotations

import math
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from ..model import Model

__all__ = ["ClearedMemory"]

_LIMIT = 4 << 30  # bytes: more is not cleared in the seconds that the imports take
_STEP = 32 << 20  # bytes between two looks at whether it is time to stop
_PAGE = 4096


class ClearedMemory:
    """Memory of the sizes of a model's matrices, cleared by a thread of its own.

    The operating system clears each page before a process gets it, when it is first written to.
    For a large model that takes longer than decoding does, and needs no Python: so it is done
    while Python imports the class of the model. Use it as a context: on leaving, the thread ends
    and what nobody took is given back.

    Parameters
    ----------
    model : Model
    dtype : torch.dtype
        Of the parameters.
    device : str
        Nothing is done unless it is the CPU.
    """

    def __init__(self, model: Model, dtype: torch.dtype, device: str) -> None:
        self._sizes: list[int] = []
        left = _LIMIT if device == "cpu" else 0
        for tensor in model.tensors.values():
            if len(tensor.shape) > 1 and tensor.n_elements * dtype.itemsize <= left:
                self._sizes.append(tensor.n_elements)
                left -= tensor.n_elements * dtype.itemsize
        self._dtype = dtype
        self._cleared: dict[int, list[torch.Tensor]] = {}
        self._stop = Event()
        self._thread = Thread(target=self._clear, daemon=True)

    def __enter__(self) -> Self:
        with suppress(RuntimeError):  # no more threads are allowed: it only saves time
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._finish()
        self._cleared.clear()

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype, device: object) -> torch.Tensor:
        """Return a tensor without values, like ``torch.empty``. The clearing ends here."""
        import torch

        self._finish()
        fitting = self._cleared.get(math.prod(shape)) if dtype == self._dtype else None
        if fitting and len(shape) > 1:
            return fitting.pop(0).view(shape)
        return torch.empty(shape, dtype=dtype, device=device)  # type: ignore[call-overload, no-any-return]

    def _finish(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _clear(self) -> None:
        import torch

        for size in self._sizes:
            if self._stop.is_set():
                return
            memory = torch.empty(size, dtype=self._dtype)
            self._cleared.setdefault(size, []).append(memory)
            pages = memory.view(torch.uint8).numpy()
            for start in range(0, len(pages), _STEP):
                if self._stop.is_set():
                    return
                pages[start : start + _STEP : _PAGE] = 0
