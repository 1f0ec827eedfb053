"""Two files over the layers of a model: how near each is to the original, and at what size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from .style import CATEGORIES, MARKERS, label_of, new_figure, on_white

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["plot_beside"]


@on_white()
def plot_beside(
    layers: pd.DataFrame, statistic: str = "sqnr_db", *, names: tuple[str, str] = ("A", "B")
) -> Figure:
    """Draw a statistic of two files against depth, and under it what each layer takes.

    Parameters
    ----------
    layers : DataFrame
        One row per layer: `layer`, the statistic and `bits_per_weight`, both with the endings
        `_a` and `_b`.
    statistic : str
        Name of the columns without their ending.
    names : (str, str)
        What A and B are.
    """
    if layers.empty:
        raise GGUFLabError("nothing to draw: no tensor of a layer was compared in both files")
    figure, (above, below) = new_figure(
        9, 5, nrows=2, sharex=True, gridspec_kw={"height_ratios": [2, 1]}
    )
    for axes, column in ((above, statistic), (below, "bits_per_weight")):
        for i, (side, name) in enumerate(zip("ab", names, strict=True)):
            axes.plot(
                layers["layer"].astype(int),
                layers[f"{column}_{side}"].to_numpy(float),
                color=CATEGORIES[i],
                marker=MARKERS[i],
                markersize=5,
                linewidth=1.5,
                label=f"{side.upper()}: {name}",
            )
        axes.grid(alpha=0.3)
        axes.set_ylabel(label_of(column))
    below.set_xlabel("layer")
    below.set_ylim(0, 1.1 * below.get_ylim()[1])
    below.xaxis.get_major_locator().set_params(integer=True)
    above.set_title("Weight-space error and size of each layer", fontsize=11, loc="left")
    above.legend(frameon=False, fontsize=9)
    return figure
