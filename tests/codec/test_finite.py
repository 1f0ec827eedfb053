"""Whether numbers are finite, told by their bits: the same as of the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from gguf_lab.codec import all_finite, dequantize, quantize


@pytest.mark.parametrize("qtype", ["F16", "BF16"])
def test_every_pattern_of_16_bits(qtype: str) -> None:
    patterns = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
    due = np.isfinite(dequantize(patterns, qtype))[:, 0]
    assert 0 < due.sum() < len(due)
    found = [all_finite(patterns[i : i + 1], qtype) for i in range(len(patterns))]
    assert found == due.tolist()
    assert all_finite(patterns[due], qtype)
    assert not all_finite(patterns, qtype)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_the_edges_of_longer_ones(dtype: str) -> None:
    largest, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    qtype = {"<f4": "F32", "<f8": "F64"}[dtype]
    for value, due in (
        *((0.0, True), (largest, True), (least, True), (np.inf, False), (np.nan, False)),
    ):
        for sign in (1, -1):
            row = np.array([[1, -1, sign * value, 0]], dtype)
            assert all_finite(row.view(np.uint8), qtype) == due, (sign, value)
            assert all_finite(np.asfortranarray(row.view(np.uint8)), qtype) == due


def test_blocks_are_decoded() -> None:
    blocks = quantize(np.ones((2, 64), np.float32), "Q8_0")
    assert all_finite(blocks, "Q8_0")
    blocks[1, 34:36] = np.float16(np.inf).reshape(1).view(np.uint8)
    assert not all_finite(blocks, "Q8_0")
    assert all_finite(blocks[:0], "F32")
