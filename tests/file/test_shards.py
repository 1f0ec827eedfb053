"""Shard sets are one file, whichever of their files is named; what does not fit is refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGUFWriter

from gguf_lab.errors import GGUFError
from gguf_lab.file import open_file

from .builders import Builder

if TYPE_CHECKING:
    from pathlib import Path


def shard(number: int, count: int, total: int = 3, byteorder: str = "little") -> Builder:
    builder = Builder(byteorder=byteorder)
    if number == 0:
        builder.key("general.architecture", "string", "llama")
    builder.key("split.no", "uint16", number).key("split.count", "uint16", count)
    builder.key("split.tensors.count", "int32", total)
    return builder.tensor(f"blk.{number}.w", [4], data=bytes([number]) * 16)


def name(number: int, count: int) -> str:
    return f"set-{number + 1:05d}-of-{count:05d}.gguf"


def write_set(folder: Path, count: int = 3) -> list[Path]:
    return [shard(i, count, count).write(folder / name(i, count)) for i in range(count)]


def test_opened_from_any_file(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    for path in paths:
        file = open_file(path)
        assert file.paths == tuple(paths)
        assert len(file.headers) == 3
        assert file.metadata["general.architecture"] == "llama"
        assert [(t.name, t.shard) for t in file.tensors] == [(f"blk.{i}.w", i) for i in range(3)]
        assert [set(file.raw(t).ravel().tolist()) for t in file.tensors] == [{0}, {1}, {2}]
        assert file.size == sum(p.stat().st_size for p in paths)
        file.close()
        with pytest.raises(GGUFError, match="is closed"):
            file.raw(file.tensors[2])


def test_what_gguf_writer_splits(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "llama", split_max_tensors=2)
    writer.add_name("a model in shards")
    arrays = {f"t{i}": np.full((2, 4), i, np.float32) for i in range(5)}
    for key, array in arrays.items():
        writer.add_tensor(key, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    paths = sorted(tmp_path.glob("*.gguf"))
    assert [p.name for p in paths] == [f"model-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for path in paths:
        file = open_file(path)
        assert file.metadata["general.name"] == "a model in shards"
        assert {t.name: file.raw(t).view("<f4").tolist() for t in file.tensors} == {
            key: array.tolist() for key, array in arrays.items()
        }


def test_links_with_other_targets(tmp_path: Path) -> None:
    """A download cache keeps the files under digests and links to them by their names."""
    blobs, links = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    links.mkdir()
    for i in range(3):
        shard(i, 3).write(blobs / f"digest{i}")
        (links / name(i, 3)).symlink_to(blobs / f"digest{i}")
    assert len(open_file(links / name(1, 3)).tensors) == 3


def test_set_of_one(tmp_path: Path) -> None:
    path = shard(0, 1, 1).write(tmp_path / "renamed.gguf")
    assert len(open_file(path).tensors) == 1


def test_name_of_a_shard_without_its_metadata(tmp_path: Path) -> None:
    path = Builder().tensor("t", [4], data=bytes(16)).write(tmp_path / name(2, 9))
    assert open_file(path).paths == (path,)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(GGUFError) as caught:
        open_file(path)
    for word in words:
        assert word in str(caught.value)


def test_missing_shard(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    paths[1].unlink()
    for path in (paths[0], paths[2]):
        refused(path, str(path), paths[1].name, "one folder")


def test_claim_of_many_missing_shards(tmp_path: Path) -> None:
    path = shard(0, 65_535).write(tmp_path / name(0, 65_535))
    refused(path, "set-00002-of-65535.gguf", "and more")


def test_shard_with_another_name(tmp_path: Path) -> None:
    path = write_set(tmp_path)[0].rename(tmp_path / "renamed.gguf")
    refused(path, "renamed.gguf", "one of 3 shards", "-00001-of-00003.gguf")


def test_counts_of_name_and_metadata_disagree(tmp_path: Path) -> None:
    refused(shard(0, 3).write(tmp_path / name(0, 4)), "4 shards by its name", "of 3 by")


def test_counts_of_two_shards_disagree(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    shard(1, 4).write(paths[1])
    refused(paths[0], str(paths[1]), str(paths[0]), "'split.count' is 4. Expected 3")


def test_the_same_shard_twice(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    shutil.copy(paths[0], paths[2])
    refused(paths[1], str(paths[2]), "'split.no' is 0. Expected 2")


def test_shard_without_split_metadata(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    Builder().write(paths[2])
    refused(paths[0], str(paths[2]), "'split.count' is missing")


def test_total_of_tensors_disagrees(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    shard(2, 3, total=7).write(paths[2])
    refused(paths[0], str(paths[2]), "'split.tensors.count' is 7", "have 3 tensors")


def test_tensor_in_two_shards(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    builder = shard(2, 3)
    builder.tensors, builder.data = [], b""
    builder.tensor("blk.0.w", [4], data=bytes(16)).write(paths[2])
    refused(paths[0], "'blk.0.w'", str(paths[0]), str(paths[2]))


def test_shards_of_two_byte_orders(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    shard(2, 3, byteorder="big").write(paths[2])
    refused(paths[0], str(paths[2]), "big-endian")


def test_malformed_shard(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    paths[1].write_bytes(b"GGUF")
    refused(paths[0], str(paths[1]), "byte 4")


@pytest.mark.parametrize(("kind", "value"), [("string", "3"), ("int32", -3), ("float32", 3.0)])
def test_count_that_is_no_whole_number(tmp_path: Path, kind: str, value: object) -> None:
    path = Builder().key("split.count", kind, value).write(tmp_path / name(0, 3))
    refused(path, str(path), "'split.count'", "a whole number")


def test_truncated_shard_still_opens(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    assert [t.status for t in open_file(paths[2]).tensors] == ["ok", "truncated", "ok"]
