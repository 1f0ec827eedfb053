"""Every way in which a file can be wrong is refused with its place, at once, for nothing."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gguf_lab.errors import GGUFError, GGUFLabError
from gguf_lab.file import open_file

from .builders import F32, Q4_0, Q4_K, Builder, opened, refusal, small

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = pytest.mark.parametrize("byteorder", ["little", "big"])
VERSIONS = pytest.mark.parametrize("version", [1, 2, 3])


def test_empty_file(tmp_path: Path) -> None:
    assert "has only 0 bytes" in refusal(tmp_path, b"")


@pytest.mark.parametrize("length", [1, 3, 4, 7, 8, 15, 23])
def test_file_shorter_than_its_counts(tmp_path: Path, length: int) -> None:
    refusal(tmp_path, small().build()[:length])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"nowhere\.gguf does not exist"):
        open_file(tmp_path / "nowhere.gguf")
    with pytest.raises(GGUFError, match=r"is a folder; expected a file\. Give the path"):
        open_file(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(GGUFError, match=r"looks like a checkpoint, which is what a file is comp"):
        open_file(tmp_path)
    for n in range(4):
        (tmp_path / f"{n}.gguf").touch()
    with pytest.raises(GGUFError, match=r"one of those in it: '0.gguf', '1.gguf', .* and 1 more"):
        open_file(tmp_path)
    with pytest.raises(GGUFError, match=r"begin with hf://owner/model\.v1-GGUF\.$"):
        open_file("owner/model.v1-GGUF")
    with pytest.raises(GGUFError, match=r"Check the path\.$"):
        open_file("owner/model.gguf")
    with pytest.raises(GGUFError, match=r"hf://owner/model is a repository; expected a file"):
        open_file("hf://owner/model")
    with pytest.raises(GGUFLabError, match="name of what to open is empty"):
        open_file("")


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(GGUFError, match="not a regular file"):
        open_file(tmp_path / "pipe.gguf")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"GGUX\3\0\0\0", "b'GGUX'"),
        (b"FUGG\3\0\0\0", "b'FUGG'"),
        (b"lmggxxxx", "before GGUF"),
        (b"PK\3\4xxxx", "zip archive"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"\x40\0\0\0\0\0\0\0{}", "safetensors"),
    ],
)
def test_wrong_magic(tmp_path: Path, start: bytes, words: str) -> None:
    message = refusal(tmp_path, start + bytes(100))
    assert "byte 0:" in message
    assert words in message
    assert "b'GGUF'" in message


@ORDERS
@pytest.mark.parametrize("version", [4, 5, 0x1234])
def test_version_newer_than_known(tmp_path: Path, version: int, byteorder: str) -> None:
    message = refusal(tmp_path, small(version=version, byteorder=byteorder))
    assert f"byte 4: GGUF version {version}" in message
    assert "newer" in message


def test_version_0(tmp_path: Path) -> None:
    assert "byte 4: GGUF version 0" in refusal(tmp_path, small(version=0))


@ORDERS
@VERSIONS
@pytest.mark.parametrize("claim", [3, 1000, 2**31])
def test_more_tensors_than_the_file_has(
    tmp_path: Path, version: int, byteorder: str, claim: int
) -> None:
    builder = small(version=version, byteorder=byteorder, n_tensors=claim)
    builder.data = b""
    message = refusal(tmp_path, builder)
    assert "tensor" in message


@ORDERS
@VERSIONS
@pytest.mark.parametrize("claim", [2**20, 2**31, 2**32 - 1])
def test_more_keys_than_the_file_has(
    tmp_path: Path, version: int, byteorder: str, claim: int
) -> None:
    message = refusal(tmp_path, small(version=version, byteorder=byteorder, n_keys=claim))
    assert f"{claim:,} metadata keys are claimed" in message
    assert f"byte {8 + (4 if version == 1 else 8)}:" in message


@pytest.mark.parametrize("what", ["n_keys", "n_tensors"])
@pytest.mark.parametrize("claim", [2**60, 2**63, 2**64 - 1])
def test_counts_of_2_to_the_60_cost_nothing(tmp_path: Path, what: str, claim: int) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(small(**{what: claim}).build())
    assert f"{claim:,}" in _refused_at_once(path)


def _refused_at_once(path: Path) -> str:
    tracemalloc.start()
    try:
        best = 1.0
        for _ in range(5):
            start = time.perf_counter()
            with pytest.raises(GGUFError) as caught:
                open_file(path)
            best = min(best, time.perf_counter() - start)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert best < 0.01  # a tenth of it, but for the tracing
    assert peak < 1_000_000
    return str(caught.value)


@ORDERS
@VERSIONS
def test_key_longer_than_what_is_left(tmp_path: Path, version: int, byteorder: str) -> None:
    builder = Builder(version=version, byteorder=byteorder)
    builder.raw_key(builder.count(10**6) + b"key" + bytes(50))
    message = refusal(tmp_path, builder)
    assert "metadata key 0 of 1 claims 1,000,000 bytes" in message


def test_key_beyond_the_limit_of_the_specification(tmp_path: Path) -> None:
    assert "65,536 bytes" in refusal(tmp_path, Builder().key("k" * 65_536, "uint8", 1))
    assert len(opened(tmp_path, Builder().key("k" * 65_535, "uint8", 1)).metadata) == 1


def test_empty_key(tmp_path: Path) -> None:
    message = refusal(tmp_path, small().key("", "uint8", 1))
    assert "metadata key 1 of 2 is empty" in message


def test_duplicate_key(tmp_path: Path) -> None:
    builder = small().key("some.key", "uint8", 1).key("some.key", "string", "x")
    message = refusal(tmp_path, builder)
    at = builder.build().rindex(builder.string("some.key"))
    assert f"byte {at}: metadata key 'some.key' appears a second time" in message


@pytest.mark.parametrize("number", [13, 255, 2**32 - 1])
def test_unknown_value_type(tmp_path: Path, number: int) -> None:
    builder = Builder()
    builder.raw_key(builder.string("some.key") + builder.pack("I", number) + bytes(8))
    message = refusal(tmp_path, builder)
    assert f"metadata key 'some.key' has the unknown value type {number}" in message
    assert "byte 40:" in message  # after 24 of head, 8 of length and 8 of key


@pytest.mark.parametrize("number", [13, 2**32 - 1])
def test_unknown_item_type(tmp_path: Path, number: int) -> None:
    builder = Builder()
    entry = builder.string("some.key") + builder.kind("array") + builder.pack("IQ", number, 0)
    message = refusal(tmp_path, builder.raw_key(entry))
    assert f"the items of metadata key 'some.key' has the unknown value type {number}" in message


@ORDERS
@VERSIONS
def test_string_longer_than_what_is_left(tmp_path: Path, version: int, byteorder: str) -> None:
    builder = Builder(version=version, byteorder=byteorder)
    entry = builder.string("some.key") + builder.kind("string") + builder.count(2**31) + b"abc"
    message = refusal(tmp_path, builder.raw_key(entry))
    assert "metadata key 'some.key' claims 2,147,483,648 bytes" in message


@ORDERS
@VERSIONS
@pytest.mark.parametrize("kind", ["uint8", "float64", "bool", "string", "array"])
def test_array_longer_than_what_is_left(
    tmp_path: Path, version: int, byteorder: str, kind: str
) -> None:
    builder = Builder(version=version, byteorder=byteorder)
    entry = builder.string("some.key") + builder.kind("array") + builder.kind(kind)
    builder.raw_key(entry + builder.count(2**32 - 1) + bytes(40))
    path = tmp_path / "file.gguf"
    path.write_bytes(builder.build())
    message = _refused_at_once(path)
    assert "metadata key 'some.key' claims 4,294,967,295 items" in message
    assert kind in message


@pytest.mark.parametrize("count", [2**60, 2**61, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", ["uint8", "uint64", "bool", "string", "array"])
def test_array_whose_size_wraps(tmp_path: Path, count: int, kind: str) -> None:
    builder = Builder()
    entry = builder.string("some.key") + builder.kind("array") + builder.kind(kind)
    message = refusal(tmp_path, builder.raw_key(entry + builder.count(count)))
    assert f"{count:,} items" in message


@pytest.mark.parametrize("bad", [0, 1, 63, 64, 65, 129])
@pytest.mark.parametrize("length", [200, 2**32, 2**63, 2**64 - 1])
def test_string_in_an_array_longer_than_what_is_left(tmp_path: Path, bad: int, length: int) -> None:
    builder = Builder()
    entry = builder.string("some.key") + builder.kind("array[string]") + builder.kind("string")
    strings = [builder.string(f"{i:03}") for i in range(130)]
    strings[bad] = builder.count(length) + b"end"
    rest = b"".join(strings)
    message = refusal(tmp_path, builder.raw_key(entry + builder.count(130) + rest))
    if length > 2**31:
        assert f"metadata key 'some.key', item {bad} claims {length:,} bytes" in message
    else:
        assert "some.key" in message


def test_last_string_of_an_array_ends_beyond_the_file(tmp_path: Path) -> None:
    builder = Builder(alignment=1)
    entry = builder.string("some.key") + builder.value("array[string]", ["a", "bb", "ccc"])
    builder.raw_key(builder.string("some.key") + builder.kind("array") + entry[16:-1])
    message = refusal(tmp_path, builder)
    assert "metadata key 'some.key', item 2 claims 3 bytes, but 2 are left" in message


def test_bool_that_is_neither_0_nor_1(tmp_path: Path) -> None:
    builder = Builder().key("some.flag", "bool", 2)
    assert "metadata key 'some.flag' is a truth value of byte 2" in refusal(tmp_path, builder)
    builder = Builder().key("some.flags", "array[bool]", [0, 1, 255])
    message = refusal(tmp_path, builder)
    assert "metadata key 'some.flags', item 2 is a truth value of byte 255" in message


def test_arrays_nested_five_deep(tmp_path: Path) -> None:
    kind, value = "uint8", 7
    for depth in range(5):
        kind, value = f"array[{kind}]", [value]
        builder = Builder().key("some.key", kind, value)
        if depth < 4:
            assert opened(tmp_path, builder).metadata["some.key"] == value
    message = refusal(tmp_path, builder)
    assert "metadata key 'some.key' nests arrays 5 deep" in message


def test_ten_thousand_arrays_in_each_other(tmp_path: Path) -> None:
    builder = Builder()
    entry = builder.string("some.key") + builder.kind("array")
    builder.raw_key(entry + (builder.kind("array") + builder.count(1)) * 10_000)
    assert "nests arrays" in refusal(tmp_path, builder)


@pytest.mark.parametrize("value", [0, 3, 31, 33, 2**32 - 1])
def test_alignment_not_a_power_of_two(tmp_path: Path, value: int) -> None:
    builder = small().key("general.alignment", "uint32", value)
    message = refusal(tmp_path, builder)
    assert f"metadata key 'general.alignment' is {value}" in message


@pytest.mark.parametrize("kind", ["uint64", "int32", "string", "float32", "bool", "array[uint32]"])
def test_alignment_of_the_wrong_type(tmp_path: Path, kind: str) -> None:
    value = {"string": "32", "array[uint32]": [32], "bool": 1}.get(kind, 32)
    message = refusal(tmp_path, small().key("general.alignment", kind, value))
    kind = kind.removesuffix("[uint32]")
    assert f"metadata key 'general.alignment' has the type {kind}" in message
    assert "uint32" in message


@pytest.mark.parametrize("length", [64, 65, 1000])
def test_tensor_name_too_long(tmp_path: Path, length: int) -> None:
    message = refusal(tmp_path, small().tensor("n" * length, [4], data=bytes(16)))
    assert f"the name of tensor 2 of 3 has {length:,} bytes" in message
    assert "at most 63" in message


def test_tensor_name_of_63_bytes(tmp_path: Path) -> None:
    file = opened(tmp_path, small().tensor("n" * 63, [4], data=bytes(16)))
    assert file.tensors[2].name == "n" * 63


def test_tensor_name_longer_than_what_is_left(tmp_path: Path) -> None:
    builder = small()
    builder.tensors.append(builder.count(2**40) + bytes(50))
    assert "the name of tensor 2 of 3 claims" in refusal(tmp_path, builder)


def test_duplicate_tensor_name(tmp_path: Path) -> None:
    builder = small().tensor("a", [4], data=bytes(16))
    message = refusal(tmp_path, builder)
    at = builder.build().rindex(builder.string("a") + builder.pack("I", 1))
    assert f"byte {at}: tensor 'a' appears a second time" in message


@pytest.mark.parametrize("number", [5, 255, 2**32 - 1])
def test_more_than_four_dimensions(tmp_path: Path, number: int) -> None:
    builder = Builder()
    builder.tensors.append(builder.string("t") + builder.pack("I", number) + bytes(100))
    assert f"tensor 't' has {number:,} dimensions" in refusal(tmp_path, builder)


@pytest.mark.parametrize("size", [-1, -32, -(2**63)])
def test_negative_dimension(tmp_path: Path, size: int) -> None:
    message = refusal(tmp_path, Builder().tensor("t", [4, size]))
    assert f"tensor 't' has the dimension {size:,}" in message


@pytest.mark.parametrize(
    "ne",
    [
        [2**32, 2**32],
        [2**63 - 1],
        [2**62],  # times 4 bytes wraps
        [2**21, 2**21, 2**21],
        [2**16, 2**16, 2**16, 2**16],
        [2**31, 2**31, 2, 2],
        [0, 2**40, 2**40],  # nothing in it, but the other dimensions cannot be multiplied
    ],
)
def test_dimensions_that_overflow(tmp_path: Path, ne: list[int]) -> None:
    message = refusal(tmp_path, Builder().tensor("t", ne))
    assert "tensor 't' of dimensions" in message
    assert "overflows" in message


def test_offset_and_size_that_wrap_together(tmp_path: Path) -> None:
    message = refusal(tmp_path, Builder().tensor("t", [2**60], F32, offset=2**63 - 32))
    assert "tensor 't'" in message
    assert "beyond" in message


@pytest.mark.parametrize(("kind", "ne"), [(Q4_0, [33]), (Q4_0, [16, 2]), (Q4_K, [32]), (Q4_0, [])])
def test_row_not_a_multiple_of_the_block(tmp_path: Path, kind: int, ne: list[int]) -> None:
    message = refusal(tmp_path, Builder().tensor("t", ne, kind, bytes(512)))
    assert "tensor 't' of type Q4_" in message
    assert f"rows of {ne[0] if ne else 1} values" in message
    assert "a multiple of its block" in message


@pytest.mark.parametrize("offset", [1, 16, 31, 33])
def test_misaligned_offset(tmp_path: Path, offset: int) -> None:
    message = refusal(tmp_path, Builder().tensor("t", [4], data=bytes(256), offset=offset))
    assert f"tensor 't' has the offset {offset}" in message
    assert "a multiple of the alignment 32" in message


@pytest.mark.parametrize("offset", [-1, -32, -(2**63)])
def test_negative_offset(tmp_path: Path, offset: int) -> None:
    message = refusal(tmp_path, Builder().tensor("t", [4], data=bytes(256), offset=offset))
    assert f"tensor 't' has the offset {offset:,}" in message


@pytest.mark.parametrize("offset", [128, 1 << 20, 1 << 40, 1 << 62])
def test_offset_beyond_the_end(tmp_path: Path, offset: int) -> None:
    builder = small().tensor("t", [4], offset=offset)
    message = refusal(tmp_path, builder)
    at = builder.build().index(builder.string("t") + builder.pack("I", 1))
    assert f"byte {at}: tensor 't' has the offset {offset:,}, beyond" in message


def test_overlapping_tensors(tmp_path: Path) -> None:
    message = refusal(tmp_path, small().tensor("t", [4], data=bytes(64), offset=64))
    assert "tensor 't' has the offset 64 and overlaps tensor 'b', which ends at 96" in message


def test_two_tensors_at_one_offset(tmp_path: Path) -> None:
    message = refusal(tmp_path, small().tensor("t", [4], offset=0))
    assert "overlaps" in message


def test_overlap_with_an_opaque_tensor(tmp_path: Path) -> None:
    builder = Builder().tensor("known", [32], data=bytes(128)).tensor("odd", [4], 99, offset=64)
    assert "tensor 'odd' has the offset 64 and overlaps tensor 'known'" in refusal(
        tmp_path, builder
    )


def test_cut_inside_the_head(tmp_path: Path) -> None:
    builder = small()
    head = builder.head()
    for length in range(24, len(head)):
        message = refusal(tmp_path, head[:length])
        assert "left" in message


def test_names_in_messages_are_safe_to_print(tmp_path: Path) -> None:
    key = "x\x1b[2J\n\u202e" + "y" * 5000
    message = refusal(tmp_path, Builder().key(key, "uint8", 1).key(key, "uint8", 1))
    assert message.isprintable()
    assert len(message) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("kind", ["array[string]", "array[array[uint8]]"])
def test_what_a_file_with_holes_claims_is_not_made_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It has the bytes for so many items, and nothing is in them."""
    builder = small().key("a", kind, [])
    inner = builder.kind(kind[6:-1])
    builder.keys[-1] = builder.keys[-1].removesuffix(bytes(8)) + builder.count(1 << 39)
    assert inner in builder.keys[-1]
    path = builder.write(tmp_path / "file.gguf")
    with path.open("r+b") as file:
        file.truncate((1 << 43) - 4096)
    zeros = np.zeros

    def with_little_memory(n: int, *rest: object) -> object:
        if n > 1 << 30:
            raise MemoryError
        return zeros(n, *rest)

    monkeypatch.setattr("gguf_lab.file.scan.np.zeros", with_little_memory)
    with pytest.raises(GGUFError, match=r", byte \d+: .* items, more than"):
        open_file(path)
