"""Quantizers compiled: once per type and process, cached on disk."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ..backends.compiling import compile_once
from ..backends.numba_ import bitcast_u32, compile_kernel
from .registry import QUANTIZERS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["IMPORTANCE", "VALUES", "find_special", "kernel_of", "sources"]

VALUES = types.Array(types.float32, 2, "C", readonly=True)
IMPORTANCE = types.Array(types.float32, 1, "C", readonly=True)
TABLE = types.Array(types.int32, 1, "C", readonly=True)
QUANTIZE = types.void(VALUES, IMPORTANCE, TABLE, types.uint8[:, ::1])


@cache
def sources(*folders: str) -> str:
    """Return a hash of all quantizers: they share helpers, and numba's cache watches one file.

    Those of folders inside count only where they are named.
    """
    state = hashlib.blake2b(digest_size=6)
    for folder in ("", *folders):
        for path in sorted((Path(__file__).parent / folder).glob("*.py")):
            state.update(path.read_bytes())
    return state.hexdigest()


@compile_once
def kernel_of(name: str, effort: str) -> tuple[Callable[..., None], np.ndarray]:
    """Return a type's compiled quantizer and the table that it looks things up in."""
    found = QUANTIZERS[name, effort]
    table = np.ascontiguousarray(found.make_table(), np.int32)
    table.flags.writeable = False
    kernel_name = f"quantize_{name}_{effort}_{sources()}"
    return compile_kernel(found.rows, kernel_name, {}, QUANTIZE), table


def _find_special(values: Any) -> Any:
    flat = values.reshape(values.size)
    n = 0
    for i in range(flat.size):  # integers, so that it vectorizes
        u = bitcast_u32(flat[i]) & np.uint32(0x7F800000)
        n += u == np.uint32(0x7F800000)
    if n:
        for i in range(flat.size):
            if not np.isfinite(flat[i]):
                return i
    return -1


@compile_once
def _checker() -> Any:
    return compile_kernel(_find_special, f"find_special_{sources()}", {}, types.intp(VALUES))


def find_special(values: np.ndarray) -> int:
    """Return the position of the first NaN or inf in rows of float32; -1 if there is none."""
    return int(_checker()(values))
