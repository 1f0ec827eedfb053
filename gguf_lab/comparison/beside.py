"""Two files against one reference: which is nearer to it, tensor by tensor, and at what size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ComparisonError
from ..file.called import called
from ..file.text import preview, printable
from ..markup import card, grid, more, note
from ..model.words import bytes_in_words
from .named import ByName
from .pool import Pool
from .row import LOW_IS_BAD, SETTLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from matplotlib.figure import Figure

    from ..file import Address
    from .result import Comparison
    from .row import TensorComparison
    from .statistics import Statistics

__all__ = ["STATISTICS", "Beside", "TensorPair", "beside", "place_of"]

# Figures that say which of two is nearer to the reference, and whether more of it is better.
STATISTICS: Final = {
    name: name in LOW_IS_BAD
    for name in ("relative_rmse", "rmse", "sqnr_db", "cosine", "max_abs_error", "mean_abs_error")
}
_SHOWN: Final = 10  # tensors listed in a notebook


@dataclass(frozen=True, slots=True)
class TensorPair:
    """One tensor in two files, A and B.

    Attributes
    ----------
    name, reference_name, layer, kind, shape, n_elements
        As in `TensorComparison`.
    status : {"compared", "unverified", "scale", "unmatched", "unsupported"}
        "compared" if both are; otherwise what the worse of the two is.
    reason : str
        Why it is not "compared", in words.
    qtype_a, qtype_b, nbytes_a, nbytes_b
        How each file stores it and at what size, or None.
    a, b : Statistics or None
        The sums behind the figures of each.
    """

    name: str | None
    reference_name: str | None
    status: str
    reason: str
    layer: int | None
    kind: str
    shape: tuple[int, ...]
    n_elements: int
    qtype_a: str | None = None
    qtype_b: str | None = None
    nbytes_a: int | None = None
    nbytes_b: int | None = None
    a: Statistics | None = field(default=None, repr=False, hash=False)
    b: Statistics | None = field(default=None, repr=False, hash=False)

    def figures(self, statistic: str) -> tuple[float | None, float | None]:
        """Return a statistic of A and of B; None where it was not measured."""
        a, b = (None if side is None else getattr(side, statistic) for side in (self.a, self.b))
        return a, b

    def difference(self, statistic: str) -> float | None:
        """Return B's figure less A's; 0 where they are equal, infinite ones too."""
        a, b = self.figures(statistic)
        if a is None or b is None:
            return None
        return 0.0 if a == b or self._both_exact else b - a

    def better(self, statistic: str) -> str | None:
        """Return which is nearer to the reference: "A", "B", "equal"; None if that is not known.

        That needs figures of both; NaN is none, unless both are exactly the reference.
        """
        a, b = self.figures(statistic)
        if self._both_exact:
            return "equal"
        if a is None or b is None or math.isnan(a) or math.isnan(b):
            return None
        if a == b:
            return "equal"
        return "A" if (a > b) == STATISTICS[statistic] else "B"

    @property
    def _both_exact(self) -> bool:
        # zeros have no relative figures
        return all(side is not None and side.exact for side in (self.a, self.b))


_FACTS: Final = (
    *("name", "reference_name", "status", "reason", "layer", "kind", "shape", "n_elements"),
    *("qtype_a", "qtype_b", "nbytes_a", "nbytes_b"),
)
_INTEGERS: Final = ("layer", "n_elements", "nbytes_a", "nbytes_b")


@dataclass(frozen=True, slots=True)
class Beside(ByName[TensorPair]):
    """Two GGUF files, A and B, against the same reference.

    Attributes
    ----------
    rows : tuple of TensorPair
        The tensors of A in file order, those that only B has, and what only the reference has.
    a_path, b_path, reference_path : Path or Address
    complete : bool
        False if one of the comparisons was cancelled.
    """

    rows: tuple[TensorPair, ...] = field(repr=False)
    a_path: Path | Address
    b_path: Path | Address
    reference_path: Path | Address
    complete: bool = True

    def to_frame(self, statistic: str = "relative_rmse") -> pd.DataFrame:
        """Return one row per tensor.

        Parameters
        ----------
        statistic : str
            Which of `STATISTICS` the columns `difference` (B less A) and `better` ("A", "B",
            "equal", or missing where that is not known) are about.

        Returns
        -------
        DataFrame
            What the tensor is, its type and bytes in A and B, every statistic of both (`rmse_a`,
            `rmse_b`, ...; NaN where it was not measured), `difference`, `better`.
        """
        import pandas as pd

        _check(statistic)
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self.rows] for name in _FACTS
        }
        for name in STATISTICS:
            pairs = [row.figures(name) for row in self.rows]
            columns[f"{name}_a"], columns[f"{name}_b"] = ([p[i] for p in pairs] for i in (0, 1))
        columns["difference"] = [row.difference(statistic) for row in self.rows]
        columns["better"] = [row.better(statistic) for row in self.rows]
        frame = pd.DataFrame(columns)
        for name in _INTEGERS:
            frame[name] = frame[name].astype("Int64")
        for name in frame.columns[len(_FACTS) : -1]:
            frame[name] = frame[name].astype("float64")
        return frame

    def pooled(self, by: str | None = None) -> pd.DataFrame:
        """Return sizes and figures of the compared tensors taken together.

        Parameters
        ----------
        by : {"layer", "kind"}, optional
            A row for each; default: one row for all. Tensors outside the layers have no layer.

        Returns
        -------
        DataFrame
            `n_tensors`, `n_elements`, bytes, bits per weight and every statistic of A and B. Sums
            are pooled, so large tensors weigh more.
        """
        import pandas as pd

        if by not in {None, "layer", "kind"}:
            raise ComparisonError(f"cannot pool by {preview(by)}: choose layer or kind")
        groups: dict[Any, list[TensorPair]] = {} if by else {"all": []}
        for row in self.compared:
            key = getattr(row, by) if by else "all"
            if key is not None:
                groups.setdefault(key, []).append(row)
        keys = sorted(groups) if by == "layer" else list(groups)
        rows = [({by: key} if by else {}) | pool(groups[key]) for key in keys]
        columns = [*([by] if by else []), *pool([])]
        return pd.DataFrame(rows, columns=columns)

    def counts(self, statistic: str = "relative_rmse") -> dict[str, int]:
        """Return of how many compared tensors A is better, B is, and both are equal."""
        _check(statistic)
        verdicts = [row.better(statistic) for row in self.compared]
        return {which: verdicts.count(which) for which in ("A", "B", "equal")}

    def plot_layers(self, statistic: str = "sqnr_db") -> Figure:
        """Draw a statistic of both files against depth, and what each layer takes in bits."""
        from ..plots import plot_beside

        _check(statistic)
        a, b, _ = self._names
        return plot_beside(self.pooled("layer"), statistic, names=(a, b))

    @property
    def _names(self) -> tuple[str, str, str]:
        """What A, B and the reference are called."""
        return called(self.a_path), called(self.b_path), called(self.reference_path)

    @property
    def summary(self) -> str:
        """What is better where, and at what size, in one sentence."""
        compared, counts = self.compared, self.counts()
        left = sum(row.name is not None and row.status not in SETTLED for row in self.rows)
        sizes = [sum(getattr(row, f"nbytes_{side}") or 0 for row in compared) for side in "ab"]
        unknown = len(compared) - sum(counts.values())
        verdict = f"{len(compared)} tensors compared in both: " + ", ".join(
            (
                f"A is nearer to the reference in {counts['A']}",
                f"B in {counts['B']}",
                f"equal in {counts['equal']}",
                *([f"not known in {unknown} (NaN)"] if unknown else ()),
            )
        )
        if compared and all(row.b is None for row in compared):
            verdict = f"{len(compared)} tensors of A compared with B itself"
        return (
            f"{verdict}; {' and '.join(map(bytes_in_words, sizes))}"
            + (f"; {left} not compared in both" if left else "")
            + ("" if self.complete else "; cancelled before the end")
        )

    def __repr__(self) -> str:
        a, b, reference = self._names
        return f"A {a}, B {b}, against {reference}: {self.summary}"

    def _repr_html_(self) -> str:
        names = [*map(printable, self._names)]
        order = sorted(
            (row for row in self.compared if row.better("sqnr_db") in {"A", "B"}),
            key=lambda row: -abs(row.difference("sqnr_db") or 0.0),
        )
        rows = [
            [
                *(row.name or "", row.qtype_a or "", row.qtype_b or ""),
                *(bytes_in_words(n or 0) for n in (row.nbytes_a, row.nbytes_b)),
                *(f"{figure:.2f}" for figure in row.figures("sqnr_db")),
                row.better("sqnr_db") or "",
            ]
            for row in order[:_SHOWN]
        ]
        head = ["name", "type A", "type B", "size A", "size B", "SQNR dB A", "SQNR dB B", "better"]
        return card(
            f"A: {names[0]}, B: {names[1]}, against {names[2]}",
            note("The tensors in which they differ most:"),
            grid(head, rows, numeric=range(3, 7)),
            more(len(order), len(rows), "tensors"),
            note=self.summary,
        )


def _check(statistic: str) -> None:
    if statistic not in STATISTICS:
        raise ComparisonError(
            f"{preview(statistic)} does not say which is better: choose {', '.join(STATISTICS)}"
        )


def pool(rows: Iterable[TensorPair]) -> dict[str, Any]:
    """Return sizes and figures of compared tensors taken together, of A and B."""
    a, b = Pool(), Pool()
    for row in rows:
        if row.a is not None and row.b is not None:
            a.add(row.a, row.nbytes_a)
            b.add(row.b, row.nbytes_b)
    sizes = {
        "n_tensors": a.n_tensors,
        "n_elements": a.statistics.n,
        "nbytes_a": a.nbytes,
        "nbytes_b": b.nbytes,
        "bits_per_weight_a": a.bits_per_weight,
        "bits_per_weight_b": b.bits_per_weight,
    }
    figures = {
        f"{name}_{side}": getattr(sums, name) if sums.n else math.nan
        for name in STATISTICS
        for side, sums in (("a", a.statistics), ("b", b.statistics))
    }
    return sizes | figures


def beside(a: Comparison, b: Comparison) -> Beside:
    """Put two comparisons with the same reference side by side.

    Raises
    ------
    ComparisonError
        If they were made with different references, or one is no comparison.
    """
    if not hasattr(b, "reference_path"):
        raise ComparisonError(f"{preview(b)} is no comparison. Give the result of `compare`.")
    if place_of(a.reference_path) != place_of(b.reference_path):
        raise ComparisonError(
            f"A was compared with {a.reference_path}, B with {b.reference_path}: figures against "
            "different references say nothing about each other. Compare both with the same one."
        )
    return Beside(
        rows=tuple(pairs_of(a.rows, b.rows)),
        a_path=a.model_path,
        b_path=b.model_path,
        reference_path=a.reference_path,
        complete=a.complete and b.complete,
    )


def place_of(path: Path | Address) -> Path | Address:
    """Return what two ways to one file have in common."""
    return path.resolve() if isinstance(path, Path) else path


def pairs_of(a: Iterable[TensorComparison], b: Iterable[TensorComparison]) -> Iterator[TensorPair]:
    """Yield the tensors of A with those of the same name in B, then the others of B.

    Last comes what only the reference has; what one of the files has too is there already.
    """
    (mine, mine_not), (others, others_not) = _by_name(a), _by_name(b)
    for name in dict.fromkeys([*mine, *others]):
        yield pair_of(mine.get(name), others.get(name))
    for name, row in mine_not.items():
        if name in others_not:
            yield pair_of(row, others_not[name])


_Rows = dict[str | None, "TensorComparison"]


def _by_name(rows: Iterable[TensorComparison]) -> tuple[_Rows, _Rows]:
    """Return the rows of a file by name, and those of the reference alone by theirs."""
    named: _Rows = {}
    only: _Rows = {}
    for row in rows:
        if row.name is not None:
            named[row.name] = row
        else:
            only[row.reference_name] = row
    return named, only


_WORST: Final = ("compared", "unverified", "scale", "unsupported", "unmatched")


def pair_of(a: TensorComparison | None, b: TensorComparison | None) -> TensorPair:
    """Join what two comparisons found of one tensor; None: one has nothing, its file may have."""
    row = a or b
    assert row is not None
    status: str = max((side.status for side in (a, b) if side is not None), key=_WORST.index)
    reasons = []
    for which, side in (("A", a), ("B", b)):
        if side is None and row.status == "scale":  # the type of the other one needs none
            continue
        if side is None:
            status = "unmatched"
            reasons.append(f"the comparison of {which} has no such tensor")
        elif side.status != "compared":
            reasons.append(f"{which}: {side.reason}")
    for what in ("shape", "reference_name"):
        x, y = getattr(a, what, None), getattr(b, what, None)
        if a is not None and b is not None and x != y and status in {"compared", "unverified"}:
            status = "unmatched"
            reasons.append(f"the {what.replace('_', ' ')} of A is {x}, that of B {y}")
    return TensorPair(
        name=row.name,
        reference_name=row.reference_name,
        status=status,
        reason="; ".join(reasons),
        layer=row.layer,
        kind=row.kind,
        shape=row.shape,
        n_elements=row.n_elements,
        qtype_a=None if a is None else a.qtype,
        qtype_b=None if b is None else b.qtype,
        nbytes_a=None if a is None else a.nbytes,
        nbytes_b=None if b is None else b.nbytes,
        a=None if a is None else a.statistics,
        b=None if b is None else b.statistics,
    )
