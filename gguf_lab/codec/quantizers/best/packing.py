"""Codes and scales to bytes, in NumPy: the inverse of `..formats`, for whole arrays of blocks.

The codes of a block are numbers from 0 on, in ascending order of the levels that they stand for.
The scales are integers: halves by their bits, all others as they are stored, in the order super-
scale, super-scale of the minima, scales, minima.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PACKERS", "pack"]


def pack(name: str, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the bytes of blocks.

    Parameters
    ----------
    name : str
        ggml's name of the type, a key of `PACKERS`.
    codes : uint8 array (blocks, weights of a block)
    scales : int32 array (blocks, scales of a block)

    Returns
    -------
    uint8 array (blocks, bytes of a block)
    """
    parts = PACKERS[name](codes, scales)
    return np.concatenate([part.reshape(len(codes), -1) for part in parts], axis=1)


def _half(scales: np.ndarray, k: int) -> np.ndarray:
    """Return the bytes of the k-th scale, of 16 bits."""
    return np.ascontiguousarray(scales[:, k], "<u2").view(np.uint8)


def _across(bits: np.ndarray, runs: int) -> np.ndarray:
    """Pack one bit per weight: run k of neighbours into the bits k of as many bytes."""
    return np.packbits(bits.reshape(len(bits), runs, -1), axis=1, bitorder="little")


def _along(bits: np.ndarray) -> np.ndarray:
    """Pack one bit per weight: eight neighbours to a byte."""
    return np.packbits(bits, axis=1, bitorder="little")


def _nibbles(codes: np.ndarray, run: int) -> np.ndarray:
    """Pack four bits per weight: of each two runs of neighbours, the first into the low ones."""
    c = (codes & 15).reshape(len(codes), -1, 2, run)
    return c[:, :, 0] | c[:, :, 1] << 4


def _two_bits(codes: np.ndarray) -> np.ndarray:
    """Pack two bits per weight: of each four runs of 32, run k into the bits 2 k."""
    c = (codes & 3).reshape(len(codes), 2, 4, 32)
    return c[:, :, 0] | c[:, :, 1] << 2 | c[:, :, 2] << 4 | c[:, :, 3] << 6


def _digits(codes: np.ndarray, n: int) -> np.ndarray:
    """Pack digits of base 3, `n` at most: run k is digit k of 256ths of 3**5, rounded up."""
    c = codes.reshape(len(codes), n, -1)
    value = sum(c[:, k].astype(np.int32) * 3 ** (4 - k) for k in range(n))
    digits: np.ndarray = ((value * 256 + 242) // 243).astype(np.uint8)
    return digits


def _six_bits(sub: np.ndarray) -> np.ndarray:
    """Pack eight scales and eight minima of six bits into 12 bytes: see `packed_scale`."""
    s, m = sub[:, :8].astype(np.uint8), sub[:, 8:].astype(np.uint8)
    low, high = slice(0, 4), slice(4, 8)
    parts = [
        s[:, low] | s[:, high] >> 4 << 6,
        m[:, low] | m[:, high] >> 4 << 6,
        (s[:, high] & 15) | (m[:, high] & 15) << 4,
    ]
    return np.concatenate(parts, axis=1)


def _signed_six_bits(sub: np.ndarray) -> np.ndarray:
    """Pack 16 scales from -32 to 31 into 12 bytes: four bits, and two above them."""
    s = (sub + 32).astype(np.uint8)
    high = (s >> 4).reshape(len(s), 4, 4)
    high = high[:, 0] | high[:, 1] << 2 | high[:, 2] << 4 | high[:, 3] << 6
    return np.concatenate([_nibbles(s, 8).reshape(len(s), 8), high], axis=1)


# The levels of a 4-bit float from the smallest on: the code of each. Minus zero is not used.
_FLOATS = np.array([15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7], np.uint8)

_Parts = tuple[np.ndarray, ...]


def _q4_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _nibbles(codes, 16)


def _q4_1(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _half(scales, 1), _nibbles(codes, 16)


def _q5_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _along(codes >> 4), _nibbles(codes, 16)


def _q5_1(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _half(scales, 1), _along(codes >> 4), _nibbles(codes, 16)


def _q8_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), codes ^ np.uint8(128)


def _q1_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _along(codes)


def _q2_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    c = codes.reshape(len(codes), 16, 4)
    return _half(scales, 0), c[..., 0] | c[..., 1] << 2 | c[..., 2] << 4 | c[..., 3] << 6


def _tq1_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    runs = _digits(codes[:, :160], 5), _digits(codes[:, 160:240], 5), _digits(codes[:, 240:], 4)
    return *runs, _half(scales, 0)


def _tq2_0(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _two_bits(codes), _half(scales, 0)


def _q2_k(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    sub = (scales[:, 2:18] | scales[:, 18:34] << 4).astype(np.uint8)
    return sub, _two_bits(codes), _half(scales, 0), _half(scales, 1)


def _q3_k(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    sub = _signed_six_bits(scales[:, 1:])
    return _across(codes >> 2, 8), _two_bits(codes), sub, _half(scales, 0)


def _q4_k(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return _half(scales, 0), _half(scales, 1), _six_bits(scales[:, 2:]), _nibbles(codes, 32)


def _q5_k(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    *head, low = _q4_k(codes, scales)
    return *head, _across(codes >> 4, 8), low


def _q6_k(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    sub = scales[:, 1:].astype(np.int8).view(np.uint8)
    return _nibbles(codes, 64), _two_bits(codes >> 4), sub, _half(scales, 0)


def _iq4_xs(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    sub = (scales[:, 1:] + 32).astype(np.uint16)
    high = ((sub >> 4) << np.arange(0, 16, 2, dtype=np.uint16)).sum(1, dtype=np.uint16)
    low = _nibbles(sub.astype(np.uint8), 1)
    return _half(scales, 0), high.astype("<u2").view(np.uint8), low, _nibbles(codes, 16)


def _mxfp4(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return scales.astype(np.uint8), _nibbles(_FLOATS[codes], 16)


def _nvfp4(codes: np.ndarray, scales: np.ndarray) -> _Parts:
    return scales.astype(np.uint8), _nibbles(_FLOATS[codes], 8)


PACKERS: dict[str, Callable[[np.ndarray, np.ndarray], _Parts]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q1_0": _q1_0,
    "Q2_0": _q2_0,
    "TQ1_0": _tq1_0,
    "TQ2_0": _tq2_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _q4_0,
    "IQ4_XS": _iq4_xs,
    "MXFP4": _mxfp4,
    "NVFP4": _nvfp4,
}
