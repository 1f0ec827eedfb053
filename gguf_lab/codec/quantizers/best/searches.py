"""How each type is searched: which function, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ...backends.compiling import compile_once
from ...backends.numba_ import compile_kernel
from ...formats import FORMATS
from ..compiler import IMPORTANCE, sources
from .better import keep_better
from .minima import super_minima
from .one_scale import one_scale
from .packing import pack
from .super_scale import super_scale
from .two_scales import two_scales

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...formats import Format

__all__ = ["SEARCHES", "Search", "improve"]

_NUMBERS = types.Array(types.float32, 1, "C", readonly=True)
_SEARCH = types.void(
    _NUMBERS,
    types.intp,
    IMPORTANCE,
    *[_NUMBERS] * 3,
    types.Array(types.uint8, 1, "C"),
    types.Array(types.int32, 1, "C"),
)


@dataclass(frozen=True, slots=True)
class Search:
    """How one type is searched.

    Attributes
    ----------
    search : callable
        ``search(values, importance, levels, settings, allowed, codes, scales)``, plain Python that
        numba compiles, once for all types that share it.
    scales : int
        How many numbers it writes per block, beside the codes: see `packing`.
    levels : float32 array
        What the codes stand for, ascending.
    settings, allowed : float32 arrays
        See the function.
    """

    search: Callable[..., None]
    scales: int
    levels: np.ndarray
    settings: np.ndarray
    allowed: np.ndarray


def _search(
    search: Callable[..., None], scales: int, levels: Any, settings: Any, allowed: Any
) -> Search:
    arrays = [np.array(numbers, np.float32) for numbers in (levels, settings, allowed)]
    for array in arrays:
        array.flags.writeable = False
    return Search(search, scales, *arrays)


def _scales_of(name: str, n: int) -> np.ndarray:
    """Return what the first `n` numbers of the byte that is a block's (first) scale stand for."""
    fmt = FORMATS[name]
    block = np.zeros(fmt.qtype.type_size, np.uint8)
    read = []
    for k in range(n):
        block[0] = k
        read.append(fmt.scale(block, fmt.table(), 0)[0])
    return np.array(read, np.float32)


_HALVES = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
_UNEVEN = FORMATS["IQ4_NL"].table().view(np.int8)[:16]
_FLOATS = [-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]


def _one(levels: Any, settings: Any, allowed: Any = _HALVES, scales: int = 1) -> Search:
    return _search(one_scale, scales, levels, settings, allowed)


# Settings: weights of a group; ratios of the largest weight to the scale, first and last, steps,
# and steps beyond with an importance; how many allowed scales to either side.
_SYMMETRIC = {
    "Q4_0": _one(range(-8, 8), (32, 5.5, 10, 24, 14, 2)),
    "Q5_0": _one(range(-16, 16), (32, 11.5, 18, 32, 14, 2)),
    "Q8_0": _one(range(-128, 128), (32, 112, 129, 20, 14, 2)),
    "Q1_0": _one((-1, 1), (128, 1, 2, 2, 0, 1)),
    "Q2_0": _one(range(-1, 3), (64, 1, 8, 16, 8, 2)),
    "TQ1_0": _one(range(-1, 2), (256, 1, 8, 12, 8, 2)),
    "TQ2_0": _one(range(-1, 2), (256, 1, 8, 12, 8, 2)),
    "IQ4_NL": _one(_UNEVEN, (32, 85, 150, 32, 14, 2)),
    "MXFP4": _one(_FLOATS, (32, 8, 16, 8, 8, 2), _scales_of("MXFP4", 255)),
    "NVFP4": _one(_FLOATS, (16, 8, 16, 12, 8, 4), _scales_of("NVFP4", 127), 4),
}

# Settings: weights of a group; steps, first, step, steps beyond: see `affine.find_affine`.
_AFFINE = {
    "Q4_1": _search(two_scales, 2, range(16), (32, 6, -0.4, 0.3, 10), [0]),
    "Q5_1": _search(two_scales, 2, range(32), (32, 6, -0.4, 0.3, 10), [0]),
}

_FACTORS = (1, 0.9, 0.93, 0.96, 0.98, 1.02, 1.04)
_MINIMA = {
    "Q2_K": _search(
        super_minima,
        34,
        range(4),
        (16, 7, -0.3, 0.2, 10, 15),
        (1, 0.8, 0.85, 0.9, 0.95, 1.04, 1.08),
    ),
    "Q4_K": _search(super_minima, 18, range(16), (32, 5, -0.3, 0.3, 10, 63), _FACTORS),
    "Q5_K": _search(super_minima, 18, range(32), (32, 5, -0.3, 0.3, 10, 63), _FACTORS),
}

# Settings: as the first five of one scale, then steps, first and step of the ratio of the largest
# real scale to the largest integer.
_SUPER = {
    "Q3_K": _search(
        super_scale, 17, range(-4, 4), (16, 2.2, 5.5, 20, 14, 16, 1.05, -0.03), (-32, 31)
    ),
    "Q6_K": _search(
        super_scale, 17, range(-32, 32), (16, 26, 34, 24, 14, 8, 1.01, -0.01), (-128, 127)
    ),
    "IQ4_XS": _search(super_scale, 9, _UNEVEN, (32, 85, 150, 32, 14, 12, 1.05, -0.03), (-32, 31)),
}

SEARCHES: dict[str, Search] = {**_SYMMETRIC, **_AFFINE, **_MINIMA, **_SUPER}
"""How each type is searched, by ggml's name."""


@compile_once
def _kernel(search: Callable[..., None]) -> Any:
    return compile_kernel(search, f"{search.__name__}_{sources('best')}", {}, _SEARCH)


def improve(
    fmt: type[Format], values: np.ndarray, importance: np.ndarray, rows: np.ndarray
) -> None:
    """Replace blocks of ggml's choice where the search finds better ones.

    Parameters
    ----------
    fmt : type of Format
        Of a type of `SEARCHES`.
    values : float32 array (n_rows, n)
        Finite.
    importance : float32 array (n,) or (0,)
        The weights of the squares; 1 if there are none.
    rows : uint8 array (n_rows, row_bytes)
        What ggml makes of the values; changed in place.
    """
    how, n = SEARCHES[fmt.name], values.size // fmt.qtype.block_size
    codes, scales = np.empty(values.size, np.uint8), np.empty(n * how.scales, np.int32)
    given = how.levels, how.settings, how.allowed
    _kernel(how.search)(values.ravel(), values.shape[1], importance, *given, codes, scales)
    packed = pack(fmt.name, codes.reshape(n, -1), scales.reshape(n, -1))
    keep_better(fmt, values, importance, rows, packed)
