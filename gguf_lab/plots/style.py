"""How figures look: a figure that shows itself, Okabe-Ito for categories, viridis for sizes."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CATEGORIES", "LABELS", "MARKERS", "LabFigure", "label_of", "new_figure", "on_white"]

# Okabe and Ito's colours that stay apart for colour-blind readers; never without a marker.
# Grey comes to them: llama has seven kinds of matrices, and black is for all of a layer.
CATEGORIES = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000"),
)
MARKERS = "osD^vP*X<>"

LABELS = {
    "rmse": "RMSE (units of the weights)",
    "relative_rmse": "relative RMSE (RMSE / RMS of the reference)",
    "sqnr_db": "SQNR (dB)",
    "cosine": "cosine similarity",
    "max_abs_error": "largest error (units of the weights)",
    "mean_abs_error": "mean absolute error (units of the weights)",
    "reference_rms": "RMS of the reference (units of the weights)",
    "bits_per_weight": "bits per weight",
    "n_nan": "NaN weights",
}


# Sizes too: a label in large letters has no room. A grid would strike out what stands in a cell.
# And names of tensors, which a stranger has chosen, are no formulas, of LaTeX or of matplotlib.
_ON_WHITE: Any = {
    key: value
    for key, value in mpl.rcParamsDefault.items()
    if any(word in key for word in ("color", "size", "axes.grid", "transparent", "usetex"))
} | {"text.parse_math": False}


@contextmanager
def on_white() -> Iterator[None]:
    """Draw in the colours that are seen on white, whatever style a user may have set."""
    with mpl.rc_context(_ON_WHITE):
        yield


def label_of(statistic: str) -> str:
    """Return a statistic's name with its unit."""
    return LABELS.get(statistic, statistic)


class LabFigure(Figure):
    """A figure that a notebook shows without pyplot's state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with on_white():  # not on nothing: the letters are black
            self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def new_figure(width: float, height: float, **axes: Any) -> tuple[LabFigure, Any]:
    """Return a figure of so many inches and its axes (see ``Figure.subplots``)."""
    figure = LabFigure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots(**axes)
