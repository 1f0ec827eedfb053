"""Blocks of MXFP4 as checkpoints of gpt-oss have them, put into ggml's order: bits move only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["JoinMXFP4"]

_BYTES = 16  # of the 32 elements of a block


@dataclass(frozen=True, slots=True)
class JoinMXFP4:
    """Blocks and scales, two tensors of bytes, become one of type MXFP4.

    The checkpoint has ``blocks`` of shape ``(..., n, 16)``, in which byte ``j`` holds the elements
    ``2 j`` (low bits) and ``2 j + 1``, and ``scales`` of shape ``(..., n)``. ggml's
    ``block_mxfp4`` is the scale, then 16 bytes with the elements ``j`` (low bits) and ``j + 16``.
    """

    words: str = "blocks and scales joined, nibbles reordered"

    def shape(self, *shapes: Shape) -> Shape:
        """Give ``(..., 32 n)``."""
        blocks, scales = shapes
        if len(blocks) < 3 or blocks[-1] != _BYTES or blocks[:-1] != scales:
            raise ComparisonError(
                f"blocks of shape {blocks} and scales of shape {scales} make no MXFP4 tensor"
            )
        return (*blocks[:-2], blocks[-2] * 2 * _BYTES)

    def dtype(self, *dtypes: str) -> str:
        """Give MXFP4."""
        if set(dtypes) != {"U8"}:
            raise ComparisonError(f"blocks and scales of types {', '.join(dtypes)} instead of U8")
        return "MXFP4"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows' blocks and their scales, and move the nibbles."""
        blocks, scales = sources
        n = scales.shape[-1]
        packed = blocks.read(start * n, stop * n).reshape(-1, n, _BYTES)
        out = np.empty((stop - start, n, 1 + _BYTES), np.uint8)
        out[..., 0] = scales.read(start, stop)
        low, high = packed[..., : _BYTES // 2], packed[..., _BYTES // 2 :]
        out[..., 1::2] = low & 0x0F | high << 4
        out[..., 2::2] = low >> 4 | high & 0xF0
        return out.reshape(stop - start, -1)
