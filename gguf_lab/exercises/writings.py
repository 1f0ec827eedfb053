"""Quantizing to Q4_0, with a student's mistakes on demand.

What is right is ``quantize_row_q4_0_ref`` of ggml: the weight that is largest in magnitude becomes
code 0, which stands for -8, and the sign of the scale is chosen so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .mistakes import Choice, Solution, Trial

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["WRITINGS"]


def _q4_0(
    weights: npt.NDArray[np.float32],
    *,
    largest: str,
    rounding: str,
    inverse: str,
    bound: str,
    order: str,
    scale: str,
    zero: str,
) -> npt.NDArray[np.uint8]:
    x = weights.astype(np.float32)
    magnitudes = np.abs(x)
    last = largest == "last"
    extreme = x[len(x) - 1 - np.argmax(magnitudes[::-1])] if last else x[np.argmax(magnitudes)]
    if largest in {"magnitude / 7", "magnitude / 8"}:
        d = np.abs(extreme) / np.float32(largest[-1])
    elif largest == "maximum":
        d = x.max() / np.float32(-8)
    else:
        d = extreme / np.float32(-8)
    step = np.float32(np.float16(d)) if inverse == "rounded" else d
    if inverse == "division":
        scaled = x / step if step else np.zeros_like(x)
    else:
        scaled = x * (np.float32(1) / step if step else np.float32(0))
    if rounding == "even":
        q = np.rint(scaled) + 8
    elif rounding == "down":
        q = np.floor(scaled) + 8
    else:
        q = np.trunc(scaled + np.float32(8.5))
    q = np.nan_to_num(q).astype(np.int64)
    if bound != "none":
        q = q & 15 if bound == "masked" else np.clip(q, 0, 15)
    if order == "halves":
        low, high = q[:16], q[16:]
    elif order == "swapped":
        low, high = q[16:], q[:16]
    else:
        low, high = (q[::2], q[1::2]) if order == "interleaved" else (q[1::2], q[::2])
    codes = (low | high << 4).astype(np.uint8)
    if zero == "plain":
        d = d + np.float32(0)  # -0 + 0 is 0
    half = np.array([d], ">f2" if scale == "big-endian" else "<f2").view(np.uint8)
    return np.concatenate([codes, half] if scale == "last" else [half, codes])


_HALVES = "weights 0 to 15 are the low nibbles of the 16 bytes, weights 16 to 31 the high nibbles"
_CHOICES = (
    Choice(
        "order",
        "halves",
        {
            "interleaved": f"Neighbours were packed into one byte; {_HALVES}.",
            "interleaved, high first": "Neighbours were packed into one byte, the first one high; "
            f"{_HALVES}.",
            "swapped": f"Low and high nibbles were exchanged; {_HALVES}.",
        },
    ),
    Choice(
        "largest",
        "signed",
        {
            "magnitude / 7": "The scale is the largest magnitude / 7; ggml divides the weight of "
            "the largest magnitude, with its sign, by -8: so all 16 codes are used.",
            "magnitude / 8": "The scale lost its sign: it is the weight of the largest magnitude, "
            "with its sign, divided by -8. Code 0 stands for -8, and there is no +8.",
            "last": "Of two weights of the largest magnitude the last was taken; it is the first.",
            "maximum": "The largest weight was taken; it is the one of the largest magnitude, "
            "which may be negative.",
        },
    ),
    Choice(
        "rounding",
        "half up",
        {
            "even": "A weight just between two codes was rounded to the even one; ggml adds 8.5 "
            "and cuts off.",
            "down": "The codes were rounded down; ggml rounds to the nearest: it adds 8.5 and cuts "
            "off.",
        },
    ),
    Choice(
        "bound",
        "15",
        {
            "masked": "A code of 16 came about, and its fifth bit was lost (it became 0): the "
            "codes end at 15.",
            "none": "A code of 16 came about, and its fifth bit went into the other nibble, or was "
            "lost: the codes end at 15.",
        },
    ),
    Choice(
        "inverse",
        "before rounding",
        {
            "rounded": "The codes were calculated from the scale after its rounding to half "
            "precision; ggml calculates them from the float32 one.",
            "division": "Each weight was divided by the scale, or it was done in float64; ggml "
            "multiplies it by 1 / scale in float32, which rounds otherwise.",
        },
    ),
    Choice(
        "scale",
        "first",
        {
            "last": "The scale was written last; it comes first, in bytes 0 and 1.",
            "big-endian": "The two bytes of the scale are in the wrong order: the low byte comes "
            "first (little endian).",
        },
    ),
    Choice(
        "zero",
        "divided",
        {
            "plain": "The scale of a block of zeros was written as 0; divided like any other, "
            "0 / -8, it is -0.0, whose bytes are 00 and 80."
        },
    ),
)


def _single(values: Any) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _trials() -> tuple[Trial, ...]:
    normal = [np.random.default_rng(k).normal(0, 0.05, 32) for k in range(6)]
    positive = np.abs(normal[0])
    counting = np.concatenate([np.arange(-8, 8), np.arange(7, -9, -1)])
    ties = np.concatenate([np.arange(-8, 8) + 0.5, np.arange(-8, 8)])
    return (
        Trial("whole numbers from -8 to 7", _single(counting)),
        Trial("weights between the codes", _single(np.roll(counting, 5) * 0.97)),
        Trial("weights just between two codes", _single(ties)),
        Trial("the largest magnitude positive", _single(positive)),
        Trial("weights as in a model", _single(normal[1])),
        *(Trial("more weights as in a model", _single(values)) for values in normal[2:]),
        Trial("the largest magnitude with both signs", _single([*[0.5, -0.5] * 8, *[0.25] * 16])),
        Trial("both signs, the minus first", _single([*[-0.5, 0.5] * 8, *[0.25] * 16])),
        Trial("a weight at a tie, but for rounding", _single([0.24, 0.195, 0.225, *[0.1] * 29])),
        Trial("zeros only", _single(np.zeros(32))),
        Trial("weights too small for a half-precision scale", _single(normal[1] * 1e-8)),
    )


WRITINGS = {"quantize Q4_0": Solution(_q4_0, _CHOICES, _trials())}
"""Name of the exercise to its solution."""
