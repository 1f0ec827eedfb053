"""Checkpoints: which file is taken, shards, rows as views, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gguf_lab.errors import CheckpointError
from gguf_lab.reference import Checkpoint, open_checkpoint
from gguf_lab.reference.quantized import decode_tensors

from .support import DATA, ramp, write_checkpoint, write_raw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def write_index(folder: Path, weight_map: object) -> Path:
    path = folder / INDEX
    path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


def test_rows_equal_what_safetensors_reads() -> None:
    from safetensors import safe_open

    folder = DATA / "llama-bias" / "hf"
    with (
        open_checkpoint(folder) as checkpoint,
        safe_open(folder / "model.safetensors", framework="pt") as oracle,
    ):
        assert set(checkpoint.tensors) == set(oracle.keys())
        for name, tensor in checkpoint.tensors.items():
            import torch

            theirs = oracle.get_tensor(name)
            assert tensor.shape == tuple(theirs.shape)
            raw = theirs.contiguous().view(torch.uint8).numpy()
            assert tensor.dtype == "BF16"
            ours = tensor.read(0, tensor.n_rows)
            assert ours.shape == (tensor.n_rows, tensor.row_bytes)
            assert ours.tobytes() == raw.tobytes()


def test_rows_are_read_only(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "w.safetensors", {"w": ramp(4, 3)})
    tensor = open_checkpoint(file).tensors["w"]
    rows = tensor.read(1, 3)
    assert rows.dtype == np.uint8
    assert not rows.flags.writeable
    assert rows.tobytes() == np.arange(3, 9, dtype="f4").tobytes()


@pytest.mark.parametrize(
    ("shape", "n_rows", "row_values"),
    [((), 1, 1), ((5,), 1, 5), ((2, 5), 2, 5), ((2, 3, 5), 6, 5), ((0, 5), 0, 5), ((5, 0), 5, 0)],
)
def test_rows_of_every_shape(
    tmp_path: Path, shape: tuple[int, ...], n_rows: int, row_values: int
) -> None:
    file = write_checkpoint(tmp_path / "w.safetensors", {"w": ramp(*shape)})
    tensor = open_checkpoint(file).tensors["w"]
    assert (tensor.n_rows, tensor.row_values) == (n_rows, row_values)
    assert tensor.read(0, n_rows).shape == (n_rows, 4 * row_values)


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 5), (3, 2)])
def test_rows_that_are_not_there(tmp_path: Path, start: int, stop: int) -> None:
    file = write_checkpoint(tmp_path / "w.safetensors", {"w": ramp(4, 3)})
    with pytest.raises(CheckpointError, match="rows 0 to 4"):
        open_checkpoint(file).tensors["w"].read(start, stop)


def test_path_may_be_file_folder_index_or_text() -> None:
    folder = DATA / "llama3-tied" / "hf"
    for path in (folder, str(folder), folder / INDEX):
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.n_files == 3
            assert checkpoint.model_type == "llama"
            assert checkpoint.tensors["model.norm.weight"].shape == (24,)
    shard = open_checkpoint(folder / "model-00001-of-00003.safetensors")
    assert shard.n_files == 1
    assert list(shard.tensors) == ["model.embed_tokens.weight"]


def test_an_open_checkpoint_is_returned_as_it_is(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"w": ramp(1)})
    checkpoint = open_checkpoint(tmp_path)
    assert open_checkpoint(checkpoint) is checkpoint


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_open_checkpoint_is_not_copied(way: Callable[[Checkpoint], object]) -> None:
    with (
        open_checkpoint(DATA / "llama3-tied" / "hf") as checkpoint,
        pytest.raises(TypeError, match="hand its path on"),
    ):
        way(checkpoint)


def test_which_file_of_a_folder_is_taken(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "consolidated.safetensors", {"only": ramp(1)})
    assert list(open_checkpoint(tmp_path).tensors) == ["only"]
    write_checkpoint(tmp_path / "part.safetensors", {"shard": ramp(1)})
    write_index(tmp_path, {"only": "consolidated.safetensors", "shard": "part.safetensors"})
    index = tmp_path / "model.safetensors.index.json"
    index = index.rename(tmp_path / "consolidated.safetensors.index.json")
    assert list(open_checkpoint(tmp_path).tensors) == ["only", "shard"]
    write_index(tmp_path, {"shard": "part.safetensors"})
    assert list(open_checkpoint(tmp_path).tensors) == ["shard"]
    write_checkpoint(tmp_path / "model.safetensors", {"single": ramp(1)})
    assert list(open_checkpoint(tmp_path).tensors) == ["single"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no safetensors file: expected"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"There is no file or folder .*missing \(looked"):
        open_checkpoint(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="begin with hf://owner/model"):
        open_checkpoint("owner/model")


def test_several_files_without_an_index(tmp_path: Path) -> None:
    for name in "ab":
        write_checkpoint(tmp_path / f"{name}.safetensors", {})
    with pytest.raises(CheckpointError, match="fetch the index"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "tf_model.h5"])
def test_other_forms_are_explained(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="save_pretrained"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="save_pretrained"):
        open_checkpoint(tmp_path / name)


def test_a_gguf_file_is_no_reference() -> None:
    with pytest.raises(CheckpointError, match="is a GGUF file"):
        open_checkpoint(DATA / "llama" / "llama-bf16.gguf")


def test_config_is_read_beside_a_file(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "w.safetensors", {})
    assert open_checkpoint(file).config == {}
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    assert open_checkpoint(file).config == {"hidden_size": 8}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1, "a": 2}', '{"a":' * 100_000])
def test_malformed_config(tmp_path: Path, text: str) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="configuration"):
        open_checkpoint(tmp_path)


def test_missing_shard(tmp_path: Path) -> None:
    write_index(tmp_path, {"w": "model-00001-of-00001.safetensors"})
    with pytest.raises(CheckpointError, match="is missing"):
        open_checkpoint(tmp_path)


def test_tensor_that_the_shard_lacks(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", {"v": ramp(1)})
    write_index(tmp_path, {"v": "a.safetensors", "w": "a.safetensors"})
    with pytest.raises(CheckpointError, match=r"'w' should be in 'a\.safetensors'"):
        open_checkpoint(tmp_path)


def test_the_index_decides_which_shard_has_a_tensor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", {"w": ramp(1), "stray": ramp(1)})
    write_checkpoint(tmp_path / "b.safetensors", {"w": ramp(2), "v": ramp(1)})
    write_index(tmp_path, {"w": "b.safetensors", "v": "b.safetensors"})
    tensors = open_checkpoint(tmp_path).tensors
    assert {n: t.shape for n, t in tensors.items()} == {"w": (2,), "v": (1,)}


@pytest.mark.parametrize("weight_map", [None, [], {"w": 1}, "w", {"w": None}])
def test_malformed_weight_map(tmp_path: Path, weight_map: object) -> None:
    write_index(tmp_path, weight_map)
    with pytest.raises(CheckpointError, match="weight_map"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "a/../../outside.safetensors",
        "..\\outside.safetensors",
        "/etc/passwd",
        "C:\\outside.safetensors",
        "",
        "a\0b",
    ],
)
def test_shard_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path / "outside.safetensors", {"w": ramp(1)})
    folder = tmp_path / "model"
    folder.mkdir()
    write_index(folder, {"w": name})
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        open_checkpoint(folder)


def test_link_that_leaves_the_folder(tmp_path: Path) -> None:
    outside = write_checkpoint(tmp_path / "outside.safetensors", {"w": ramp(1)})
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.safetensors").symlink_to(outside)
    write_index(folder, {"w": "a.safetensors"})
    with pytest.raises(CheckpointError, match="a link that leads out"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "config.json",
        "chat_template.jinja",
        "additional_chat_templates/a.jinja",
    ],
)
def test_no_file_of_a_folder_is_a_link_out_of_it(tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "model", tmp_path / "outside"
    (folder / "additional_chat_templates").mkdir(parents=True)
    write_checkpoint(folder / "model.safetensors", {"w": ramp(1)})
    write_checkpoint(outside, {"w": ramp(1)})
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    words = f"'{name.rsplit('/', maxsplit=1)[-1]}' is a link that leads out of the folder"
    with pytest.raises(CheckpointError, match=re.escape(words)):
        open_checkpoint(folder)
    outside.rename(folder / "inside")
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "inside")
    if name.endswith((".safetensors", ".jinja")):
        assert list(open_checkpoint(folder).tensors) == ["w"]


def test_templates_are_no_folder_elsewhere(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"w": ramp(1)})
    (tmp_path / "additional_chat_templates").symlink_to("/")
    with pytest.raises(CheckpointError, match="'additional_chat_templates' is a link"):
        open_checkpoint(tmp_path)


def test_an_index_without_a_file(tmp_path: Path) -> None:
    write_index(tmp_path, {})
    with pytest.raises(CheckpointError, match="names no file"):
        open_checkpoint(tmp_path)


def test_a_configuration_that_is_no_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"w": ramp(1)})
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CheckpointError, match=r"config\.json, the configuration, is no file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, "~there-is-no-such-user/x"])
def test_paths_that_are_none(name: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(name)


def test_the_cache_of_the_hub_may_link_to_its_blobs(tmp_path: Path) -> None:
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshots" / "0123abc"
    blobs.mkdir()
    folder.mkdir(parents=True)
    write_checkpoint(blobs / "hash", {"w": ramp(1)})
    (folder / "a.safetensors").symlink_to("../../blobs/hash")
    write_index(folder, {"w": "a.safetensors"})
    assert list(open_checkpoint(folder).tensors) == ["w"]


def test_a_folder_in_the_cache_of_the_hub_may_too(tmp_path: Path) -> None:
    """The text encoder of a model that draws."""
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshots" / "0123abc" / "text_encoder"
    blobs.mkdir()
    folder.mkdir(parents=True)
    write_checkpoint(blobs / "hash", {"w": ramp(1)})
    (folder / "model.safetensors").symlink_to("../../../blobs/hash")
    assert list(open_checkpoint(folder).tensors) == ["w"]
    (tmp_path / "elsewhere").mkdir()
    (blobs / "hash").rename(tmp_path / "elsewhere" / "hash")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../../elsewhere/hash")
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        open_checkpoint(folder)


def test_what_git_leaves_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="is a Git LFS pointer: fetch the file itself"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("told", [None, {}, {"quant_algo": "FP8"}])
def test_the_method_may_stand_in_a_file_of_the_quantizer(tmp_path: Path, told: object) -> None:
    """And is asked for only where weights are in FP8, and nothing else tells it."""
    write_checkpoint(
        tmp_path / "model.safetensors",
        {"a.weight": ("F8_E4M3", (1, 2), b"88"), "a.weight_scale": ("F32", (), b"\0\0\0@")},
    )
    config = {"model_type": "llama"} | ({} if told is None else {"quantization_config": told})
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(tmp_path).config == config
    said = {"producer": {"name": "ModelOpt"}, "quantization": {"quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(said))
    checkpoint = open_checkpoint(tmp_path)
    how = {**(told or {}), "quant_method": "modelopt"}  # type: ignore[dict-item]
    assert checkpoint.config["quantization_config"] == how
    found = decode_tensors(checkpoint.tensors, checkpoint.config).tensors["a.weight"]
    assert found.read(0, 1).view("<f4").tolist() == [[2.0, 2.0]]
    config["quantization_config"] = {"quant_method": "fp8"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(tmp_path).config == config


@pytest.mark.parametrize("said", [[], {"producer": 3}, {"producer": {"name": None}}])
def test_a_file_of_the_quantizer_that_says_nothing(tmp_path: Path, said: object) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"a.weight": ("F8_E4M3", (1, 2), b"88")})
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(said))
    if said == []:
        with pytest.raises(CheckpointError, match="should be a JSON object"):
            open_checkpoint(tmp_path)
    else:
        assert open_checkpoint(tmp_path).config == {}


def test_a_bad_shard_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", {"v": ramp(1)})
    write_raw(tmp_path / "b.safetensors", b"[]")
    write_index(tmp_path, {"v": "a.safetensors", "w": "b.safetensors"})
    with pytest.raises(CheckpointError, match=r"b\.safetensors"):
        open_checkpoint(tmp_path)


def test_text_and_html_say_the_same_and_are_escaped(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.safetensors", {"w": ramp(3), "v": ("U8", (2,), b"ab")})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "<script>\n" + "x" * 999}))
    checkpoint = open_checkpoint(tmp_path)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.nbytes == 14
    text, page = repr(checkpoint), checkpoint._repr_html_()
    assert len(text) < 600
    assert "\n" not in text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for words in ("2 (1 F32, 1 U8)", "0.0 MB in 1 file(s)"):
        assert words in text
        assert words in page
