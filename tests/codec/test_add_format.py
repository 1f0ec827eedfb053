"""The page on formats does what it says: its example is executed, in all backends."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import FORMATS
from gguf_lab.codec.formats.definition import Format, f16, f32, i64, u8, u32
from gguf_lab.file import qtypes

from .golden import same_bits

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SHOWN = re.findall(r"^```\n(\w+ block, weight .*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def leave_no_trace(monkeypatch):
    """Let a test register formats; afterwards there are those of before."""
    monkeypatch.setattr(qtypes, "_BY_NAME", dict(qtypes._BY_NAME))
    before, types = dict(FORMATS), dict(qtypes.QTYPES)
    yield
    for table, old in ((FORMATS, before), (qtypes.QTYPES, types)):
        table.clear()
        table.update(old)


@pytest.mark.usefixtures("leave_no_trace")
def test_the_example_adds_a_format(capsys):
    line, definition, use = CODE[1:]
    (qtype,) = eval(f"({line.strip()})", {"QType": qtypes.QType})
    assert qtype.id not in qtypes.QTYPES
    qtypes.QTYPES[qtype.id] = qtypes._BY_NAME[qtype.name] = qtype
    module = {"__package__": "gguf_lab.codec.formats", "__name__": "gguf_lab.codec.formats.mine"}
    exec(compile(definition, "definition", "exec", dont_inherit=True), module)
    exec(compile(use, "use", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out == SHOWN[1]
    swapped = np.array([0x38, 0x00, *[0b11_10_01_00] * 8], np.uint8)
    from gguf_lab.codec import to_little_endian

    assert gl.dequantize(to_little_endian(swapped, qtype.id), qtype.id)[0] == -1.5


@pytest.mark.slow  # Triton's compiler
@pytest.mark.usefixtures("leave_no_trace")
def test_a_gpu_reads_numbers_at_odd_addresses(tmp_path, monkeypatch):
    """Byte by byte; together it cannot, and the attempt ends all work on the device."""
    pytest.importorskip("triton", reason="there is no Triton for this platform")
    from .compiled import on_the_cpu

    for qtype in (qtypes.QType(200, "OddPlaces", 64, 24), qtypes.QType(201, "OddSize", 32, 7)):
        qtypes.QTYPES[qtype.id] = qtypes._BY_NAME[qtype.name] = qtype

    class OddPlaces(Format, fields="e:u8 d:f16 high:u32 n:i64 qs:u8[9]", group=8):
        def scale(b, t, g):
            return f16(b, 1), f32(i64(b, 7))

        def quant(b, t, g, j):
            return u8(b, 15 + g) + ((u32(b, 3) >> (j + g)) & 1)

    class OddSize(Format, fields="qs:u8[5] d:f16", group=8):
        def scale(b, t, g):
            return f16(b, 5), 0.0

        def quant(b, t, g, j):
            return (u8(b, g) >> j) & 1

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for fmt in (OddPlaces, OddSize):
        shape = (70, fmt.qtype.type_size)
        blocks = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with on_the_cpu():
            found = gl.dequantize(blocks, fmt.name, backend="triton")
        assert same_bits(found, gl.dequantize(blocks, fmt.name, backend="numpy"))


def test_the_example_is_not_left_behind():
    assert "Q2_T" not in FORMATS
    assert 200 not in qtypes.QTYPES
    with pytest.raises(gl.UnsupportedError):
        gl.dissect(np.zeros(10, np.uint8), "Q2_T")


def test_the_explanation_on_the_page_is_what_the_package_says():
    """The bytes that the page shows are put into a block; the same text must come out."""
    block = np.zeros(144, np.uint8)
    for offset, digits in re.findall(r"bytes? (\d+)\S*\s+0x(\w+)", SHOWN[0]):
        raw = bytes.fromhex(digits)[::-1]
        block[int(offset) : int(offset) + len(raw)] = [*raw]
    assert f"{gl.dissect(block, 'Q4_K').explain(70)}\n" == SHOWN[0]


def test_a_block_of_a_real_tensor_is_taken_apart_as_the_page_says():
    path = Path(__file__).parents[1] / "data" / "models" / "llama-256" / "llama-Q4_K_M.gguf"
    names: dict[str, gl.Model] = {}
    exec(CODE[0].replace("model.gguf", path.as_posix()), names)
    tensor, anatomy = names["tensor"], names["anatomy"]
    assert tensor.qtype == "Q4_K"
    assert (anatomy.weights == tensor.to_numpy(slice(0, 1))[0, :256]).all()
