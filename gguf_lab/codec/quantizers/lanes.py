"""What the grid quantizers do with eight numbers at a time, beside `vectors`.

Rounding a group of weights to a code and measuring how far grid points are from it is most of their
work: too little at a time for LLVM to vectorize the loops by itself. The operations on each number,
and the order of sums, are those of ggml's scalar code.
"""

# ruff: noqa: PLR0917 -- numba passes arguments by position

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import LANES, VECTOR

__all__ = ["first_least", "levels_at", "nearest_code", "sum_in_order", "unpack"]

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTEGERS = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)


def _fill(builder: Any, value: Any, n: int = LANES) -> Any:
    """Return a vector of `n` equal numbers; Python's become float32 and int32 constants."""
    if isinstance(value, (int, float)):
        element = _F32 if isinstance(value, float) else _I32
        return ir.Constant(ir.VectorType(element, n), [value] * n)
    vector = ir.VectorType(value.type, n)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, n), [0] * n))


def _places(bits: int, n: int = LANES) -> Any:
    return ir.Constant(ir.VectorType(_I32, n), [bits * i for i in range(n)])


def _load(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())
    return builder.load(pointer, align=4)


def _reduce(builder: Any, how: str, vector: Any, *start: Any) -> Any:
    """Call LLVM's reduction of a vector to one number."""
    kind = ir.FunctionType(vector.type.element, [*(s.type for s in start), vector.type])
    element = "f32" if vector.type.element == _F32 else "i32"
    name = f"llvm.vector.reduce.{how}.v{vector.type.count}{element}"
    function: Any = cgutils.get_or_insert_function
    return builder.call(function(builder.module, kind, name), [*start, vector])


def nearest_code(dims: int, bits: int) -> Any:
    """Make ``code(x, o, inverse)``: the levels nearest to `dims` numbers, packed, `bits` each.

    The level of a number is ``nearest_int(0.5 * (inverse * x - 1))``, within 0 and 2 for levels of
    2 bits, 0 and 7 for levels of 3 bits: it stands for the odd number ``2 * level + 1``.
    """
    top = {2: 2, 3: 7}[bits]

    @intrinsic
    def code(typing_context: Any, x: Any, o: Any, inverse: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def fill(value: Any) -> Any:
                return _fill(builder, value, dims)

            numbers = ir.VectorType(_F32, dims)
            t = _load(context, builder, signature.args[0], args[0], args[1], numbers)
            t = builder.fsub(builder.fmul(fill(args[2]), t), fill(1.0))
            t = builder.fadd(builder.fmul(fill(0.5), t), fill(12582912.0))  # see `nearest_int`
            i = builder.and_(builder.bitcast(t, ir.VectorType(_I32, dims)), fill(0x007FFFFF))
            low, high = fill(0x00400000), fill(0x00400000 + top)
            i = builder.select(builder.icmp_unsigned("<", i, low), low, i)
            i = builder.select(builder.icmp_unsigned(">", i, high), high, i)
            i = builder.shl(builder.sub(i, low), _places(bits, dims))
            return builder.zext(_reduce(builder, "or", i), _I64)

        return types.int64(x, types.intp, types.float32), generate

    return code


@intrinsic
def _levels_at(typing_context: Any, codes: Any, o: Any, place: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        codes = _load(context, builder, signature.args[0], args[0], args[1], _INTEGERS)
        place, mask = (_fill(builder, builder.trunc(x, _I32)) for x in args[2:])
        return builder.sitofp(builder.and_(builder.lshr(codes, place), mask), _FLOATS)

    return VECTOR(codes, types.intp, types.int64, types.int64), generate


def unpack(bits: int) -> Any:
    """Make ``levels(code)``: the eight levels of a code (of two codes, those of four weights)."""

    @intrinsic
    def levels(typing_context: Any, code: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            i = _fill(builder, builder.trunc(args[0], _I32))
            i = builder.and_(builder.lshr(i, _places(bits)), _fill(builder, (1 << bits) - 1))
            return builder.sitofp(i, _FLOATS)

        return VECTOR(types.int64), generate

    return levels


@intrinsic
def _sum_in_order(typing_context: Any, start: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _reduce(builder, "fadd", args[1], args[0])

    return types.float32(types.float32, VECTOR), generate


@intrinsic
def _first_least(typing_context: Any, x: Any, o: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        order = builder.bitcast(args[0], _INTEGERS)  # floats from 0 on are ordered as their bits
        least = _reduce(builder, "umin", order)
        same = builder.icmp_unsigned("==", order, _fill(builder, least))
        lanes = builder.bitcast(same, ir.IntType(LANES))
        lane = builder.cttz(lanes, ir.Constant(ir.IntType(1), 1))
        place = builder.add(args[1], builder.zext(lane, _I64))
        return builder.or_(builder.shl(builder.zext(least, _I64), ir.Constant(_I64, 32)), place)

    return types.int64(VECTOR, types.int64), generate


levels_at: Any = _levels_at
"""``levels_at(codes, o, place, mask)``: of eight codes from an index on, one level each."""
sum_in_order: Any = _sum_in_order
"""``sum_in_order(start, x)``: start + x[0] + x[1] + ..., rounded after each addition."""
first_least: Any = _first_least
"""``first_least(x, o)``: what grows with the least number of x, none of which is negative, and
holds ``o + lane`` of the first such number in its low 32 bits."""
