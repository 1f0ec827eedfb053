"""The tensor types of ggml: their numbers, names and sizes. The only place where they are written.

Source: ``enum ggml_type`` and ``type_traits`` of ggml. Types that ggml has removed (Q4_2, Q4_3
and the repacked ``*_N_M`` ones) are not here: a file that uses them shows an opaque row.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from ..errors import UnsupportedError
from .text import printable, suggest

__all__ = ["QTYPES", "QType", "find_qtype", "known_qtype", "qtype"]


@dataclass(frozen=True, slots=True)
class QType:
    """A tensor type of ggml.

    Attributes
    ----------
    id : int
        The number in the file (``enum ggml_type``).
    name : str
        ggml's name without the prefix ``GGML_TYPE_``.
    block_size : int
        Weights per block; 0 if the type is unknown.
    type_size : int
        Bytes per block; 0 if the type is unknown.
    """

    id: int
    name: str
    block_size: int
    type_size: int

    @property
    def known(self) -> bool:
        """Whether sizes are known, so that the bytes of a row can be counted."""
        return self.block_size > 0

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight of a full block, scales included; NaN if the type is unknown."""
        return 8 * self.type_size / self.block_size if self.known else float("nan")

    def row_bytes(self, row_values: int) -> int:
        """Bytes of a row of `row_values` weights, which must be a multiple of the block size."""
        return row_values // self.block_size * self.type_size


QTYPES: dict[int, QType] = {
    t.id: t
    for t in (
        QType(0, "F32", 1, 4),
        QType(1, "F16", 1, 2),
        QType(2, "Q4_0", 32, 18),
        QType(3, "Q4_1", 32, 20),
        QType(6, "Q5_0", 32, 22),
        QType(7, "Q5_1", 32, 24),
        QType(8, "Q8_0", 32, 34),
        QType(9, "Q8_1", 32, 36),
        QType(10, "Q2_K", 256, 84),
        QType(11, "Q3_K", 256, 110),
        QType(12, "Q4_K", 256, 144),
        QType(13, "Q5_K", 256, 176),
        QType(14, "Q6_K", 256, 210),
        QType(15, "Q8_K", 256, 292),
        QType(16, "IQ2_XXS", 256, 66),
        QType(17, "IQ2_XS", 256, 74),
        QType(18, "IQ3_XXS", 256, 98),
        QType(19, "IQ1_S", 256, 50),
        QType(20, "IQ4_NL", 32, 18),
        QType(21, "IQ3_S", 256, 110),
        QType(22, "IQ2_S", 256, 82),
        QType(23, "IQ4_XS", 256, 136),
        QType(24, "I8", 1, 1),
        QType(25, "I16", 1, 2),
        QType(26, "I32", 1, 4),
        QType(27, "I64", 1, 8),
        QType(28, "F64", 1, 8),
        QType(29, "IQ1_M", 256, 56),
        QType(30, "BF16", 1, 2),
        QType(34, "TQ1_0", 256, 54),
        QType(35, "TQ2_0", 256, 66),
        QType(39, "MXFP4", 32, 17),
        QType(40, "NVFP4", 64, 36),
        QType(41, "Q1_0", 128, 18),
        QType(42, "Q2_0", 64, 18),
    )
}

_BY_NAME = {t.name: t for t in QTYPES.values()}


def qtype(which: int | str | QType) -> QType:
    """Look a tensor type up by number or name.

    An unknown number gives an opaque type with sizes 0, so that a file of tomorrow still opens.

    Raises
    ------
    KeyError
        If a name is unknown.
    """
    if isinstance(which, QType):
        return which
    if isinstance(which, str):
        return _BY_NAME[which]
    return QTYPES.get(which) or QType(which, f"UNKNOWN_{which}", 0, 0)


def find_qtype(which: object) -> QType | None:
    """Look up what somebody has asked for: a name in letters of any case, or a number of ggml."""
    if isinstance(which, str):
        return _BY_NAME.get(which) or _BY_NAME.get(which.upper())
    # True is a whole number too, and nobody means F16 by it.
    if isinstance(which, Integral) and not isinstance(which, bool):
        return QTYPES.get(int(which))
    return None


def known_qtype(which: str | int) -> QType:
    """Look up a tensor type as `find_qtype` does.

    Raises
    ------
    UnsupportedError
        If it is unknown.
    """
    if found := find_qtype(which):
        return found
    hint = suggest(str(which).upper(), _BY_NAME)
    raise UnsupportedError(f"type {printable(repr(which))} is unknown.{hint}")
