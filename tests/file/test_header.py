"""Well-formed files of every version, byte order, alignment and kind."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gguf_lab.errors import GGUFError, UnsupportedError
from gguf_lab.file import ArrayValue, LocalFile, open_file, parse_header

from .builders import F32, Q4_0, Q8_0, Builder, Grudging, opened, small

DATA = Path(__file__).parent.parent / "data"
ORDERS = pytest.mark.parametrize("byteorder", ["little", "big"])
VERSIONS = pytest.mark.parametrize("version", [1, 2, 3])

SCALARS: dict[str, list[Any]] = {
    "uint8": [0, 255],
    "int8": [-128, 127],
    "uint16": [0, 65_535],
    "int16": [-32_768, 32_767],
    "uint32": [0, 2**32 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "float32": [0.0, -1.5, float("inf")],
    "bool": [False, True],
    "string": ["", "text", "Ġ é 漢 🙂", "a\0b"],
    "uint64": [0, 2**64 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float64": [0.1, -1e300],
}


@ORDERS
@VERSIONS
def test_every_value_type(tmp_path: Path, version: int, byteorder: str) -> None:
    builder = Builder(version=version, byteorder=byteorder)
    for kind, values in SCALARS.items():
        for i, value in enumerate(values):
            builder.key(f"{kind}.{i}", kind, value)
        builder.key(f"array.{kind}", f"array[{kind}]", values)
        builder.key(f"empty.{kind}", f"array[{kind}]", [])
        builder.key(f"nested.{kind}", f"array[array[{kind}]]", [values, [], values * 70])
    file = opened(tmp_path, builder)
    metadata = file.metadata
    assert (file.version, file.byteorder) == (version, byteorder)
    assert len(metadata) == len(builder.keys)
    for kind, values in SCALARS.items():
        for i, value in enumerate(values):
            assert metadata[f"{kind}.{i}"] == value
            assert type(metadata[f"{kind}.{i}"]) is type(value)
            assert metadata.type_of(f"{kind}.{i}") == kind
        assert metadata[f"array.{kind}"] == values
        assert [type(item) for item in metadata[f"array.{kind}"]] == [type(v) for v in values]
        assert metadata.type_of(f"array.{kind}") == f"array[{kind}]"
        assert metadata[f"empty.{kind}"] == []
        assert metadata.type_of(f"empty.{kind}") == f"array[{kind}]"
        assert metadata[f"nested.{kind}"] == [values, [], values * 70]
        assert metadata.type_of(f"nested.{kind}") == "array[array]"


@ORDERS
@VERSIONS
@pytest.mark.parametrize("alignment", [1, 2, 8, 32, 64, 4096])
def test_tensors_at_any_alignment(
    tmp_path: Path, version: int, byteorder: str, alignment: int
) -> None:
    builder = small(version=version, byteorder=byteorder, alignment=alignment)
    builder.key("general.alignment", "uint32", alignment)
    file = opened(tmp_path, builder)
    header = file.headers[0]
    assert header.alignment == alignment
    assert header.data_offset % alignment == 0
    a, b = file.tensors
    assert (a.name, a.shape, a.qtype.name, a.nbytes, a.status) == ("a", (4,), "F32", 16, "ok")
    assert (b.name, b.shape, b.n_rows, b.row_values, b.row_bytes) == ("b", (2, 8), 2, 8, 32)
    dtype = "<f4" if byteorder == "little" else ">f4"
    assert file.raw(a).view(dtype).tolist() == [[0, 1, 2, 3]]
    assert file.raw(b, 1, 2).view(dtype).tolist() == [[*range(8, 16)]]


def test_raw_is_read_only(tmp_path: Path) -> None:
    file = opened(tmp_path, small())
    first, second = file.raw(file.tensors[1]), file.raw(file.tensors[1])
    assert np.array_equal(first, second)
    assert not first.flags.writeable
    with pytest.raises(GGUFError, match=r"tensor 'b' has 2 rows; rows 1 to 3"):
        file.raw(file.tensors[1], 1, 3)


@pytest.mark.parametrize("ne", [[0], [0, 4], [4, 0], [0, 0, 0, 0], [32, 0, 7, 1]])
@pytest.mark.parametrize("kind", [F32, Q4_0])
def test_zero_sized_dimensions(tmp_path: Path, ne: list[int], kind: int) -> None:
    if kind == Q4_0:
        ne = [ne[0] * 8, *ne[1:]]
    builder = Builder().tensor("empty", ne, kind).tensor("t", [4], data=bytes(16))
    file = opened(tmp_path, builder)
    empty = file.tensors[0]
    assert empty.shape == tuple(reversed(ne))
    assert (empty.nbytes, empty.n_elements, empty.status) == (0, 0, "ok")
    assert file.raw(empty).shape == (empty.n_rows, empty.row_bytes)
    assert file.tensors[1].status == "ok"


def test_scalar_tensor(tmp_path: Path) -> None:
    file = opened(tmp_path, Builder().tensor("s", [], data=struct.pack("<f", 3)))
    (info,) = file.tensors
    assert (info.shape, info.n_elements, info.nbytes) == ((), 1, 4)
    assert file.raw(info).view("<f4").tolist() == [[3.0]]


def test_invalid_utf8_is_shown_escaped(tmp_path: Path) -> None:
    builder = Builder().key(b"key\xff", "string", b"value\xfe!")
    builder.key("list", "array[string]", [b"\xc3", "ok"]).tensor(b"name\x80", [4], data=bytes(16))
    file = opened(tmp_path, builder)
    assert file.metadata["key\\xff"] == "value\\xfe!"
    assert file.metadata["list"] == ["\\xc3", "ok"]
    assert file.tensors[0].name == "name\\x80"


@pytest.mark.parametrize("kind", [4, 5, 31, 36, 99, 2**31, 2**32 - 1])
def test_unknown_tensor_type_is_an_opaque_row(tmp_path: Path, kind: int) -> None:
    builder = Builder().tensor("odd", [33, 3], kind, bytes(1000)).tensor("t", [4], data=bytes(16))
    file = opened(tmp_path, builder)
    odd, known = file.tensors
    assert (odd.status, odd.nbytes, odd.row_bytes) == ("opaque", None, None)
    assert odd.qtype.name == f"UNKNOWN_{kind}"
    assert known.status == "ok"
    with pytest.raises(UnsupportedError, match=f"tensor 'odd' has the type number {kind}"):
        file.raw(odd)


def test_every_cut_inside_the_data_still_opens(tmp_path: Path) -> None:
    builder = small()
    whole, head = builder.build(), len(builder.head())
    data = len(whole) - len(builder.data)
    for length in range(head, len(whole)):
        file = opened(tmp_path, whole[:length])
        assert file.metadata["general.architecture"] == "llama"
        expected = ["ok" if length >= data + end else "truncated" for end in (16, 96)]
        assert [info.status for info in file.tensors] == expected
        for info in file.tensors:
            if info.status == "truncated":
                with pytest.raises(GGUFError, match=f"tensor '{info.name}' is truncated"):
                    file.raw(info)
            else:
                file.raw(info)


def test_one_huge_tensor_of_a_download_that_stopped(tmp_path: Path) -> None:
    builder = Builder().tensor("huge", [2**40], data=bytes(64)).tensor("t", [4], offset=2**42)
    assert [info.status for info in opened(tmp_path, builder).tensors] == ["truncated"] * 2


def test_data_in_any_order_and_with_gaps_inside_the_file(tmp_path: Path) -> None:
    builder = Builder()
    builder.data = bytes(640)
    builder.tensor("late", [4], offset=320).tensor("early", [4], offset=64)
    file = opened(tmp_path, builder)
    assert [info.name for info in file.tensors] == ["late", "early"]
    assert {info.status for info in file.tensors} == {"ok"}


def test_last_tensor_without_padding(tmp_path: Path) -> None:
    content = Builder().tensor("t", [33], Q8_0 * 0, bytes(132)).build()
    assert opened(tmp_path, content[: len(content) - 28]).tensors[0].status == "ok"


def test_file_with_nothing_but_metadata(tmp_path: Path) -> None:
    file = opened(tmp_path, Builder().key("general.type", "string", "model").head())
    assert file.tensors == ()
    assert opened(tmp_path, Builder().head()).metadata == {}


def test_importance_matrix() -> None:
    file = open_file(DATA / "imatrix" / "smollm2-imatrix.gguf")
    assert file.metadata["general.type"] == "imatrix"
    assert file.metadata["imatrix.chunk_count"] == 12
    assert len(file.tensors) == 420


def test_missing_key_names_its_neighbours(tmp_path: Path) -> None:
    metadata = opened(tmp_path, small()).metadata
    with pytest.raises(KeyError, match=r'Did you mean "general\.architecture"'):
        metadata["general.arcitecture"]
    assert metadata.get("general.arcitecture") is None
    assert metadata.get("general.arcitecture", 1) == 1
    assert "general.arcitecture" not in metadata
    assert metadata.text("general.architecture") == "llama"
    assert metadata.integer("general.architecture") is None


def test_metadata_repr_is_capped_and_safe(tmp_path: Path) -> None:
    builder = Builder().key("evil\x1b", "string", "<script>\x1b[31m" + "x" * 10_000)
    for i in range(100):
        builder.key(f"key.{i}", "uint8", 1)
    text = repr(opened(tmp_path, builder).metadata)
    assert "\x1b" not in text
    assert len(text) < 5000
    assert "and 61 more" in text


def test_metadata_outlives_the_file(tmp_path: Path) -> None:
    with opened(tmp_path, small().key("list", "array[string]", ["a", "b"])) as file:
        values = file.metadata["list"]
    assert file.metadata["general.architecture"] == "llama"
    assert values == ["a", "b"]
    with pytest.raises(GGUFError, match="is closed"):
        file.raw(file.tensors[0])


def plain(metadata: object) -> dict[str, object]:
    return {k: list(v) if isinstance(v, ArrayValue) else v for k, v in metadata.items()}


@pytest.mark.parametrize("version", [1, 3])
def test_parse_header_takes_any_source_and_asks_for_little_more_than_it_needs(
    tmp_path: Path, version: int
) -> None:
    builder = small() if version == 3 else Builder(version=version)
    words = [("x" * (i % 300)) for i in range(5000)]
    builder.key("words", "array[string]", words).key("few", "array[string]", ["", "a" * 70_000])
    builder.key("numbers", "array[uint16]", list(range(1000))).key("last", "uint8", 7)
    builder.key("nested", "array[array[string]]", [["a", "bc"], []])
    builder.tensor("t", [64], data=bytes(256))
    content = builder.build()
    (tmp_path / "f.gguf").write_bytes(content)
    source = Grudging(content)
    header = parse_header(source)
    assert source.shown <= header.data_offset + (1 << 16)
    with LocalFile(tmp_path / "f.gguf") as local:
        whole = parse_header(local)
        assert header.tensors == whole.tensors
        assert plain(header.metadata) == plain(whole.metadata)
    assert header.metadata["words"] == words
    assert [list(item) for item in header.metadata["nested"]] == [["a", "bc"], []]


def test_a_string_beyond_the_end_is_refused_by_a_source_that_grows() -> None:
    content = Builder().key("words", "array[string]", ["ab"] * 3000).build()
    at = content.index(b"\2" + bytes(7) + b"ab" + b"\2") + 10 * 2000
    for length in (len(content), 2**40, 2**63, 2**64 - 1):
        wrong = content[:at] + length.to_bytes(8, "little") + content[at + 8 :]
        with pytest.raises(GGUFError, match="item 2000 claims"):
            parse_header(Grudging(wrong))
