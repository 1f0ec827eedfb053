"""What is written is read back alike, by our reader and by the `gguf` package; or not at all."""

from __future__ import annotations

import errno
import math
import os
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import GGUFError
from gguf_lab.file import ArrayValue, open_file, qtype
from gguf_lab.file.packing import type_of_value
from gguf_lab.file.writer import Payload, write_file

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"general.architecture": "llama", "llama.block_count": 3}


def payload(name: str, *shape: int, kind: str = "F32", step: int = 0) -> Payload:
    """A tensor of which every byte is its own."""
    info = qtype(kind)
    size = math.prod(shape[:-1]) * info.row_bytes(shape[-1])
    data = (np.arange(size) % 251).astype(np.uint8)
    step = step or max(1, size)
    return Payload(
        name, shape, info, lambda: (data[i : i + step] for i in range(0, max(size, 1), step))
    )


def content(tensor: Payload) -> bytes:
    return b"".join(chunk.tobytes() for chunk in tensor.chunks())


def check(paths: list[Path], metadata: dict[str, Any], tensors: list[Payload]) -> None:
    """Hold a file, or a set, against what was given to the writer, by both readers."""
    with open_file(paths[0]) as ours:
        assert ours.paths == tuple(paths)
        assert [t.name for t in ours.tensors] == [t.name for t in tensors]
        for info, tensor in zip(ours.tensors, tensors, strict=True):
            assert (info.shape, info.qtype, info.status) == (tensor.shape, tensor.qtype, "ok")
            assert ours.raw(info).tobytes() == content(tensor)
        for key, value in metadata.items():
            found = ours.metadata[key]
            assert ours.metadata.type_of(key) == type_of_value(key, value)
            assert (list(found) if isinstance(found, ArrayValue) else found) == (
                list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value
            )
    expected = iter(tensors)
    for number, path in enumerate(paths):
        theirs = gguf.GGUFReader(path)
        for key, value in (metadata if number == 0 else {}).items():
            found = theirs.get_field(key).contents()
            assert found == (value.tolist() if hasattr(value, "tolist") else value)
        for found in theirs.tensors:
            tensor = next(expected)
            assert found.name == tensor.name
            assert found.tensor_type.name == tensor.qtype.name
            assert tuple(int(n) for n in reversed(found.shape)) == tensor.shape
            assert found.data.tobytes() == content(tensor)
    assert next(expected, None) is None


def test_values_of_every_type(tmp_path: Path) -> None:
    metadata = KEYS | {
        "true": True,
        "negative": -5,
        "large": 2**40,
        "larger": -(2**40),
        "float": 0.5,
        "text": "größer \U0001f600",
        "empty": "",
        "byte": np.uint8(200),
        "short": np.int16(-300),
        "double": np.float64(0.1),
        "texts": ["a", "", "ß"],
        "bools": [True, False],
        "ints": [1, -2],
        "longs": [1, 2**40],
        "floats": [0.5, 2],
        "bytes": np.arange(5, dtype=np.uint8),
        "doubles": np.array([0.1, 0.2]),
    }
    tensors = [payload("a", 4), payload("b", 3, 2, 64, kind="Q8_0", step=50), payload("c", 1)]
    paths = write_file(tmp_path / "f.gguf", metadata, tensors)
    assert paths == [tmp_path / "f.gguf"]
    check(paths, metadata, tensors)
    kinds = [type_of_value(key, value) for key, value in metadata.items()]
    assert kinds == [
        *("string", "uint32", "bool", "int32", "uint64", "int64", "float32", "string", "string"),
        *("uint8", "int16", "float64", "array[string]", "array[bool]", "array[int32]"),
        *("array[int64]", "array[float32]", "array[uint8]", "array[float64]"),
    ]
    # what was read from one file can be written to another
    with open_file(paths[0]) as first:
        again = write_file(tmp_path / "g.gguf", dict(first.metadata), tensors)
        with open_file(again[0]) as second:
            for key in ("texts", "bytes", "doubles", "bools"):
                assert second.metadata[key] == first.metadata[key]
                assert second.metadata.type_of(key) == first.metadata.type_of(key)


def test_a_small_file_is_that_of_the_gguf_package(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    theirs = gguf.GGUFWriter(tmp_path / "theirs.gguf", "llama")
    theirs.add_block_count(3)
    theirs.add_token_list(["a", "b"])
    theirs.add_tensor("t", values)
    theirs.write_header_to_file()
    theirs.write_kv_data_to_file()
    theirs.write_tensors_to_file()
    theirs.close()
    metadata = KEYS | {"tokenizer.ggml.tokens": ["a", "b"]}
    tensor = Payload("t", (3, 4), qtype("F32"), lambda: iter([values.view(np.uint8)]))
    (ours,) = write_file(tmp_path / "ours.gguf", metadata, [tensor])
    assert ours.read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    limit=st.integers(1, 400),
)
def test_shards(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int) -> None:
    tensors = [payload(f"t{i}", size, 2) for i, size in enumerate(sizes)]
    folder = tmp_path_factory.mktemp("shards")
    paths = write_file(folder / "m.gguf", KEYS, tensors, max_shard_bytes=limit)
    check(paths, KEYS, tensors)
    count = len(paths)
    assert sorted(folder.iterdir()) == paths
    for number, path in enumerate(paths):
        with open_file(path) as _:  # any file opens the set
            pass
        head = gguf.GGUFReader(path)
        held = sum(t.n_bytes for t in head.tensors)
        assert held <= limit or len(head.tensors) == 1
        if count == 1:
            assert path.name == "m.gguf"
            assert head.get_field("split.count") is None
        else:
            assert path.name == f"m-{number + 1:05d}-of-{count:05d}.gguf"
            assert head.get_field("split.no").contents() == number
            assert head.get_field("split.count").contents() == count
            assert head.get_field("split.tensors.count").contents() == len(sizes)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("", 1, "1 to 65,535"),
        ("a b", 1, "visible ASCII"),
        ("ä", 1, "visible ASCII"),
        ("x" * 65_536, 1, "65,536 characters"),
        ("x", None, "no form"),
        ("x", [], "no form"),
        ("x", [1, "a"], "no form"),
        ("x", [[1], [2]], "no form"),
        ("x", {"a": 1}, "no form"),
        ("x", b"bytes", "no form"),
        ("x", 2**64, "no form"),
        ("x", 1j, "no form"),
        ("x", np.zeros((2, 2)), "no form"),
        ("x", np.array(["a"]), "no form"),
        ("x", 1e300, "beyond the range of float32"),
        ("x", [2**70], "beyond the range of int64"),
    ],
)
def test_metadata_without_a_form(tmp_path: Path, key: str, value: object, words: str) -> None:
    with pytest.raises(GGUFError, match=words):
        write_file(tmp_path / "f.gguf", {key: value}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([payload("x" * 64, 4)], "64 bytes"),
        ([payload("", 4)], "0 bytes"),
        ([payload("a", 4), payload("a", 4)], "two of this name"),
        ([payload("a", 1, 1, 1, 1, 1)], "5 dimensions"),
        ([Payload("a", (33,), qtype("Q8_0"), lambda: iter([]))], "no whole blocks of 32"),
        ([Payload("a", (4,), qtype("F32"), lambda: iter([]))], "should have 16 bytes.*0 came"),
        ([Payload("a", (1,), qtype("F32"), payload("a", 4).chunks)], "4 bytes.*16 came"),
    ],
)
def test_tensors_that_cannot_be(tmp_path: Path, tensors: list[Payload], words: str) -> None:
    with pytest.raises(GGUFError, match=words):
        write_file(tmp_path / "f.gguf", KEYS, tensors)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_exists_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "f.gguf"
    path.write_text("precious")
    with pytest.raises(GGUFError, match="exists already"):
        write_file(path, KEYS, [payload("a", 4)])
    failing = Payload("b", (4,), qtype("F32"), lambda: iter([]))
    with pytest.raises(GGUFError, match="should have"):
        write_file(path, KEYS, [payload("a", 4), failing], overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    check(write_file(path, KEYS, [payload("a", 4)], overwrite=True), KEYS, [payload("a", 4)])
    with pytest.raises(GGUFError, match="is a folder"):
        write_file(tmp_path, KEYS, [], overwrite=True)
    with pytest.raises(GGUFError, match="no folder"):
        write_file(tmp_path / "none" / "f.gguf", KEYS, [])


def test_what_is_refused_is_named_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 200)
    folder.mkdir()
    path = folder / "the-very-file.gguf"
    path.touch()
    with pytest.raises(GGUFError, match=r"the-very-file\.gguf exists already.*--overwrite"):
        write_file(path, KEYS, [payload("a", 4)])


def test_a_link_to_a_file_that_is_away_is_not_replaced_unasked(tmp_path: Path) -> None:
    link = tmp_path / "f.gguf"
    link.symlink_to(tmp_path / "away" / "f.gguf")
    with pytest.raises(GGUFError, match="exists already"):
        write_file(link, KEYS, [payload("a", 4)])
    assert link.is_symlink()
    write_file(link, KEYS, [payload("a", 4)], overwrite=True)
    assert not link.is_symlink()


@pytest.mark.parametrize("letter", ["x", "ü", "模"])
def test_a_name_of_any_letters_may_be_as_long_as_files_have_them(
    letter: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{letter * (250 // len(letter.encode()))}.gguf"
    assert write_file(path, KEYS, [payload("a", 4)]) == [path]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.model", "merges.txt", "chat.jinja"])
def test_what_lies_beside_safetensors_is_not_replaced(name: str, tmp_path: Path) -> None:
    weights, target = tmp_path / "model.safetensors", tmp_path / name
    for file in (weights, target):
        file.write_text("precious")
    with pytest.raises(GGUFError, match="is a file that is read"):
        write_file(target, KEYS, [payload("a", 4)], overwrite=True, sources=[weights])
    assert target.read_text() == "precious"
    write_file(tmp_path / "f.gguf", KEYS, [payload("a", 4)], sources=[weights])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A root user would lose /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(GGUFError, match="pipe is a device or a pipe; give the name of a file"):
        write_file(pipe, KEYS, [payload("a", 4)], overwrite=True)
    assert pipe.is_fifo()


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.gguf"

    def chunks() -> Any:
        path.write_text("of somebody else")
        yield np.zeros(16, np.uint8)

    with pytest.raises(GGUFError, match="exists already"):
        write_file(path, KEYS, [Payload("a", (4,), qtype("F32"), chunks)])
    assert path.read_text() == "of somebody else"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("limit", [None, 16])
@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, trouble: BaseException, limit: int | None
) -> None:
    def chunks() -> Any:
        yield np.zeros(8, np.uint8)
        assert len(list(tmp_path.iterdir())) == (1 if limit is None else 2)  # it has begun
        raise type(trouble)(*trouble.args)  # a new one each time: it is told of which file it is

    tensors = [payload("a", 4), Payload("b", (4,), qtype("F32"), chunks), payload("c", 4)]
    with pytest.raises((KeyboardInterrupt, OSError)) as caught:
        write_file(tmp_path / "f.gguf", KEYS, tensors, max_shard_bytes=limit)
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(tmp_path / "f.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_set_gets_its_names_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    replace, calls = os.replace, []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(PermissionError):
        write_file(
            tmp_path / "f.gguf", KEYS, [payload("a", 4), payload("b", 4)], max_shard_bytes=16
        )
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(GGUFError, match=r"only 1,000 are free"):
        write_file(tmp_path / "f.gguf", KEYS, [payload("a", 1024)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, -1, "1GB"])
def test_a_limit_is_positive(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(GGUFError, match="positive"):
        write_file(tmp_path / "f.gguf", KEYS, [payload("a", 4)], max_shard_bytes=limit)
