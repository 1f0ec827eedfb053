"""The tables of quantizers: which function writes which type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUANTIZERS", "Quantizer", "quantizer"]


def _no_table() -> np.ndarray:
    return np.zeros(1, np.int32)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How rows become blocks of one type.

    Attributes
    ----------
    name : str
        The type, by ggml's name.
    effort : str
        ``"ggml"``: the choices of ggml's reference quantizer; ``"best"``: a wider search.
    rows : callable
        ``rows(values, importance, table, out)``, plain Python that numba compiles: float32 (r, n),
        float32 (n,) or (0,), int32 (any,), uint8 (r, row_bytes). Inputs are read-only and
        contiguous, values finite; `out` is not zeroed, every byte of it is to be written.
    make_table : callable
        Gives what the function looks up (grids, neighbours) as one int32 array, on first use.
    """

    name: str
    effort: str
    rows: Callable[..., None]
    make_table: Callable[[], np.ndarray]


QUANTIZERS: dict[tuple[str, str], Quantizer] = {}
"""Every quantizer, by type and effort; filled by the modules that `driver` names."""


def quantizer(
    *names: str, effort: str = "ggml", table: Callable[[], np.ndarray] = _no_table
) -> Callable[[Any], Any]:
    """Register the decorated function as the quantizer of some types."""

    def register(rows: Any) -> Any:
        for name in names:
            QUANTIZERS[name, effort] = Quantizer(name, effort, rows, table)
        return rows

    return register
