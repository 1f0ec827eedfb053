"""Rectangles of a tensor read piece by piece: as pictures, or in search of one weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .pooling import Pool
from .sides import CHUNK, read

if TYPE_CHECKING:
    from collections.abc import Generator

    from .pooling import How, Region
    from .sides import Reader

__all__ = ["finish", "picture", "strongest"]

T = TypeVar("T")


def picture(
    readers: dict[str, Reader], region: Region, how: How, *, sampled: bool = False
) -> Generator[float, None, dict[str, Pool]]:
    """Pool a region of every side.

    Parameters
    ----------
    readers : dict of str to Reader
    region : Region
    how : {"extreme", "mean"}
    sampled : bool
        Take only the middle row of each row of cells: a first, coarse picture.

    Yields
    ------
    float
        The share that is done.

    Returns
    -------
    dict of str to Pool
    """
    pools = {side: Pool(region, how) for side in readers}
    wide, tall = region.right - region.left, region.tall
    cells, _ = region.shape
    if sampled:
        tops = range(region.top, region.bottom, tall)
        rows = [(row, row + 1) for row in ((t + min(t + tall, region.bottom)) // 2 for t in tops)]
        step = max(1, CHUNK // wide)
        for k in range(0, cells, step):
            for side, values in read(
                readers, rows[k : k + step], region.left, region.right
            ).items():
                pools[side].add(values, k, 1)
            yield min(1.0, (k + step) / cells)
        return pools
    # As many whole rows of cells as fit, or pieces of one.
    step = max(1, CHUNK // (wide * tall)) * tall
    piece = min(step, max(1, CHUNK // wide))
    for top in range(region.top, region.bottom, step):
        bottom = min(top + step, region.bottom)
        size = step if step > tall else piece
        for a in range(top, bottom, size):
            b = min(a + size, bottom)
            for side, values in read(readers, [(a, b)], region.left, region.right).items():
                pools[side].add(values, (a - region.top) // tall, tall if size == step else b - a)
            yield (b - region.top) / (region.bottom - region.top)
    return pools


def strongest(reader: Reader, region: Region) -> Generator[float, None, tuple[int, int]]:
    """Look for the weight of the largest magnitude; what is not finite comes before all numbers.

    Yields
    ------
    float
        The share that is done.

    Returns
    -------
    row, column : int
        The first such weight.
    """
    best, place = -1.0, (region.top, region.left)
    step = max(1, CHUNK // (region.right - region.left))
    for a in range(region.top, region.bottom, step):
        b = min(a + step, region.bottom)
        size = np.abs(read({"": reader}, [(a, b)], region.left, region.right)[""])
        size[np.isnan(size)] = np.inf
        row, column = divmod(int(size.argmax()), size.shape[1])
        if size[row, column] > best:
            best, place = float(size[row, column]), (a + row, region.left + column)
        yield (b - region.top) / (region.bottom - region.top)
    return place


def finish(steps: Generator[float, None, T]) -> T:
    """Run all steps at once and return what they give."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
