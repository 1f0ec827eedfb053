"""Two files compared at once, in a form that runs in the background as one comparison does."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from ..comparison import Beside, MetadataDifference, TensorPair
from ..comparison.beside import beside, pair_of
from ..comparison.metadata import compare_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..comparison import Run, TensorComparison
    from ..model import Model

__all__ = ["DirectRun", "PairRun"]


class PairRun:
    """Two comparisons with one reference, in step: a pair is finished when both sides are.

    Parameters
    ----------
    a, b : Run
        Not yet begun.

    Attributes
    ----------
    metadata : tuple of MetadataDifference
        Where the metadata of A and B differ; there once `result` was called.
    """

    def __init__(self, a: Run, b: Run) -> None:
        self._runs = a, b
        self.total = a.total + b.total
        self.metadata: tuple[MetadataDifference, ...] = ()

    @property
    def done(self) -> int:
        """Weights compared so far."""
        return sum(run.done for run in self._runs)

    def cancel(self) -> None:
        """Stop both; what is finished stays."""
        for run in self._runs:
            run.cancel()

    def __iter__(self) -> Iterator[TensorPair]:
        waiting: list[dict[str | None, TensorComparison]] = [{}, {}]
        for both in zip_longest(*self._runs):
            for side, row in enumerate(both):
                if row is None:
                    continue
                other = waiting[1 - side].pop(row.name, None)
                if other is None:
                    waiting[side][row.name] = row
                else:
                    yield pair_of(other, row) if side else pair_of(row, other)

    def result(self) -> Beside:
        """Return what has been finished of both."""
        a, b = self._runs
        self.metadata = compare_metadata(a.model.metadata, b.model.metadata)
        return beside(a.result(), b.result())


class DirectRun:
    """A compared with B itself, which stands for the original.

    Parameters
    ----------
    run : Run
        Not yet begun; its reference is `other`.
    other : Model
        B.
    """

    def __init__(self, run: Run, other: Model) -> None:
        self._run, self._other = run, other
        self.total = run.total
        self.metadata: tuple[MetadataDifference, ...] = ()

    @property
    def done(self) -> int:
        """Weights compared so far."""
        return self._run.done

    def cancel(self) -> None:
        """Stop; what is finished stays."""
        self._run.cancel()

    def __iter__(self) -> Iterator[TensorPair]:
        for row in self._run:
            yield self._pair(row)

    def _pair(self, row: TensorComparison) -> TensorPair:
        name = row.reference_name or ""
        theirs = self._other.tensor(name) if name in self._other.tensors else None
        pair = pair_of(row, row)
        return replace(
            pair,
            name=row.name or row.reference_name,
            reason=row.reason,
            qtype_b=None if theirs is None else theirs.qtype,
            nbytes_b=None if theirs is None else theirs.nbytes,
            b=None,
        )

    def result(self) -> Beside:
        """Return what has been finished: the figures of A are those against B."""
        found = self._run.result()
        self.metadata = found.metadata
        return Beside(
            rows=tuple(self._pair(row) for row in found.rows),
            a_path=found.model_path,
            b_path=found.reference_path,
            reference_path=found.reference_path,
            complete=found.complete,
        )
