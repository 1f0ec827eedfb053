"""Traced values written as formulas: once with the names of the fields, once in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .formats import Format

__all__ = ["Formulas"]

_BINARY = {"+", "-", "*", "<<", ">>", "&", "|", "^", "==", "!=", "<", ">", "<=", ">="}
_CHAINS = {"+", "-", "*", "&", "|", "^"}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_ARITHMETIC = {"+", "-", "*", "neg"}


def _number(x: Any) -> str:
    """Write a number so that reading it gives the same bits; large masks in hexadecimal."""
    if isinstance(x, int) and not isinstance(x, bool) and x >= 1 << 13:
        return hex(x)
    return str(x)


def _op(x: Any) -> str:
    return getattr(x, "op", "")


def _value(x: Any) -> Any:
    return x.value if _op(x) else x


class Formulas:
    """Writes the values of one weight.

    Parameters
    ----------
    fmt : type of Format
        Names the fields.
    nodes : iterable of Traced
        All values, in the order of evaluation.

    Attributes
    ----------
    entries : list of Traced
        Lookups whose index depends on the block: each gets a line and a name of its own.
    """

    def __init__(self, fmt: type[Format], nodes: Iterable[Any]) -> None:
        self._fmt = fmt
        self.entries = [n for n in nodes if n.op == "at" and _op(n.args[0])]
        self._names = {id(n): f"t{k}" for k, n in enumerate(self.entries, 1)}

    def field(self, offset: int, width: int) -> str:
        """Name the bytes [offset, offset + width): a field, its elements, or bytes of the block."""
        for field in self._fmt.fields:
            first, rest = divmod(offset - field.offset, field.width)
            if field.offset <= offset and offset + width <= field.stop and not rest:
                count, rest = divmod(width, field.width)
                if rest:
                    continue
                if field.count == 1:
                    return f"block.{field.name}"
                index = f"{first}" if count == 1 else f"{first}:{first + count}"
                return f"block.{field.name}[{index}]"
        return f"block[{offset}]" if width == 1 else f"block[{offset}:{offset + width}]"

    def of(self, x: Any, *, inside: bool = False) -> tuple[str, str, str, Any, tuple[str, ...]]:
        """Return name, formula, formula in numbers, value and conditions.

        Parameters
        ----------
        x : Traced or number
            The value.
        inside : bool, optional
            Write a lookup out even if it has a name.
        """
        because: list[str] = []
        name = self._names.get(id(x), "")
        if inside:
            formula = f"table[{self._text(x.args[0], because)}]"
            numbers = f"table[{_value(x.args[0])}]"
        else:
            formula = self._text(x, because)
            numbers = self._numbers(x, isinstance(_value(x), np.floating))
        value = _value(x)
        formula = "" if formula == str(value) else formula
        numbers = "" if numbers in (formula, str(value)) else numbers
        return name, formula, numbers, value, tuple(dict.fromkeys(because))

    def _text(self, x: Any, because: list[str]) -> str:
        """Write a value by the names of the fields, collecting the conditions on the way."""
        op = _op(x)
        if not op:
            return _number(x)
        if op == "read":
            return self.field(*x.args)
        if op == "at":
            return self._names.get(id(x)) or f"table[{x.args[0]}]"
        if op == "where":
            because.append(self._condition(x.args[0], because))
            return self._text(x.args[1], because)
        if op == "float32" and _value(x.args[0]) == x.value:  # exact: not worth a word
            return self._text(x.args[0], because)
        if op == "neg":
            return "-" + self._operand(x.args[0], because, "neg")
        if op in _BINARY:
            left = self._operand(x.args[0], because, op)
            right = self._operand(x.args[1], because, op, right=True)
            return f"{left} {op} {right}"
        return f"{op}({self._text(x.args[0], because)})"

    def _operand(self, x: Any, because: list[str], op: str, *, right: bool = False) -> str:
        """Write an operand, in parentheses unless none could read it wrongly."""
        inner = _bare(x)
        text = self._text(x, because)
        if _op(inner) in _BINARY:
            chain = not right and (
                (inner.op == op and op in _CHAINS) or (inner.op in "+-" and op in "+-")
            )
            if not chain and not (inner.op == "*" and op in "+-"):
                return f"({text})"
        elif _op(inner) == "neg" and op != "neg" and right:
            return f"({text})"
        return text

    def _condition(self, c: Any, because: list[str]) -> str:
        """Write a condition as it holds: turned round if it does not."""
        if _op(c) in _OPPOSITE:
            op = c.op if c.value else _OPPOSITE[c.op]
            left = self._operand(c.args[0], because, op)
            return f"{left} {op} {self._operand(c.args[1], because, op, right=True)}"
        text = self._text(c, because)
        return text if c.value else f"not ({text})"

    def _numbers(self, x: Any, floating: bool) -> str:
        """Write sums and products in numbers; whatever else is its value."""
        x = _bare(x)
        if _op(x) not in _ARITHMETIC or isinstance(x.value, np.floating) != floating:
            return str(_value(x))
        if x.op == "neg":
            text = self._numbers(x.args[0], floating)
            return f"-({text})" if " " in text or text.startswith("-") else f"-{text}"
        left, right = (self._numbers(arg, floating) for arg in x.args)
        left_op, right_op = (_op(_bare(arg)) for arg in x.args)
        if " " in left and x.op == "*" and left_op != "*":
            left = f"({left})"
        if " " in right and not (right_op == "*" and x.op in "+-"):
            right = f"({right})"
        return f"{left} {x.op} {right}"


def _bare(x: Any) -> Any:
    """Look through what a formula does not show: the choice of a branch, exact conversions."""
    while _op(x) == "where" or (_op(x) == "float32" and _value(x.args[0]) == x.value):
        x = x.args[-1]
    return x
