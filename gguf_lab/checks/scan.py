"""What the values of a tensor are like, read once by row chunks: no numbers, zeros, odd scales."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..codec import FORMATS, can_decode, dequantize
from ..errors import UnsupportedError

if TYPE_CHECKING:
    from ..file import Bytes
    from ..model import Tensor

__all__ = ["COARSE", "Scan", "scan_tensor", "scannable"]

_CHUNK = 1 << 19
"""Weights per chunk: they stay in the cache."""

COARSE = 32
"""A half-precision number of fewer than so many smallest steps has less than six bits."""


@dataclass(slots=True)
class Scan:
    """Counts over a tensor.

    Attributes
    ----------
    n_rows : int
        Rows of it.
    n_nan, n_inf : int
        Values that are not finite.
    first : tuple of int or None
        Row and column of the first value that is not finite.
    zero_rows : int
        Rows of zeros only.
    n_blocks, zero_blocks : int
        Blocks with a half-precision scale, and those of them whose scales are all zero.
    coarse : int
        Blocks whose scale ``d`` has so few steps that it is rough itself (see `COARSE`).
    exponents : int64 array (32,)
        How many blocks have a scale ``d``, other than zero, of each exponent.
    """

    n_rows: int
    n_nan: int = 0
    n_inf: int = 0
    first: tuple[int, int] | None = None
    zero_rows: int = 0
    n_blocks: int = 0
    zero_blocks: int = 0
    coarse: int = 0
    exponents: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(32, np.int64))

    def add_rows(self, start: int, values: npt.NDArray[np.float32]) -> None:
        """Count over rows; `start` is the first."""
        squares = np.einsum("ij,ij->i", values, values)
        # Squares overflow and underflow before values do: these rows are looked at.
        for row in np.flatnonzero(~np.isfinite(squares)):
            nan, inf = np.isnan(values[row]), np.isinf(values[row])
            self.n_nan += int(nan.sum())
            self.n_inf += int(inf.sum())
            if self.first is None and (bad := nan | inf).any():
                self.first = start + int(row), int(bad.argmax())
        zero = np.flatnonzero(squares == 0)
        self.zero_rows += len(zero) - int(values[zero].any(axis=1).sum())

    def add_scales(self, blocks: Bytes, offsets: tuple[int, ...]) -> None:
        """Count over the half-precision scales at some offsets of each block, ``d`` the first."""
        d, *others = (
            np.ascontiguousarray(blocks[:, at : at + 2]).view("<u2").ravel() & 0x7FFF
            for at in offsets
        )
        zero = d == 0
        used = d[~zero]
        self.n_blocks += len(d)
        self.zero_blocks += int(np.logical_and.reduce([zero, *(o == 0 for o in others)]).sum())
        self.coarse += int((used < COARSE).sum())
        self.exponents += np.bincount(used >> 10, minlength=32)


@cache
def _scale_offsets(qtype: str) -> tuple[int, ...]:
    """Return where the half-precision scales of a block are, ``d`` the first; () without a d."""
    found = {f.name: f.offset for f in FORMATS[qtype].fields if f.kind == "f16" and f.count == 1}
    return (
        tuple(found[name] for name in ("d", "m", "dmin") if name in found) if "d" in found else ()
    )


def scannable(tensor: Tensor) -> bool:
    """Whether the values of a tensor can be read."""
    return tensor.status == "ok" and can_decode(tensor.qtype) and tensor.n_elements > 0


def scan_tensor(tensor: Tensor) -> Scan:
    """Read a tensor chunk by chunk, and count.

    Raises
    ------
    UnsupportedError
        If its values cannot be decoded.
    """
    if not scannable(tensor):
        raise UnsupportedError(f"{tensor!r} has no values that could be read")
    scan, offsets = Scan(tensor.n_rows), _scale_offsets(tensor.qtype)
    size = tensor.info.qtype.type_size
    step = max(1, _CHUNK // tensor.row_values)
    for start in range(0, tensor.n_rows, step):
        blocks = tensor.blocks(slice(start, start + step))
        with np.errstate(all="ignore"):  # NaN and inf are what is looked for
            scan.add_rows(start, dequantize(blocks, tensor.qtype))
        if offsets:
            scan.add_scales(blocks.reshape(-1, size), offsets)
    return scan
