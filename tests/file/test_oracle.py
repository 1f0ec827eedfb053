"""The ``gguf`` package writes, we read; we and the ``gguf`` package read the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFValueType, GGUFWriter, quants

from gguf_lab.file import QTYPES, open_file

DATA = Path(__file__).parent.parent / "data"
FILES = sorted(DATA.glob("**/*.gguf"))


def test_there_are_files_to_compare() -> None:
    assert len(FILES) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_as_gguf_reader_reads_it(path: Path) -> None:
    ours, theirs = open_file(path), GGUFReader(path)
    fields = {key: f for key, f in theirs.fields.items() if not key.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for key, value in ours.metadata.items():
        assert value == fields[key].contents(), key
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.shape == tuple(reversed(other.shape.tolist()))
        assert mine.qtype.name == other.tensor_type.name
        assert mine.offset == other.data_offset
        assert mine.nbytes == other.n_bytes
        assert mine.status == "ok"
        assert ours.raw(mine).tobytes() == other.data.tobytes()


VALUES: dict[str, tuple[Any, GGUFValueType]] = {
    "a.uint8": (255, GGUFValueType.UINT8),
    "a.int64": (-(2**62), GGUFValueType.INT64),
    "a.float32": (0.5, GGUFValueType.FLOAT32),
    "a.float64": (0.1, GGUFValueType.FLOAT64),
    "a.bool": (True, GGUFValueType.BOOL),
    "a.string": ("漢字 🙂", GGUFValueType.STRING),
    "a.strings": (["one", "", "three"], GGUFValueType.ARRAY),
    "a.numbers": ([1, -2, 3], GGUFValueType.ARRAY),
}


@pytest.mark.parametrize("endian", list(GGUFEndian))
@pytest.mark.parametrize("alignment", [None, 64, 4096])
def test_what_gguf_writer_writes(tmp_path: Path, endian: GGUFEndian, alignment: int | None) -> None:
    path = tmp_path / "file.gguf"
    random = np.random.default_rng(0)
    weights = random.standard_normal((6, 64)).astype(np.float32)
    packed = quants.quantize(weights, GGMLQuantizationType.Q8_0)
    writer = GGUFWriter(path, "llama", endianess=endian)
    if alignment:
        writer.add_custom_alignment(alignment)
    for key, (value, kind) in VALUES.items():
        writer.add_key_value(key, value, kind)
    writer.add_tensor("f32", weights.copy())
    writer.add_tensor("cube", weights.reshape(2, 3, 64).copy())
    writer.add_tensor("q8", packed, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    file = open_file(path)
    assert file.byteorder == ("little" if endian == GGUFEndian.LITTLE else "big")
    assert file.headers[0].alignment == (alignment or 32)
    for key, (value, _) in VALUES.items():
        expected = np.float32(value).item() if key == "a.float32" else value
        assert file.metadata[key] == expected
    order = "<f4" if file.byteorder == "little" else ">f4"
    f32, cube, q8 = file.tensors
    assert file.raw(f32).view(order).tolist() == weights.tolist()
    assert cube.shape == (2, 3, 64)
    assert file.raw(cube, 2, 4).view(order).tolist() == weights[2:4].tolist()
    assert (q8.shape, q8.qtype.name, q8.nbytes) == ((6, 64), "Q8_0", packed.nbytes)


def test_sizes_of_types() -> None:
    from gguf.constants import GGML_QUANT_SIZES

    for kind, (block, size) in GGML_QUANT_SIZES.items():
        if kind.name != "Q8_1":  # the package says 40; ggml's block_q8_1 has been 36 since 2023
            assert (QTYPES[kind].name, QTYPES[kind].block_size) == (kind.name, block)
            assert QTYPES[kind].type_size == size
