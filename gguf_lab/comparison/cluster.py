"""A comparison on a Dask cluster: a task for each tensor, rows read where they are measured.

What travels is small: the names of two files and of some tensors to a worker, sums and histograms
back. Each worker process opens the files once, from a path that all machines share or from a hub
with its own login; a task names no token. Sums are added up as on one machine, so figures are the
same to the bit.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from .. import __version__
from ..errors import ComparisonError, GGUFLabError
from ..file.remote import Address
from ..model import Model, open_model
from ..reference import Checkpoint, Pair, line_up, open_checkpoint
from .measuring import Measuring
from .statistics import STATISTICS_VERSION, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from ..model import Tensor

    Job: TypeAlias = tuple[Tensor, Pair]

__all__ = ["Cluster"]

_TOGETHER = 1 << 22
"""Weights up to which neighbours share a task: some milliseconds, so that sending it is cheap."""
_LOOK = 0.1  # seconds between looks whether the run was cancelled
_OPEN = 2  # pairs of models that a worker process keeps open


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker is told: which files in which version, which tensors, and how.

    Attributes
    ----------
    model, reference : str or Address
        Paths are absolute; addresses hold no key.
    is_file : bool
        Whether the reference is a GGUF file.
    stamps : tuple of str
        Of all files of both, as the client sees them.
    names : tuple of str
        Tensors.
    how : tuple
        See `Measuring.how`.
    versions : tuple
        Of the package and of the statistics.
    """

    model: str | Address
    reference: str | Address
    is_file: bool
    stamps: tuple[str, ...]
    names: tuple[str, ...]
    how: tuple[str, str, int]
    versions: tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What comes back: sums, and the bytes fetched so far by who opened the files (`opened`)."""

    found: tuple[Statistics, ...]
    opened: str
    before: tuple[int, int]
    after: tuple[int, int]


class Cluster:
    """A client of a cluster and the two models that its workers are to open.

    Parameters
    ----------
    client : distributed.Client
    model : Model
    reference : Checkpoint or Model
    device : str
        Of the workers.

    Attributes
    ----------
    how : tuple
        See `Measuring.how`; the same on all workers.
    fetched : tuple of int
        Bytes that workers have fetched of the model and of the reference. What a worker fetched
        that died is not among them.

    Raises
    ------
    ComparisonError
        If it is no such client, or an address has a key in it.
    """

    def __init__(
        self, client: Any, model: Model, reference: Checkpoint | Model, device: str
    ) -> None:
        usable = all(hasattr(client, name) for name in ("submit", "cancel", "scheduler_info"))
        if not usable or getattr(client, "asynchronous", False):
            raise ComparisonError(
                f"the client is a {type(client).__name__}. Expected a distributed.Client that is "
                "not asynchronous."
            )
        self._client = client
        self._work = _Work(
            _place(model),
            _place(reference),
            isinstance(reference, Model),
            _stamps(model, reference),
            (),
            Measuring("cpu", 1).how,
            (__version__, STATISTICS_VERSION),
        )
        if not device.startswith("cpu"):
            how = self._result(client.submit(_ask, device, pure=False), "its device")
            self._work = replace(self._work, how=how)
        self._fetched: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}

    @property
    def how(self) -> tuple[str, str, int]:
        """Backend, device and weights per chunk."""
        return self._work.how

    @property
    def fetched(self) -> tuple[int, int]:
        """Bytes of either side."""
        spans = self._fetched.values()
        return (
            sum(after[0] - before[0] for before, after in spans),
            sum(after[1] - before[1] for before, after in spans),
        )

    def parts(
        self,
        jobs: Sequence[Job],
        stopped: Callable[[], bool],
        keep: Callable[[Tensor, Pair, Statistics], None],
    ) -> Generator[tuple[Statistics, bool]]:
        """Measure tensors, all at once as far as there are workers; yield them in their order.

        Parameters
        ----------
        jobs : sequence of (Tensor, Pair)
        stopped : callable
            Whether to leave it at what is done.
        keep : callable
            Is given each tensor when it comes, which may be long before its turn.

        Yields
        ------
        Statistics, bool
            Of a tensor; True.

        Raises
        ------
        GGUFLabError
            What a worker raised.
        ComparisonError
            If a task failed otherwise, such as by the death of one worker after another.
        """
        batches = list(_batches(jobs))
        came: SimpleQueue[int] = SimpleQueue()
        found: dict[int, tuple[Statistics, ...]] = {}
        futures: dict[int, Any] = {}
        try:
            for i, batch in enumerate(batches):
                work = replace(self._work, names=tuple(tensor.name for tensor, _ in batch))
                futures[i] = self._client.submit(_measure, work, pure=False)
                futures[i].add_done_callback(lambda _, i=i: came.put(i))
            for i in range(len(batches)):
                while i not in found:
                    if stopped():
                        return
                    try:
                        k = came.get(timeout=_LOOK)
                    except Empty:
                        continue
                    found[k] = self._take(futures.pop(k), batches[k], keep)
                yield from ((statistics, True) for statistics in found.pop(i))
        finally:
            if futures and self._client.status == "running":
                self._client.cancel(list(futures.values()))

    def _take(
        self,
        future: Any,
        batch: Sequence[Job],
        keep: Callable[[Tensor, Pair, Statistics], None],
    ) -> tuple[Statistics, ...]:
        answer: _Answer = self._result(future, f"tensor {batch[0][0].name}")
        before, after = self._fetched.get(answer.opened, (answer.before, answer.after))
        self._fetched[answer.opened] = min(before, answer.before), max(after, answer.after)
        for (tensor, pair), statistics in zip(batch, answer.found, strict=True):
            keep(tensor, pair, statistics)
        return answer.found

    def _result(self, future: Any, what: str) -> Any:
        try:
            return future.result()
        except GGUFLabError:
            raise
        except Exception as problem:
            kind = type(problem).__name__
            advice = {
                "KilledWorker": "Every worker that tried died: has each enough memory?",
                "ModuleNotFoundError": "Install the same gguf-lab on all workers.",
            }.get(kind, "The log of the worker may say more.")
            raise ComparisonError(
                f"{what} could not be measured on the cluster ({kind}: {problem}). {advice}"
            ) from problem


def _place(side: Model | Checkpoint) -> str | Address:
    """Say where a worker finds a model: the commit that is open here, if it is on a hub."""
    path = side.path
    if not isinstance(path, Address):
        return os.path.abspath(path)  # noqa: PTH100 -- links keep their names
    if path.has_query:
        raise ComparisonError(
            f"{path} has a query, which may be a key, and keys are not sent to a cluster. Name it "
            "as hf://owner/repo, for which each worker has its own login, or share a folder."
        )
    commit = getattr(side.sources[0], "pinned", path).revision
    return path.at(commit) if path.repository else path


def _stamps(model: Model, reference: Checkpoint | Model) -> tuple[str, ...]:
    return tuple(source.stamp for source in (*model.sources, *reference.sources))


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Give each tensor a task of its own, but neighbours one together as long as they are tiny."""
    batch: list[Job] = []
    weights = 0
    for tensor, pair in jobs:
        if batch and weights + tensor.n_elements > _TOGETHER:
            yield batch
            batch, weights = [], 0
        batch.append((tensor, pair))
        weights += tensor.n_elements
    if batch:
        yield batch


# From here on: what runs on a worker.


def _ask(device: str) -> tuple[str, str, int]:
    return Measuring(device, 1).how


class _Opened:
    """Two models that are open in this process, lined up."""

    def __init__(self, work: _Work) -> None:
        self.token = uuid4().hex
        self.model = open_model(work.model)
        opener = open_model if work.is_file else open_checkpoint
        self.reference: Model | Checkpoint = opener(work.reference)
        if _stamps(self.model, self.reference) != work.stamps:
            raise ComparisonError(
                f"a worker sees other versions of {work.model} and {work.reference} than the "
                "client: sizes, dates or ETags differ. Expected a folder that all machines share."
            )
        alignment = line_up(self.model, self.reference)
        self.pairs = {pair.name: pair for pair in alignment.pairs}

    @property
    def fetched(self) -> tuple[int, int]:
        return self.model.fetched, self.reference.fetched


_opened: OrderedDict[tuple[Any, ...], _Opened] = OrderedDict()
_lock = threading.Lock()


def _open(work: _Work) -> tuple[_Opened, tuple[int, int]]:
    """Return the models of a task, and the bytes that were fetched of them before it."""
    key = work.model, work.reference, work.stamps
    with _lock:
        if key in _opened:
            _opened.move_to_end(key)
            return _opened[key], _opened[key].fetched
        opened = _opened[key] = _Opened(work)
        while len(_opened) > _OPEN:  # files are closed with the last task that uses them
            _opened.popitem(last=False)
        return opened, (0, 0)


def _measure(work: _Work) -> _Answer:
    if (__version__, STATISTICS_VERSION) != work.versions:
        raise ComparisonError(
            f"a worker has gguf-lab {__version__} and the client {work.versions[0]}, or their "
            "statistics differ. Install the same version on all machines."
        )
    measuring = Measuring(work.how[1], 1)
    if measuring.how != work.how:
        raise ComparisonError(
            f"a worker would measure with {measuring.backend} on {measuring.device} and not, as "
            f"the client, with {work.how[0]} on {work.how[1]}. Install the same on all machines."
        )
    opened, before = _open(work)
    found = [measuring.whole(opened.model.tensor(n), opened.pairs[n]) for n in work.names]
    return _Answer(tuple(found), opened.token, before, opened.fetched)
