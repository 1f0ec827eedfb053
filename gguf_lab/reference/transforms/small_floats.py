"""Floats of 4 bits as checkpoints have them: blocks of MXFP4 (gpt-oss) and of NVFP4."""

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

__all__ = ["DecodeMXFP4", "DecodeNVFP4", "RepackMXFP4"]

_BYTES = 16  # of the 32 elements of a block
_GROUP = 16  # elements of NVFP4 with a scale of their own; ggml's block has four such groups


def _in_halves(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Move two elements in each byte, one after the other, to where ggml has them.

    Byte ``j`` of ``2 n`` has the elements ``2 j`` (low bits) and ``2 j + 1`` before, ``j`` and
    ``j + 2 n`` after.
    """
    low, high = np.split(packed, 2, axis=-1)
    out[..., 0::2] = low & 0x0F | high << 4
    out[..., 1::2] = low >> 4 | high & 0xF0


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
        _in_halves(packed, out[..., 1:])
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


@dataclass(frozen=True, slots=True)
class DecodeNVFP4:
    """Elements and scales, two tensors, become the numbers that they stand for.

    The checkpoint has bytes of shape ``(..., 8 n)``, in which byte ``j`` holds the elements ``2 j``
    (low bits) and ``2 j + 1``, and scales in E4M3 of shape ``(..., n)``, whose signs mean nothing.
    They become ggml's ``block_nvfp4``, as the converter makes it (``_nvfp4_pack``): four scales,
    then 8 bytes for each with the elements ``j`` (low bits) and ``j + 8``.
    """

    words: str = "NVFP4 weights and scales decoded"

    def shape(self, *shapes: Shape) -> Shape:
        """Give ``(..., 16 n)``."""
        packed, scales = shapes
        fit = packed and packed[:-1] == scales[:-1] and 2 * packed[-1] == _GROUP * scales[-1]
        if not fit or scales[-1] % 4:
            raise ComparisonError(
                f"weights of shape {packed} and scales of shape {scales} make no NVFP4 tensor"
            )
        return (*packed[:-1], _GROUP * scales[-1])

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        if dtypes != ("U8", "F8_E4M3"):
            raise ComparisonError(f"NVFP4 weights and scales of types {', '.join(dtypes)}")
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows and their scales as ggml's blocks, and decode them."""
        packed, scales = (source.read(start, stop) for source in sources)
        blocks = np.empty((stop - start, scales.shape[1] // 4, 36), np.uint8)
        blocks[..., :4] = scales.reshape(*blocks.shape[:2], 4) & 0x7F
        groups = blocks[..., 4:].reshape(*blocks.shape[:2], 4, 8)
        _in_halves(packed.reshape(groups.shape), groups)
        blocks[..., 4:] = groups.reshape(*blocks.shape[:2], 32)
        values = dequantize(blocks.reshape(stop - start, 9 * scales.shape[1]), "NVFP4")
        return values.astype("<f4", copy=False).view(np.uint8)
