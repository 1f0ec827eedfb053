"""Where tensors lie: offsets are checked against each other and against the end of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .scan import malformed
from .text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .qtypes import QType

__all__ = ["Shaped", "Status", "TensorInfo", "lay_out", "without_ones"]

Status = Literal["ok", "truncated", "opaque"]

# A type nobody here knows may be wider than all known ones (F64, 8 bytes); this is its bound.
WIDEST_VALUE_BYTES = 16


class Shaped:
    """What follows from a shape in NumPy's order: the last dimension is a row."""

    __slots__ = ()
    shape: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def n_rows(self) -> int:
        """Product of all dimensions but the last; 1 for a vector or a scalar."""
        return math.prod(self.shape[:-1])

    @property
    def row_values(self) -> int:
        """Weights per row: the last dimension; 1 for a scalar."""
        return self.shape[-1] if self.shape else 1


@dataclass(frozen=True, slots=True)
class TensorInfo(Shaped):
    """A tensor as its file lists it.

    Attributes
    ----------
    name : str
        Its name; bytes that are not UTF-8 are backslash escapes.
    shape : tuple of int
        In NumPy's order: the last dimension lies together in memory. ggml's ``ne`` is the reverse.
    qtype : QType
        The type of its blocks.
    offset : int
        Its first byte, from the start of its file.
    nbytes : int or None
        Its bytes; None if the type is unknown.
    shard : int
        Which file of the set it is in, from 0.
    status : str
        "ok"; "truncated" if the file ends before the tensor does; "opaque" if the type is unknown.
    """

    name: str
    shape: tuple[int, ...]
    qtype: QType
    offset: int
    nbytes: int | None
    shard: int
    status: Status

    @property
    def row_bytes(self) -> int | None:
        """Bytes per row; None if the type is unknown."""
        return self.qtype.row_bytes(self.row_values) if self.qtype.known else None


def lay_out(
    name: str,
    size: int,
    listed: Sequence[tuple[int, TensorInfo]],
    alignment: int,
    data_offset: int,
) -> list[TensorInfo]:
    """Check the offsets of tensors and give each its place and status.

    Parameters
    ----------
    name : str
        The file, for messages.
    size : int
        Bytes of the file.
    listed : sequence of (int, TensorInfo)
        Each tensor with where the file lists it; its offset counts from `data_offset`.
    alignment : int
        What offsets must be multiples of, in bytes.
    data_offset : int
        Where the tensor data begins.

    Returns
    -------
    list of TensorInfo
        In the same order; offsets count from the start of the file.

    Raises
    ------
    GGUFError
        If an offset is misaligned or negative, if an end does not fit 64 bits, if two tensors
        overlap, or if one lies beyond the end of the file for another reason than that the file
        was cut short.

    Notes
    -----
    A tensor that is not wholly inside the file is either cut off or wrongly placed. Files are
    written one tensor after the other, each padded to the alignment. So a tensor that ends beyond
    the end of the file is "truncated" if it begins inside the file, or no later than the padded
    end of the tensor before it in the data: a download that stopped looks like this. If it begins
    beyond the end and after a gap that no tensor explains, its offset is wrong. Inside the file,
    gaps and any order of the data are accepted; llama.cpp writes neither.
    """
    for at, info in listed:
        if info.offset >= 2**63:
            raise malformed(
                name,
                at,
                f"tensor {quoted(info.name)} has the offset {info.offset - 2**64:,}",
                "0 or more",
            )
        if info.offset % alignment:
            raise malformed(
                name,
                at,
                f"tensor {quoted(info.name)} has the offset {info.offset:,}",
                f"a multiple of the alignment {alignment}",
            )

    # In the order of the data; empty ones first where offsets are equal, then as listed.
    order = sorted(
        range(len(listed)),
        key=lambda i: (listed[i][1].offset, listed[i][1].n_elements > 0),
    )
    placed = [info for _, info in listed]
    end, before = 0, ""  # of the data so far: its last byte + 1 as far as known, and whose it is
    reach = 0  # the furthest offset at which the next tensor of an unbroken file could begin
    for i in order:
        at, info = listed[i]
        what = f"tensor {quoted(info.name)}"
        if info.offset < end and info.n_elements:
            raise malformed(
                name,
                at,
                f"{what} has the offset {info.offset:,} and overlaps tensor {quoted(before)}, "
                f"which ends at {end:,}",
                "tensors that share no byte",
            )
        # An unknown type takes a byte at least, so that nothing else may begin where it does.
        least = min(info.n_elements, 1) if info.nbytes is None else info.nbytes
        most = info.n_elements * WIDEST_VALUE_BYTES if info.nbytes is None else info.nbytes
        if data_offset + info.offset + least >= 2**63:
            raise malformed(
                name,
                at,
                f"{what} of {least:,} bytes at the offset {info.offset:,} ends beyond what 64 bits "
                "can count",
                "offsets and sizes below 2^63",
            )
        left = size - data_offset - info.offset
        if left < least and left <= 0 and info.offset > reach:
            raise malformed(
                name,
                at,
                f"{what} has the offset {info.offset:,}, beyond the {size:,} bytes of the file "
                f"and past where the tensors before it end ({reach:,})",
                "an offset inside the tensor data",
            )
        if info.n_elements:
            end, before = info.offset + least, info.name
            reach = max(reach, info.offset + most + -(info.offset + most) % alignment)
        status: Status = info.status
        if status == "ok" and left < least:
            status = "truncated"
        placed[i] = replace(info, offset=data_offset + info.offset, status=status)
    return placed


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out leading sides of 1: ggml does not tell them from none (``ggml_n_dims``)."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape or (1,)
