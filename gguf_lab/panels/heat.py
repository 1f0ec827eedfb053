"""A tensor as small static pictures, for snapshots."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from ..markup import Html, escaped, image
from .pictures import finish, picture
from .pooling import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pooling import How
    from .sides import Sides

__all__ = ["heat"]

_MOST: Final = 1 << 19  # weights that are read whole: this runs while a cell waits
_TOO_MANY: Final = 1 << 23
_CELLS: Final = (120, 200)
_BOX: Final = (300, 190)
# Blue over white to red, told apart by every eye; NaN and inf are black.
_ENDS: Final = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float64)


def heat(sides: Sides, name: str, which: Sequence[str], how: How) -> tuple[Html, str]:
    """Draw a whole tensor, each side on its own scale; beyond 500 k weights from a sample of rows.

    Returns
    -------
    images : Html
    words : str
        What was drawn, and how.
    """
    tensor = sides.tensor(name)
    n, wide = tensor.n_rows, tensor.row_values
    region = Region(0, n, 0, wide, -(-n // _CELLS[0]), -(-wide // _CELLS[1]))
    sampled = region.n_weights > _MOST and region.tall > 1
    if (region.shape[0] if sampled else n) * wide > _TOO_MANY:
        return Html(""), "Its rows are too long for a static picture; the panel itself draws them."
    pools = finish(picture(sides.readers(name, which), region, how, sampled=sampled))
    images = []
    for side, pool in pools.items():
        cells, marks = pool.cells(), pool.marks()
        limit = float(np.nanmax(np.abs(cells))) if np.isfinite(cells).any() else 0.0
        words = f"{sides.called(side)}, colours from -{limit:.4g} to {limit:.4g}"
        images.append(image(_svg(_png(cells, marks, limit), words), words))
    size = f"one cell is {region.tall:,} × {region.wide:,} weights"
    value = "largest magnitude" if how == "extreme" else "mean"
    share = ", read from the middle row of each cell" if sampled else ""
    return Html(" ".join(images)), f"{size} (its {value}{share}); blue is negative, red positive"


def _png(cells: np.ndarray, marks: np.ndarray, limit: float) -> bytes:
    """Write a PNG of one pixel per cell (RFC 2083: 8-bit RGB, no filter)."""
    t = np.nan_to_num(cells / limit if limit else np.zeros_like(cells), nan=0.0)[..., None]
    colour = np.where(
        t < 0, _ENDS[1] + t * (_ENDS[1] - _ENDS[0]), _ENDS[1] + t * (_ENDS[2] - _ENDS[1])
    )
    colour[marks > 0] = 0
    pixels = np.round(np.clip(colour, 0, 255)).astype(np.uint8)
    tall, wide = cells.shape
    lines = np.concatenate([np.zeros((tall, 1), np.uint8), pixels.reshape(tall, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, tall, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def _svg(png: bytes, words: str) -> str:
    wide, tall = _BOX
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall + 18}">'
        f'<text x="0" y="12" font-family="sans-serif" font-size="11" fill="#808080">'
        f'{escaped(words)}</text><image x="0" y="18" width="{wide}" height="{tall}" '
        f'preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/></svg>'
    )
