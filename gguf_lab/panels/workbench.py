"""The panels joined: select a tensor anywhere, and everything follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..comparison import Comparison, Run
from ..file.called import called
from ..file.text import printable
from ..markup import stacked
from ..quantization import open_imatrix
from ..reference import open_reference
from .base import Snapshot
from .columns import name_of
from .comparing import Comparing
from .headline import Headline
from .joined import Joined
from .progress import Progress
from .rooms import Contents
from .sides import Sides

if TYPE_CHECKING:
    from os import PathLike

    from ..comparison import TensorComparison
    from ..file.remote import Address
    from ..model import Model
    from ..quantization import Imatrix
    from ..reference import Checkpoint

__all__ = ["Workbench", "explore"]

_MOST_SHOWN: Final = 50


class Workbench(Comparing[Comparison], Joined):
    """A model and, if there is one, its reference: all panels, joined in tabs.

    Panels are made when their tab is first shown (or when they are asked for), so that opening is
    fast. The comparison runs in the background; results appear as they come, and it can be
    cancelled. Without a reference the workbench is a viewer.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of a model; on a server too, such as ``hf://owner/repo/file``.
    reference : Checkpoint, Model, path or Address, optional
        The original weights: a checkpoint, a folder, a safetensors file or an index; or another
        GGUF file; ``hf://owner/repo`` on a hub.
    imatrix : Imatrix or path, optional
        An importance matrix: errors are then weighted by it too, column by column.
    other : Model, path or Address, optional
        Another file of the same model, to put beside this one.
    tab : str
        The tab to begin with.
    device : str
        Where the comparison runs.
    threads : int, optional
        Threads of the comparison; by default one more than the CPUs that the process may use.

    Attributes
    ----------
    selected : list of str
        Names of the selected tensors; readable, settable, observable.
    cell : list of int
        Row and column of the selected weight.
    tab : str
        The tab that is shown: "overview", "tensors", "errors", "weights", "pair", "run",
        "metadata", "vocabulary" or "template"; those that have nothing to show are not there.
    headline, progress, overview, table, detail, errors, worst, types, histograms, picture, block, \
pair, run, metadata, vocabulary, template : Panel
        The panels; None where there is nothing to show, such as errors without a reference.

    Notes
    -----
    As the last line of a cell it is shown; later cells may go on with it::

        workbench = explore("model.gguf", reference="checkpoint")
        workbench.selected = "blk.0.attn_q.weight"
        workbench.wait().to_frame()
    """

    def __init__(
        self,
        model: Model | str | PathLike[str] | Address,
        reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
        *,
        imatrix: Imatrix | str | PathLike[str] | None = None,
        other: Model | str | PathLike[str] | Address | None = None,
        tab: str = "overview",
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        try:
            self.model = self._model_of(model)
            self.reference = self._opened(reference, open_reference)
            self.imatrix = self._opened(imatrix, open_imatrix)
            if self.reference is not None:
                sides = self.model, self.reference
                self._run = Run(*sides, device=device, threads=threads, importance=self.imatrix)
            contents = Contents(self.model, self.reference, self.imatrix, other)
            if self._run is not None:
                aligned = Sides(self.model, self.reference, self._run.alignment)
                contents = replace(contents, sides=aligned)
            super().__init__(contents)
            self._build(tab)
        except BaseException:
            self._release()
            raise

    def _build(self, tab: str) -> None:
        words = "" if self.reference is None else f"compared with {called(self.reference.path)}"
        self.headline = Headline(self.model, reference=words)
        self.progress = Progress(cancel=self.cancel)
        self.children = [self.headline, self.progress, self.tabs, self._stage]
        self.tab = tab
        self._open_tab()
        self.overview.check(self.reference)
        if self._run is not None:
            self._start()

    # -- the run

    def _take(self, state: str, rows: list[TensorComparison], seconds: float) -> None:
        self._extend({name_of(row): row for row in rows})
        if state != "running":
            self._end(state)
        if state == "done":
            self.headline.subtitle += f" in {seconds:.1f} s"
            self.overview.check(self.reference, self.result)

    @property
    def result(self) -> Comparison | None:
        """The comparison once it has finished (or was cancelled: then of what had finished)."""
        return None if self._background is None else self._background.result

    def _release(self) -> None:
        if "tabs" in vars(self) or "_made" in vars(self):
            self._close_panels()
        for key in ("headline", "progress"):
            if key in vars(self):
                vars(self)[key].close()
        self._close_owned()

    # -- static form

    def __repr__(self) -> str:
        name = printable(self.model.name, 80)
        if self._background is None:
            return f"<Workbench: {name}, {len(self.model.tensors):,} tensors, no reference>"
        done = sum(row.status == "compared" for row in self._results.values())
        return f"<Workbench: {name}, {self.progress.state}, {done:,} tensors compared>"

    def _static(self, limit: int | None, keys: list[str]) -> str:
        panels = [self.headline, *self._unfinished(), *(getattr(self, key) for key in keys)]
        parts = [panel._static(limit) for panel in panels if panel is not None]
        return stacked(parts)

    def snapshot(self, rows: int | None = 1000) -> Snapshot:
        """Return what the file is, its errors, tensors and memory as an ordinary static output.

        Parameters
        ----------
        rows : int, optional
            Longest table that is written out; None for all rows.
        """
        keys = ["overview", "errors", "histograms", "table", "run", "metadata"]
        return Snapshot(self._static(rows, keys), repr(self))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        # What is not made yet is not made for those who cannot see it.
        html = self._static(
            _MOST_SHOWN, [key for key in self._made if key not in {"block", "pair"}]
        )
        return {**bundle, "text/html": html, "text/plain": repr(self)}


def explore(
    model: Model | str | PathLike[str] | Address,
    reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
    **options: Any,
) -> Workbench:
    """Open the workbench on a model.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of a model.
    reference : Checkpoint, Model, path or Address, optional
        The original weights or another GGUF file; without it the workbench is a viewer.
    **options
        Further arguments of `Workbench`.

    Returns
    -------
    Workbench
        Shown when it is the last line of a cell.
    """
    return Workbench(model, reference, **options)
