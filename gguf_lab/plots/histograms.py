"""Error histograms, drawn as the steps that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .style import CATEGORIES, new_figure, on_white

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_histogram"]


@on_white()
def plot_histogram(
    edges: np.ndarray, density: np.ndarray, *, title: str = "", rmse: float = 0.0
) -> Figure:
    """Draw one error histogram; bins that reach to infinity have no height and are left out.

    Parameters
    ----------
    edges : array (n + 1,)
        Errors, in units of the weights.
    density : array (n,)
        Share of the weights per unit of error.
    title : str
        The tensor.
    rmse : float
        Marked on both sides of zero, if positive.
    """
    inside = slice(int(np.isinf(edges[0])), len(density) - int(np.isinf(edges[-1])))
    figure, axes = new_figure(7, 3.6)
    axes.stairs(
        density[inside],
        edges[inside.start : inside.stop + 1],
        fill=True,
        color=CATEGORIES[0],
        alpha=0.85,
    )
    for sign in (-1, 1) if rmse else ():
        label = f"RMSE {rmse:.3g}" if sign > 0 else None
        axes.axvline(sign * rmse, color=CATEGORIES[1], linestyle="--", linewidth=1, label=label)
    axes.set(xlabel="error (units of the weights)", ylabel="density")
    axes.set_title(f"Weight-space error of {title}", fontsize=11, loc="left")
    axes.grid(alpha=0.3)
    if rmse:
        axes.legend(frameon=False, fontsize=9)
    return figure
