"""The large histogram of one tensor: traits shared by the panels that show one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..file.text import printable
from .base import Panel
from .bins import merged, unit_of
from .columns import name_of, or_none
from .numbers import number

if TYPE_CHECKING:
    from ..comparison import TensorComparison

__all__ = ["Chart", "doubt", "verdict"]

_BINS: Final = 160
_NOT_FINITE: Final = "the errors are not finite: there is no axis to draw them on"
_AXIS: Final = {
    "absolute": "error of a weight: stored − reference",
    "relative": "error of a weight / RMS of the reference",
}


def verdict(row: TensorComparison) -> str:
    """Say why a tensor has no histogram; empty if it has one."""
    if not row.measured:
        return f"{row.status}: {printable(row.reason or 'no reason is known', 600)}"
    if row.exact:
        return "exact: every weight equals the reference, so there is no error to draw"
    return ""


def doubt(row: TensorComparison) -> str:
    """Say what is to be kept in mind of a tensor's figures; empty if nothing is."""
    if not row.measured or row.status == "compared":
        return ""
    return f"\u26a0 {row.status}: {printable(row.reason or 'no reason is known', 600)}"


def _figures(row: TensorComparison) -> list[list[str]]:
    if not row.measured:
        return []
    ratio, sqnr = (or_none(x, row.max_abs_error) for x in (row.relative_rmse, row.sqnr_db))
    share = "–" if ratio is None else number(100 * ratio, "%")
    zeros = "; not defined: the reference is all zeros" if ratio is None else ""
    n_nan, n_inf = row.n_nan or 0, row.n_inf or 0
    strange = f"Weights that are not finite, here or in the reference: {n_nan:,} NaN, {n_inf:,} inf"
    return [
        ["RMSE", number(row.rmse), "Root mean square of the error"],
        ["relative RMSE", share, f"RMSE over the root mean square of the reference{zeros}"],
        ["SQNR", number(sqnr, "dB"), f"20 log10(1 / relative RMSE){zeros}"],
        ["max |error|", number(row.max_abs_error), "Largest absolute error of a weight"],
        ["not finite", f"{n_nan + n_inf:,}", strange],
    ]


class Chart(Panel):
    """Traits of a panel that draws one tensor's errors large."""

    mode = traitlets.Enum(
        ("absolute", "relative"),
        "absolute",
        help="Unit of the error: that of the weights, or the RMS of the reference",
    ).tag(sync=True)
    extent = traitlets.Enum(
        ("common", "full"),
        "common",
        help="The same axis for all tensors, or all of this one's errors",
    ).tag(sync=True)
    log_density = traitlets.Bool(False, help="Logarithmic density").tag(sync=True)
    chart = traitlets.Dict(help="Words, figures and axis of the large histogram").tag(sync=True)
    chart_bins = traitlets.Bytes(b"", help="float64: edges, then counts").tag(sync=True)

    def _draw(self, row: TensorComparison | None, limits: dict[str, float]) -> None:
        """Show a row of a comparison, or nothing."""
        chart: dict[str, Any] = {}
        data = b""
        if row is not None:
            chart, data = self._content(row, limits)
        if chart != self.chart or data != self.chart_bins:
            with self.hold_sync():  # bins without their axis cannot be drawn
                self.chart, self.chart_bins = chart, data

    def _content(
        self, row: TensorComparison, limits: dict[str, float]
    ) -> tuple[dict[str, Any], bytes]:
        words = verdict(row)
        chart: dict[str, Any] = {
            "label": printable(name_of(row), 200),
            "figures": _figures(row),
            "verdict": words,
            "bad": not row.measured,
            "doubt": doubt(row),
        }
        unit = unit_of(row, self.mode)
        if words or row.histogram is None:
            return chart, b""
        if not unit:
            chart["verdict"] = "the reference is zero everywhere: its RMS is no unit to measure in"
            return chart, b""
        limit = limits.get(self.mode, 0.0)
        widest = (row.max_abs_error or 0.0) / unit
        if self.extent == "full" or not limit:
            # A little wider than the largest error, so that its bin is inside.
            limit = widest * 1.05
        if not math.isfinite(limit) or limit <= 0:
            chart["verdict"] = _NOT_FINITE
            return chart, b""
        bins = merged(row.histogram, limit, _BINS, unit)
        if not bins.counts.any():
            beyond = bins.below or bins.above
            chart["verdict"] = "all errors lie beyond the axis" if beyond else _NOT_FINITE
            return chart, b""
        chart |= {
            "axis": _AXIS[self.mode],
            "limit": limit,
            "rmse": (row.rmse or 0.0) / unit,
            "below": bins.below,
            "above": bins.above,
            "total": int(np.asarray(row.histogram.counts).sum()),
        }
        return chart, np.concatenate([bins.edges, bins.counts]).tobytes()
