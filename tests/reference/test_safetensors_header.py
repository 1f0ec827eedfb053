"""The safetensors header: what is refused, each kind on its own, and agreement with safetensors."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gguf_lab.errors import CheckpointError
from gguf_lab.file.source import LocalFile
from gguf_lab.reference.safetensors_header import HEADER_LIMIT, HeaderEntry, parse_safetensors

from .support import ramp, write_checkpoint, write_raw

if TYPE_CHECKING:
    from pathlib import Path


def parse(path: Path) -> dict[str, HeaderEntry]:
    with LocalFile(path, error=CheckpointError) as source:
        return parse_safetensors(source)[0]


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        parse(path)
    assert str(path) in str(caught.value)


def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> bytes:
    return json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_entries_have_absolute_offsets_and_keep_the_order(file: Path) -> None:
    write_checkpoint(file, {"b": ramp(2, 3), "a": ramp(4)})
    entries = parse(file)
    assert list(entries) == ["b", "a"]
    assert entries["b"].shape == (2, 3)
    assert entries["a"].nbytes == 16
    assert entries["a"].offset == file.stat().st_size - 16


def test_metadata_is_no_tensor(file: Path) -> None:
    write_raw(file, b'{"__metadata__": {"format": "pt"}}')
    with LocalFile(file, error=CheckpointError) as source:
        assert parse_safetensors(source) == ({}, {"format": "pt"})


def test_unknown_dtype_is_kept(file: Path) -> None:
    write_raw(file, one("F2_E1", [3], [0, 5]), bytes(5))
    assert parse(file)["w"].nbytes == 5


def test_padding_after_the_json_is_allowed(file: Path) -> None:
    write_raw(file, one() + b"   ", bytes(8))
    assert list(parse(file)) == ["w"]


def test_empty_file(file: Path) -> None:
    file.write_bytes(b"")
    refused(file, "too few")


def test_file_of_seven_bytes(file: Path) -> None:
    file.write_bytes(bytes(7))
    refused(file, "too few")


def test_header_length_beyond_the_file(file: Path) -> None:
    write_raw(file, one(), bytes(8), length=5000)
    refused(file, "claims 5,000 bytes")


def test_header_length_beyond_the_limit(file: Path) -> None:
    write_raw(file, one(), bytes(8), length=HEADER_LIMIT + 1)
    refused(file, "allows")


def test_header_length_of_all_ones(file: Path) -> None:
    write_raw(file, one(), bytes(8), length=2**64 - 1)
    refused(file, "allows")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{", b"{'w': 1}", b'{"w": 1}}', b"9" * 5000])
def test_header_that_is_not_json(file: Path, text: bytes) -> None:
    write_raw(file, text)
    refused(file, "not JSON")


@pytest.mark.parametrize("text", [b"[]", b"3", b"null", b'"w"'])
def test_header_that_is_not_an_object(file: Path, text: bytes) -> None:
    write_raw(file, text)
    refused(file, "should be a JSON object")


def test_deep_nesting(file: Path) -> None:
    write_raw(file, b'{"a":' * 200_000 + b"1" + b"}" * 200_000)
    refused(file, "nested too deeply")


def test_duplicate_tensor(file: Path) -> None:
    entry = one()[1:-1]
    write_raw(file, b"{" + entry + b"," + entry + b"}", bytes(8))
    refused(file, "'w' occurs twice")


def test_duplicate_key_within_a_tensor(file: Path) -> None:
    write_raw(
        file, b'{"w":{"dtype":"I8","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)
    )
    refused(file, "'dtype' occurs twice")


def test_metadata_that_is_not_an_object(file: Path) -> None:
    write_raw(file, b'{"__metadata__": 3}')
    refused(file, "__metadata__")


def test_tensor_that_is_not_an_object(file: Path) -> None:
    write_raw(file, b'{"w": [1, 2]}')
    refused(file, "should be described by an object")


def test_missing_dtype(file: Path) -> None:
    write_raw(file, b'{"w": {"shape": [2], "data_offsets": [0, 8]}}', bytes(8))
    refused(file, "dtype should be")


@pytest.mark.parametrize(
    "shape", [[-1], [2.0], ["2"], [True, 2], [2**63], None, 2, [1] * 65, [[2]]]
)
def test_bad_shape(file: Path, shape: object) -> None:
    write_raw(file, one(shape=shape), bytes(8))
    refused(file, "shape should be")


@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [2**32, 2**32]])
def test_shape_whose_product_wraps(file: Path, shape: list[int]) -> None:
    write_raw(file, one(shape=shape, offsets=[0, 0]))
    refused(file, "beyond any memory")


@pytest.mark.parametrize("offsets", [[0], [0, 8, 16], "08", None, [-8, 0], [0, 8.0], [False, 8]])
def test_bad_offsets(file: Path, offsets: object) -> None:
    write_raw(file, one(offsets=offsets), bytes(8))
    refused(file, "data_offsets should be")


@pytest.mark.parametrize("offsets", [[0, 16], [8, 0], [100, 108], [0, 2**62]])
def test_offsets_out_of_range(file: Path, offsets: list[int]) -> None:
    write_raw(file, one(offsets=offsets), bytes(8))
    refused(file, "lie outside")


def test_file_cut_short(file: Path) -> None:
    write_checkpoint(file, {"w": ramp(100)})
    file.write_bytes(file.read_bytes()[:-1])
    refused(file, "lie outside")


@pytest.mark.parametrize(
    ("dtype", "shape"), [("F32", [3]), ("BF16", [2]), ("F64", [2]), ("F4", [2])]
)
def test_byte_count_that_contradicts_dtype_and_shape(
    file: Path, dtype: str, shape: list[int]
) -> None:
    write_raw(file, one(dtype, shape), bytes(8))
    refused(file, "takes")


def two(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    return json.dumps(
        {
            name: {"dtype": "U8", "shape": [b - a], "data_offsets": [a, b]}
            for name, (a, b) in {"a": first, "b": second}.items()
        }
    ).encode()


def test_overlapping_tensors(file: Path) -> None:
    write_raw(file, two((0, 6), (4, 8)), bytes(8))
    refused(file, "overlaps tensor 'a'")


def test_tensor_inside_another(file: Path) -> None:
    write_raw(file, two((0, 8), (2, 4)), bytes(8))
    refused(file, "overlaps tensor 'a'")


def test_gap_between_tensors(file: Path) -> None:
    write_raw(file, two((0, 3), (5, 8)), bytes(8))
    refused(file, "gap of 2 bytes")


def test_bytes_after_the_last_tensor(file: Path) -> None:
    write_raw(file, two((0, 3), (3, 6)), bytes(8))
    refused(file, "2 bytes after the last tensor")


def test_hostile_name_is_shown_short_and_escaped(file: Path) -> None:
    name = "<script>\n" + "x" * 10_000
    write_raw(file, json.dumps({name: 1}).encode())
    with pytest.raises(CheckpointError) as caught:
        parse(file)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_accepted_is_what_safetensors_accepts(tmp_path: Path, data: st.DataObject) -> None:
    """Mutate a good file: a result like safetensors' own, or a CheckpointError; nothing else."""
    import safetensors

    good = {"a": ("F32", (2, 3), bytes(range(24))), "b": ("BF16", (4,), bytes(8))}
    file = write_checkpoint(tmp_path / "model.safetensors", good)
    raw = bytearray(file.read_bytes())
    length = struct.unpack("<Q", raw[:8])[0]
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, 8 + length - 1))
        raw[place] = data.draw(st.sampled_from(b'0123456789[]{},:"ab -')) if place > 7 else 0
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw))) :]
    file.write_bytes(raw)
    try:
        entries = parse(file)
    except CheckpointError:
        return
    if all(e.dtype in {"F32", "BF16"} for e in entries.values()):
        theirs = dict(safetensors.deserialize(bytes(raw)))
        assert {n: list(e.shape) for n, e in entries.items()} == {
            n: t["shape"] for n, t in theirs.items()
        }
        for name, entry in entries.items():
            ours = bytes(raw[entry.offset : entry.offset + entry.nbytes])
            assert ours == bytes(theirs[name]["data"])


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), max_size=5),
    dtype=st.sampled_from(["float32", "float16", "float64", "int8", "int64", "uint8", "bool"]),
)
def test_files_written_by_safetensors_are_read(
    tmp_path: Path, shapes: list[tuple[int, ...]], dtype: str
) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    arrays = {f"t{i}": rng.integers(0, 2, shape).astype(dtype) for i, shape in enumerate(shapes)}
    file = tmp_path / "model.safetensors"
    save_file(arrays, file)
    raw = file.read_bytes()
    entries = parse(file)
    assert set(entries) == set(arrays)
    for name, entry in entries.items():
        assert entry.shape == arrays[name].shape
        assert raw[entry.offset : entry.offset + entry.nbytes] == arrays[name].tobytes()
