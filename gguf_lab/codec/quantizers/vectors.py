"""Eight float32 numbers as one value: `Vector`, in numba.

A search over scales goes through the weights of a sub-block in order, sum after sum, and order is
what makes the bits those of ggml. The loops cannot be vectorized, but eight sub-blocks are searched
side by side: every variable of the algorithm is a vector, with one sub-block to a lane, and
every branch a choice by mask. LLVM maps them onto whatever vectors the CPU has.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = [
    "LANES",
    "absolute",
    "any_lane",
    "choose",
    "first_lane",
    "floor",
    "greatest",
    "lanes_as_byte",
    "load",
    "nearest",
    "root",
    "round_away",
    "store",
    "store_bytes",
    "vector",
]

LANES = 8

_F32, _I32 = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTEGERS = ir.VectorType(_F32, LANES), ir.VectorType(_I32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Vector(float32 x {LANES})")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Mask({LANES})")


VECTOR, MASK = _Vector(), _Mask()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, _MASK)


def _fill(builder: Any, x: Any) -> Any:
    """Return a vector of equal numbers; a vector as it is."""
    if isinstance(x.type, ir.VectorType):
        return x
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), x, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(_INTEGERS, [0] * LANES))


def _operator(python: Any, result: Any, emit: Any) -> None:
    """Give a Python operator a meaning on vectors, and on a vector and a float32."""
    pairs = [(VECTOR, VECTOR), (VECTOR, types.float32), (types.float32, VECTOR)]

    class _Template(ConcreteTemplate):
        cases = [result(*pair) for pair in pairs]  # noqa: RUF012

    infer_global(python)(_Template)

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, *(_fill(builder, x) for x in args))

    for pair in pairs:
        lower_builtin(python, *pair)(lower)


for _python, _name in (
    ("add", "fadd"),
    ("iadd", "fadd"),
    ("sub", "fsub"),
    ("mul", "fmul"),
    ("truediv", "fdiv"),
):
    _operator(
        getattr(operator, _python), VECTOR, lambda b, x, y, name=_name: getattr(b, name)(x, y)
    )
for _python, _sign in (("lt", "<"), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _operator(
        getattr(operator, _python), MASK, lambda b, x, y, sign=_sign: b.fcmp_ordered(sign, x, y)
    )


class _Masks(ConcreteTemplate):
    cases = [MASK(MASK, MASK)]  # noqa: RUF012


infer_global(operator.and_)(_Masks)
infer_global(operator.or_)(_Masks)
lower_builtin(operator.and_, MASK, MASK)(lambda context, builder, sig, args: builder.and_(*args))
lower_builtin(operator.or_, MASK, MASK)(lambda context, builder, sig, args: builder.or_(*args))


@intrinsic
def _vector(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fill(builder, args[0])

    return VECTOR(types.float32), generate


@intrinsic
def _choose(typing_context: Any, mask: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(args[0], _fill(builder, args[1]), _fill(builder, args[2]))

    x, y = (VECTOR if t == VECTOR else types.float32 for t in (x, y))
    return VECTOR(MASK, x, y), generate


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


@intrinsic
def _load(typing_context: Any, array: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, array, *args), align=4)

    return VECTOR(array, types.intp), generate


@intrinsic
def _store(typing_context: Any, array: Any, offset: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, array, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


def _function(builder: Any, name: str) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR])
    return cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32")


def _call(name: str) -> Any:
    """Make an intrinsic of LLVM's function of one vector."""

    @intrinsic
    def function(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.call(_function(builder, name), args)

        return VECTOR(VECTOR), generate

    return function


@intrinsic
def _any_lane(typing_context: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], byte), ir.Constant(byte, 0))

    return types.boolean(MASK), generate


@intrinsic
def _nearest(typing_context: Any, x: Any, low: Any, high: Any) -> Any:
    def constant(number: int) -> Any:
        return ir.Constant(_INTEGERS, [number] * LANES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        magic = builder.fadd(args[0], ir.Constant(_VECTOR, [12582912.0] * LANES))
        bits = builder.and_(builder.bitcast(magic, _INTEGERS), constant(0x007FFFFF))
        n = builder.sub(bits, constant(0x00400000))
        for sign, bound in ((">", args[1]), ("<", args[2])):
            one = builder.insert_element(
                ir.Constant(_INTEGERS, ir.Undefined), bound, ir.Constant(_I32, 0)
            )
            limit = builder.shuffle_vector(one, one, constant(0))
            n = builder.select(builder.icmp_signed(sign, n, limit), n, limit)
        return builder.sitofp(n, _VECTOR)

    return VECTOR(VECTOR, types.int32, types.int32), generate


@intrinsic
def _store_bytes(typing_context: Any, array: Any, offset: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = builder.call(_function(builder, "llvm.fabs"), [args[2]])
        fits = builder.fcmp_ordered("<", size, ir.Constant(_VECTOR, [2147483648.0] * LANES))
        whole = builder.fptosi(args[2], _INTEGERS)
        whole = builder.select(fits, whole, ir.Constant(_INTEGERS, [-(1 << 31)] * LANES))
        bytes_ = ir.VectorType(ir.IntType(8), LANES)
        data = context.make_array(array)(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), bytes_.as_pointer())
        builder.store(builder.trunc(whole, bytes_), pointer, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, VECTOR), generate


@intrinsic
def _greatest(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_F32, [_VECTOR])
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return types.float32(VECTOR), generate


@intrinsic
def _lanes_as_byte(typing_context: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(LANES))

    return types.uint8(MASK), generate


@intrinsic
def _first_lane(typing_context: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.zext(builder.cttz(bits, ir.Constant(ir.IntType(1), 0)), ir.IntType(64))

    return types.intp(MASK), generate


vector: Any = _vector
"""``vector(x)``: the same number in every lane."""
choose: Any = _choose
"""``choose(mask, x, y)``: x where the mask is set, y elsewhere; numbers count for all lanes."""
load: Any = _load
"""``load(array, offset)``: the neighbours from an index on, of a contiguous float32 array."""
store: Any = _store
"""``store(array, offset, x)``: the inverse."""
store_bytes: Any = _store_bytes
"""``store_bytes(array, offset, x)``: the integer parts, modulo 256; 0 if they fit no int32."""
absolute: Any = _call("llvm.fabs")
root: Any = _call("llvm.sqrt")
any_lane: Any = _any_lane
"""``any_lane(mask)``: whether any lane is set."""
first_lane: Any = _first_lane
"""``first_lane(mask)``: the first lane that is set."""
lanes_as_byte: Any = _lanes_as_byte
"""``lanes_as_byte(mask)``: lane k as bit k."""
greatest: Any = _greatest
"""``greatest(x)``: the largest number of all lanes."""
floor: Any = _call("llvm.floor")
round_away: Any = _call("llvm.round")
nearest: Any = _nearest
"""``nearest(x, low, high)``: `arithmetic.nearest_int`, then clamped, as float32."""
