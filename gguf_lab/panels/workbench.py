"""The panels joined: select a tensor anywhere, and everything follows."""

from __future__ import annotations

from os import PathLike
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

import ipywidgets  # type: ignore[import-untyped]

from ..file.remote import Address
from ..file.text import visible
from .background import Background
from .base import Panel, Snapshot, explain
from .columns import name_of
from .detail import TensorDetail
from .headline import Headline
from .histograms import ErrorHistograms
from .progress import Progress
from .selection import Selection
from .table import TensorTable
from .tree import MetadataTree

if TYPE_CHECKING:
    from ..comparison import Comparison, TensorComparison
    from ..model import Model
    from ..reference import Checkpoint

__all__ = ["Workbench", "explore"]

_NO_REFERENCE: Final = (
    "No reference was given, so there are no errors to show. Give the original weights:\n"
    'gl.explore(model, reference="folder/with/safetensors")'
)
_WAITING: Final = "This tensor has not been compared yet."
_MOST_SHOWN: Final = 50


class Workbench(Selection, ipywidgets.VBox):  # type: ignore[misc]
    """A model and, if there is one, its reference: metadata, tensors, errors, side by side.

    The comparison runs in the background; results appear as they come, and it can be cancelled.
    Without a reference the workbench is a viewer.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of a model; on a server too, such as ``hf://owner/repo/file``.
    reference : Checkpoint, Model, path or Address, optional
        The original weights: a checkpoint, a folder, a safetensors file or an index; or another
        GGUF file; ``hf://owner/repo`` on a hub.
    device : str
        Where the comparison runs.
    threads : int, optional
        Threads of the comparison; by default as many as the process may use.

    Attributes
    ----------
    selected : list of str
        Names of the selected tensors; readable, settable, observable.
    metadata, table, histograms, detail, progress, headline : Panel
        The panels; `histograms` is None without a reference.

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
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self._background: Background | None = None
        self._owned: list[Any] = []
        self._results: dict[str, TensorComparison] = {}
        self._run: Any = None
        self._panels: list[Panel] = []
        self._showing = RLock()
        self.model = self._opened_model(model)
        try:
            self.reference = None if reference is None else _opened_reference(reference)
            if self.reference is not reference:
                self._owned.append(self.reference)
            self._build(device, threads)
        except BaseException:
            self._release()
            raise

    def _build(self, device: str, threads: int | None) -> None:
        words = "" if self.reference is None else f"compared with {self.reference.path.name}"
        self.headline = Headline(self.model, reference=words)
        self.progress = Progress(cancel=self.cancel)
        self.metadata = MetadataTree(self.model, height=400)
        self.table = TensorTable(self.model, height=400, figures=self.reference is not None)
        viewer = self.reference is None
        self.detail = TensorDetail(self.model, height=170 if viewer else 480, choose_mode=False)
        self.histograms: ErrorHistograms | None = None
        super().__init__()
        if self.reference is not None:
            from ..comparison import Run

            self._run = Run(self.model, self.reference, device=device, threads=threads)
            self.histograms = ErrorHistograms(height=480, large=False)
            self.histograms.expect(self.model)
        self._panels = [self.headline, self.progress, self.metadata, self.table, self.detail]
        if self.histograms is not None:
            self._panels.append(self.histograms)
        self._arrange()
        self._join()
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

    def _arrange(self) -> None:
        rooms = [("tree", self.metadata), ("table", self.table), ("detail", self.detail)]
        if self.histograms is not None:
            rooms.append(("errors", self.histograms))
        for name, panel in rooms:
            panel.add_class(f"gl-room-{name}")
        grid = ipywidgets.Box([panel for _, panel in rooms])
        grid.add_class("gl-rooms")
        if self.histograms is None:
            grid.add_class("gl-viewer")
        self.add_class("gl-workbench")
        self.children = [self.headline, self.progress, grid]

    def _join(self) -> None:
        sources: list[Selection] = [self, self.table]
        if self.histograms is not None:
            sources.append(self.histograms)
            self.histograms.observe(self._set_modes, ["mode"])
            self.detail.observe(self._set_modes, ["mode"])
        for source in sources:
            source.observe(self._follow, ["selected"])
        self._show()

    # -- selection

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return self.table.names

    def _follow(self, change: Any) -> None:
        names = list(change["new"])
        self.selected = names
        self.table.selected = names
        if self.histograms is not None:
            known = set(self.histograms.names)
            self.histograms.selected = [name for name in names if name in known]
        self._show()

    def _set_modes(self, change: Any) -> None:
        self.detail.mode = change["new"]
        if self.histograms is not None:
            self.histograms.mode = change["new"]

    def _show(self) -> None:
        # Whoever comes last, the user or the run, shows what is selected then.
        with self._showing:
            name = self.selected[0] if self.selected else None
            row = self._results.get(name) if name is not None else None
            limits = {} if self.histograms is None else self.histograms.shared_limits
            hint = ""
            if row is None:
                hint = _NO_REFERENCE if self.histograms is None else _WAITING
            self.detail.show(name, row, limits, hint)

    # -- the run

    def _take(self, state: str, rows: list[TensorComparison], seconds: float) -> None:
        """Take over what the background has to report (called from its thread)."""
        try:
            last = name_of(rows[-1]) if rows else self.progress.tensor
            if rows and self.histograms is not None:
                for row in rows:
                    self._results[name_of(row)] = row
                self.table.extend(rows)
                self.histograms.extend(rows)
                self._show()
            done, total = self._run.done, self._run.total
            if state == "done":
                self.headline.subtitle += f" in {seconds:.1f} s"
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
        for panel in self._panels:
            panel.close()
        for owned in self._owned:
            owned.close()
        self._panels, self._owned = [], []

    # -- static form

    def __repr__(self) -> str:
        name = visible(self.model.name, 80)
        if self._background is None:
            return f"<Workbench: {name}, {len(self.model.tensors):,} tensors, no reference>"
        return (
            f"<Workbench: {name}, {self.progress.state}, {len(self._results):,} tensors compared>"
        )

    def _static(self, limit: int | None) -> str:
        panels = [self.headline, self.histograms, self.table, self.metadata]
        parts = [panel._static(limit) for panel in panels if panel is not None]
        return '<div style="height:6px"></div>'.join(parts)

    def snapshot(self, rows: int | None = 1000) -> Snapshot:
        """Return everything as an ordinary static output.

        Parameters
        ----------
        rows : int, optional
            Longest table that is written out; None for all rows.
        """
        return Snapshot(self._static(rows), repr(self))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": self._static(_MOST_SHOWN), "text/plain": repr(self)}


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
