"""Plain numbers, one per block: also what the rows of a safetensors checkpoint are made of.

The backends take a whole row as one block of one group, so `j` runs along the row.
"""

from __future__ import annotations

from typing import Any

from .definition import Format, bits, bits64, f16, f32, i8, i64, u16, u32


class F32(Format, fields="x:f32", group=1):
    """IEEE binary32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return bits(u32(b, 4 * j))


class F16(Format, fields="x:f16", group=1):
    """IEEE binary16."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return f16(b, 2 * j)


class BF16(Format, fields="x:bf16", group=1):
    """The upper half of an IEEE binary32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return bits(u16(b, 2 * j) << 16)


class F64(Format, fields="x:f64", group=1):
    """IEEE binary64, rounded to float32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return f32(bits64(i64(b, 8 * j)))


class I8(Format, fields="x:i8", group=1):
    """Two's complement."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return i8(b, j)


class I16(Format, fields="x:i16", group=1):
    """Two's complement."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return (u16(b, 2 * j) ^ 0x8000) - 0x8000


class I32(Format, fields="x:i32", group=1):
    """Two's complement, rounded to float32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return (u32(b, 4 * j) ^ 0x80000000) - 0x80000000


class I64(Format, fields="x:i64", group=1):
    """Two's complement, rounded to float32."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        return 1.0, 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return i64(b, 8 * j)
