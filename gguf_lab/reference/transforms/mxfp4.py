"""Blocks of MXFP4 as checkpoints of gpt-oss have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...codec import dequantize
from ...errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["DecodeMXFP4", "RepackMXFP4"]

_BYTES = 16  # of the 32 elements of a block


@dataclass(frozen=True, slots=True)
class RepackMXFP4:
    """Blocks and scales, two tensors of bytes, become the blocks that ggml has for them.

    The checkpoint has ``blocks`` of shape ``(..., n, 16)``, in which byte ``j`` holds the elements
    ``2 j`` (low bits) and ``2 j + 1``, and ``scales`` of shape ``(..., n)``. ggml's
    ``block_mxfp4`` is the scale, then 16 bytes with the elements ``j`` (low bits) and ``j + 16``:
    bits are moved into this order, as the converter moves them.
    """

    words: str = "MXFP4 blocks and scales joined"

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
        """Read the rows' blocks and their scales, and move the bits."""
        blocks, scales = sources
        n = scales.shape[-1]
        packed = blocks.read(start * n, stop * n).reshape(-1, n, _BYTES)
        out = np.empty((stop - start, n, 1 + _BYTES), np.uint8)
        out[..., 0] = scales.read(start, stop)
        low, high = packed[..., : _BYTES // 2], packed[..., _BYTES // 2 :]
        out[..., 1::2] = low & 0x0F | high << 4
        out[..., 2::2] = low >> 4 | high & 0xF0
        return out.reshape(stop - start, n * (1 + _BYTES))


@dataclass(frozen=True, slots=True)
class DecodeMXFP4(RepackMXFP4):
    """Blocks and scales become the numbers that they stand for, decoded by the codec."""

    words: str = "MXFP4 blocks and scales decoded"

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        RepackMXFP4.dtype(self, *dtypes)
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows as ggml's blocks, and decode them."""
        values = dequantize(RepackMXFP4.read(self, sources, start, stop), "MXFP4")
        return values.astype("<f4", copy=False).view(np.uint8)
