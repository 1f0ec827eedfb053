"""The errors of a comparison: one small histogram per layer and kind, and a large one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..file.text import printable
from ..markup import card, grid, more
from .assets import script, style
from .bins import common_limit, merged, unit_of
from .chart import Chart, doubt
from .columns import name_of, or_none
from .numbers import finite, number
from .selection import Selection
from .sketch import sketch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..comparison import Comparison, TensorComparison
    from ..model import Model, Tensor

__all__ = ["ErrorHistograms", "in_order"]

_BINS: Final = 56
_MODES: Final = ("absolute", "relative")
# The order in which data meets the weights; kinds that are not named here follow.
_ORDER: Final = (
    *("attn_norm", "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_kv_a_mqa", "attn_kv_b"),
    *("attn_q_norm", "attn_k_norm", "attn_output", "attn_output_norm", "attn_post_norm"),
    *("ffn_norm", "ffn_gate_inp", "ffn_gate", "ffn_up", "ffn_down"),
    *("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "layer_output_norm", "ffn_post_norm"),
)


class ErrorHistograms(Selection, Chart):
    """Weight-space error of every tensor as small histograms on one scale.

    Rows are layers, columns are kinds of tensors; what belongs to no layer stands above them. A
    click, or Enter, shows a histogram large. Tensors without any error are marked as exact, tensors
    that could not be compared, or whose reference is unverified, are marked with the reason.

    Parameters
    ----------
    comparison : Comparison, optional
        Its rows are shown; `extend` adds more while a run goes on.
    height : int
        Height in CSS pixels.
    """

    _esm = script("axes", "chart", "ramp", "histograms")
    _css = style("axes", "chart", "ramp", "histograms")

    cells = traitlets.List(traitlets.Dict(), help="One entry per tensor of the file").tag(sync=True)
    kinds = traitlets.List(traitlets.Unicode(), help="Columns").tag(sync=True)
    limits = traitlets.Dict(help="End of the common axis, by mode").tag(sync=True)
    bins_absolute = traitlets.Bytes(b"", help="float32: edges and counts of all cells").tag(
        sync=True
    )
    bins_relative = traitlets.Bytes(b"", help="the same in units of the reference").tag(sync=True)
    over = traitlets.Unicode("", help="Why what is missing does not come any more").tag(sync=True)
    reference_only = traitlets.Int(0, help="Tensors that only the reference has").tag(sync=True)

    def __init__(self, comparison: Comparison | None = None, *, height: int = 480) -> None:
        self._cells: dict[str, dict[str, Any]] = {}
        self._results: dict[str, TensorComparison] = {}
        self._drawn: dict[str, dict[str, np.ndarray[Any, np.dtype[np.float32]]]] = {
            mode: {} for mode in _MODES
        }
        self._limits = dict.fromkeys(_MODES, 0.0)
        self._matrices: set[str] = set()
        self._reference_only = 0
        super().__init__(height=height, label="Weight-space error")
        self.observe(self._redraw, ["selected", "mode", "extent"])
        if comparison is not None:
            self.extend(self._rows_of(comparison))

    def expect(self, model: Model) -> None:
        """Lay out the tensors of a model as cells that wait for their rows."""
        for tensor in model.tensors.values():
            if tensor.name not in self._cells:
                self._cells[tensor.name] = _cell(tensor, "pending")
                self._note_matrix(tensor.kind, tensor.shape)
        self._publish()

    def extend(self, rows: Iterable[TensorComparison]) -> None:
        """Take in rows of a comparison."""
        fresh = list(rows)
        with self._lock:
            self._take(fresh)

    def _take(self, fresh: list[TensorComparison]) -> None:
        for row in fresh:
            if row.name is None:
                self._reference_only += 1
                continue
            cell = _cell(row, row.status, row.reason or "")
            cell["ratio"] = finite(row.relative_rmse)
            cell["exact"] = bool(row.exact)
            cell["finite"] = not (row.n_nan or row.n_inf)
            self._cells[row.name] = cell
            self._results[row.name] = row
            self._note_matrix(row.kind, row.shape)
        for mode in _MODES:
            limit = common_limit(self._results.values(), mode)
            again = fresh
            if limit != self._limits[mode]:
                self._limits[mode] = limit
                again = list(self._results.values())
            for row in again:
                self._merge(row, mode, limit)
        self._publish()
        self._redraw()

    def _note_matrix(self, kind: str, shape: tuple[int, ...]) -> None:
        if len(shape) > 1:
            self._matrices.add(printable(kind, 120))

    def _merge(self, row: TensorComparison, mode: str, limit: float) -> None:
        unit = unit_of(row, mode)
        if row.name is None or row.histogram is None or not limit or not unit or not row.rmse:
            return
        bins = merged(row.histogram, limit, _BINS, unit)
        if not bins.counts.any():  # no error is finite, or none lies on the axis
            self._drawn[mode].pop(row.name, None)
            self._cells[row.name][mode] = None
            return
        self._drawn[mode][row.name] = np.concatenate([bins.edges, bins.counts]).astype(np.float32)

    def _publish(self) -> None:
        packed = {}
        for mode in _MODES:
            at = 0
            for name, data in self._drawn[mode].items():
                self._cells[name][mode] = [at, (data.size - 1) // 2]
                at += data.size
            parts = list(self._drawn[mode].values())
            packed[mode] = np.concatenate(parts).tobytes() if parts else b""
        kinds = dict.fromkeys(c["kind"] for c in self._cells.values() if c["layer"] is not None)
        with self.hold_sync():
            self.cells = [dict(cell) for cell in self._cells.values()]
            self.kinds = in_order(kinds, self._matrices)
            self.limits = dict(self._limits)
            self.bins_absolute, self.bins_relative = packed["absolute"], packed["relative"]
            self.reference_only = self._reference_only

    def _redraw(self, _change: object = None) -> None:
        name = self.selected[0] if self.selected else None
        row = self._results.get(name) if name is not None else None
        with self._lock, self.hold_sync():
            self._draw(row, self._limits)

    @property
    def shared_limits(self) -> dict[str, float]:
        """End of the common axis by mode."""
        return dict(self._limits)

    @property
    def names(self) -> list[str]:
        """Names that can be selected."""
        return list(self._cells)

    def _has(self, name: str) -> bool:
        return name in self._cells

    def __repr__(self) -> str:
        done = sum(row.status == "compared" for row in self._results.values())
        doubted = sum(row.status == "unverified" for row in self._results.values())
        words = f", {doubted:,} unverified" if doubted else ""
        n = sum(cell["status"] != "scale" for cell in self._cells.values())
        return f"<ErrorHistograms: {done:,} of {n:,} tensors compared{words}>"

    def _static(self, limit: int | None) -> str:
        rows = list(self._results.values())
        shown = rows if limit is None else rows[:limit]
        lines = []
        for row in shown:
            label = printable(row.name or "", 200)
            if row.measured:
                figures = [
                    or_none(value, row.max_abs_error)
                    for value in (row.relative_rmse, row.sqnr_db, row.max_abs_error)
                ]
                lines.append([label, *(number(f) for f in figures), doubt(row)])
            else:
                lines.append([label, "", "", "", f"{row.status}: {row.reason or ''}"])
        headers = ("tensor", "relative RMSE (ratio)", "SQNR dB", "max |error|", "remark")
        return card(
            "Weight-space error",
            sketch(self._results, self._drawn["absolute"], self._limits["absolute"], self.kinds),
            grid(headers, lines, (1, 2, 3)),
            more(len(rows), len(shown), "tensors"),
            note="" if rows else "No tensor has been compared yet.",
        )


def _cell(row: Tensor | TensorComparison, status: str, reason: str = "") -> dict[str, Any]:
    name = name_of(row)
    return {
        "name": name,
        "label": printable(name, 200),
        "layer": row.layer,
        "kind": printable(row.kind or name, 120),
        "status": status,
        "reason": printable(reason, 300),
        "exact": False,
        "finite": True,
        "ratio": None,
        "absolute": None,
        "relative": None,
    }


def in_order(kinds: Iterable[str], matrices: set[str]) -> list[str]:
    """Order kinds as data meets them; vectors, stored exactly as a rule, behind the matrices.

    Scales of a quantization, which have no error of their own, are the last.
    """

    def place(kind: str) -> tuple[Any, ...]:
        return kind not in matrices, kind.endswith((".scale", ".input_scale")), _rank(kind)

    return sorted(kinds, key=place)


def _rank(kind: str) -> tuple[int, int]:
    stem, _, suffix = kind.partition(".")
    place = _ORDER.index(stem) if stem in _ORDER else len(_ORDER)
    return place, 1 if suffix else 0
