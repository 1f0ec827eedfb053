"""Numbers that float32 has no room for: I32, I64 and F64 are compared before they are rounded.

Else tables of numbers, or weights in F64, that differ in their last digits would be equal.
"""

from __future__ import annotations

import numpy as np

from ..codec import dequantize

__all__ = ["decode", "difference", "is_wide"]

# How they are stored, and what has room for them.
_WIDE = {"I32": ("<i4", np.int64), "I64": ("<i8", np.int64), "F64": ("<f8", np.float64)}


def is_wide(qtype: str) -> bool:
    """Whether float32 has no room for every number of a type."""
    return qtype in _WIDE


def decode(qtype: str, rows: np.ndarray, backend: str | None = None) -> np.ndarray:
    """Decode rows exactly.

    Parameters
    ----------
    qtype : str
    rows : uint8 array (n_rows, row_bytes)
        Little endian.
    backend : str, optional
        Of `dequantize`.

    Returns
    -------
    ndarray
        int64, float64 or, where it has room, float32.
    """
    if not is_wide(qtype):
        return dequantize(rows, qtype, backend=backend)
    stored, wide = _WIDE[qtype]
    return np.ascontiguousarray(rows).view(stored).astype(wide)


def difference(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Take the difference of what `decode` gave; zero only where the two are equal.

    Two of float32: in float32, as every comparison. Two of whole numbers: exactly, which takes up
    to 65 bits, and then rounded to float64. All else in float64: there a whole number beyond 2**53
    has been rounded before.
    """
    if x.dtype == r.dtype == np.int64:
        larger = x >= r
        a, b = x.view(np.uint64), r.view(np.uint64)  # modulo 2**64 the magnitude is right
        magnitude = np.where(larger, a - b, b - a).astype(np.float64)
        return np.where(larger, magnitude, -magnitude)
    wide = np.float32 if x.dtype == r.dtype == np.float32 else np.float64
    found: np.ndarray = np.subtract(x, r, dtype=wide)
    return found
