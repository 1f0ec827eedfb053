"""The arithmetic that ggml's quantizers are made of: roundings, half precision, stores.

All of it is float32, one rounding per operation: ggml's base library is compiled for the oldest CPU
of the architecture, so that the C compiler fuses no multiplication with an addition there, and
without ``-ffast-math``, so that sums have the order in which they are written. numba does neither
without being asked, but makes float64 of an integer times a float32: hence the many ``np.float32``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types

from ..backends.numba_ import PRIMITIVES, bitcast, bitcast_f32, bitcast_u32, select

__all__ = [
    "GROUP_MAX_EPS",
    "bitcast_f32",
    "bitcast_u32",
    "half_bits",
    "half_value",
    "helper",
    "inlined",
    "mean_square",
    "nearest_int",
    "put_u16",
    "select",
    "truncate",
]

_made: Counter[tuple[str, str]] = Counter()


def helper(function: Any) -> Any:
    """Compile a function that LLVM inlines where it pays, along with the quantizer that calls it.

    What a factory makes is numbered, in the order of the module's lines. Else numba would tell such
    functions apart by a number that it counts anew in each process, and code of several processes
    meets in its cache on disk: one of them would run in the place of another.
    """
    if "<locals>" in function.__qualname__:
        key = function.__module__, function.__qualname__
        function.__qualname__ += f"_{_made[key]}"
        _made[key] += 1
    return njit(error_model="numpy")(function)


# For a few weights at a time: as calls, the counting of references to arrays would cost more.
inlined = njit(error_model="numpy", forceinline=True)

# Below this a group of weights counts as zero (ggml's name).
GROUP_MAX_EPS = np.float32(1e-15)

_bitcast_i32 = bitcast(types.float32, types.int32, ir.IntType(32))
_MAGIC = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the integer in the mantissa


@helper
def nearest_int(x: Any) -> Any:
    """Round to the nearest integer, ties to even, for ``|x| < 2**22``, in int32.

    Beyond that, and for inf and NaN, the result is what ggml's trick makes of them.
    """
    return (_bitcast_i32(x + _MAGIC) & np.int32(0x007FFFFF)) - np.int32(0x00400000)


@helper
def truncate(x: Any) -> Any:
    """Return the integer part as int32; what does not fit is -2**31, as on x86.

    C leaves that case undefined. It occurs in rows of denormals, whose inverse scale is infinite.
    """
    fits = np.abs(x) < np.float32(2147483648.0)
    return select(fits, np.int32(x), np.int32(-2147483648))


@helper
def half_bits(x: Any) -> Any:
    """Round float32 to binary16, ties to even, and return its bits as uint32."""
    u = bitcast_u32(x)
    sign, magnitude = (u >> np.uint32(16)) & np.uint32(0x8000), u & np.uint32(0x7FFFFFFF)
    even = (magnitude >> np.uint32(13)) & np.uint32(1)
    normal = (magnitude - np.uint32(112 << 23) + np.uint32(0xFFF) + even) >> np.uint32(13)
    # Adding 1/2 leaves a multiple of 2**-24, the smallest denormal, in the mantissa.
    denormal = bitcast_u32(bitcast_f32(magnitude) + np.float32(0.5)) - np.uint32(0x3F000000)
    h = select(magnitude < np.uint32(0x38800000), denormal, normal)
    h = select(magnitude >= np.uint32(0x47800000), np.uint32(0x7C00), h)
    return sign | select(magnitude > np.uint32(0x7F800000), np.uint32(0x7E00), h)


half_value: Any = PRIMITIVES["half"]


@helper
def put_u16(b: Any, o: Any, value: Any) -> None:
    """Store the low 16 bits of an integer, little endian, at byte `o`."""
    b[o] = np.uint8(value & np.uint32(0xFF))
    b[o + 1] = np.uint8((value >> np.uint32(8)) & np.uint32(0xFF))


@helper
def mean_square(x: Any, times: Any = 1) -> Any:
    """Return the sum of squares, taken in order, `times` that, divided by their number."""
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return np.float32(times) * total / np.float32(x.size)
