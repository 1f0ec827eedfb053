"""The run over a model: row chunks in, one finished tensor after the other out."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, wait
from contextlib import ExitStack
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..codec import choose_backend, cpu_count, dequantize
from ..codec.threads import pool
from ..errors import ComparisonError
from ..file.text import preview, suggest
from ..model import Model, open_model
from ..reference import Checkpoint, align, align_files, open_reference
from .metadata import MetadataDifference, compare_metadata
from .result import Comparison, TensorComparison
from .statistics import Statistics, measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..file import Address
    from ..model import Tensor
    from ..reference import Pair
    from .staging import Stager

    _Task: TypeAlias = "tuple[Tensor, Pair, Future[Statistics] | None, bool]"

__all__ = ["Run", "compare"]

_CHUNK = 1 << 19
"""Weights per chunk. Fixed, because it decides the order of the sums."""
_DEVICE_CHUNK = 1 << 23
"""The same on a device with a bus in between: fewer and larger copies and launches."""
_NETWORK_THREADS = 8
"""Threads at least where bytes come over a network: most of the time they wait for it."""
_SLOTS = 4
"""Chunks at most that are at once on their way to a device."""


class Run:
    """One comparison under way: iterate to get each tensor as it is finished, in file order.

    Parameters
    ----------
    model : str, path, Address or Model
        The GGUF file.
    reference : str, path, Address, Checkpoint or Model
        The original checkpoint, or another GGUF file.
    tensors : str or iterable of str, optional
        Names, or a pattern such as ``"blk.0.*"``; default all.
    device : str, optional
        ``"auto"``: a CUDA device if there is one, else the CPU.
    threads : int, optional
        Default: the CPUs that this process may use. Does not change any figure.

    Attributes
    ----------
    total, done : int
        Weights to compare, and compared so far.
    current : str
        The tensor finished last.

    Raises
    ------
    ComparisonError
        If the two do not belong together, or a tensor name is unknown.
    """

    def __init__(
        self,
        model: str | Path | Address | Model,
        reference: str | Path | Address | Checkpoint | Model,
        *,
        tensors: str | Iterable[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self._opened = ExitStack()
        self._fetched_before = [getattr(side, "fetched", 0) for side in (model, reference)]
        try:
            self.model = model if isinstance(model, Model) else self._own(open_model(model))
            self.reference: Checkpoint | Model = (
                reference
                if isinstance(reference, Checkpoint | Model)
                else self._own(open_reference(reference))
            )
            self.device = _choose_device(device)
            self.backend = choose_backend(self.device)
            network = self.model.fetched or self.reference.fetched
            self.threads = threads or max(cpu_count(), _NETWORK_THREADS if network else 1)
            self._chunk = _CHUNK
            self._stager: Stager | None = None
            if self.backend in {"torch", "triton"}:
                self._prepare_device()
            chosen = _choose_tensors(self.model, tensors)
            if isinstance(self.reference, Model):
                alignment = align_files(self.model, self.reference)
            else:
                alignment = align(self.model, self.reference)
        except BaseException:
            self._opened.close()
            raise
        self._pairs = [pair for pair in alignment.pairs if pair.name in chosen]
        # What only the reference has is of interest when the whole file is looked at.
        self._reference_only = alignment.reference_only if tensors is None else ()
        self.total = sum(
            self.model.tensor(pair.name).n_elements for pair in self._pairs if pair.readable
        )
        self._metadata: tuple[MetadataDifference, ...] | None = None
        self.done, self.current = 0, ""
        self._rows: list[TensorComparison] = []
        self._cancelled = self._finished = False
        self._seconds = 0.0

    def _prepare_device(self) -> None:
        from .staging import Stager

        if not self.device.startswith("cpu"):
            # One thread reads while another one waits for the device.
            self._chunk, self.threads = _DEVICE_CHUNK, max(2, self.threads)
        self._stager = Stager(self.device, min(self.threads, _SLOTS))

    def _own(self, opened: Any) -> Any:
        self._opened.callback(opened.close)
        return opened

    def cancel(self) -> None:
        """Stop after the chunks under way; what is finished stays."""
        self._cancelled = True

    def close(self) -> None:
        """Close the files that this run has opened."""
        self._opened.close()

    def __iter__(self) -> Iterator[TensorComparison]:
        started, merged = time.perf_counter(), Statistics()
        try:
            for tensor, pair, part, last in self._parts():
                if part is not None:
                    self.done += part.n
                    merged.add(part)
                if last:
                    row = TensorComparison.of(tensor, pair, None if part is None else merged)
                    merged = Statistics()
                    self._rows.append(row)
                    self.current = pair.name
                    self._seconds = time.perf_counter() - started
                    yield row
            self._finished = not self._cancelled
        finally:
            self.close()

    def _parts(self) -> Iterator[tuple[Tensor, Pair, Statistics | None, bool]]:
        """Yield the chunks' sums in row order, with a few chunks ahead of them in the pool."""
        ahead: deque[_Task] = deque()
        tasks = self._tasks()
        try:
            while not self._cancelled:
                ahead.extend(islice(tasks, 3 * self.threads - len(ahead)))
                if not ahead:
                    return
                tensor, pair, future, last = ahead.popleft()
                yield tensor, pair, None if future is None else future.result(), last
        finally:
            # Cancelled or failed: nothing may still read when the files are closed.
            wait([future for _, _, future, _ in ahead if future and not future.cancel()])

    def _tasks(self) -> Iterator[_Task]:
        for pair in self._pairs:
            tensor = self.model.tensor(pair.name)
            if not pair.readable:
                yield tensor, pair, None, True
                continue
            together = pair.rows_per_read
            step = max(1, self._chunk // max(1, tensor.row_values))
            step = -(-step // together) * together
            for start in range(0, max(1, tensor.n_rows), step):
                stop = min(start + step, tensor.n_rows)
                yield tensor, pair, self._submit(tensor, pair, start, stop), stop >= tensor.n_rows

    def _submit(self, tensor: Tensor, pair: Pair, start: int, stop: int) -> Future[Statistics]:
        if self.threads > 1:
            return pool(self.threads).submit(self._measure, tensor, pair, start, stop)
        future: Future[Statistics] = Future()
        future.set_result(self._measure(tensor, pair, start, stop))
        return future

    def _measure(self, tensor: Tensor, pair: Pair, start: int, stop: int) -> Statistics:
        blocks, rows = tensor.blocks(slice(start, stop)), pair.read(start, stop)
        sides = (tensor.qtype, blocks), (pair.dtype, rows)
        if self.backend in {"torch", "triton"}:
            from .on_device import measure_on_device

            return measure_on_device(*sides, self.device, backend=self.backend, stager=self._stager)
        if self.backend == "numba":
            from .kernels import measure_fused

            return measure_fused(*sides)
        x, r = (dequantize(bytes_, qtype, backend=self.backend) for qtype, bytes_ in sides)
        return measure(x, r)

    @property
    def fetched(self) -> tuple[int, int]:
        """Bytes that came over a network for this run: of the model, and of the reference."""
        ours, theirs = self._fetched_before
        return self.model.fetched - ours, self.reference.fetched - theirs

    def result(self) -> Comparison:
        """Return what has been finished; run to the end first what has not been started."""
        if not (self._rows or self._finished or self._cancelled):
            for _ in self:
                pass
        only = [TensorComparison.of_reference(name) for name in self._reference_only]
        return Comparison(
            rows=tuple(self._rows) + tuple(only),
            model_path=self.model.path,
            reference_path=self.reference.path,
            backend=self.backend,
            device=self.device,
            seconds=self._seconds,
            complete=self._finished,
            metadata=self._compare_metadata(),
            model_fetched=self.fetched[0],
            reference_fetched=self.fetched[1],
        )

    def _compare_metadata(self) -> tuple[MetadataDifference, ...]:
        if self._metadata is None:
            self._metadata = ()
            if isinstance(self.reference, Model):
                self._metadata = compare_metadata(self.model.metadata, self.reference.metadata)
        return self._metadata


def _choose_device(device: str) -> str:
    if device != "auto":
        return str(device)
    # torch takes seconds to import: ask it only on a machine that has an NVIDIA driver.
    if Path("/proc/driver/nvidia/version").exists():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    return "cpu"


def _choose_tensors(model: Model, tensors: str | Iterable[str] | None) -> set[str]:
    names = list(model.tensors)
    if tensors is None:
        return set(names)
    if isinstance(tensors, str):
        chosen = {name for name in names if fnmatchcase(name, tensors)}
        if not chosen:
            raise _unknown(model, tensors)
        return chosen
    chosen = set(tensors)
    for name in sorted(chosen - set(names)):
        raise _unknown(model, name)
    return chosen


def _unknown(model: Model, name: str) -> ComparisonError:
    return ComparisonError(
        f"no tensor of {model.path} is named {preview(name)}.{suggest(name, model.tensors)}"
    )


def compare(
    model: str | Path | Address | Model,
    reference: str | Path | Address | Checkpoint | Model,
    *,
    tensors: str | Iterable[str] | None = None,
    device: str = "auto",
    progress: bool = True,
    threads: int | None = None,
) -> Comparison:
    """Compare every tensor of a GGUF file with its reference, in one streaming pass.

    Parameters
    ----------
    model : str, path, Address or Model
        The GGUF file, or any file of a shard set; on a server too, see `open`.
    reference : str, path, Address, Checkpoint or Model
        The original: a folder with safetensors, or one such file. Or another GGUF file, whose
        tensors of the same names are decoded: another quantization, or an F16 file. On a server:
        ``hf://owner/repo``, ``hf://owner/repo@revision``, or the URL of a file.
    tensors : str or iterable of str, optional
        Names, or a pattern such as ``"blk.0.*"``; default all.
    device : str, optional
        ``"auto"`` (a CUDA device if there is one, else the CPU), ``"cpu"``, ``"cuda"`` ...
    progress : bool, optional
        Show a progress bar if it takes more than half a second.
    threads : int, optional
        Default: the CPUs that this process may use. Does not change any figure.

    Returns
    -------
    Comparison

    Raises
    ------
    GGUFError, CheckpointError
        If one of the two is malformed.
    RemoteError
        If one of the two lies on a server and cannot be had from there.
    ComparisonError
        If they do not belong together, or a tensor name is unknown.

    Notes
    -----
    The error is ``dequantized weight - reference weight``, element by element, after the reference
    has been laid out as the converter lays it out. Where the layout is not known and only names and
    shapes agree, the row is "unverified": it has figures, and no summary counts them.

    It is an error in weight space: it does not say how well the model answers.

    From a server only the headers are fetched and the rows of the chosen tensors; the result says
    how many bytes that were (`Comparison.model_fetched`, `Comparison.reference_fetched`).
    """
    run = Run(model, reference, tensors=tensors, device=device, threads=threads)
    if not progress:
        return run.result()
    from tqdm.auto import tqdm

    with tqdm(total=run.total, unit="w", unit_scale=True, desc="compare", delay=0.5) as bar:
        for _ in run:
            bar.update(run.done - bar.n)
    return run.result()
