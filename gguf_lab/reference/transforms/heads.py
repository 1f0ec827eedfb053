"""Rows of queries, keys and values: how converters regroup the heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ComparisonError
from .rows import OneSource, bytes_per_value, gather, rearrange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Rows, Shape

__all__ = [
    "GroupParts",
    "HeadPart",
    "NegatedHalves",
    "PermuteRotary",
    "Regrouped",
    "TakeApart",
    "Tiled",
    "TiledColumns",
    "UnpermuteRotary",
]


@dataclass(frozen=True, slots=True)
class UnpermuteRotary(OneSource):
    """The rows of Q or K from rotary halves to rotary pairs, head by head.

    Transformers rotates element ``i`` of a head with element ``i + head_size / 2``, llama.cpp's
    "normal" rope rotates neighbours. So llama.cpp's converter (``LlamaModel.permute``) interleaves
    the halves ``s`` of each head ``h``: row ``(h, i, s)`` of the file is row ``(h, s, i)`` of the
    checkpoint. Of a bias, a vector, it interleaves the elements.

    Attributes
    ----------
    n_heads : int
        Heads of this tensor: for K those of keys and values.
    """

    n_heads: int

    @property
    def words(self) -> str:
        """Such as ``"rows un-permuted for rotary halves, 9 heads"``."""
        return f"rows un-permuted for rotary halves, {self.n_heads} heads"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into two halves per head."""
        (shape,) = shapes
        if not shape or self.n_heads < 1 or shape[0] % (2 * self.n_heads):
            raise ComparisonError(
                f"shape {shape} doesn't divide into two rotary halves for each of"
                f" {self.n_heads} heads"
            )
        return shape

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows; of the source only the heads that they belong to are read."""
        (source,) = sources
        first, *rest = self.shape(source.shape)
        if start == stop or first == 0:
            return source.read(start, stop)
        if not rest:
            return rearrange(source, start, stop, self._order(np.arange(first), first))
        # with three dimensions the first one still counts the permuted blocks of rows
        block = math.prod(rest[:-1])
        head = first // self.n_heads * block
        low, high = start // head * head, -(-stop // head) * head
        rows = np.arange(start, stop)
        order: NDArray[np.int64] = self._order(rows // block, first) * block + rows % block
        return source.read(low, high)[order - low]

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """Find which index of the checkpoint's first dimension stands at `rows` of the file."""
        head_size = first // self.n_heads
        head, within = np.divmod(rows, head_size)
        pair, half = np.divmod(within, 2)
        order: NDArray[np.int64] = head * head_size + half * (head_size // 2) + pair
        return order


class Regrouped(OneSource):
    """Rows of a matrix, or elements of a bias, in another order; the shape stays."""

    __slots__ = ()

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows, or the elements of a bias."""
        (source,) = sources
        first, *rest = self.shape(source.shape)
        if rest:
            return gather(source, self._order(np.arange(start, stop), first))
        if start == stop or first == 0:
            return source.read(start, stop)
        return rearrange(source, start, stop, self._order(np.arange(first), first))

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """Find which row of the checkpoint stands at each of `rows` of the file."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TakeApart(Regrouped):
    """The rows of a fused QKV from groups of heads to all of Q, then all of K, then all of V.

    In the checkpoint each head of keys and values stands with the query heads that it serves:
    ``(kv_head, [q, ..., q, k, v], element)``. llama.cpp wants the three apart (``FalconModel``;
    ``BloomModel`` is the case of one query head per group). Of a bias the elements move.

    Attributes
    ----------
    n_heads, n_kv_heads : int
        Heads of queries; heads of keys and values.
    """

    n_heads: int
    n_kv_heads: int

    @property
    def words(self) -> str:
        """Such as ``"q, k and v taken apart, 4 heads"``."""
        grouped = self.n_kv_heads != self.n_heads
        groups = f" in groups of {self.n_heads // self.n_kv_heads}" if grouped else ""
        return f"q, k and v taken apart, {self.n_heads} heads{groups}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into the heads."""
        (shape,) = shapes
        n, kv = self.n_heads, self.n_kv_heads
        if not 1 <= len(shape) <= 2 or not 1 <= kv <= n or n % kv or shape[0] % (n + 2 * kv):
            raise ComparisonError(
                f"shape {shape} doesn't divide into {n} heads of queries and {kv} each of keys and"
                " values"
            )
        return shape

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """Find which row of the checkpoint stands at each of `rows` of the file."""
        queries = self.n_heads // self.n_kv_heads
        size = max(1, first // (self.n_heads + 2 * self.n_kv_heads))
        head, within = np.divmod(rows, size)
        kind, key = np.divmod(np.maximum(head - self.n_heads, 0), self.n_kv_heads)
        is_query = head < self.n_heads
        group = np.where(is_query, head // queries, key)
        place = np.where(is_query, head % queries, queries + kind)
        order: NDArray[np.int64] = (group * (queries + 2) + place) * size + within
        return order


@dataclass(frozen=True, slots=True)
class PermuteRotary(Regrouped):
    """The opposite of `UnpermuteRotary`, for part of each head: from rotary pairs to halves.

    glm4 rotates neighbours; where it also sees (M-RoPE), llama.cpp can only rotate halves
    (``Glm4Model.normal_to_neox``).

    Attributes
    ----------
    n_heads : int
    rotated : int
        How many rows of a head are rotated: the first ones. The others stay.
    """

    n_heads: int
    rotated: int

    @property
    def words(self) -> str:
        """Such as ``"rows permuted to rotary halves, 4 heads"``."""
        return f"rows permuted to rotary halves, {self.n_heads} heads"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must divide into the heads."""
        (shape,) = shapes
        n, rotated = self.n_heads, self.rotated
        if not shape or n < 1 or shape[0] % n or rotated % 2 or not 0 < rotated <= shape[0] // n:
            raise ComparisonError(f"shape {shape} has no {rotated} rows to rotate in {n} heads")
        return shape

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        within = rows % (first // self.n_heads)
        half, pair = np.divmod(within, self.rotated // 2)
        order: NDArray[np.int64] = rows - within + np.where(half < 2, 2 * pair + half, within)
        return order


@dataclass(frozen=True, slots=True)
class HeadPart(OneSource):
    """Of the rows of each head some that stand together; the heads become a dimension.

    Attributes
    ----------
    n_heads : int
    size : int
        Rows of a head that are taken.
    at_end : bool
        The last ones of each head, not the first.
    """

    n_heads: int
    size: int
    at_end: bool = False

    @property
    def words(self) -> str:
        """Such as ``"the first 6 rows of each of 4 heads"``."""
        where = "last" if self.at_end else "first"
        return f"the {where} {self.size} rows of each of {self.n_heads} heads"

    def shape(self, *shapes: Shape) -> Shape:
        """Give ``(heads, size, columns)``."""
        (shape,) = shapes
        n = self.n_heads
        if len(shape) != 2 or n < 1 or shape[0] % n or not 0 <= self.size <= shape[0] // n:
            raise ComparisonError(
                f"shape {shape} doesn't have {self.size} rows in each of {n} heads"
            )
        return (n, self.size, shape[1])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows."""
        (source,) = sources
        each = source.shape[0] // self.n_heads
        head, within = np.divmod(np.arange(start, stop), max(1, self.size))
        return gather(source, head * each + within + (each - self.size if self.at_end else 0))


@dataclass(frozen=True, slots=True)
class GroupParts(OneSource):
    """Some parts of the rows of each group: all groups' first, then all groups' second ...

    qwen3next keeps query, key, value and gate of a head together (``in_proj_qkvz``), llama.cpp
    wants the first three apart, and the gates as a matrix of their own (``Qwen3NextModel``).

    Attributes
    ----------
    n_groups : int
    sizes : tuple of int
        Rows of each part of a group.
    first, last : int
        The first of the parts that are taken, and the one after the last.
    words : str
    """

    n_groups: int
    sizes: tuple[int, ...]
    first: int
    last: int
    words: str

    def shape(self, *shapes: Shape) -> Shape:
        """Give the shape with the rows of these parts; they must be those of all groups."""
        (shape,) = shapes
        n, sizes = self.n_groups, self.sizes
        if len(shape) != 2 or n < 1 or min(sizes) < 1 or shape[0] != n * sum(sizes):
            raise ComparisonError(
                f"shape {shape} doesn't divide into {n} groups of {' + '.join(map(str, sizes))}"
                " rows"
            )
        return (n * sum(sizes[self.first : self.last]), shape[1])

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Gather the rows."""
        (source,) = sources
        sizes = np.array(self.sizes)
        ends = np.cumsum(self.n_groups * sizes[self.first : self.last])
        rows = np.arange(start, stop)
        part = np.searchsorted(ends, rows, side="right")
        size = sizes[self.first + part]
        group, within = np.divmod(rows - (ends[part] - self.n_groups * size), size)
        offsets = np.cumsum(sizes) - sizes
        return gather(source, group * sizes.sum() + offsets[self.first + part] + within)


_SIGNED = frozenset(("BF16", "F16", "F32", "F64"))


@dataclass(frozen=True, slots=True)
class NegatedHalves(OneSource):
    """The rows of the second half of each head times -1: talkie rotates the other way round.

    Attributes
    ----------
    size : int
        Rows of a head.
    """

    size: int

    @property
    def words(self) -> str:
        """Such as ``"the second half of each head of 128 times -1"``."""
        return f"the second half of each head of {self.size} times -1"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its rows must divide into the heads."""
        (shape,) = shapes
        if len(shape) != 2 or self.size < 2 or shape[0] % self.size:
            raise ComparisonError(f"shape {shape} doesn't divide into heads of {self.size}")
        return shape

    def dtype(self, *dtypes: str) -> str:
        """Give the same type, which must have a bit for the sign."""
        (dtype,) = dtypes
        if dtype not in _SIGNED:
            raise ComparisonError(f"numbers of type {dtype} are not negated")
        return dtype

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows, and turn the sign, the highest bit, of those that are negated."""
        (source,) = sources
        rows = source.read(start, stop).copy()
        negated = np.arange(start, stop) % self.size >= self.size // 2
        size = bytes_per_value(source)
        rows[:, size - 1 :: size] ^= np.where(negated, np.uint8(128), np.uint8(0))[:, None]
        return rows


@dataclass(frozen=True, slots=True)
class Tiled(Regrouped):
    """Heads of values from groups, one for each head of keys, to tiles with a head of each group.

    ggml repeats keys tile by tile, Transformers head by head: head ``(g, m)`` of the checkpoint is
    head ``(m, g)`` of the file (``_LinearAttentionVReorderBase`` of the converter, for qwen3.5; for
    the queries of plamo ``PlamoModel``).

    Attributes
    ----------
    n_groups, n_members : int
        Heads of keys; heads of values for each of them.
    size : int
        Rows, or elements, of a head of values.
    fixed : int
        Rows before those of the values, which stay.
    what : str
    """

    n_groups: int
    n_members: int
    size: int
    fixed: int = 0
    what: str = "values"

    @property
    def words(self) -> str:
        """Such as ``"heads of values in tiles of 16"``."""
        return f"heads of {self.what} in tiles of {self.n_groups}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its first dimension must be that of the heads."""
        (shape,) = shapes
        if not shape or shape[0] != self.fixed + self.n_groups * self.n_members * self.size:
            raise ComparisonError(
                f"shape {shape} isn't {self.fixed} rows and {self.n_groups} x {self.n_members}"
                f" heads of {self.size}"
            )
        return shape

    def _order(self, rows: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        head, within = np.divmod(np.maximum(rows - self.fixed, 0), self.size)
        member, group = np.divmod(head, self.n_groups)
        moved = self.fixed + (group * self.n_members + member) * self.size + within
        order: NDArray[np.int64] = np.where(rows < self.fixed, rows, moved)
        return order


@dataclass(frozen=True, slots=True)
class TiledColumns(OneSource):
    """The columns of a matrix in the order that `Tiled` gives rows: what the values go into."""

    tiled: Tiled

    @property
    def words(self) -> str:
        """Such as ``"columns: heads of values in tiles of 16"``."""
        return f"columns: {self.tiled.words}"

    def shape(self, *shapes: Shape) -> Shape:
        """Give the same shape; its last dimension must be that of the heads."""
        (shape,) = shapes
        self.tiled.shape(shape[-1:])
        return shape

    def read(self, sources: Sequence[Rows], start: int, stop: int) -> NDArray[np.uint8]:
        """Read the rows and move their elements."""
        (source,) = sources
        columns = self.shape(source.shape)[-1]
        order = self.tiled._order(np.arange(columns), columns)
        return rearrange(source, start, stop, order)
