"""What each bit buys: bits per weight against the error that is left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GGUFLabError
from .labels import label_points
from .style import CATEGORIES, MARKERS, new_figure, on_white

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["plot_plan", "plot_rate_distortion"]

_DB_PER_BIT = 20 * math.log10(2)
_WIDEST = 9.0
"""Bits per weight up to which methods are drawn: at 16 there is nothing to choose."""

_ERRORS = (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_GREY = "#666666"


@on_white()
def plot_rate_distortion(
    rates: pd.DataFrame, *, bound_db: float = 0.0, title: str = "", weighted: bool = False
) -> Figure:
    """Draw methods by bits per weight and SQNR; the right axis says it as relative error.

    Parameters
    ----------
    rates : DataFrame
        One row per method: `method`, `family`, `bits_per_weight`, `sqnr_db` and `on_front`. Rows
        without figures are left out; what needs more than 9 bits is listed under the axis.
    bound_db : float
        SQNR of the Gaussian bound at 0 bits; NaN draws none.
    title : str
        The tensor.
    weighted : bool
        Whether the errors are weighted by an importance.

    Raises
    ------
    GGUFLabError
        If no method has a figure.
    """
    figures = rates[np.isfinite(rates["sqnr_db"]) & np.isfinite(rates["bits_per_weight"])]
    drawn = figures[figures["bits_per_weight"] <= _WIDEST]
    if drawn.empty:
        raise GGUFLabError("nothing to draw: no method of at most 9 bits per weight was measured")
    figure, axes = new_figure(10, 6.8)
    _families(axes, drawn)
    front = drawn[drawn["on_front"]].sort_values("bits_per_weight")
    axes.plot(
        front["bits_per_weight"], front["sqnr_db"], color=CATEGORIES[0], linewidth=1, alpha=0.6
    )
    axes.set_xlim(0.5 * math.floor(2 * drawn["bits_per_weight"].min() - 0.5), _WIDEST + 0.2)
    low, high = drawn["sqnr_db"].min(), drawn["sqnr_db"].max()
    axes.set_ylim(min(low, 0.0) - 1.5, high + 6)
    what = "weighted SQNR" if weighted else "SQNR"
    axes.set(xlabel="bits per weight, scales included", ylabel=f"{what} (dB): better upwards")
    _error_axis(axes, weighted=weighted)
    axes.grid(alpha=0.25)
    line: list[tuple[float, float]] = []
    if not math.isnan(bound_db):
        line = _bound(axes, bound_db)
    head = "What each bit buys" + (", importance weighted" if weighted else "")
    axes.set_title(f"{head}: {title}\n{_slope(front)}", fontsize=11, loc="left")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    order = drawn.sort_values(["on_front", "bits_per_weight"], ascending=[False, True])
    points = list(zip(order["bits_per_weight"], order["sqnr_db"], order["method"], strict=True))
    missing = label_points(figure, axes, points, others=line)
    wide = figures[figures["bits_per_weight"] > _WIDEST]
    notes = [
        f"{r.method} ({r.bits_per_weight:.3g} bits): {r.sqnr_db:.1f} dB" for r in wide.itertuples()
    ]
    notes = [f"Not drawn: {', '.join(notes)}."] if notes else []
    notes += [f"Without name: {', '.join(missing)}."] if missing else []
    if notes:
        figure.supxlabel(" ".join(notes), fontsize=8, color=_GREY, x=0.01, ha="left")
    return figure


def _families(axes: Any, drawn: pd.DataFrame) -> None:
    """Draw each family in its colour and marker, filled on the front."""
    families = sorted(drawn["family"].unique(), key=lambda f: (f != "ggml", f != "baseline", f))
    for i, family in enumerate(families):
        rows = drawn[drawn["family"] == family]
        colour = CATEGORIES[i % len(CATEGORIES)]
        for on_front, part in rows.groupby("on_front"):
            axes.plot(
                part["bits_per_weight"],
                part["sqnr_db"],
                MARKERS[i % len(MARKERS)],
                color=colour,
                markerfacecolor=colour if on_front else "white",
                markersize=6,
                linestyle="none",
            )
        axes.plot([], [], MARKERS[i % len(MARKERS)], color=colour, label=family, linestyle="none")
    axes.plot([], [], "o", color=_GREY, markerfacecolor=_GREY, label="filled: on the front")


def _error_axis(axes: Any, *, weighted: bool) -> None:
    """Write the relative error on the right: 20 dB less is ten times the error."""
    right = axes.secondary_yaxis(
        "right",
        functions=(lambda db: 10.0 ** (-db / 20), lambda e: -20 * np.log10(np.maximum(e, 1e-300))),
    )
    low, high = axes.get_ylim()
    shown = [t for t in _ERRORS if low <= -20 * math.log10(t) <= high]
    right.set_yticks(shown, [f"{100 * t:g} %" for t in shown])
    right.set_ylabel(f"{'weighted ' * weighted}relative RMSE (of the weights' RMS)")


def _bound(axes: Any, at_0: float) -> list[tuple[float, float]]:
    """Draw the bound as a line along which its name stands; return points that these cover."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    x = np.array([left, right])
    y = at_0 + _DB_PER_BIT * x
    axes.plot(x, y, color="black", linewidth=1.2, linestyle="--")
    axes.fill_between(x, y, max(top, y.max()), color=_GREY, alpha=0.08, linewidth=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    at = 0.25 * bottom + 0.75 * top
    axes.text(
        (at - at_0) / _DB_PER_BIT,
        at + 0.6,
        "Shannon bound for Gaussian weights: 6.02 dB per bit",
        rotation=math.degrees(math.atan(_DB_PER_BIT)),
        transform_rotates_text=True,
        rotation_mode="anchor",
        ha="center",
        va="bottom",
        fontsize=9,
    )
    along = np.arange(left, right, 0.08)
    return [(b, at_0 + _DB_PER_BIT * b + above) for b in along.tolist() for above in (0.0, 1.2)]


def _slope(front: pd.DataFrame) -> str:
    """Say what a bit buys along the front, by least squares."""
    if front["bits_per_weight"].nunique() < 3:
        return ""
    slope = np.polyfit(front["bits_per_weight"], front["sqnr_db"], 1)[0]
    return f"Along the front one bit more buys {slope:.1f} dB"


@on_white()
def plot_plan(
    curve: pd.DataFrame, mixes: pd.DataFrame, *, bits: float, error: float, title: str = ""
) -> Figure:
    """Draw what plans and named mixes make of a model: bits per weight against error.

    Parameters
    ----------
    curve : DataFrame
        Plans of all sizes: `bits_per_weight` and `relative_rmse`, from small to large.
    mixes : DataFrame
        `mix`, `bits_per_weight` and `relative_rmse`; rows without figures are left out.
    bits, error : float
        The plan that was chosen.
    title : str
        The model.
    """
    mixes = mixes[np.isfinite(mixes["relative_rmse"]) & (mixes["relative_rmse"] > 0)]
    curve = curve[curve["relative_rmse"] > 0]
    figure, axes = new_figure(9, 5.2)
    axes.step(
        curve["bits_per_weight"],
        curve["relative_rmse"],
        where="post",
        color=CATEGORIES[0],
        label="best plans of each size",
    )
    axes.plot(
        mixes["bits_per_weight"],
        mixes["relative_rmse"],
        MARKERS[1],
        color=CATEGORIES[1],
        linestyle="none",
        label="named mixes of llama-quantize",
    )
    axes.plot([bits], [error], "*", color=CATEGORIES[2], markersize=15, label="this plan")
    points = [*mixes["bits_per_weight"], bits]
    axes.set_xlim(min(points) - 0.6, max(points) + 0.6)
    heights = [*mixes["relative_rmse"], *([error] if error > 0 else [])]
    near = curve[curve["bits_per_weight"].between(*axes.get_xlim())]["relative_rmse"]
    heights += [height for height in near if height > min(heights, default=0.0) / 2]
    if heights:
        axes.set_yscale("log")
        axes.set_ylim(min(heights) * 0.8, max(heights) * 1.4)
    else:  # all is exact
        axes.set_ylim(-1, 1)
    low, high = axes.get_ylim()
    ticks = [t for t in _ERRORS if low <= t <= high]
    axes.set_yticks(ticks, [f"{100 * t:g} %" for t in ticks])
    axes.minorticks_off()
    axes.set(
        xlabel="bits per weight of the whole file, scales included",
        ylabel="relative RMSE of all matrices together",
    )
    axes.set_title(f"What a plan buys beside the named mixes: {title}", fontsize=11, loc="left")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    line = zip(curve["bits_per_weight"], curve["relative_rmse"], strict=True)
    names = list(zip(mixes["bits_per_weight"], mixes["relative_rmse"], mixes["mix"], strict=True))
    chosen = (bits, error, f"this plan: {bits:.2f} bits, {100 * error:.2g} %")
    label_points(figure, axes, [chosen, *names] if error > 0 else names, others=line)
    return figure
