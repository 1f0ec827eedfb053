"""The panels joined: select a tensor anywhere, and everything follows."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from ..file.remote import Address
from ..file.text import visible
from .background import Background
from .base import Snapshot, explain
from .columns import name_of
from .headline import Headline
from .joined import Joined
from .progress import Progress
from .rooms import Contents

if TYPE_CHECKING:
    from ..comparison import Comparison, TensorComparison
    from ..model import Model
    from ..quantization import Imatrix
    from ..reference import Checkpoint

__all__ = ["Workbench", "explore"]

_MOST_SHOWN: Final = 50


class Workbench(Joined):
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
        Threads of the comparison; by default as many as the process may use.

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
        self._background: Background | None = None
        self._owned: list[Any] = []
        self._run: Any = None
        self.model = self._opened_model(model)
        try:
            self.reference = None if reference is None else _opened_reference(reference)
            if self.reference is not reference:
                self._owned.append(self.reference)
            self.imatrix = self._opened_imatrix(imatrix)
            if self.reference is not None:
                from ..comparison import Run

                sides = self.model, self.reference
                self._run = Run(*sides, device=device, threads=threads, importance=self.imatrix)
            super().__init__(Contents(self.model, self.reference, self.imatrix, other))
            self._build(tab)
        except BaseException:
            self._release()
            raise

    def _build(self, tab: str) -> None:
        words = "" if self.reference is None else f"compared with {self.reference.path.name}"
        self.headline = Headline(self.model, reference=words)
        self.progress = Progress(cancel=self.cancel)
        self.children = [self.headline, self.progress, self.tabs, self._stage]
        self.tab = tab
        self._open_tab()
        self.overview.check(self.reference)
        if self._run is not None:
            self._background = Background(self._run, self._take)
            self._background.start()

    def _opened_model(self, model: Model | str | PathLike[str] | Address) -> Model:
        if not isinstance(model, str | PathLike | Address):
            return model
        from ..model import open_model

        opened = open_model(model)
        self._owned.append(opened)
        return opened

    def _opened_imatrix(self, imatrix: Imatrix | str | PathLike[str] | None) -> Imatrix | None:
        if imatrix is None or not isinstance(imatrix, str | PathLike):
            return imatrix
        from ..quantization import open_imatrix

        opened = open_imatrix(imatrix)
        self._owned.append(opened)
        return opened

    # -- the run

    def _take(self, state: str, rows: list[TensorComparison], seconds: float) -> None:
        """Take over what the background has to report (called from its thread)."""
        try:
            last = name_of(rows[-1]) if rows else self.progress.tensor
            self._extend({name_of(row): row for row in rows})
            done, total = self._run.done, self._run.total
            if state == "done":
                self.headline.subtitle += f" in {seconds:.1f} s"
                self.overview.check(self.reference, self.result)
            self.progress.report(state, done=done, total=total, seconds=seconds, tensor=last)
            if self._background is not None and self._background.error is not None:
                self.progress.error = f"The comparison failed. {explain(self._background.error)}"
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.progress.shown = True
            self.progress.error = explain(error)

    @property
    def result(self) -> Comparison | None:
        """The comparison once it has finished (or was cancelled: then of what had finished)."""
        return None if self._background is None else self._background.result

    def wait(self, timeout: float | None = None) -> Comparison | None:
        """Wait for the comparison and return it.

        Parameters
        ----------
        timeout : float, optional
            Most seconds to wait.
        """
        if self._background is not None:
            self._background.wait(timeout)
        return self.result

    def cancel(self) -> None:
        """Stop the comparison; what has finished is kept."""
        if self._background is not None:
            self._background.cancel()

    def close(self) -> None:
        """Stop the comparison, close the panels and what the workbench itself has opened."""
        if self._background is not None:
            self._background.cancel()
            self._background.wait(10)
        self._release()
        super().close()

    def _release(self) -> None:
        if "tabs" in vars(self) or "_made" in vars(self):
            self._close_panels()
        for key in ("headline", "progress"):
            if key in vars(self):
                vars(self)[key].close()
        for owned in reversed(self._owned):
            owned.close()
        self._owned = []

    # -- static form

    def __repr__(self) -> str:
        name = visible(self.model.name, 80)
        if self._background is None:
            return f"<Workbench: {name}, {len(self.model.tensors):,} tensors, no reference>"
        return (
            f"<Workbench: {name}, {self.progress.state}, {len(self._results):,} tensors compared>"
        )

    def _static(self, limit: int | None, keys: list[str]) -> str:
        panels = [self.headline, *(getattr(self, key) for key in keys)]
        parts = [panel._static(limit) for panel in panels if panel is not None]
        return '<div style="height:6px"></div>'.join(parts)

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


def _opened_reference(
    reference: Checkpoint | Model | str | PathLike[str] | Address,
) -> Checkpoint | Model:
    if not isinstance(reference, str | PathLike | Address):
        return reference
    from ..reference import open_reference

    return open_reference(reference)


def explore(
    model: Model | str | PathLike[str] | Address,
    reference: Checkpoint | Model | str | PathLike[str] | Address | None = None,
    **options: Any,
) -> Workbench:
    """Open the workbench on a model.

    Parameters
    ----------
    model : Model or path
        A model, or any file of a model.
    reference : Checkpoint, Model or path, optional
        The original weights or another GGUF file; without it the workbench is a viewer.
    **options
        Further arguments of `Workbench`.

    Returns
    -------
    Workbench
        Shown when it is the last line of a cell.
    """
    return Workbench(model, reference, **options)
