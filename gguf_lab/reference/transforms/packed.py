"""Packed whole numbers with zero points, as GPTQ and compressed-tensors have them, and BitNet's.

Numbers to which no more than half of their range was added are `Scaled`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...codec import can_decode, dequantize
from ...errors import ComparisonError
from .products import shift_and_multiply, unpack
from .rows import bytes_per_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = ["PackedColumns", "PackedRows", "PackedTernary"]

_WORD = 32  # bits of what numbers are packed in: I32 in the checkpoint
_TERNARY = 4  # numbers in a byte


def _words(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(rows).view("<u4")


def _values(rows: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    return np.asarray(dequantize(np.ascontiguousarray(rows), dtype))


def _packed(n: int, bits: int) -> int:
    """Count the words that n numbers take."""
    return -(-n // (_WORD // bits))


def _check_shapes(*expected: tuple[str, Shape, Shape]) -> None:
    for what, shape, due in expected:
        if shape != due:
            raise ComparisonError(f"{what} of shape {shape} instead of {due}, as the scales say")


def _check_types(whole: Sequence[str], scales: str) -> None:
    if any(dtype != "I32" for dtype in whole):
        raise ComparisonError(f"packed numbers of types {', '.join(whole)} instead of I32")
    if not can_decode(scales):
        raise ComparisonError(f"packed numbers with scales of type {scales}")


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Packed numbers, less the zero point of their group, times its scale.

    Of three tensors: words (rows, columns * bits / 32), scales (rows, groups), and zero points,
    which are packed down the columns: (rows * bits / 32, groups). Calculated in float32, as the
    converter does (``dequant_packed``).

    Attributes
    ----------
    bits : {2, 4, 8}
    group : int
        Weights of a row that share a zero point and a scale.
    """

    bits: int
    group: int

    @property
    def words(self) -> str:
        """Such as ``"int4 unpacked; less its zero points, times its scales, each for 32 ..."``."""
        each = f"each for 1 × {self.group} weights"
        return f"int{self.bits} unpacked; less its zero points, times its scales, {each}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the weights, which the scales say."""
        words, scales, zeros = shapes
        if len(scales) != 2:
            raise ComparisonError(f"scales of shape {scales} do not fit packed numbers")
        n_rows, groups = scales
        columns = groups * self.group
        _check_shapes(
            ("packed numbers", words, (n_rows, _packed(columns, self.bits))),
            ("zero points", zeros, (_packed(n_rows, self.bits), groups)),
        )
        return n_rows, columns

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        words, scales, zeros = dtypes
        _check_types((words, zeros), scales)
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows, their scales and the words that their zero points are in."""
        words, scales, zeros = sources
        _, columns = self.shape(*(source.shape for source in sources))
        each = _WORD // self.bits
        first = start // each
        shifts = unpack(_words(zeros.read(first, -(-stop // each))).T, self.bits).T
        return shift_and_multiply(
            _words(words.read(start, stop)),
            self.bits,
            shifts[start - first * each : stop - first * each],
            _values(scales.read(start, stop), scales.dtype),
            np.arange(columns, dtype=np.int32) // self.group,
        ).view(np.uint8)


@dataclass(frozen=True, slots=True)
class PackedColumns:
    """The matrix of GPTQ, which lies on its side: a row of the result is a column of its words.

    Of four tensors: words (columns * bits / 32, rows), zero points (groups, rows * bits / 32),
    scales (groups, rows) and the group of each column (columns). Calculated in float32, as the
    converter does (``dequant_gptq``).

    Attributes
    ----------
    bits : {2, 4, 8}
    added : int
        To the zero points: 1 in the first version of the format, 0 in the second.
    """

    bits: int
    added: int

    @property
    def words(self) -> str:
        """Such as ``"int4 unpacked, transposed; less its zero points, times its scales, ..."``."""
        unpacked = f"int{self.bits} unpacked, transposed"
        return f"{unpacked}; less its zero points, times its scales, by group of columns"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the weights, which scales and groups say."""
        words, zeros, scales, groups = shapes
        if len(scales) != 2 or len(groups) != 1:
            raise ComparisonError(
                f"scales of shape {scales} and groups of shape {groups} do not fit packed numbers"
            )
        (columns,), (n_groups, n_rows) = groups, scales
        _check_shapes(
            ("packed numbers", words, (_packed(columns, self.bits), n_rows)),
            ("zero points", zeros, (n_groups, _packed(n_rows, self.bits))),
        )
        return n_rows, columns

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        words, zeros, scales, groups = dtypes
        _check_types((words, zeros, groups), scales)
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the columns of everything that belong to the rows.

        Raises
        ------
        ComparisonError
            If a column is in a group that there is not.
        """
        words, zeros, scales, groups = sources
        _, columns = self.shape(*(source.shape for source in sources))
        n_groups, each = scales.shape[0], _WORD // self.bits
        group_of = np.ascontiguousarray(groups.read(0, 1)).view("<i4")[0]
        lowest, highest = (group_of.min(), group_of.max()) if columns else (0, -1)
        if lowest < 0 or highest >= n_groups:
            raise ComparisonError(
                f"columns belong to groups {lowest} to {highest}: there are {n_groups}"
            )
        first, last = start // each, -(-stop // each)
        shifts = unpack(_words(zeros.read(0, n_groups))[:, first:last], self.bits)
        shifts = shifts[:, start - first * each : stop - first * each] + self.added
        size = bytes_per_value(scales) if n_groups and scales.shape[1] else 0
        factors = scales.read(0, n_groups)[:, start * size : stop * size]
        return shift_and_multiply(
            np.ascontiguousarray(_words(words.read(0, words.shape[0]))[:, start:stop].T),
            self.bits,
            shifts.T,
            _values(factors, scales.dtype).T,
            group_of,
        ).view(np.uint8)


@dataclass(frozen=True, slots=True)
class PackedTernary:
    """The matrix of BitNet: numbers -1, 0 and 1, four to a byte, and one scale.

    Of two tensors: bytes (rows / 4, columns), in whose lowest bits is the first quarter of the
    rows, and the scale. Facts: Transformers, ``integrations/bitnet.py``, where ``BitLinear``
    divides by the scale and ``AutoBitLinear`` multiplies with it. llama.cpp's converter divides.

    Attributes
    ----------
    divided : bool
    """

    divided: bool

    @property
    def words(self) -> str:
        """Such as ``"ternary numbers unpacked; divided by their scale"``."""
        return f"ternary numbers unpacked; {'divided by' if self.divided else 'times'} their scale"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape of the weights."""
        packed, scale = shapes
        if len(packed) != 2 or scale not in {(), (1,)}:
            raise ComparisonError(
                f"ternary numbers of shape {packed} with a scale of shape {scale}: expected a"
                " matrix and one number"
            )
        return packed[0] * _TERNARY, packed[1]

    def dtype(self, *dtypes: str) -> str:
        """Give F32."""
        packed, scale = dtypes
        if packed != "U8" or not can_decode(scale):
            raise ComparisonError(f"ternary numbers of type {packed} with a scale of type {scale}")
        return "F32"

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read what the rows are in, quarter by quarter."""
        packed, scale = sources
        n = packed.shape[0]
        factor = _values(scale.read(0, 1), scale.dtype)
        values = np.empty((stop - start, packed.shape[1]), np.float32)
        for quarter in range(_TERNARY):
            first, last = max(start, quarter * n), min(stop, (quarter + 1) * n)
            if first < last:
                rows = packed.read(first - quarter * n, last - quarter * n)
                numbers = (rows >> 2 * quarter & 3).astype(np.float32) - 1
                values[first - start : last - start] = numbers
        with np.errstate(all="ignore"):  # a scale of 0 or NaN is for the comparison
            calculate = np.divide if self.divided else np.multiply
            calculate(values, factor, out=values)
        return values.view(np.uint8)
