"""The run over a model: row chunks in, one finished tensor after the other out."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..errors import ComparisonError
from ..file.text import preview, suggest
from ..model import Model, given_model
from ..progress import counted
from ..reference import given_reference, line_up
from .cache import ResultCache
from .measuring import Measuring
from .metadata import MetadataDifference, compare_metadata
from .result import Comparison
from .row import TensorComparison
from .statistics import Statistics
from .weighting import digest_of, open_importance

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from os import PathLike
    from pathlib import Path

    from ..file import Address
    from ..model import Tensor
    from ..reference import Checkpoint, Pair
    from .cluster import Cluster
    from .weighting import Importance

__all__ = ["Run", "compare"]


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
        Default: one more than the CPUs that this process may use. Does not change any figure.
    cache : str or path, optional
        A folder in which figures are kept, so that they are not measured again; see `compare`.
    client : distributed.Client, optional
        A Dask cluster that measures, instead of this process; see `compare`.
    importance : path, Imatrix or mapping, optional
        What an error counts in each column; see `compare`.

    Attributes
    ----------
    total, done : int
        Weights to compare, and compared so far.
    current : str
        The tensor finished last.

    Raises
    ------
    GGUFError
        If the file of `importance` is missing or malformed.
    ComparisonError
        If the two do not belong together, or a tensor name is unknown.
    QuantizationError
        If `importance` is neither a path nor a mapping, or does not fit.
    GGUFLabError
        If the device cannot be used, or `threads` is no number of threads.
    """

    def __init__(
        self,
        model: str | Path | Address | Model,
        reference: str | Path | Address | Checkpoint | Model,
        *,
        tensors: str | Iterable[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        cache: str | PathLike[str] | None = None,
        client: Any = None,
        importance: Importance | str | PathLike[str] | None = None,
    ) -> None:
        self._opened = ExitStack()
        self._fetched_before = [getattr(side, "fetched", 0) for side in (model, reference)]
        try:
            self.model = given_model(model, self._opened)
            self.reference = given_reference(reference, self._opened)
            self._cluster: Cluster | None = None
            weights = open_importance(importance, self.model, self._opened, client)
            if client is None:
                network = bool(self.model.fetched or self.reference.fetched)
                self._measuring = Measuring(device, threads, network=network, importance=weights)
                how = self._measuring.how
            else:
                from .cluster import Cluster

                # What this machine has says nothing about the workers.
                device = "cpu" if device == "auto" else device
                self._cluster = Cluster(client, self.model, self.reference, device)
                how = self._cluster.how
            self.backend, self.device, _ = how
            self._cache: ResultCache | None = None
            if cache is not None:
                digest = digest_of(weights, self.model)
                self._cache = ResultCache(cache, self.model, self.reference, how, digest)
            chosen = _choose_tensors(self.model, tensors)
            self.alignment = line_up(self.model, self.reference)
        except BaseException:
            self._opened.close()
            raise
        self._pairs = [pair for pair in self.alignment.pairs if pair.name in chosen]
        # What only the reference has is of interest when the whole file is looked at.
        self._reference_only = self.alignment.reference_only if tensors is None else ()
        self.total = sum(
            self.model.tensor(pair.name).n_elements for pair in self._pairs if pair.readable
        )
        self._metadata: tuple[MetadataDifference, ...] | None = None
        self.done, self.current, self._cached = 0, "", 0
        self._rows: list[TensorComparison] = []
        self._cancelled = self._started = self._finished = False
        self._failure: Exception | None = None
        self._seconds = 0.0

    def cancel(self) -> None:
        """Stop after the chunks under way; what is finished stays."""
        self._cancelled = True

    def close(self) -> None:
        """Close the files that this run has opened."""
        self._opened.close()

    def __iter__(self) -> Iterator[TensorComparison]:
        started = time.perf_counter()
        # once more is from the beginning
        self._rows, self.done, self._cached, self._finished = [], 0, 0, False
        self._started, self._failure = True, None
        kept = self._look_up()
        jobs = [
            (self.model.tensor(pair.name), pair)
            for pair in self._pairs
            if pair.readable and pair.name not in kept
        ]
        try:
            with closing(self._parts(jobs)) as parts:
                for pair in self._pairs:
                    tensor, statistics = self.model.tensor(pair.name), kept.get(pair.name)
                    if statistics is not None:
                        self.done += statistics.n
                    elif pair.readable:
                        statistics = self._merged(parts)
                        if statistics is not None and self._cluster is None:
                            self._keep(tensor, pair, statistics)
                    if self._cancelled or (pair.readable and statistics is None):
                        return
                    row = TensorComparison.of(tensor, pair, statistics)
                    self._rows.append(row)
                    self._cached += pair.name in kept
                    self.current = pair.name
                    self._seconds = time.perf_counter() - started
                    yield row
            self._finished = not self._cancelled
        except Exception as error:
            self._failure = error
            raise
        finally:
            self.close()

    def _look_up(self) -> dict[str, Statistics]:
        if self._cache is None:
            return {}
        found = (
            (pair.name, self._cache.get(self.model.tensor(pair.name), pair))
            for pair in self._pairs
            if pair.readable
        )
        return {name: statistics for name, statistics in found if statistics is not None}

    def _keep(self, tensor: Tensor, pair: Pair, statistics: Statistics) -> None:
        if self._cache is not None:
            self._cache.put(tensor, pair, statistics)

    def _parts(self, jobs: list[tuple[Tensor, Pair]]) -> Generator[tuple[Statistics, bool]]:
        """Return what measures: parts of tensors in file order, and whether a part is the last."""
        if self._cluster is not None:
            return self._cluster.parts(jobs, self._stopped, self._keep)
        return self._measuring.parts(jobs, self._stopped)

    def _stopped(self) -> bool:
        return self._cancelled

    def _merged(self, parts: Iterator[tuple[Statistics, bool]]) -> Statistics | None:
        """Take the parts of one tensor; None if the run was cancelled before the last."""
        merged = Statistics()
        for part, last in parts:
            self.done += part.n
            merged.add(part)
            if last:
                return merged
        return None

    @property
    def fetched(self) -> tuple[int, int]:
        """Bytes that came over a network for this run: of the model, and of the reference."""
        ours, theirs = (
            side.fetched - before
            for side, before in zip((self.model, self.reference), self._fetched_before, strict=True)
        )
        if self._cluster is not None:
            ours, theirs = ours + self._cluster.fetched[0], theirs + self._cluster.fetched[1]
        return ours, theirs

    def result(self, count: Callable[[int], object] = lambda _: None) -> Comparison:
        """Return what has been finished; run to the end first what has not been started.

        Parameters
        ----------
        count : callable, optional
            Called after each tensor with the weights that have been compared just now.

        Raises
        ------
        GGUFLabError
            If the run failed, or fails now, before its first tensor was finished.
        """
        if self._failure is not None and not self._rows:
            raise self._failure  # its files are closed: another try would only say that
        if not (self._started or self._cancelled):
            before = self.done
            for _ in self:
                count(self.done - before)
                before = self.done
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
            cached=self._cached,
            cache_notes=() if self._cache is None else self._cache.notes,
        )

    def _compare_metadata(self) -> tuple[MetadataDifference, ...]:
        if self._metadata is None:
            self._metadata = ()
            if isinstance(self.reference, Model):
                self._metadata = compare_metadata(self.model.metadata, self.reference.metadata)
        return self._metadata


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
    cache: str | PathLike[str] | None = None,
    client: Any = None,
    importance: Importance | str | PathLike[str] | None = None,
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
        Default: one more than the CPUs that this process may use. Does not change any figure.
    cache : str or path, optional
        A folder in which the figures of each finished tensor are kept. A comparison of the same
        files that was interrupted goes on from there; the figures are the same to the bit. Files
        are told by path, inode, size and times, on a server by a strong ETag; without one nothing
        is kept. What is damaged or of another version is measured again: the result says so
        (`Comparison.cached`, `Comparison.cache_notes`).
    client : distributed.Client, optional
        A Dask cluster (extra ``dask``) that measures the tensors, one thread to a task. Its
        workers open the same files, from the same path or from a server, and have the same
        gguf-lab; see ``docs/large-models.md``. `threads` then has no meaning, and ``"auto"`` is
        the CPU.
    importance : path, Imatrix or mapping of str to array, optional
        An importance matrix, as llama-imatrix writes it: for each tensor, what an error counts in
        each of its columns (of each expert). Rows then have `weighted_relative_rmse` too,
        ``sqrt(sum w*e*e / sum w*r*r)``, measured over all weights; None where the matrix has
        nothing that could be used: no entry, or zeros only.

    Returns
    -------
    Comparison

    Raises
    ------
    GGUFError, CheckpointError
        If one of the two is missing or malformed, or the file of `importance` is.
    RemoteError
        If one of the two lies on a server and cannot be had from there.
    ComparisonError
        If they do not belong together, or a tensor name is unknown.
    QuantizationError
        If `importance` is neither a path nor a mapping, or does not fit.
    GGUFLabError
        If the device cannot be used, or `threads` is no number of threads.

    Notes
    -----
    The error is ``dequantized weight - reference weight``, element by element, after the reference
    has been laid out as the converter lays it out, and weights with a scale beside them (NVFP4 has
    one in a tensor of its own) have been multiplied with it: in float32, or before any rounding to
    it where either side is I32, I64 or F64. Between two files of unlike architectures the rows of
    queries and keys are arranged as llama.cpp turns them. Where the layout is not known and only
    names and shapes agree, the row is "unverified": it has figures, and no summary counts them.

    It is an error in weight space: it does not say how well the model answers.

    From a server only the headers are fetched and the rows of the chosen tensors; the result says
    how many bytes that were (`Comparison.model_fetched`, `Comparison.reference_fetched`).
    """
    run = Run(
        *(model, reference),
        tensors=tensors,
        device=device,
        threads=threads,
        cache=cache,
        client=client,
        importance=importance,
    )
    with counted(progress, run.total, "compare") as count:
        return run.result(count)
