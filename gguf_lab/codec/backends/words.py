"""Integers of 32 bits for numba, whose own arithmetic is always in 64.

A vector holds twice as many of them, and whatever a definition computes fits. A `WORD` is what is
read from a block or a table, and what is made of it with other words and with constants of the
code. A sum with a counter is an address, and has 64 bits: only so does LLVM see that what is read
for one weight and for the next lies side by side.

A word has a sign where it becomes a float or an address, or is compared; where it is shifted to the
right it has none, so nothing negative may be.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = ["WORD", "as_float", "narrow", "select", "widen"]


class _Word(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Word")


WORD = _Word()


@register_model(_Word)
class _WordModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, ir.IntType(32))


def widen(builder: Any, x: Any) -> Any:
    """Generate 64 bits of a word; an integer that has them stays."""
    return builder.sext(x, ir.IntType(64)) if x.type.width < 64 else x


def narrow(builder: Any, x: Any, width: int = 32) -> Any:
    """Generate the lower bits of an integer; one that has no more stays."""
    return builder.trunc(x, ir.IntType(width)) if x.type.width > width else x


def _fits(type_: Any) -> bool:
    """Whether this is a word, or a constant that can be one."""
    if isinstance(type_, types.IntegerLiteral):
        return -(1 << 31) <= type_.literal_value < 1 << 32
    return type_ is WORD


def _integers(*types_: Any) -> bool:
    return all(isinstance(type_, _Word | types.Integer) for type_ in types_)


# --- operators ------------------------------------------------------------------------------------

_ARITHMETIC = {
    operator.add: ir.IRBuilder.add,
    operator.sub: ir.IRBuilder.sub,
    operator.mul: ir.IRBuilder.mul,
    operator.and_: ir.IRBuilder.and_,
    operator.or_: ir.IRBuilder.or_,
    operator.xor: ir.IRBuilder.xor,
}
_SHIFTS = {operator.lshift: ir.IRBuilder.shl, operator.rshift: ir.IRBuilder.lshr}
_RELATIONS = {
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}


def _register(function: Any, result: Any, instruction: Any) -> None:
    """Teach numba an operator of two integers, one of them a word at least.

    result: gives the type of the result from those of the operands.
    instruction: what an IRBuilder does with them, both of 32 bits or both of 64.
    """

    @infer_global(function)
    class Template(AbstractTemplate):
        prefer_literal = True

        def generic(self, args: Any, kws: Any) -> Any:
            if WORD in args and _integers(*args):
                return signature(result(*args), *args)
            return None

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = narrow if sig.return_type is WORD else widen
        return instruction(builder, *(size(builder, x) for x in args))

    for sides in (WORD, WORD), (WORD, types.Integer), (types.Integer, WORD):
        lower_builtin(function, *sides)(generate)


def _register_all() -> None:
    def word_or_address(x: Any, y: Any) -> Any:
        return WORD if _fits(x) and _fits(y) else types.int64

    def compare(relation: str, builder: Any, x: Any, y: Any) -> Any:
        return builder.icmp_signed(relation, x, y)

    for function, instruction in _ARITHMETIC.items():
        _register(function, word_or_address, instruction)
    for function, instruction in _SHIFTS.items():  # by a counter too
        _register(function, lambda x, y: WORD, instruction)
    for function, relation in _RELATIONS.items():
        _register(function, lambda x, y: types.boolean, partial(compare, relation))


_register_all()


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(WORD, WORD) if args == (WORD,) else None


@lower_builtin(operator.neg, WORD)
def _negate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.neg(args[0])


# --- primitives -----------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _select(typing_context: Any, c: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(args[0], *(size(builder, value) for value in args[1:]))

    size: Any = narrow
    if _fits(x) and _fits(y):
        return WORD(types.boolean, x, y), generate
    if WORD in (x, y) and _integers(x, y):
        size = widen
        return types.int64(types.boolean, x, y), generate
    unified, size = typing_context.unify_types(types.unliteral(x), types.unliteral(y)), _as_it_is
    return unified(types.boolean, unified, unified), generate


def _as_it_is(builder: Any, x: Any) -> Any:
    return x


@intrinsic
def _as_float(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if x is WORD:
            return builder.sitofp(args[0], ir.FloatType())
        return context.cast(builder, args[0], x, types.float32)

    return types.float32(x), generate


# mypy does not see through the decorator
select: Any = _select
as_float: Any = _as_float
