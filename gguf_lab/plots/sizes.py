"""Where the bytes of a file are: by kind of tensor, and by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from .style import CATEGORIES, new_figure, on_white

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["plot_sizes"]

_KINDS, _SMALL = 20, 0.002
"""Kinds that are drawn at most, and the share of the bytes from which on they are."""

_HATCHES = ("", "//", "..", "xx", "--", "oo")


@on_white()
def plot_sizes(tensors: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the size of each kind of tensor as a bar, in parts by type; the largest kinds first.

    Parameters
    ----------
    tensors : DataFrame
        One row per tensor: `kind`, `qtype` and `nbytes`. What is unknown (NaN) is left out; kinds
        of less than 0.2 %, and those beyond the twenty largest, are taken together.
    title : str
        The file.

    Raises
    ------
    GGUFLabError
        If no size is known.
    """
    known = tensors[tensors["nbytes"] > 0]
    if known.empty:
        raise GGUFLabError("nothing to draw: no tensor has a known size")
    by_kind = known.groupby("kind", sort=False)["nbytes"].sum().sort_values(ascending=False)
    large = list(by_kind.index[by_kind >= _SMALL * by_kind.sum()][:_KINDS])
    rest = f"{len(by_kind) - len(large):,} smaller kinds"
    names = known["kind"].where(known["kind"].isin(large), rest)
    table = (
        known.assign(name=names)
        .pivot_table(index="name", columns="qtype", values="nbytes", aggfunc="sum", fill_value=0)
        .reindex([*large, *([rest] if len(by_kind) > len(large) else [])])
    )
    table = table[table.sum().sort_values(ascending=False).index]
    figure, axes = new_figure(9, 1.3 + 0.26 * len(table))
    left = table.iloc[:, 0] * 0
    for i, qtype in enumerate(table.columns):
        axes.barh(
            range(len(table)),
            table[qtype] / 1e6,
            left=left / 1e6,
            color=CATEGORIES[i % len(CATEGORIES)],
            hatch=_HATCHES[i // len(CATEGORIES) % len(_HATCHES)],
            edgecolor="white",
            linewidth=0,
            label=qtype,
        )
        left = left + table[qtype]
    axes.set_yticks(range(len(table)), table.index, fontsize=8)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_axisbelow(True)
    axes.set(xlabel="size (MB of 1,000,000 bytes)")
    axes.set_title(f"Size by kind of tensor and type\n{title}", fontsize=11, loc="left")
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure
