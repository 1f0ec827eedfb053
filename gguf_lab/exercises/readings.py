"""Decoders of Q8_0, Q4_0 and Q4_K that can make a student's mistakes, and blocks that show them.

Layouts: ``block_q8_0``, ``block_q4_0`` and ``block_q4_K`` in ggml-common.h. They are written here a
second time, in NumPy and apart from the codec, since the codec's definitions make no mistakes; a
test holds both against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .mistakes import Choice, Solution, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["READINGS", "arranged"]

_SCALE = Choice(
    "scale",
    "half",
    {
        "integer": "The two bytes of a scale were taken as an integer (uint16); they are the bits "
        "of a half-precision float: block[:2].view('<f2').",
        "big-endian": "The two bytes of a scale were read in the wrong order: the low byte is the "
        "first one ('<f2', little endian).",
        "bfloat16": "A scale was read as bfloat16; it is IEEE half precision (float16).",
        "none": "A scale was left out: the codes are multiplied with it.",
    },
)
_PRECISION = Choice(
    "precision",
    "single",
    {
        "half": "The arithmetic was done in half precision, and rounded there: turn the scales "
        "into np.float32 before anything is multiplied."
    },
)
_START = Choice(
    "start", "2", {"0": "The codes were read from byte 0; the scale lies there, they follow it."}
)
_WRAPS = "uint8 arithmetic wraps around at 256"


def _number(raw: npt.NDArray[np.uint8], how: str) -> np.float32:
    integer = raw.view("<u2")[0]
    if how == "none":
        return np.float32(1)
    if how == "integer":
        return np.float32(integer)
    if how == "bfloat16":
        return np.float32((np.uint32(integer) << np.uint32(16)).view(np.float32))
    return np.float32(raw.view(">f2" if how == "big-endian" else "<f2")[0])


def _rounded(x: Any, precision: str) -> Any:
    return np.asarray(x).astype(np.float16 if precision == "half" else np.float32)


def _times(d: Any, q: npt.NDArray[Any], precision: str) -> npt.NDArray[np.float32]:
    return np.asarray(_rounded(d, precision) * _rounded(q, precision), np.float32)


# --- Q8_0 -----------------------------------------------------------------------------------------


def _q8_0(
    block: npt.NDArray[np.uint8], *, scale: str, codes: str, start: str, precision: str
) -> npt.NDArray[np.float32]:
    raw = block[:32] if start == "0" else block[2:]
    q = raw.astype(np.int32)
    if codes == "signed":
        q = raw.view(np.int8).astype(np.int32)
    elif codes == "offset":
        q -= 128
    return _times(_number(block[:2], scale), q, precision)


_Q8_0 = (
    _SCALE,
    Choice(
        "codes",
        "signed",
        {
            "unsigned": "The codes were taken as unsigned (0 to 255); they are signed bytes "
            "(np.int8).",
            "offset": "128 was subtracted from the codes; they are signed bytes (np.int8), two's "
            "complement.",
        },
    ),
    _START,
    _PRECISION,
)


# --- Q4_0 -----------------------------------------------------------------------------------------


def arranged(qs: npt.NDArray[np.uint8], order: str) -> npt.NDArray[np.uint8]:
    """Return the nibbles of 16 bytes in one of four orders."""
    low, high = qs & 15, qs >> 4
    if order == "halves":
        return np.concatenate([low, high])
    if order == "swapped":
        return np.concatenate([high, low])
    pair = (low, high) if order == "interleaved" else (high, low)
    return np.stack(pair, axis=1).ravel()


def _q4_0(
    block: npt.NDArray[np.uint8], *, scale: str, order: str, offset: str, start: str, precision: str
) -> npt.NDArray[np.float32]:
    q = arranged(block[:16] if start == "0" else block[2:], order).astype(np.int32)
    if offset == "signed":
        q = (q ^ 8) - 8
    elif offset == "wrapped":
        q = (q - 8) % 256
    else:
        q -= {"8": 8, "none": 0, "7": 7}[offset]
    return _times(_number(block[:2], scale), q, precision)


_HALVES = (
    "the low nibbles of the 16 bytes are the weights 0 to 15, the high nibbles the weights 16 to 31"
)
_Q4_0 = (
    _SCALE,
    Choice(
        "order",
        "halves",
        {
            "interleaved": f"The two nibbles of a byte were taken for neighbours; {_HALVES}.",
            "interleaved, high first": "The two nibbles of a byte were taken for neighbours, the "
            f"high one first; {_HALVES}.",
            "swapped": f"Low and high nibbles were exchanged; {_HALVES}.",
        },
    ),
    Choice(
        "offset",
        "8",
        {
            "none": "8 was not subtracted: the codes 0 to 15 stand for -8 to 7.",
            "7": "7 was subtracted instead of 8: the codes 0 to 15 stand for -8 to 7.",
            "signed": "The nibbles were taken as signed (two's complement); they are 0 to 15, and "
            "8 is subtracted.",
            "wrapped": f"8 was subtracted from a uint8: {_WRAPS}, so 0 - 8 is 248. Convert the "
            "codes to a signed type first.",
        },
    ),
    _START,
    _PRECISION,
)


# --- Q4_K -----------------------------------------------------------------------------------------


def _six_bits(
    b: npt.NDArray[np.int32], packing: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return eight scales and eight mins, of the 12 bytes `b`."""
    if packing == "stream":
        number = int.from_bytes(b.astype(np.uint8).tobytes(), "little")
        both = np.array([number >> 6 * k & 63 for k in range(16)], np.int32)
        return both[:8], both[8:]
    if packing == "first half":
        return b[:8] & 63, b[4:] & 63
    s, m, rest = b[:4], b[4:8], b[8:]
    unmasked = {"unmasked": "sm", "scales unmasked": "s", "mins unmasked": "m"}.get(packing, "")
    mask_s, mask_m = (255 if part in unmasked else 63 for part in "sm")
    top_s, top_m = s >> 6 << 4, m >> 6 << 4
    low, high = rest & 15, rest >> 4
    if packing == "no high bits":
        top_s = top_m = np.zeros(4, np.int32)
    elif packing == "high bits low":
        top_s, top_m = s >> 6, m >> 6
    elif packing == "high bits exchanged":
        top_s, top_m = top_m, top_s
    elif packing == "nibbles exchanged":
        low, high = high, low
    scales = np.concatenate([s & mask_s, low | top_s])
    mins = np.concatenate([m & mask_m, high | top_m])
    return (mins, scales) if packing == "exchanged" else (scales, mins)


def _q4_k_codes(qs: npt.NDArray[np.uint8], order: str) -> npt.NDArray[np.int32]:
    if order == "all low first":
        codes = np.concatenate([qs & 15, qs >> 4])
    elif order in {"interleaved", "interleaved, high first"}:
        codes = arranged(qs, order)
    else:
        size = 16 if order == "Q4_0" else 32
        way = "swapped" if order == "swapped" else "halves"
        codes = np.concatenate([arranged(part, way) for part in qs.reshape(-1, size)])
    return codes.astype(np.int32)


def _q4_k(
    block: npt.NDArray[np.uint8],
    *,
    scale: str,
    order: str,
    packing: str,
    minimum: str,
    offset: str,
    product: str,
    precision: str,
) -> npt.NDArray[np.float32]:
    d, dmin = _number(block[:2], scale), _number(block[2:4], scale)
    if minimum == "d and dmin exchanged":
        d, dmin = dmin, d
    elif minimum == "d for dmin":
        dmin = d
    s, m = _six_bits(block[4:16].astype(np.int32), packing)
    q = _q4_k_codes(block[16:], order) - (8 if offset == "8" else 0)
    s, m, d, dmin = (_rounded(x, precision) for x in (s, m, d, dmin))
    if product == "wrapped":
        scaled = d * _rounded(np.repeat(s, 32) * q % 256, precision)
    else:
        scaled = np.repeat(d * s, 32) * _rounded(q, precision)
    shift = np.repeat(dmin * m, 32)
    if minimum == "none":
        return np.asarray(scaled, np.float32)
    return np.asarray(scaled + shift if minimum == "plus" else scaled - shift, np.float32)


_CHUNKS = (
    "32 bytes hold 64 weights: their low nibbles are one group of 32, their high nibbles the next"
)
_PACKED = (
    "groups 4 to 7 have their four low bits in bytes 8 to 11 of scales, and their two high bits "
    "in the two high bits of bytes 0 to 3 (scales) and 4 to 7 (mins)"
)
_MASKED = (
    "The {} of groups 0 to 3 are the low six bits of a byte (& 63); the two bits above them were "
    "left in"
)
_Q4_K = (
    Choice(
        "order",
        "chunks",
        {
            "interleaved": f"The two nibbles of a byte were taken for neighbours; {_CHUNKS}.",
            "interleaved, high first": "The two nibbles of a byte were taken for neighbours, the "
            f"high one first; {_CHUNKS}.",
            "swapped": f"Low and high nibbles were exchanged; {_CHUNKS}.",
            "all low first": "All 128 low nibbles were taken first and then all the high ones; "
            f"{_CHUNKS}.",
            "Q4_0": f"The nibbles were arranged by 16 bytes, as in Q4_0; {_CHUNKS}.",
        },
    ),
    Choice(
        "packing",
        "right",
        {
            "first half": "The scales of groups 4 to 7 were read like those of groups 0 to 3, as "
            f"the low six bits of a byte; {_PACKED}.",
            "no high bits": "The two high bits of scales and mins of groups 4 to 7 are missing; "
            f"{_PACKED}.",
            "high bits low": "The two high bits of the scales and mins of groups 4 to 7 are not "
            "shifted to the top of the six bits: (byte >> 6) << 4.",
            "high bits exchanged": "The high bits of scales and mins of groups 4 to 7 are "
            f"exchanged; {_PACKED}.",
            "nibbles exchanged": "Of bytes 8 to 11 of scales, the low nibble belongs to the scale "
            "and the high nibble to the min: they are exchanged.",
            "unmasked": f"{_MASKED.format('scales and mins')}.",
            "scales unmasked": f"{_MASKED.format('scales')} (mins are right).",
            "mins unmasked": f"{_MASKED.format('mins')} (scales are right).",
            "exchanged": "Scales and mins are exchanged: bytes 0 to 3 of the 12 are scales, bytes "
            "4 to 7 are mins.",
            "stream": "The 12 bytes were read as a stream of six-bit numbers; groups 0 to 3 have "
            f"the low six bits of a byte each, and {_PACKED}.",
        },
    ),
    Choice(
        "minimum",
        "minus",
        {
            "plus": "The min was added; it is subtracted: d * scale * q - dmin * min.",
            "none": "The min was left out: d * scale * q - dmin * min.",
            "d for dmin": "The min was multiplied by d; it has its own scale: dmin * min.",
            "d and dmin exchanged": "d and dmin are exchanged: d is in bytes 0 and 1, dmin in "
            "bytes 2 and 3.",
        },
    ),
    _SCALE,
    Choice("offset", "0", {"8": "8 was subtracted from the codes, as in Q4_0; here the min does."}),
    Choice(
        "product",
        "exact",
        {
            "wrapped": f"scale * q was multiplied as uint8: {_WRAPS}. Convert to float32 first, "
            "or multiply d * scale first."
        },
    ),
    _PRECISION,
)


# --- the blocks -----------------------------------------------------------------------------------


def _block(*parts: Any) -> npt.NDArray[np.uint8]:
    """Join bytes, and halves given as floats."""
    return np.concatenate(
        [
            np.frombuffer(np.float16(p).tobytes() if isinstance(p, float) else bytes(p), np.uint8)
            for p in parts
        ]
    )


def _random(size: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _one_scale(plain: Sequence[int], *more: Trial) -> tuple[Trial, ...]:
    """Return the trials of a format that is a scale and codes."""
    size = len(plain)
    return (
        Trial("a scale of 1", _block(1.0, plain)),
        *more,
        Trial("a scale of 1, all kinds of codes", _block(1.0, _random(size, 1))),
        Trial("a scale below 1", _block(0.0437, _random(size, 2))),
        Trial("a negative scale", _block(-0.1831, _random(size, 3))),
        Trial("a large scale", _block(-1234.5, _random(size, 4))),
        Trial("a tiny scale (subnormal in half precision)", _block(3.1e-6, _random(size, 5))),
        Trial("a scale of 0", _block(0.0, _random(size, 6))),
    )


def _packed(scales: npt.NDArray[Any], mins: npt.NDArray[Any]) -> bytes:
    """Pack eight scales and eight mins of six bits into 12 bytes."""
    first = [*(scales[:4] | scales[4:] >> 4 << 6), *(mins[:4] | mins[4:] >> 4 << 6)]
    return bytes(map(int, [*first, *(scales[4:] & 15 | (mins[4:] & 15) << 4)]))


def _super_blocks() -> tuple[Trial, ...]:
    none, ones = np.zeros(8, int), np.ones(8, int)
    low = np.array([3, 60, 17, 45, 1, 1, 1, 1])
    high = np.array([1, 2, 3, 4, 19, 63, 38, 7])
    other = np.array([13, 6, 48, 33, 22, 5, 59, 40])
    counting = [(j % 16) | (15 - (j + j // 32) % 16) << 4 for j in range(128)]
    return (
        Trial("all scales 1, no mins", _block(1.0, 0.0, _packed(ones, none), counting)),
        Trial("codes in any order", _block(1.0, 0.0, _packed(ones, none), _random(128, 1))),
        Trial("scales of groups 0 to 3", _block(1.0, 0.0, _packed(low, none), _random(128, 2))),
        Trial(
            "scales of groups 4 to 7, which are packed",
            _block(1.0, 0.0, _packed(high, none), _random(128, 3)),
        ),
        Trial("mins", _block(1.0, 1.0, _packed(ones, low), _random(128, 4))),
        Trial("mins, which are packed", _block(1.0, 1.0, _packed(high, other), _random(128, 5))),
        Trial("d and dmin that differ", _block(0.0123, 0.117, _random(12, 6), _random(128, 6))),
        Trial("a negative d", _block(-0.0371, 0.0081, _random(12, 7), _random(128, 7))),
        Trial("large d and dmin", _block(321.4, -77.1, _random(12, 8), _random(128, 8))),
        Trial("tiny d and dmin", _block(2.2e-6, 8.3e-6, _random(12, 9), _random(128, 9))),
    )


READINGS = {
    "Q8_0": Solution(
        _q8_0,
        _Q8_0,
        _one_scale(
            [k - 16 & 255 for k in range(32)],
            Trial("the largest and the smallest codes", _block(1.0, range(112, 144))),
        ),
    ),
    "Q4_0": Solution(_q4_0, _Q4_0, _one_scale([k | (15 - k) << 4 for k in range(16)])),
    "Q4_K": Solution(_q4_k, _Q4_K, _super_blocks()),
}
"""Name of the type to its solution."""
