"""Two files of one model: where each is nearer to the original, and at what size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import ipywidgets  # type: ignore[import-untyped]
import traitlets

from ..comparison import Comparison, Run
from ..comparison.beside import STATISTICS, Beside, beside
from ..errors import ComparisonError
from ..file.called import called
from ..markup import stacked
from ..reference import open_reference
from .base import Panel, Static
from .columns import name_of
from .comparing import OVER, Comparing
from .pair_map import PairMap
from .pair_run import DirectRun, PairRun
from .pair_table import PairTable
from .progress import Progress
from .selection import Selection

if TYPE_CHECKING:
    from os import PathLike

    from ..comparison import TensorPair
    from ..file.remote import Address
    from ..model import Model
    from ..reference import Checkpoint

    Given = Comparison | Model | str | PathLike[str] | Address

__all__ = ["SideBySide"]

_NO_MATRIX: Final = "There is no matrix to compare."


class SideBySide(Comparing[Beside], Selection, Static, ipywidgets.VBox):  # type: ignore[misc]
    """Two GGUF files, A and B, against one reference, or against each other.

    Which is nearer in each tensor, by a statistic that one chooses, and at what size; sums; what
    differs in the metadata. The comparisons run in the background and can be cancelled; results
    appear as they come.

    Parameters
    ----------
    a, b : Model, path or Address; or Comparison
        The files. Two comparisons that were made already need no further run.
    reference : Checkpoint, Model, path or Address, optional
        The original weights. Without it A is compared with B itself: then the panel says how far
        they are apart, and not which is better.
    statistic : str
        Which statistic decides: "relative_rmse", "rmse", "sqnr_db", "cosine", "max_abs_error" or
        "mean_abs_error".
    device : str
        Where the comparisons run.
    threads : int, optional
        Threads of each comparison; by default one more than the CPUs that the process may use.
    height : int
        Height of the table in CSS pixels.

    Attributes
    ----------
    selected : list of str
        Names of the selected tensors; readable, settable, observable.
    statistic : str
        Settable: the picture and the table follow.
    map, table, progress : Panel
        The panels.
    """

    statistic = traitlets.Enum(tuple(STATISTICS), "relative_rmse", help="Which statistic decides")

    def __init__(
        self,
        a: Given,
        b: Given,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        *,
        statistic: str = "relative_rmse",
        device: str = "auto",
        threads: int | None = None,
        height: int = 420,
    ) -> None:
        self._panels: list[Panel] = []
        self._pairs: dict[str, TensorPair] = {}
        self._result: Beside | None = None
        try:
            names = self._begin(a, b, reference, {"device": device, "threads": threads})
        except BaseException:
            self._release()
            raise
        self._direct = isinstance(self._run, DirectRun)
        self.progress = Progress(cancel=self.cancel)
        self.map = PairMap(names, statistic=statistic, direct=self._direct)
        self.table = PairTable(height=height)
        self._panels = [self.progress, self.map, self.table]
        super().__init__(self._panels)
        self.statistic = statistic
        self.add_class("gl-side-by-side")
        for source in (self, self.map, self.table):
            source.observe(self._follow, ["selected"])
        traitlets.link((self, "statistic"), (self.map, "statistic"))
        self.observe(self._show, ["statistic"])
        if self._result is not None:
            self._pairs = {name_of(pair): pair for pair in self._result}
        self._show()
        self.map.idle = _NO_MATRIX if self._run is None else "Nothing has been compared yet."
        if self._run is not None:
            self._start()

    def _begin(
        self, a: Given, b: Given, reference: Any, how: dict[str, Any]
    ) -> tuple[str, str, str]:
        if isinstance(a, Comparison) and isinstance(b, Comparison):
            if reference is not None:
                raise ComparisonError("Two comparisons have their reference already: give no other")
            self._result = beside(a, b)
            return called(a.model_path), called(b.model_path), called(a.reference_path)
        if isinstance(a, Comparison) or isinstance(b, Comparison):
            raise ComparisonError("Give two comparisons, or two files: not one of each")
        models: list[Model] = [self._model_of(side) for side in (a, b)]
        if reference is None:
            self._run = DirectRun(Run(*models, **how), models[1])
            return called(models[0].path), called(models[1].path), called(models[1].path)
        reference = self._opened(reference, open_reference)
        self._run = PairRun(*(Run(model, reference, **how) for model in models))
        return called(models[0].path), called(models[1].path), called(reference.path)

    # -- what is shown

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return self.table.names

    def _follow(self, change: Any) -> None:
        for panel in (self, self.table, self.map):
            panel.selected = [name for name in change["new"] if panel._has(name)]

    def _show(self, _change: object = None) -> None:
        pairs = list(self._pairs.values())
        self.map.show(pairs)
        self.table.show(pairs, self.statistic, direct=self._direct)

    def _take(self, state: str, rows: list[Any], seconds: float) -> None:
        if state == "done" and self._background is not None:
            self._result = cast("Beside | None", self._background.result)
        if self._result is not None:
            self._pairs = {name_of(pair): pair for pair in self._result}
            self.map.show_metadata(self._run.metadata)
        else:
            self._pairs |= {name_of(pair): pair for pair in rows}
        if rows or self._result is not None:
            self._show()
        if state != "running":
            over = OVER.get(state)
            self.map.idle = f"Nothing was compared: {over}." if over else _NO_MATRIX

    # -- from Python

    @property
    def result(self) -> Beside | None:
        """Both comparisons side by side, once they have finished.

        After a cancel there is what had finished. Without a reference the figures of A are those
        against B, and there are none of B.
        """
        if self._result is None and self._background is not None:
            return cast("Beside | None", self._background.result)
        return self._result

    def _release(self) -> None:
        for part in self._panels:
            part.close()
        self._panels = []
        self._close_owned()

    # -- static form

    def __repr__(self) -> str:
        a, b = self.map.files
        return f"<SideBySide: {a} and {b}, {len(self._pairs):,} tensors>"

    def _static(self, limit: int | None) -> str:
        parts = [panel._static(limit) for panel in (*self._unfinished(), self.map, self.table)]
        return stacked(parts)
