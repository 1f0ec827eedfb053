"""Models: what they say about themselves, their tensors, and the numbers in them."""

from __future__ import annotations

import gc
import math
import re
import struct
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter, quants

import gguf_lab as gl
from gguf_lab.errors import GGUFError, GGUFLabError, UnsupportedError
from gguf_lab.model import Model, open_model, split_name
from tests.file.builders import F32, Q4_0, Builder, small

DATA = Path(__file__).parent.parent / "data"
LLAMA = DATA / "models" / "llama-256" / "llama-Q4_K_M.gguf"
COLUMNS = [
    *("name", "layer", "kind", "qtype", "shape", "n_elements", "nbytes"),
    *("bits_per_weight", "offset", "shard", "status"),
]


def model_of(folder: Path, builder: Builder) -> Model:
    return open_model(builder.write(folder / "file.gguf"))


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("blk.3.attn_q.weight", 3, "attn_q"),
        ("blk.3.attn_q.bias", 3, "attn_q.bias"),
        ("enc.blk.0.attn_q.weight", 0, "enc.attn_q"),
        ("v.blk.12.ffn_up.weight", 12, "v.ffn_up"),
        ("posnet.5.attn_norm.weight", 5, "posnet.attn_norm"),
        ("convnext.11.pw1.bias", 11, "convnext.pw1.bias"),
        ("a.convnext.1.w", None, "a.convnext.1.w"),
        ("token_embd.weight", None, "token_embd"),
        ("blk.0.attn_q.weight.lora_a", 0, "attn_q.weight.lora_a"),
        ("xblk.0.attn_q.weight", None, "xblk.0.attn_q"),
        ("blk.99999999999999999999.w.weight", None, "blk.99999999999999999999.w"),
        ("blk.٣.w", None, "blk.٣.w"),
        ("", None, ""),
    ],
)
def test_layer_and_kind(name: str, layer: int | None, kind: str) -> None:
    assert split_name(name) == (layer, kind)


def test_what_a_model_says() -> None:
    with gl.open(LLAMA) as model:
        assert (model.architecture, model.kind, model.file_type) == ("llama", "model", "Q4_K_M")
        assert (model.version, model.byteorder) == (3, "little")
        assert model.path == LLAMA
        assert model.file_name is not None
        assert model.file_name.encoding == "Q4_K_M"
        reader = GGUFReader(LLAMA)
        assert model.n_parameters == sum(int(t.n_elements) for t in reader.tensors)
        assert model.nbytes == sum(int(t.n_bytes) for t in reader.tensors)
        assert model.bits_per_weight == 8 * model.nbytes / model.n_parameters
        assert model.metadata["llama.block_count"] == 2
        assert model.metadata["tokenizer.ggml.tokens"][2:4] == list(
            reader.fields["tokenizer.ggml.tokens"].contents()[2:4]
        )
        assert list(model.tensors) == [t.name for t in reader.tensors]


def test_values_are_those_of_the_gguf_package() -> None:
    model = open_model(LLAMA)
    seen = set()
    for theirs in GGUFReader(LLAMA).tensors:
        tensor = model.tensor(theirs.name)
        seen.add(tensor.qtype)
        expected = quants.dequantize(theirs.data, theirs.tensor_type).reshape(tensor.shape)
        np.testing.assert_array_equal(tensor.to_numpy(), expected)
        values = tensor.dequantize()
        assert (values.dtype, tuple(values.shape)) == (torch.float32, tensor.shape)
        np.testing.assert_array_equal(values.numpy(), expected)
        rows = slice(1, 3) if tensor.n_rows > 2 else slice(0, 1)
        part = expected.reshape(tensor.n_rows, -1)[rows]
        np.testing.assert_array_equal(tensor.dequantize(rows, backend="torch").numpy(), part)
        np.testing.assert_array_equal(tensor.to_numpy(rows), part)
        out = np.empty(part.shape, np.float32)
        assert tensor.to_numpy(rows, out=out) is out
        np.testing.assert_array_equal(out, part)
        assert tensor.blocks(rows).shape == (len(part), tensor.row_bytes)
    assert {"Q4_K", "Q6_K", "F32"} <= seen


def test_results_are_writable_and_of_their_own() -> None:
    tensor = open_model(LLAMA).tensor("output_norm.weight")
    first = tensor.dequantize()
    first += 1
    assert not torch.equal(first, tensor.dequantize())
    array = tensor.to_numpy()
    assert array.flags.writeable
    assert not tensor.blocks().flags.writeable


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q8_0"])
def test_big_endian_gives_the_same_values(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(1)
    values = random.standard_normal((6, 64)).astype(np.float32)
    qtype = GGMLQuantizationType[kind]
    packed = quants.quantize(values, qtype)
    expected = quants.dequantize(packed, qtype)
    raw = packed.view(np.uint8)
    if kind in ("F32", "F16", "BF16"):
        width = 4 if kind == "F32" else 2
        swapped = raw.reshape(6, -1, width)[:, :, ::-1]
    else:  # a half in front of each block
        swapped = raw.reshape(6, 2, -1).copy()
        swapped[:, :, :2] = swapped[:, :, 1::-1]
    path = tmp_path / "big.gguf"
    writer = GGUFWriter(path, "llama", endianess=GGUFEndian.BIG)
    writer.add_tensor_info("t", [6, 64], np.dtype(np.float32), packed.nbytes, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.write_tensor_data(np.frombuffer(swapped.tobytes(), np.uint8))
    writer.close()
    model = open_model(path)
    assert model.byteorder == "big"
    tensor = model.tensor("t")
    assert tensor.blocks().tobytes() == raw.tobytes()
    np.testing.assert_array_equal(tensor.to_numpy(), expected)
    np.testing.assert_array_equal(tensor.dequantize(slice(2, 4)).numpy(), expected[2:4])


def test_slices_of_rows(tmp_path: Path) -> None:
    model = model_of(tmp_path, small())
    tensor = model.tensor("b")
    for rows in (slice(0, 1), slice(-1, None), slice(0, 99), slice(1, 1), slice(2, 0), slice(None)):
        expected = np.arange(16, dtype=np.float32).reshape(2, 8)[rows]
        np.testing.assert_array_equal(tensor.to_numpy(rows), expected)
        assert tuple(tensor.dequantize(rows).shape) == expected.shape
    wrong: list[Any] = [slice(0, 2, 2), slice(None, None, -1), 1, (0, 1), [0] * 10_000]
    for item in wrong:
        with pytest.raises(GGUFLabError, match="rows of tensor 'b'") as caught:
            tensor.blocks(item)
        assert len(str(caught.value)) < 250
    for rows in (slice(0, 1), slice(0, 0)):  # also where nothing has to be decoded
        with pytest.raises(GGUFLabError, match="device 'banana' cannot be used"):
            tensor.dequantize(rows, device="banana")
        with pytest.raises(GGUFLabError, match="'cython' is unknown"):
            tensor.dequantize(rows, backend="cython")


def test_scalars_and_empty_tensors(tmp_path: Path) -> None:
    builder = Builder().tensor("scalar", [], data=struct.pack("<f", 2.5))
    builder.tensor("empty", [0, 3]).tensor("none", [32, 0], Q4_0).tensor("e", [4], data=bytes(16))
    model = model_of(tmp_path, builder)
    scalar = model.tensor("scalar")
    assert scalar.dequantize().shape == ()
    assert scalar.to_numpy() == np.float32(2.5)
    assert scalar.to_numpy(slice(0, 1)).tolist() == [[2.5]]
    for rows, shape in ((None, ()), (slice(0, 1), (1, 1))):
        out = np.zeros(shape, np.float32)
        scalar.to_numpy(rows, out=out)
        assert out == 2.5
        with pytest.raises(GGUFLabError, match="out must be"):
            scalar.to_numpy(rows, out=np.zeros((1, 2), np.float32))
    assert model.tensor("empty").to_numpy().shape == (3, 0)
    assert tuple(model.tensor("empty").dequantize().shape) == (3, 0)
    assert model.tensor("none").to_numpy().shape == (0, 32)
    assert math.isnan(model.tensor("none").bits_per_weight)


def test_truncated_and_opaque_tensors_refuse(tmp_path: Path) -> None:
    builder = Builder().tensor("odd", [33], 99, bytes(64)).tensor("cut", [64], data=bytes(256))
    path = tmp_path / "file.gguf"
    path.write_bytes(builder.build()[:-32])
    model = open_model(path)
    for read in ("blocks", "dequantize", "to_numpy"):
        with pytest.raises(GGUFError, match="tensor 'cut' is truncated"):
            getattr(model.tensor("cut"), read)()
        with pytest.raises(UnsupportedError, match="tensor 'odd' has the type number 99"):
            getattr(model.tensor("odd"), read)()
    frame = model.tensors.to_frame()
    assert frame["status"].tolist() == ["opaque", "truncated"]
    assert frame["nbytes"].isna().tolist() == [True, False]
    for text in (repr(model), model._repr_html_()):
        assert "1 of 2 tensors are truncated" in text
        assert "1 of 2 tensors have a type that this version does not know" in text
    assert model.bits_per_weight == 32
    assert "opaque" in repr(model.tensor("odd"))


def test_to_frame() -> None:
    frame = open_model(LLAMA).tensors.to_frame()
    assert list(frame.columns) == COLUMNS
    row = frame.set_index("name").loc["blk.1.attn_q.weight"]
    assert row["layer"] == 1
    assert row["kind"] == "attn_q"
    assert row["shape"] == (256, 256)
    assert row["nbytes"] == row["n_elements"] * row["bits_per_weight"] / 8
    assert frame.set_index("name")["layer"].isna()["output_norm.weight"]
    assert frame["layer"].dtype == "Int64"


def test_frame_of_no_tensors_has_the_same_columns(tmp_path: Path) -> None:
    frame = model_of(tmp_path, Builder()).tensors.to_frame()
    full = open_model(LLAMA).tensors.to_frame()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 0
    pd.testing.assert_series_equal(frame.dtypes, full.dtypes)


def test_missing_names_name_their_neighbours() -> None:
    model = open_model(LLAMA)
    with pytest.raises(KeyError, match=r'Did you mean .*"blk\.0\.attn_q\.weight"'):
        model.tensor("blk.0.attnq.weight")
    with pytest.raises(KeyError, match=r"llama-Q4_K_M\.gguf has no tensor"):
        model.tensors["x" * 100_000]
    with pytest.raises(KeyError, match=r'Did you mean "llama\.block_count"'):
        model.metadata["llama.blockcount"]
    assert model.tensors.get("nothing") is None


@pytest.mark.parametrize(
    ("keys", "tensors", "kind"),
    [
        ({"general.type": "model"}, 1, "model"),
        ({}, 0, "model"),
        ({"general.type": "adapter", "general.architecture": "llama"}, 1, "adapter"),
        ({"general.type": "imatrix"}, 1, "imatrix"),
        ({"general.type": "mmproj"}, 1, "mmproj"),
        ({"general.architecture": "clip"}, 1, "mmproj"),
        ({"general.architecture": "controlvector"}, 1, "controlvector"),
        ({"general.architecture": "llama", "tokenizer.ggml.model": "gpt2"}, 0, "vocabulary"),
        ({"general.type": "model", "tokenizer.ggml.model": "gpt2"}, 0, "vocabulary"),
        ({"general.architecture": "llama", "tokenizer.ggml.model": "gpt2"}, 1, "model"),
        ({"general.type": "something new"}, 1, "model"),
    ],
)
def test_kinds_of_files(tmp_path: Path, keys: dict[str, str], tensors: int, kind: str) -> None:
    builder = Builder()
    for key, value in keys.items():
        builder.key(key, "string", value)
    for _ in range(tensors):
        builder.tensor("t", [4], F32, bytes(16))
    model = model_of(tmp_path, builder)
    assert model.kind == kind
    assert repr(model)
    assert model._repr_html_()


def test_a_projector_says_what_it_is() -> None:
    model = open_model(DATA / "projectors" / "gemma3" / "mmproj-gemma3-bf16.gguf")
    assert model.kind == "mmproj"
    assert 'projector "gemma3"; vision layers 3; vision embedding length 12' in repr(model)


def test_a_control_vector_is_no_model(tmp_path: Path) -> None:
    """As llama-cvector-generator writes it."""
    builder = Builder().key("general.architecture", "string", "controlvector")
    builder.key("controlvector.model_hint", "string", "llama")
    builder.key("controlvector.layer_count", "int32", 2)
    for layer in (1, 2):
        builder.tensor(f"direction.{layer}", [8], F32, np.ones(8, np.float32).tobytes())
    path = builder.write(tmp_path / "control_vector.gguf")
    with open_model(path) as model:
        assert "control vector; architecture controlvector" in repr(model)
        assert 'for models like "llama"; directions for layers 2' in repr(model)
    assert list(gl.check(path, progress=False)) == []
    with pytest.raises(UnsupportedError, match="no model but of kind controlvector"):
        gl.memory(path)


def test_importance_matrix() -> None:
    model = open_model(DATA / "imatrix" / "smollm2-imatrix.gguf")
    assert model.kind == "imatrix"
    assert model.architecture is None
    assert "importance matrix" in repr(model)
    counts = model.tensor("blk.0.attn_k.weight.counts").to_numpy()
    assert counts.ravel().tolist() == [12 * 512]


def test_metadata_of_the_wrong_types(tmp_path: Path) -> None:
    builder = Builder().key("general.name", "uint32", 1).key("general.file_type", "string", "x")
    builder.key("general.architecture", "array[string]", ["a"]).key("general.type", "bool", 1)
    builder.key("tokenizer.ggml.tokens", "string", "no array")
    model = model_of(tmp_path, builder)
    assert (model.name, model.architecture, model.file_type) == ("file", None, None)
    assert model.kind == "vocabulary"
    assert repr(model)
    unknown = model_of(tmp_path, Builder().key("general.file_type", "uint32", 999))
    assert unknown.file_type == "unknown (999)"


TAGS = re.compile(r"<(?:[^>\"]|\"[^\"]*\")*>")


def text_in(html: str) -> str:
    return unescape(TAGS.sub("\n", html))


@pytest.mark.parametrize("path", sorted(DATA.glob("**/*.gguf")), ids=lambda path: path.name)
def test_card_says_what_the_text_says(path: Path) -> None:
    model = open_model(path)
    html = model._repr_html_()
    facts = re.findall(r"<th scope=\"row\"[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td>", html)
    title = html.split("</div>")[0].split(">")[-1]
    told = "; ".join([title, *(f"{label} {value}" for label, value in facts)])
    assert repr(model) == f"<{unescape(told)}>"
    assert len(facts) > 5
    tensors = model.tensors
    for line in repr(tensors).split("\n")[2:]:
        for cell in line.strip().split("  "):
            assert cell.strip() in text_in(tensors._repr_html_())


def test_card_is_static_escaped_and_capped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x1b[2J\u202e" + "x" * 100_000
    builder = Builder().key("general.name", "string", evil)
    builder.key("general.architecture", "string", evil).key("general.license", "string", evil)
    builder.key(f"{evil[:200]}.block_count", "string", evil)
    builder.key("tokenizer.ggml.model", "string", evil)
    builder.key("tokenizer.ggml.tokens", "array[string]", [evil])
    for i in range(100):
        builder.tensor(f"<img src=x>{i}", [4], 1000 + i, bytes(32))
    model = model_of(tmp_path, builder)
    for html in (model._repr_html_(), model.tensors._repr_html_()):
        assert "<script" not in html
        assert "<img" not in html
        assert "&lt;" in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert len(html) < 60_000
    for text in (repr(model), repr(model.tensors), repr(model.tensor("<img src=x>0"))):
        assert "\x1b" not in text
        assert len(text) < 5_000
    assert "var(--jp-" in model._repr_html_()


def test_shards_are_one_model(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for i in range(3):
        writer.add_tensor(f"blk.{i}.w.weight", np.full((2, 4), i, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = open_model(tmp_path / "m-00002-of-00002.gguf")
    assert model.n_parameters == 24
    assert model.architecture == "llama"
    assert model.tensor("blk.2.w.weight").to_numpy().tolist() == [[2.0] * 4] * 2
    assert model.tensors.to_frame()["shard"].tolist() == [0, 0, 1]
    assert "2 shards" in repr(model)
    assert "m-00002-of-00002.gguf" in model._repr_html_()


def test_closing(tmp_path: Path) -> None:
    with model_of(tmp_path, small()) as model:
        kept = model.tensor("a").blocks()
    assert kept.view("<f4").tolist() == [[0, 1, 2, 3]]
    assert model.metadata["general.architecture"] == "llama"
    with pytest.raises(GGUFError, match="is closed"):
        model.tensor("a").to_numpy()
    model.close()
    forgotten = model_of(tmp_path, small())
    del forgotten, model
    gc.collect()
