"""Whether numbers are finite: of plain ones their bits tell, without a number being calculated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dispatch import dequantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["all_finite"]

# Bytes of a number, and the bits of infinity.
_PLAIN = {
    "F16": (2, 0x7C00),
    "BF16": (2, 0x7F80),
    "F32": (4, 0x7F80 << 16),
    "F64": (8, 0x7FF << 52),
}


def all_finite(rows: NDArray[np.uint8], qtype: str) -> bool:
    """Whether no number of a type that is decoded is NaN or infinite.

    Parameters
    ----------
    rows : uint8 array, (n, row_bytes)
    qtype : str

    Notes
    -----
    The bits of numbers without a sign are in the order of the numbers, then come infinity and NaN.
    So it is enough to look at the largest, as integers with a sign and without: two passes at the
    speed of memory, where decoding takes ten times as long.
    """
    if qtype not in _PLAIN:
        return bool(np.isfinite(dequantize(rows, qtype)).all())
    size, infinity = _PLAIN[qtype]
    bits = np.ascontiguousarray(rows).reshape(-1)
    positive, negative = (bits.view(f"<{kind}{size}").max(initial=0) for kind in "iu")
    return bool(positive < infinity and negative < infinity + (1 << 8 * size - 1))
