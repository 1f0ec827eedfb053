"""Metadata values. Arrays are lazy: they know where their items lie and read them when asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from itertools import islice
from operator import index as as_index
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .text import decode, preview

if TYPE_CHECKING:
    from struct import Struct

__all__ = ["ArrayValue", "NestedArray", "NumericArray", "StringArray", "Value", "ValueType"]

STRIDE = 64
"""Items between two remembered offsets of a string array: one bit of memory per string."""


class ValueType(IntEnum):
    """The types of metadata values and their numbers (``enum gguf_type``)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12

    @property
    def label(self) -> str:
        """The name as it is shown: "uint32", "string"."""
        return self.name.lower()


class ArrayValue(Sequence[Any]):
    """A metadata array that reads its items when they are looked at.

    Behaves like a list that cannot be changed: ``len``, index, slice (gives a list), iteration,
    comparison with any sequence. A copy, or what comes back from a pickle, is a list.

    Attributes
    ----------
    item_type : str
        Type of the items: "string", "uint32", ... or "array".
    """

    __slots__ = ("_count", "item_type")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, item_type: str, count: int) -> None:
        self.item_type = item_type
        self._count = count

    @abstractmethod
    def _item(self, index: int) -> Any:
        """Return the item at `index`, which is in range."""

    @abstractmethod
    def _items(self, start: int, stop: int, step: int) -> Iterator[Any]:
        """Yield the items of a range whose step is positive."""

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (self[:],)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            chosen = range(*index.indices(self._count))
            ahead = chosen if chosen.step > 0 else chosen[::-1]
            # A range turned round may end a step beyond the last item.
            items = list(self._items(ahead.start, min(ahead.stop, self._count), ahead.step))
            return items if ahead is chosen else items[::-1]
        index = as_index(index)
        place = index + self._count if index < 0 else index
        if not 0 <= place < self._count:
            raise IndexError(f"index {index} of an array of {self._count} items")
        return self._item(place)

    def __iter__(self) -> Iterator[Any]:
        return self._items(0, self._count, 1)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the place of the first item that equals `value`; ValueError if there is none."""
        chosen = range(*slice(start, stop).indices(self._count))
        for place, item in zip(chosen, self._items(chosen.start, chosen.stop, 1), strict=True):
            if item == value:
                return place
        raise ValueError(f"{preview(value)} is not in the array")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(other) == self._count and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __repr__(self) -> str:
        shown = ", ".join(preview(item, 32) for item in self._items(0, min(4, self._count), 1))
        more = ", …" if self._count > 4 else ""
        return f"<{self._count:,} × {self.item_type}: [{shown}{more}]>"


class NumericArray(ArrayValue):
    """Numbers or truth values: a view of the file's bytes."""

    __slots__ = ("_view",)

    def __init__(self, item_type: str, view: npt.NDArray[Any]) -> None:
        super().__init__(item_type, view.size)
        self._view = view

    def _item(self, index: int) -> Any:
        return self._view[index].item()

    def _items(self, start: int, stop: int, step: int) -> Iterator[Any]:
        # In portions, so that a loop over a huge array does not first become a huge list.
        portion = 4096 * step
        for at in range(start, stop, portion):
            yield from self._view[at : min(at + portion, stop) : step].tolist()

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return the items as an array of the machine's own byte order.

        Read-only, without a copy, if the file has that byte order.
        """
        return self._view.astype(self._view.dtype.newbyteorder("="), copy=False)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        result = self.to_numpy() if dtype is None else self._view.astype(dtype)
        return result.copy() if copy and np.shares_memory(result, self._view) else result


class _Walked(ArrayValue):
    """Items of various lengths, of which every 64th offset is known; the others are walked to."""

    __slots__ = ("_offsets",)

    def __init__(self, item_type: str, count: int, offsets: npt.NDArray[np.uint64]) -> None:
        super().__init__(item_type, count)
        self._offsets = offsets

    @abstractmethod
    def _places(self, offset: int) -> Iterator[Any]:
        """Yield the places of the items from `offset` on; a place is what `_read` takes."""

    @abstractmethod
    def _read(self, place: Any) -> Any:
        """Return the item at a place."""

    def _item(self, index: int) -> Any:
        return next(self._items(index, index + 1, 1))

    def _items(self, start: int, stop: int, step: int) -> Iterator[Any]:
        if step > STRIDE:
            for index in range(start, stop, step):
                yield self._item(index)
        elif start < stop:
            known, ahead = divmod(start, STRIDE)
            places = self._places(int(self._offsets[known]))
            for place in islice(places, ahead, ahead + stop - start, step):
                yield self._read(place)


class StringArray(_Walked):
    """Text; bytes that are not UTF-8 appear as backslash escapes."""

    __slots__ = ("_buffer", "_length")

    def __init__(
        self, count: int, offsets: npt.NDArray[np.uint64], buffer: memoryview, length: Struct
    ) -> None:
        super().__init__("string", count, offsets)
        self._buffer = buffer
        self._length = length

    def _places(self, offset: int) -> Iterator[tuple[int, int]]:
        unpack, size = self._length.unpack_from, self._length.size
        while True:
            start = offset + size
            offset = start + unpack(self._buffer, offset)[0]
            yield start, offset

    def _read(self, place: tuple[int, int]) -> str:
        return decode(self._buffer[place[0] : place[1]])

    def encoded(self) -> Iterator[bytes]:
        """Yield the strings as the file has them, not decoded."""
        if self._count:
            for start, stop in islice(self._places(int(self._offsets[0])), self._count):
                yield bytes(self._buffer[start:stop])


class NestedArray(_Walked):
    """Arrays; each is read anew when it is looked at."""

    __slots__ = ("_scan",)

    def __init__(
        self,
        count: int,
        offsets: npt.NDArray[np.uint64],
        scan: Callable[[int], tuple[ArrayValue, int]],
    ) -> None:
        super().__init__("array", count, offsets)
        self._scan = scan

    def _places(self, offset: int) -> Iterator[ArrayValue]:
        while True:
            item, offset = self._scan(offset)
            yield item

    def _read(self, place: ArrayValue) -> ArrayValue:
        return place


Value = int | float | bool | str | ArrayValue
"""What a metadata key can hold."""
