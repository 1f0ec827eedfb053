"""A statistic of the weight-space error over the layers of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import GGUFLabError
from .style import CATEGORIES, MARKERS, label_of, new_figure, on_white

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["plot_heatmap", "plot_layers"]


_WORDS = {np.inf: "\u221e", -np.inf: "-\u221e"}


def _pivot(
    rows: pd.DataFrame, statistic: str, what: Literal["mean", "size"] = "mean"
) -> pd.DataFrame:
    """Return layer x kind of what was compared, with kinds in the order of the file.

    In a cell is the statistic, or how many tensors there are ("size").

    Vectors are stored exactly as a rule: they are left out where there are matrices.
    """
    compared = rows[(rows["status"] == "compared") & rows["layer"].notna()]
    matrices = compared[compared["shape"].map(len) > 1]
    compared = matrices if len(matrices) else compared
    known = _figures(rows)
    if statistic not in known or compared.empty:
        raise GGUFLabError(
            f"nothing to draw for {statistic!r}: "
            + (
                f"known are {', '.join(known)}"
                if statistic not in known
                else "no tensor of a layer was compared"
            )
        )
    table = compared.pivot_table(
        index="layer", columns="kind", values=statistic, aggfunc=what, dropna=False
    )
    kinds = [kind for kind in compared["kind"].unique() if kind in table.columns]
    return table[kinds]


def _figures(rows: pd.DataFrame) -> list[str]:
    """Return the columns that hold figures."""
    return [c for c in rows.columns if rows[c].dtype.kind in "fiu" and c != "layer"]


@on_white()
def plot_layers(
    rows: pd.DataFrame, layers: pd.DataFrame, statistic: str = "relative_rmse", *, title: str = ""
) -> Figure:
    """Draw a statistic against depth: a line per kind of matrix, and the layer as a whole.

    Parameters
    ----------
    rows : DataFrame
        One row per tensor: `status`, `layer`, `kind`, `shape` and the statistic.
    layers : DataFrame
        One row per layer: `layer` and the statistic of all its weights together.
    statistic : str
        Name of the column.
    title : str
        What is compared.
    """
    table = _pivot(rows, statistic)
    figure, axes = new_figure(9, 4.5)
    for i, kind in enumerate(table.columns):
        axes.plot(
            table.index.astype(int),
            table[kind].to_numpy(float),
            color=CATEGORIES[i % (len(CATEGORIES) - 1)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4.5,
            linewidth=1,
            alpha=0.85,
            label=kind,
        )
    if statistic in layers:
        axes.plot(
            layers["layer"].astype(int),
            layers[statistic].to_numpy(float),
            color="black",
            linewidth=2.5,
            label="whole layer",
        )
    axes.set(xlabel="layer", ylabel=label_of(statistic))
    axes.set_title(f"Weight-space error by layer\n{title}", fontsize=11, loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


@on_white()
def plot_heatmap(
    rows: pd.DataFrame, statistic: str = "relative_rmse", *, title: str = ""
) -> Figure:
    """Draw a statistic as layer x kind of matrix.

    A cell without a colour is marked: infinite (an SQNR without any error), NaN, or "-" if there is
    no such tensor, it was not compared, or it is unverified.

    Parameters
    ----------
    rows : DataFrame
        One row per tensor: `status`, `layer`, `kind`, `shape` and the statistic.
    statistic : str
        Name of the column.
    title : str
        What is compared.
    """
    table, drawn = _pivot(rows, statistic), _pivot(rows, statistic, "size").to_numpy() > 0
    values = table.to_numpy(float)
    n_layers, n_kinds = values.shape
    figure, axes = new_figure(3.5 + 0.6 * n_kinds, max(3.6, 1.8 + 0.28 * n_layers))
    image = axes.imshow(
        np.ma.masked_invalid(values), aspect="auto", cmap="viridis", interpolation="nearest"
    )
    axes.set_facecolor("#e4e4e4")
    for y, x in np.argwhere(~np.isfinite(values)):
        text = _WORDS.get(values[y, x], "NaN") if drawn[y, x] else "-"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color="black")
    axes.set_xticks(range(n_kinds), table.columns, rotation=40, ha="right", fontsize=8)
    step = max(1, n_layers // 24)
    axes.set_yticks(range(0, n_layers, step), [str(i) for i in table.index[::step]], fontsize=8)
    axes.set(ylabel="layer")
    axes.set_title(f"Weight-space error\n{title}", fontsize=11, loc="left")
    figure.colorbar(image, ax=axes, label=label_of(statistic))
    return figure
