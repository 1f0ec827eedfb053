"""Floats of 4 bits under a shared 8-bit scale: ``block_mxfp4`` (OCP MX) and ``block_nvfp4``."""

from __future__ import annotations

from typing import Any

from .definition import Format, bits, f32, nibble, u8, where


def e2m1_doubled(q: Any) -> Any:
    """Return twice the value of a 4-bit float (sign, 2 bits exponent, 1 mantissa), an integer."""
    # The eight magnitudes are the digits of one number: quicker than shifts by the exponent.
    magnitude = (0x0123468C >> 4 * (7 - (q & 7))) & 15
    return where(q > 7, -magnitude, magnitude)


class MXFP4(Format, fields="e:u8 qs:u8[16]", group=16):
    """2**(e - 128) * twice the E2M1 value; the two smallest scales are denormal."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        e = u8(b, 0)
        return bits(where(e < 2, 0x200000 << (e & 1), where(e < 2, 0, e - 1) << 23)), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return e2m1_doubled(nibble(b, 1 + j, g))


class NVFP4(Format, fields="d:u8[4] qs:u8[32]", group=8):
    """An unsigned E4M3 scale, halved, per 16 weights, times twice the E2M1 value."""

    def scale(b: Any, t: Any, g: Any) -> Any:
        x = u8(b, g >> 1)
        e, m = (x >> 3) & 15, x & 7
        normal = bits((where(e == 0, 1, e) + 119) << 23 | m << 20)
        d = where(e == 0, f32(m) * f32(0.0009765625), normal)
        return where((x == 127) | (x == 0), f32(0), d), 0.0

    def quant(b: Any, t: Any, g: Any, j: Any) -> Any:
        return e2m1_doubled(nibble(b, 4 + 8 * (g >> 1) + j, g & 1))
