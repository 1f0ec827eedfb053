from __future__ import annotations

import struct

import numpy as np
import pytest

from gguf_lab.codec import FORMATS
from gguf_lab.codec.formats.definition import Format
from gguf_lab.file import qtypes
from gguf_lab.file.qtypes import QTYPES

from .golden import TYPES, cases, same_bits


def decode_by_hand(fmt: type[Format], block: bytes) -> np.ndarray:
    """Run a definition as plain Python on the bytes of one block: the way it is taught."""
    table = fmt.table()
    weights = []
    with np.errstate(all="ignore"):
        for g in range(fmt.qtype.block_size // fmt.group):
            d, m = fmt.scale(block, table, g)
            for j in range(fmt.group):
                q = np.float32(fmt.quant(block, table, g, j))
                weights.append(np.float32(d) * q - np.float32(m))
    return np.array(weights, np.float32)


@pytest.mark.parametrize("name", TYPES)
def test_a_definition_run_as_plain_python_gives_the_bits_of_ggml(name):
    blocks, want = cases(name)[0]
    for block, weights in zip(blocks[:8], want[:8], strict=True):
        assert same_bits(decode_by_hand(FORMATS[name], block.tobytes()), weights)


def test_every_type_that_ggml_stores_has_a_definition():
    assert set(FORMATS) == {t.name for t in QTYPES.values()}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_fields_fill_the_block_without_a_gap(name):
    fmt = FORMATS[name]
    end = 0
    for field in fmt.fields:
        assert field.offset == end
        end = field.stop
    assert end == fmt.qtype.type_size
    assert fmt.__doc__.startswith("0 ")  # the byte map is the docstring


def test_a_block_of_q4_0_by_arithmetic():
    # d = 0.5; the low nibbles of the 16 bytes are weights 0-15, the high nibbles 16-31.
    block = struct.pack("<e16B", 0.5, *(lo | (15 - lo) << 4 for lo in range(16)))
    want = [0.5 * (q - 8) for q in range(16)] + [0.5 * (15 - q - 8) for q in range(16)]
    assert decode_by_hand(FORMATS["Q4_0"], block).tolist() == want


def test_a_block_of_q5_1_by_arithmetic():
    # d = 2, m = 10; bit i of qh is the fifth bit of weight i: here of weights 0 and 31.
    block = struct.pack("<eeI16B", 2.0, 10.0, 1 | 1 << 31, *([0x21] * 16))
    want = [2.0 * 17 + 10] + [2.0 * 1 + 10] * 15 + [2.0 * 2 + 10] * 15 + [2.0 * 18 + 10]
    assert decode_by_hand(FORMATS["Q5_1"], block).tolist() == want


def test_a_block_of_q8_k_by_arithmetic():
    q = np.arange(256, dtype=np.int64) - 128
    block = struct.pack("<f256b16h", 0.25, *q, *([0] * 16))
    assert decode_by_hand(FORMATS["Q8_K"], block).tolist() == (0.25 * q).tolist()


def test_a_block_of_q8_1_by_arithmetic():
    q = np.arange(32) - 16
    block = struct.pack("<ee32b", 0.25, 99.0, *q)
    assert decode_by_hand(FORMATS["Q8_1"], block).tolist() == (0.25 * q).tolist()


def test_fields_of_the_wrong_size_are_refused():
    with pytest.raises(TypeError, match=r"18 bytes"):

        class Q4_0(Format, fields="d:f16 qs:u8[15]", group=16):
            pass

    assert FORMATS["Q4_0"].fields[-1].count == 16


def test_what_triton_cannot_count_is_refused(monkeypatch):
    monkeypatch.setitem(qtypes._BY_NAME, "Three", qtypes.QType(200, "Three", 48, 14))
    with pytest.raises(TypeError, match=r"48 weights in groups of 16; .* powers of two"):

        class Three(Format, fields="d:f16 qs:u8[12]", group=16):
            pass

    assert "Three" not in FORMATS
