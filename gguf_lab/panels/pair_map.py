"""Which of two files is nearer to the original, as a picture of the model: kind over layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import traitlets

from ..comparison.beside import STATISTICS, pool
from ..file.text import printable
from ..markup import card, fold, grid, more, note
from ..model.words import bytes_in_words
from .assets import script, style
from .base import Panel
from .columns import name_of
from .pairs import LABELS, not_finite_in, sentence, strength, written
from .selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..comparison import MetadataDifference, TensorPair

__all__ = ["PairMap"]

_MOST_CELLS: Final = 6000
_MOST_KEYS: Final = 200


class PairMap(Selection, Panel):
    """A cell per matrix: which file is nearer, and by how much; sums of both; metadata.

    Parameters
    ----------
    names : (str, str, str)
        What A, B and the reference are.
    statistic : str
        Which statistic decides.
    direct : bool
        A is compared with B itself: cells show the figure.
    """

    _esm = script("pair_map")
    _css = style("pair_map")

    files = traitlets.List(traitlets.Unicode(), help="What A and B are").tag(sync=True)
    reference = traitlets.Unicode("", help="What both are compared with").tag(sync=True)
    direct = traitlets.Bool(False, help="A is compared with B itself").tag(sync=True)
    statistics = traitlets.List(traitlets.List(), help="[name, label] to choose from").tag(
        sync=True
    )
    statistic = traitlets.Enum(tuple(STATISTICS), "relative_rmse", help="Which decides").tag(
        sync=True
    )
    sums = traitlets.List(traitlets.List(), help="Rows of the table of sums; the head first").tag(
        sync=True
    )
    kinds = traitlets.List(traitlets.Unicode(), help="Rows of the picture").tag(sync=True)
    layers = traitlets.List(traitlets.Int(), help="Columns of the picture; -1: no layer").tag(
        sync=True
    )
    cells = traitlets.List(
        traitlets.List(), help="[name, row, column, which is nearer, strength 0 to 1, words]"
    ).tag(sync=True)
    idle = traitlets.Unicode("", help="What is said while there is no cell").tag(sync=True)
    note = traitlets.Unicode("", help="What is not in the picture").tag(sync=True)
    metadata = traitlets.List(
        traitlets.List(), help="[key, A, B, what the difference is] of metadata that differ"
    ).tag(sync=True)
    compared_metadata = traitlets.Bool(False, help="Whether metadata were compared").tag(sync=True)

    def __init__(
        self,
        names: tuple[str, str, str] = ("A", "B", ""),
        *,
        statistic: str = "relative_rmse",
        direct: bool = False,
    ) -> None:
        self._names: dict[str, None] = {}
        super().__init__(
            label="A and B",
            files=[printable(name, 200) for name in names[:2]],
            reference=printable(names[2], 200),
            statistic=statistic,
            direct=direct,
            statistics=[[name, label] for name, label in LABELS.items()],
        )

    @property
    def names(self) -> list[str]:
        """Names that can be selected: those that the picture has been made of."""
        return list(self._names)

    def _has(self, name: str) -> bool:
        return name in self._names

    def show(self, pairs: Sequence[TensorPair]) -> None:
        """Show pairs of tensors by the statistic that is chosen."""
        self._names = dict.fromkeys(map(name_of, pairs))
        drawn = [pair for pair in pairs if pair.name is not None and len(pair.shape) > 1]
        kinds = list(dict.fromkeys(pair.kind for pair in drawn))
        layers = sorted({-1 if pair.layer is None else pair.layer for pair in drawn})
        rows = {kind: at for at, kind in enumerate(kinds)}
        columns = {layer: at for at, layer in enumerate(layers)}
        top = self._top(drawn)
        cells = [
            [
                name_of(pair),
                rows[pair.kind],
                columns[-1 if pair.layer is None else pair.layer],
                *self._mark(pair, top),
                sentence(pair, self.statistic, direct=self.direct),
            ]
            for pair in drawn[:_MOST_CELLS]
        ]
        unmatched = sum(pair.name is None for pair in pairs)
        whose = "B" if self.direct else "the reference"
        left = (
            (len(pairs) - len(drawn) - unmatched, "vector", "vectors"),
            (len(drawn) - _MOST_CELLS, "further matrix", "further matrices"),
            (unmatched, f"tensor of {whose} alone", f"tensors of {whose} alone"),
        )
        with self.hold_sync():
            self.kinds, self.layers = [printable(kind, 80) for kind in kinds], layers
            self.cells = cells
            self.sums = self._sums(pairs)
            words = " and ".join(
                f"{n:,} {one if n == 1 else many}" for n, one, many in left if n > 0
            )
            only = f"Only in the table: {words}." if words else ""
            self.note = " ".join(filter(None, (_not_finite(pairs), only)))

    def _top(self, pairs: Sequence[TensorPair]) -> float:
        """Return the largest figure that is drawn of a direct comparison."""
        if not self.direct:
            return 1.0
        values = [self._error(pair) for pair in pairs if pair.status == "compared"]
        return max((v for v in values if v is not None and math.isfinite(v)), default=0.0) or 1.0

    def _error(self, pair: TensorPair) -> float | None:
        """Return how large the error of A against B is: more is more."""
        value = pair.figures(self.statistic)[0]
        if value is None or math.isnan(value):
            return None
        if self.statistic == "cosine":
            return 1 - value
        return 10 ** (-value / 20) if self.statistic == "sqnr_db" else value

    def _mark(self, pair: TensorPair, top: float) -> tuple[str, float]:
        """Return which is nearer, and how strongly to show it."""
        if pair.status != "compared":
            return "?", 0.0
        if not_finite_in(pair):
            return "!", 0.0
        if self.direct:
            error = self._error(pair)
            return ("?", 0.0) if error is None else ("=" if not error else "", min(1, error / top))
        better, bits = pair.better(self.statistic), strength(pair, self.statistic)
        if better is None or bits is None:
            return "?", 0.0
        return ("=" if better == "equal" else better), min(1.0, bits / 3)

    def _sums(self, pairs: Sequence[TensorPair]) -> list[list[str]]:
        compared = [pair for pair in pairs if pair.status == "compared"]
        if not compared:
            return [["", "file"], *([s, name] for s, name in zip("AB", self.files, strict=True))]
        if self.direct:
            named = [p for p in compared if p.nbytes_a is not None and p.nbytes_b is not None]
            sizes = [sum(getattr(p, f"nbytes_{s}") for p in named) for s in "ab"]
            weights = sum(p.n_elements for p in named) or 1
            return [
                ["", "file", "size", "bits/weight"],
                *(
                    [s, name, bytes_in_words(n), f"{8 * n / weights:.2f}"]
                    for s, name, n in zip("AB", self.files, sizes, strict=True)
                ),
            ]
        every = pool(compared)
        verdicts = [pair.better(self.statistic) for pair in compared if not not_finite_in(pair)]
        head = ["", "file", "size", "bits/weight", f"{LABELS[self.statistic]} of all", "nearer in"]
        return [
            head,
            *(
                [
                    side.upper(),
                    name,
                    bytes_in_words(every[f"nbytes_{side}"]),
                    f"{every[f'bits_per_weight_{side}']:.2f}",
                    written(self.statistic, every[f"{self.statistic}_{side}"]),
                    f"{verdicts.count(side.upper()):,} of {len(compared):,}",
                ]
                for side, name in zip("ab", self.files, strict=True)
            ),
        ]

    def show_metadata(self, differences: Sequence[MetadataDifference]) -> None:
        """Show where the metadata of A and B differ."""
        with self.hold_sync():
            self.metadata = [
                [d.key, d.ours, d.theirs, _in_words(d.kind)] for d in differences[:_MOST_KEYS]
            ]
            self.compared_metadata = True

    def __repr__(self) -> str:
        return f"<PairMap: {self.files[0]} and {self.files[1]}>"

    def _static(self, limit: int | None) -> str:
        head: list[Any] = self.sums[0] if self.sums else [""]
        parts = [grid(head, self.sums[1:], numeric=range(2, len(head)))]
        words = [[cell[5]] for cell in self.cells[:limit]]
        parts.append(fold(f"{len(self.cells):,} matrices", grid([""], words)))
        parts.append(more(len(self.cells), len(words), "matrices"))
        if self.compared_metadata:
            differ = f"{len(self.metadata):,} keys of the metadata differ"
            keys = ("key", "A", "B", "difference")
            parts.append(fold(differ, grid(keys, self.metadata[:limit])))
        parts.append(note(self.note))
        against = "each other" if self.direct else self.reference
        return card(f"A and B against {against}", *parts)


def _not_finite(pairs: Sequence[TensorPair]) -> str:
    """Say how many tensors of each file have weights that are not finite."""
    found = [odd for pair in pairs if pair.status == "compared" and (odd := not_finite_in(pair))]
    counts = [(found.count(which), which) for which in ("A", "B", "A and B")]
    words = [f"{n:,} {'tensor' if n == 1 else 'tensors'} of {which}" for n, which in counts if n]
    return f"! Weights that are not finite: {', '.join(words)}." if words else ""


def _in_words(kind: str) -> str:
    """Name the sides as the panel does."""
    sides = {"only in the file": "only in A", "only in the reference": "only in B"}
    return sides.get(kind, kind)
