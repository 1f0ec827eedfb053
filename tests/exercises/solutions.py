"""Solutions as students write them: in loops, in NumPy, with struct; right ones and wrong ones."""

from __future__ import annotations

import struct

import numpy as np

# --- right ----------------------------------------------------------------------------------------


def q8_0(block):
    (d,) = struct.unpack("<e", bytes(block[:2]))
    return np.array([d * (b - 256 if b > 127 else b) for b in block[2:].tolist()], np.float32)


def q4_0(block):
    d = np.float32(block[:2].view(np.float16)[0])
    q = np.concatenate([block[2:] & 15, block[2:] >> 4]).astype(np.float32) - 8
    return d * q


def scale_and_min(packed, g):
    if g < 4:
        return packed[g] & 63, packed[g + 4] & 63
    return (
        (packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4,
        (packed[g + 4] >> 4) | (packed[g] >> 6) << 4,
    )


def q4_k(block):
    d, dmin = (np.float32(x) for x in struct.unpack("<ee", bytes(block[:4])))
    packed, qs = block[4:16].tolist(), block[16:].tolist()
    weights = []
    for g in range(8):
        s, m = scale_and_min(packed, g)
        for j in range(32):
            byte = qs[32 * (g // 2) + j]
            q = byte >> 4 if g % 2 else byte & 15
            weights.append(d * np.float32(s) * np.float32(q) - dmin * np.float32(m))
    return np.array(weights, np.float32)


def quantize_q4_0(weights):
    largest = max(weights, key=abs)
    d = np.float32(largest) / np.float32(-8)
    inverse = np.float32(1) / d if d else np.float32(0)
    codes = [min(15, int(x * inverse + np.float32(8.5))) for x in weights]
    return struct.pack("<e", d) + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))


RIGHT = {"Q8_0": q8_0, "Q4_0": q4_0, "Q4_K": q4_k, "quantize Q4_0": quantize_q4_0}

# --- wrong: the exercise, a piece of what has to be said, the solution ----------------------------


def halves(block):
    return np.concatenate([block[2:] & 15, block[2:] >> 4])


def d_of(block):
    return np.float32(block[:2].view(np.float16)[0])


def interleaved(block):
    q = np.empty(32, np.float32)
    q[::2], q[1::2] = block[2:] & 15, block[2:] >> 4
    return d_of(block) * (q - 8)


def swapped(block):
    return d_of(block) * (np.roll(halves(block), 16).astype("f4") - 8)


def no_offset(block):
    return d_of(block) * halves(block)


def wrapped(block):
    return d_of(block) * (halves(block) - np.uint8(8))


def integer_scale(block):
    return np.float32(block[:2].view("<u2")[0]) * (halves(block).astype("f4") - 8)


def big_endian_scale(block):
    return np.float32(block[:2].view(">f2")[0]) * (halves(block).astype("f4") - 8)


def half_precision(block):
    return block[:2].view(np.float16)[0] * (halves(block).astype(np.int8) - 8)


def from_the_start(block):
    qs = block[:16]
    return d_of(block) * (np.concatenate([qs & 15, qs >> 4]).astype("f4") - 8)


def two_mistakes(block):
    q = np.empty(32, np.float32)
    q[::2], q[1::2] = block[2:] & 15, block[2:] >> 4
    return d_of(block) * q


def unsigned(block):
    return d_of(block) * block[2:]


def offset_128(block):
    return d_of(block) * (block[2:].astype("f4") - 128)


def k_quant(block, pair=scale_and_min, sign=-1, dmin_at=2, chunk=32, offset=0):
    d = d_of(block)
    dmin = np.float32(block[dmin_at : dmin_at + 2].view(np.float16)[0])
    packed, qs = block[4:16].tolist(), block[16:]
    q = np.concatenate([np.concatenate([p & 15, p >> 4]) for p in qs.reshape(-1, chunk)]).astype(
        "f4"
    )
    pairs = np.array([pair(packed, g) for g in range(8)], "f4")
    s, m = np.repeat(d * pairs[:, 0], 32), np.repeat(dmin * pairs[:, 1], 32)
    return s * (q - np.float32(offset)) + np.float32(sign) * m


def low_bits_only(packed, g):
    return packed[g] & 63, packed[g + 4] & 63


def no_high_bits(packed, g):
    s, m = scale_and_min(packed, g)
    return (s, m) if g < 4 else (s & 15, m & 15)


def nibbles_exchanged(packed, g):
    s, m = scale_and_min(packed, g)
    return (s, m) if g < 4 else ((s & 48) | (m & 15), (m & 48) | (s & 15))


def not_shifted(packed, g):
    if g < 4:
        return scale_and_min(packed, g)
    return (packed[g + 4] & 15) | packed[g - 4] >> 6, (packed[g + 4] >> 4) | packed[g] >> 6


def unmasked(packed, g):
    return scale_and_min(packed, g) if g >= 4 else (packed[g], packed[g + 4])


def one_unmasked(packed, g, which):
    pair = list(scale_and_min(packed, g))
    if g < 4:
        pair[which] = packed[g + 4 * which]
    return pair


def wrapped_product(block):
    d, dmin = d_of(block), np.float32(block[2:4].view(np.float16)[0])
    pairs = np.array([scale_and_min(block[4:16], g) for g in range(8)], np.uint8)
    q = np.concatenate([np.concatenate([p & 15, p >> 4]) for p in block[16:].reshape(-1, 32)])
    codes = np.repeat(pairs[:, 0], 32) * q
    return d * codes.astype("f4") - np.repeat(dmin * pairs[:, 1], 32)


def packed_block(x, d, codes):
    codes = np.clip(codes, 0, 15).astype(np.uint8)
    return np.concatenate([np.array([d], np.float16).view(np.uint8), codes[:16] | codes[16:] << 4])


def by_magnitude(x):
    d = np.abs(x).max() / np.float32(7)
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))


def lost_sign(x):
    d = np.abs(x).max() / np.float32(8)
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))


def to_even(x):
    d = x[np.argmax(np.abs(x))] / np.float32(-8)
    return packed_block(x, d, np.round(x * (1 / d if d else d)) + 8)


def from_the_half(x):
    d = np.float32(np.float16(x[np.argmax(np.abs(x))] / np.float32(-8)))
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))


def divided(x):
    d = x[np.argmax(np.abs(x))] / np.float32(-8)
    return packed_block(x, d, np.trunc((x / d if d else x) + np.float32(8.5)))


def in_double(x):
    x = x.astype(np.float64)
    d = x[np.argmax(np.abs(x))] / -8
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + 8.5))


def sixteen(x):
    d = x[np.argmax(np.abs(x))] / np.float32(-8)
    codes = np.trunc(x * (1 / d if d else d) + np.float32(8.5)).astype(np.uint8)
    return np.concatenate([np.array([d], np.float16).view(np.uint8), codes[:16] | codes[16:] << 4])


def last_of_two(x):
    largest = max(reversed(x.tolist()), key=abs)
    d = np.float32(largest) / np.float32(-8)
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))


def plain_zero(x):
    d = x[np.argmax(np.abs(x))] / np.float32(-8) if x.any() else np.float32(0)
    return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))


def neighbours(x):
    block = np.frombuffer(quantize_q4_0(x), np.uint8).copy()
    codes = halves(block)
    block[2:] = codes[::2] | codes[1::2] << 4
    return block


WRONG = [
    ("Q8_0", "taken as unsigned", unsigned),
    ("Q8_0", "128 was subtracted", offset_128),
    ("Q8_0", "A scale was left out", lambda b: b[2:].view(np.int8).astype("f4")),
    ("Q4_0", "A scale was left out", lambda b: halves(b).astype("f4") - 8),
    ("Q4_0", "taken for neighbours", interleaved),
    ("Q4_0", "nibbles were exchanged", swapped),
    ("Q4_0", "8 was not subtracted", no_offset),
    ("Q4_0", "wraps around at 256", wrapped),
    ("Q4_0", "taken as an integer (uint16)", integer_scale),
    ("Q4_0", "in the wrong order", big_endian_scale),
    ("Q4_0", "rounded there", half_precision),
    ("Q4_0", "read from byte 0", from_the_start),
    ("Q4_0", "8 was not subtracted", two_mistakes),
    ("Q4_0", "taken for neighbours", two_mistakes),
    ("Q4_K", "read like those of groups 0 to 3", lambda b: k_quant(b, low_bits_only)),
    ("Q4_K", "two high bits of scales and mins", lambda b: k_quant(b, no_high_bits)),
    ("Q4_K", "they are exchanged", lambda b: k_quant(b, nibbles_exchanged)),
    ("Q4_K", "not shifted to the top", lambda b: k_quant(b, not_shifted)),
    ("Q4_K", "the two bits above them were left in", lambda b: k_quant(b, unmasked)),
    ("Q4_K", "(mins are right)", lambda b: k_quant(b, lambda p, g: one_unmasked(p, g, 0))),
    ("Q4_K", "(scales are right)", lambda b: k_quant(b, lambda p, g: one_unmasked(p, g, 1))),
    ("Q4_K", "The min was added", lambda b: k_quant(b, sign=1)),
    ("Q4_K", "The min was left out", lambda b: k_quant(b, sign=0)),
    ("Q4_K", "it has its own scale", lambda b: k_quant(b, dmin_at=0)),
    ("Q4_K", "as in Q4_0; 32 bytes hold 64", lambda b: k_quant(b, chunk=16)),
    ("Q4_K", "All 128 low nibbles were taken first", lambda b: k_quant(b, chunk=128)),
    ("Q4_K", "here the min does", lambda b: k_quant(b, offset=8)),
    ("Q4_K", "The min was added", lambda b: k_quant(b, sign=1, chunk=16)),
    ("Q4_K", "multiplied as uint8", wrapped_product),
    ("quantize Q4_0", "largest magnitude / 7", by_magnitude),
    ("quantize Q4_0", "The scale lost its sign", lost_sign),
    ("quantize Q4_0", "it is the first", last_of_two),
    ("quantize Q4_0", "it is -0.0", plain_zero),
    ("quantize Q4_0", "rounded to the even one", to_even),
    ("quantize Q4_0", "after its rounding to half", from_the_half),
    ("quantize Q4_0", "divided by the scale", divided),
    ("quantize Q4_0", "or it was done in float64", in_double),
    ("quantize Q4_0", "went into the other nibble", sixteen),
    ("quantize Q4_0", "packed into one byte", neighbours),
]
