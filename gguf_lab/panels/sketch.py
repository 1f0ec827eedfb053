"""The small histograms as one static picture, for snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..markup import Html, escaped, image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..comparison import TensorComparison

__all__ = ["sketch"]

_WIDE: Final = 84
_TALL: Final = 34
_LEFT: Final = 40
_TOP: Final = 22
_MOST_LAYERS: Final = 24
_MOST_KINDS: Final = 16


def sketch(
    rows: Mapping[str, TensorComparison],
    drawn: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]],
    limit: float,
    kinds: Sequence[str],
) -> Html:
    """Draw the first layers as an image that needs no script.

    Parameters
    ----------
    rows : mapping of str to TensorComparison
        By name.
    drawn : mapping of str to float32 arrays
        Edges and counts of those that have an error.
    limit : float
        End of the common axis.
    kinds : sequence of str
        Columns.

    Returns
    -------
    Html
        Empty if there is nothing to draw.
    """
    layers = sorted({row.layer for row in rows.values() if row.layer is not None})[:_MOST_LAYERS]
    kinds = list(kinds)[:_MOST_KINDS]
    if not layers or not limit:
        return Html()
    parts = []
    for column, kind in enumerate(kinds):
        x = _LEFT + (column + 0.5) * _WIDE
        parts.append(f'<text x="{x}" y="14" text-anchor="middle">{escaped(kind, 13)}</text>')
    for line, layer in enumerate(layers):
        y = _TOP + (line + 1) * _TALL - 12
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{layer}</text>')
    for name, row in rows.items():
        if row.layer not in layers or row.kind not in kinds:
            continue
        x = _LEFT + kinds.index(row.kind) * _WIDE
        y = _TOP + layers.index(row.layer) * _TALL
        if name in drawn:
            parts.append(_steps(drawn[name], limit, x + 3, y + 2))
            if row.status != "compared":
                parts.append(f'<text x="{x + 3}" y="{y + 10}" font-size="9">{row.status}</text>')
        else:
            word = _word(row)
            middle = x + _WIDE / 2
            parts.append(f'<text x="{middle}" y="{y + 20}" text-anchor="middle">{word}</text>')
    wide, tall = _LEFT + len(kinds) * _WIDE, _TOP + len(layers) * _TALL + 4
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" '
        f'viewBox="0 0 {wide} {tall}" font-family="sans-serif" font-size="11" fill="#808080">'
        f"{''.join(parts)}</svg>"
    )
    words = (
        "Histograms of the weight-space error, one per layer and kind, "
        f"from -{limit:g} to {limit:g}; height scaled to each peak"
    )
    return image(svg, words)


def _word(row: TensorComparison) -> str:
    """Say why there is nothing to draw."""
    if not row.measured:
        return row.status
    return "exact" if row.status == "compared" else f"exact, {row.status}"


def _steps(data: np.ndarray[Any, np.dtype[np.float32]], limit: float, x: float, y: float) -> str:
    n = (data.size - 1) // 2
    edges, counts = data[: n + 1].astype(np.float64), data[n + 1 :].astype(np.float64)
    density = counts / np.diff(edges)
    wide, tall = _WIDE - 6, _TALL - 6
    xs = x + (np.clip(edges, -limit, limit) + limit) / (2 * limit) * wide
    ys = y + tall * (1 - density / max(float(density.max()), 1e-300))
    steps = "".join(f"V{b:.1f}H{a:.1f}" for a, b in zip(xs[1:], ys, strict=True))
    return f'<path d="M{xs[0]:.1f},{y + tall}{steps}V{y + tall}Z" fill="#2a788e"/>'
