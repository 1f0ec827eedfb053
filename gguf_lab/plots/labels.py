"""Names beside points, where they cover nothing that was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

__all__ = ["label_points"]

_PLACES = (
    *((6, 2), (6, -8), (-6, 2), (-6, -8), (0, 7), (0, -14)),
    *((x * far, y * far) for far in (2, 3, 4, 5, 7, 9) for y in (-5, 5, -2, 2) for x in (8, -8)),
)
"""Where a name may stand, in points from its point: the first that is free is taken."""

_TOUCHING = 8  # points of distance up to which a name needs no line to its point
_RADIUS = 3.5
_FONT = 8


def label_points(
    figure: Figure,
    axes: Any,
    points: Sequence[tuple[float, float, str]],
    *,
    others: Iterable[tuple[float, float]] = (),
) -> list[str]:
    """Write names beside points, the first of them in the best places.

    Parameters
    ----------
    figure, axes
        Whose limits are final.
    points : sequence of (x, y, name)
    others : iterable of (x, y)
        Points that are not to be covered either.

    Returns
    -------
    list of str
        The names that were left out: there was no place for them.
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # places the axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    scale = figure.dpi / 72
    spots = axes.transData.transform([(x, y) for x, y, _ in points] + list(others))
    taken = [
        Bbox.from_bounds(x - r, y - r, 2 * r, 2 * r) for x, y in spots if (r := _RADIUS * scale)
    ]
    left_out = []
    for (x, y, name), spot in zip(points, spots, strict=False):
        text = axes.text(x, y, name, fontsize=_FONT)
        size = text.get_window_extent(renderer)
        text.remove()
        for dx, dy in _PLACES:
            left = spot[0] + dx * scale - (0 if dx > 0 else size.width if dx else size.width / 2)
            box = Bbox.from_bounds(left, spot[1] + dy * scale, size.width, size.height)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1
            inside &= frame.y0 < box.y0 and box.y1 < frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                _write(axes, (x, y), (dx, dy), name)
                break
        else:
            left_out.append(name)
    return left_out


def _write(axes: Any, point: tuple[float, float], offset: tuple[float, float], name: str) -> None:
    dx, dy = offset
    far = max(abs(dx), abs(dy)) > _TOUCHING + 6
    axes.annotate(
        name,
        point,
        offset,
        textcoords="offset points",
        fontsize=_FONT,
        ha="left" if dx > 0 else "right" if dx < 0 else "center",
        va="bottom",
        color="#222222",
        arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkB": 3}
        if far
        else None,
    )
