"""Primitives whose values remember how they came about: a definition bound to them tells itself."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PRIMITIVES", "Traced", "single", "value_of", "walk"]

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_NEUTRAL = {("+", 0), ("-", 0), ("*", 1), ("<<", 0), (">>", 0), ("|", 0), ("^", 0)}
_SIGN_BITS = {1 << 7: "i8", 1 << 15: "i16", 1 << 31: "i32"}


def value_of(x: Any) -> Any:
    """Return the number behind a traced value, or the plain number itself."""
    return x.value if isinstance(x, Traced) else x


def _apply(op: str, x: Any, y: Any) -> Any:
    a, b = value_of(x), value_of(y)
    # An integer is left alone by x >> 0; a float may be changed even by x + 0.
    if isinstance(x, Traced) and type(a) is int and type(y) is int and (op, y) in _NEUTRAL:
        return x
    # (x ^ sign bit) - sign bit: two's complement.
    if op == "-" and isinstance(x, Traced) and x.op == "^" and x.args[1] == y and y in _SIGN_BITS:
        return Traced(_SIGN_BITS[y], a - b, x.args[0])
    # One mask after another is one mask.
    if op == "&" and isinstance(x, Traced) and x.op == "&" and {type(x.args[1]), type(y)} == {int}:
        return Traced(op, a & b, x.args[0], x.args[1] & y)
    return Traced(op, _OPERATORS[op](a, b), x, y)


def _binary(op: str) -> Any:
    return lambda self, other: _apply(op, self, other)


def _reflected(op: str) -> Any:
    return lambda self, other: _apply(op, other, self)


class Traced:
    """A value and where it comes from.

    Attributes
    ----------
    op : str
        An operator, or "read", "at", "where", "neg", "float32" or the name of a conversion.
    value : int, bool, numpy.float32 or numpy.float64
        The number.
    args : tuple
        What it was made of: traced values and plain numbers. Of a "read" the first byte and the
        number of bytes; of a "where" the condition and the branch that was taken.
    """

    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to us
    __hash__ = object.__hash__
    __slots__ = ("args", "op", "value")

    def __init__(self, op: str, value: Any, *args: Any) -> None:
        self.op, self.value, self.args = op, value, args

    def __neg__(self) -> Any:
        return Traced("neg", -self.value, self)

    def __bool__(self) -> bool:
        raise TypeError("a definition must not branch on data: use where(condition, x, y)")

    __add__, __radd__ = _binary("+"), _reflected("+")
    __sub__, __rsub__ = _binary("-"), _reflected("-")
    __mul__, __rmul__ = _binary("*"), _reflected("*")
    __lshift__, __rlshift__ = _binary("<<"), _reflected("<<")
    __rshift__, __rrshift__ = _binary(">>"), _reflected(">>")
    __and__, __rand__ = _binary("&"), _reflected("&")
    __or__, __ror__ = _binary("|"), _reflected("|")
    __xor__, __rxor__ = _binary("^"), _reflected("^")
    __eq__, __ne__ = _binary("=="), _binary("!=")
    __lt__, __gt__ = _binary("<"), _binary(">")
    __le__, __ge__ = _binary("<="), _binary(">=")


def single(x: Any) -> np.float32:
    """Return a number as float32, rounded once."""
    return np.float32(np.int64(x).astype(np.float32) if isinstance(x, int) else np.float32(x))


def _reader(width: int, *, signed: bool = False) -> Any:
    def read(b: bytes, o: int) -> Traced:
        number = int.from_bytes(b[o : o + width], "little", signed=signed)
        return Traced("read", number, int(o), width)

    return read


def _at(t: Any, i: Any) -> Traced:
    return Traced("at", int(t[value_of(i)]), i)


def _where(c: Any, x: Any, y: Any) -> Any:
    if not isinstance(c, Traced):
        return x if c else y
    taken = x if c.value else y
    return Traced("where", value_of(taken), c, taken)


def _half(h: Any) -> Traced:
    return Traced("f16", np.float32(np.uint16(value_of(h)).view(np.float16)), h)


PRIMITIVES: dict[str, Any] = {
    "u8": _reader(1),
    "u16": _reader(2),
    "u32": _reader(4),
    "i64": _reader(8, signed=True),
    "at": _at,
    "f32": lambda x: Traced("float32", single(value_of(x)), x),
    "half": _half,
    "bits": lambda u: Traced("float32_of_bits", np.uint32(value_of(u)).view(np.float32), u),
    "bits64": lambda i: Traced("float64_of_bits", np.int64(value_of(i)).view(np.float64), i),
    "where": _where,
}


def walk(x: Any, seen: set[int]) -> Iterator[Traced]:
    """Yield what a value was made of, itself last, each once, in the order of evaluation."""
    if isinstance(x, Traced) and id(x) not in seen:
        seen.add(id(x))
        for arg in x.args:
            yield from walk(arg, seen)
        yield x
