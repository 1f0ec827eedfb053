"""Walks forward through the bytes of a file and refuses every step beyond what is there.

A count in the file is a claim. It is checked against the bytes that are left, at the least number
of bytes that so many items could take, before anything is allocated or looped over.
"""

from __future__ import annotations

import struct
from copy import copy
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import GGUFError
from .values import STRIDE, ArrayValue, NestedArray, NumericArray, StringArray, ValueType

if TYPE_CHECKING:
    from .source import ByteSource

__all__ = ["MAX_DEPTH", "Cursor", "Dialect", "malformed"]

MAX_DEPTH = 4
"""Arrays in arrays: how many levels are read."""

_CODES = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "B",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}

WINDOW = 1 << 16
"""Bytes in which strings are looked for at once; fits the second-level cache many times."""

DAMAGED = "The file is damaged or cut short; fetch it again."


def malformed(
    name: str, offset: int, found: str, expected: str, advice: str = DAMAGED
) -> GGUFError:
    """Make the error of a malformed file: where, what was found, what was expected, what to do."""
    return GGUFError(f"{name}, byte {offset:,}: {found}. Expected {expected}. {advice}")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How numbers are written: byte order, and the width of counts (32 bits in version 1)."""

    version: int
    byteorder: str

    @property
    def order(self) -> str:
        """The byte order as `struct` and numpy write it."""
        return "<" if self.byteorder == "little" else ">"

    @property
    def count(self) -> Struct:
        """A count, a length or a dimension."""
        return Struct(self.order + ("I" if self.version == 1 else "Q"))

    def number(self, kind: ValueType) -> Struct:
        """Return the form of a number of a type."""
        return Struct(self.order + _CODES[kind])


class Cursor:
    """A place in a source, and what reads on from there.

    Parameters
    ----------
    source : ByteSource
        Looked at through one view of its first bytes, which grows as the cursor goes on.
    dialect : Dialect
        Byte order and version.
    position : int
        Where to start.

    Attributes
    ----------
    position : int
        The next byte to be read.
    """

    def __init__(self, source: ByteSource, dialect: Dialect, position: int = 0) -> None:
        self.name = source.name
        self.size = source.size
        self.dialect = dialect
        self.position = position
        self._source = source
        self._reach(position)
        self._count = dialect.count
        self._forms = {kind: dialect.number(kind) for kind in _CODES}

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size - self.position

    def _reach(self, stop: int) -> None:
        """Make the bytes before `stop`, which are inside the file, part of the view."""
        self._array = self._source.head(stop)
        self._buffer = self._array.data
        self._seen = self._array.size

    def _unpack(self, form: Struct, what: str) -> Any:
        at = self.position
        if form.size > self.size - at:
            raise malformed(
                self.name,
                at,
                f"{what} needs {form.size} bytes, but {self.size - at} are left",
                f"{form.size} bytes inside the {self.size:,} bytes of the file",
            )
        self.position = at + form.size
        if self.position > self._seen:
            self._reach(self.position)
        return form.unpack_from(self._buffer, at)[0]

    def number(self, kind: ValueType, what: str) -> Any:
        """Read one number or truth value; `what` names it in messages."""
        value = self._unpack(self._forms[kind], what)
        if kind is not ValueType.BOOL:
            return value
        if value > 1:
            raise self._no_bool(self.position - 1, value, what)
        return bool(value)

    def count(self, what: str) -> int:
        """Read a count, a length or a dimension."""
        value: int = self._unpack(self._count, what)
        return value

    def text(self, what: str, limit: int | None = None) -> memoryview:
        """Read a string: its bytes, not copied. `limit` is the most bytes it may have."""
        at = self.position
        length = self.count(f"the length of {what}")
        if length > self.left:
            raise malformed(
                self.name,
                at,
                f"{what} claims {length:,} bytes, but {self.left:,} are left",
                "a length inside the file",
            )
        if limit is not None and length > limit:
            raise malformed(
                self.name,
                at,
                f"{what} has {length:,} bytes",
                f"at most {limit:,}",
                "No reader of GGUF takes it; write the file again with a shorter name.",
            )
        start = self.position
        self.position = start + length
        if self.position > self._seen:
            self._reach(self.position)
        return self._buffer[start : self.position]

    def kind(self, what: str) -> ValueType:
        """Read a value type."""
        at = self.position
        number = self.number(ValueType.UINT32, f"the type of {what}")
        try:
            return ValueType(number)
        except ValueError:
            raise malformed(
                self.name,
                at,
                f"{what} has the unknown value type {number}",
                f"0 to {max(ValueType)}",
                "The file is damaged, or newer than this reader.",
            ) from None

    def value(self, kind: ValueType, what: str) -> int | float | bool | memoryview | ArrayValue:
        """Read a value of a type; a string as its bytes."""
        if kind is ValueType.STRING:
            return self.text(what)
        if kind is ValueType.ARRAY:
            return self.array(what)
        value: int | float | bool = self.number(kind, what)
        return value

    def array(self, what: str, depth: int = 1) -> ArrayValue:
        """Read an array: check all of it, remember where its items are."""
        at = self.position
        if depth > MAX_DEPTH:
            raise malformed(
                self.name,
                at,
                f"{what} nests arrays {depth} deep",
                f"at most {MAX_DEPTH}",
                "Write the file again with flatter metadata.",
            )
        kind = self.kind(f"the items of {what}")
        at = self.position
        count = self.count(f"the item count of {what}")
        if kind is ValueType.STRING:
            least = self._count.size
        elif kind is ValueType.ARRAY:
            least = 4 + self._count.size
        else:
            least = self._forms[kind].size
        if count * least > self.left:
            raise malformed(
                self.name,
                at,
                f"{what} claims {count:,} items of type {kind.label}, which take at least "
                f"{count * least:,} bytes, but {self.left:,} are left",
                "a count that fits the file",
            )
        if kind is ValueType.STRING:
            return self._strings(count, what)
        if kind is ValueType.ARRAY:
            return self._arrays(count, what, depth)
        return self._numbers(kind, count, what)

    def _numbers(self, kind: ValueType, count: int, what: str) -> NumericArray:
        start = self.position
        form = self._forms[kind]
        self.position += count * form.size
        if self.position > self._seen:
            self._reach(self.position)
        raw = self._array[start : self.position]
        if kind is ValueType.BOOL:
            if count and raw.max() > 1:
                index = int(np.argmax(raw > 1))
                raise self._no_bool(start + index, int(raw[index]), f"{what}, item {index}")
            return NumericArray(kind.label, raw.view(np.bool_))
        return NumericArray(kind.label, np.frombuffer(raw, np.dtype(form.format)))

    def _strings(self, count: int, what: str) -> StringArray:
        # A vocabulary has some 100,000 strings, which Python walks at 5 million a second. Most are
        # found four times as fast, a window at a time; what a window does not explain (strings of
        # 256 bytes, with zeros, empty ones in a row) is walked, and the longer the more it is.
        start = position = self.position
        offsets = self._places(count, what)
        done, walk = 0, STRIDE
        while done < count:
            try:
                starts = self._short_strings(position, count - done)
                if starts.size:
                    first = -done % STRIDE
                    known = starts[first:-1:STRIDE]
                    at = (done + first) // STRIDE
                    offsets[at : at + known.size] = known
                    done, position = done + starts.size - 1, int(starts[-1])
                walk = STRIDE if starts.size > 8 * STRIDE else min(2 * walk, 1 << 16)
                stop = min(done + walk, count)
                position = self._walk_strings(position, done, stop, offsets)
                done = stop
            except (struct.error, OverflowError):
                if position > self.size or self._seen == self.size:
                    position = self.size + 1
                    break
                self._reach(min(max(position, self._seen) + WINDOW, self.size))
        if position > self.size:
            raise self._first_long_string(start, count, what)
        if position > self._seen:
            self._reach(position)
        self.position = position
        return StringArray(count, offsets, self._buffer, self._count)

    def _short_strings(self, position: int, wanted: int) -> npt.NDArray[np.int64]:
        """Return the starts of consecutive strings from a position on, and the end of the last.

        A small number is at a place where the length of a short string is, and hardly anywhere
        else. If each such place in a window is where the string before it ends, all are lengths.
        """
        room = min(WINDOW, self._seen - position - self._count.size)
        if wanted < 16 * STRIDE or room <= 0:
            return np.empty(0, np.int64)
        # The number that begins at every byte of the window, without a copy.
        numbers: npt.NDArray[Any] = np.ndarray(
            (room,), np.dtype(self._count.format), self._buffer, position, (1,)
        )
        places = np.flatnonzero(numbers < 256)
        if not places.size or places[0]:
            return np.empty(0, np.int64)
        ends = places + numbers[places].astype(np.int64) + self._count.size
        broken = np.flatnonzero(ends[:-1] != places[1:])
        n = min(int(broken[0]) + 1 if broken.size else places.size, wanted)
        return np.append(places[:n], ends[n - 1]) + position

    def _walk_strings(
        self, position: int, start: int, stop: int, offsets: npt.NDArray[np.uint64]
    ) -> int:
        """Go over the strings [start, stop) one by one and return where they end.

        The loop has no test for the end of the view: `unpack_from` refuses to read past it.
        """
        buffer, size, unpack = self._buffer, self._count.size, self._count.unpack_from
        while start < stop:
            if start % STRIDE == 0:
                offsets[start // STRIDE] = position
            until = min(start + STRIDE - start % STRIDE, stop)
            for _ in range(until - start):
                position += unpack(buffer, position)[0] + size
            start = until
        return position

    def _first_long_string(self, start: int, count: int, what: str) -> GGUFError:
        self.position = start
        try:
            for index in range(count):
                self.text(f"{what}, item {index}")
        except GGUFError as problem:
            return problem
        raise AssertionError("a string array was refused, but each of its strings fits")

    def _arrays(self, count: int, what: str, depth: int) -> NestedArray:
        offsets = self._places(count, what)
        for index in range(count):
            if index % STRIDE == 0:
                offsets[index // STRIDE] = self.position
            self.array(what, depth + 1)

        def scan(position: int) -> tuple[ArrayValue, int]:
            cursor = copy(self)  # one's own: arrays are looked at by several threads
            cursor.position = position
            return cursor.array(what, depth + 1), cursor.position

        return NestedArray(count, offsets, scan)

    def _places(self, count: int, what: str) -> npt.NDArray[np.uint64]:
        """Return room for the places of items: the count fits a file that only claims its size."""
        try:
            return np.zeros(-(-count // STRIDE), np.uint64)
        except MemoryError:
            raise malformed(
                self.name,
                self.position,
                f"{what} claims {count:,} items, more than there is memory for",
                "fewer",
            ) from None

    def _no_bool(self, at: int, value: int, what: str) -> GGUFError:
        # The specification: "Anything else is invalid, and should be treated as either the model
        # being invalid or the reader being buggy."
        return malformed(self.name, at, f"{what} is a truth value of byte {value}", "0 or 1")
