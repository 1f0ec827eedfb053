"""What the quantizers of the grid types do with a block before and after they search the grid."""

# ruff: noqa: C901, PLR0917 -- one function per algorithm; numba passes arguments by position

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import helper, nearest_int

__all__ = ["BLOCK", "block_scales", "block_weights", "first_scale", "split_signs"]

BLOCK = 256  # ggml's QK_K


@helper
def block_weights(x: Any, importance: Any, o: Any, factor: Any, base: Any, w: Any) -> None:
    """Write how much the error of each of 256 weights counts.

    With an importance, it is multiplied by ``sqrt(sigma2 + x^2)``; without, ``base * sigma2 + x^2``
    counts; `sigma2` is `factor` times the mean square.
    """
    sum_ = np.float32(0)
    for i in range(BLOCK):
        sum_ += x[o + i] * x[o + i]
    sigma2 = factor * sum_ / np.float32(BLOCK)
    for i in range(BLOCK):
        square = x[o + i] * x[o + i]
        if importance.size:
            w[i] = importance[o + i] * np.sqrt(sigma2 + square)
        elif base > np.float32(0):
            w[i] = base * sigma2 + square
        else:
            w[i] = square


@helper
def split_signs(x: Any, o: Any, w: Any, even: bool, magnitudes: Any, signs: Any) -> None:
    """Write 256 magnitudes and, per 8 of them, a byte of sign bits.

    If only an `even` number of signs can be stored, the odd one is given up where it costs least:
    that magnitude becomes negative.
    """
    for k in range(BLOCK // 8):
        negative, flips = 0, 0
        for i in range(8 * k, 8 * k + 8):
            magnitudes[i] = x[o + i]
            if not x[o + i] >= np.float32(0):
                magnitudes[i] = -x[o + i]
                negative |= 1 << (i & 7)
                flips += 1
        if even and flips & 1:
            least = 8 * k
            for i in range(8 * k + 1, 8 * k + 8):
                if w[i] * x[o + i] * x[o + i] < w[least] * x[o + least] * x[o + least]:
                    least = i
            magnitudes[least] = -magnitudes[least]
            negative ^= 1 << (least & 7)
        signs[k] = negative


@helper
def first_scale(x: Any, w: Any, o: Any, largest: Any, levels: Any) -> Any:
    """Return the scale of 32 weights on plain integer levels 0 ... 4 (``make_qp_quants``).

    A magnitude may be negative here; ggml keeps levels in bytes, so that -1 is sometimes 255. That
    is a slip, yet it decides about the scale.
    """
    n, top = 32, np.int32(4)
    inverse = np.float32(4) / largest
    scale = np.float32(1) / inverse
    least = np.float32(0)
    for i in range(n):
        byte = np.uint8(nearest_int(inverse * x[o + i]))
        difference = x[o + i] - scale * np.float32(byte)
        least += w[o + i] * difference * difference
    for step in range(-4, 5):
        if step == 0:
            continue
        trial = (np.float32(0.1) * np.float32(step) + np.float32(4)) / largest
        scale = np.float32(1) / trial
        error = np.float32(0)
        for i in range(n):
            level = min(top, nearest_int(trial * x[o + i]))
            difference = x[o + i] - scale * np.float32(level)
            error += w[o + i] * difference * difference
        if error < least:
            least, inverse = error, trial
    lx, l2 = np.float32(0), np.float32(0)
    for i in range(n):
        level = min(top, nearest_int(inverse * x[o + i]))
        levels[i] = level & 255
        lx += w[o + i] * x[o + i] * np.float32(level)
        l2 += w[o + i] * np.float32(level) * np.float32(level)
    for _ in range(5):
        changes = 0
        for i in range(n):
            old = np.float32(levels[i])
            lx_rest = lx - w[o + i] * x[o + i] * old
            l2_rest = l2 - w[o + i] * old * old
            if lx_rest > np.float32(0) and l2_rest > np.float32(0):
                new = min(top, nearest_int(x[o + i] * l2_rest / lx_rest))
                if new != levels[i]:
                    lx_rest += w[o + i] * x[o + i] * np.float32(new)
                    l2_rest += w[o + i] * np.float32(new) * np.float32(new)
                    if lx_rest * lx_rest * l2 > lx * lx * l2_rest:
                        levels[i] = new & 255
                        lx, l2 = lx_rest, l2_rest
                        changes += 1
        if not changes:
            break
    if l2 == np.float32(0):
        return l2
    return lx / l2


@helper
def block_scales(scales: Any, top: Any, out: Any) -> Any:
    """Write scales as levels 0 ... top of the block's scale, which is returned; zero if all are.

    Level `l` stands for ``2 * l + 1``.
    """
    largest = np.float32(0)
    out[:] = 0
    for i in range(scales.size):
        if np.isnan(scales[i]):  # sums that overflowed: not to be lost
            return scales[i]
        largest = max(largest, scales[i])
    if largest == np.float32(0):
        return largest
    d = largest / np.float32(2 * top + 1)
    inverse = np.float32(1) / d
    for i in range(scales.size):
        level = nearest_int(np.float32(0.5) * (inverse * scales[i] - np.float32(1)))
        out[i] = max(0, min(top, level))
    return d
