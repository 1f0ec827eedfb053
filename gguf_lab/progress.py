"""How far work is: in a bar, or by a function's call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["counted"]


@contextmanager
def counted(
    progress: bool | Callable[[int, int], object], total: int, what: str, unit: str = "w"
) -> Iterator[Callable[[int], object]]:
    """Show how far work is: in a bar after half a second, or by a function's call.

    Parameters
    ----------
    progress : bool or callable
        Called with what is done and all that there is to do.
    total : int
        Weights, or bytes.
    what : str
        What the bar says.
    unit : {"w", "B"}
        Weights, or bytes.

    Yields
    ------
    callable
        To be called with how many were done just now.
    """
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if callable(progress):
            progress(done, total)

    if progress is not True:
        yield count
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=unit, unit_scale=True, desc=what, delay=0.5) as bar:
        yield bar.update
