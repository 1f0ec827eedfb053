"""Exported files against llama.cpp's converter, against their checkpoints, and each other."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

import gguf_lab as gl
from gguf_lab.bridge import drafting, sources, to_transformers
from gguf_lab.bridge.exporting import export
from gguf_lab.bridge.general import added, file_name
from gguf_lab.cli import main
from gguf_lab.codec import dequantize, quantize
from gguf_lab.errors import (
    CheckpointError,
    GGUFError,
    GGUFLabError,
    QuantizationError,
    UnsupportedError,
)
from gguf_lab.file import ArrayValue
from gguf_lab.reference import align, open_checkpoint, requirements

from ..models import QUANTIZED
from ..reference.support import ramp, write_checkpoint
from .checkpoints import checkpoint_with, contents, exported, llama_tensors, llama_with, tensors_of
from .hyperparameters import ONES
from .small_models import DATA, byte_level, causal, other, shaken

# Three of the models have a setting that no file tells: `test_what_no_key_tells_is_said`.
pytestmark = pytest.mark.filterwarnings("ignore:llama.cpp computes differently")

CONVERTED = [
    path.relative_to(DATA)
    for path in sorted(DATA.glob("*/*.gguf"))
    if path.stem.endswith(("-f32", "-f16", "-bf16")) and (path.parent / "hf").is_dir()
]
EVERY = pytest.mark.parametrize("path", CONVERTED, ids=lambda p: p.parent.name)
# Transformers has no class for one, and decodes the other.
NOT_LOADED = {"gpt-oss-mxfp4", "nomic-bert-moe"} | QUANTIZED
# Transformers has no place for the layer that predicts a further token.
PREDICTS = {"glm4moe", "qwen3_5"}
LOADED = pytest.mark.parametrize(
    "path",
    [path for path in CONVERTED if path.parent.name not in NOT_LOADED],
    ids=lambda p: p.parent.name,
)


@pytest.fixture(autouse=True)
def _norms_of_queries_in_few_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model cohere stands for one of 64 layers, with which llama.cpp has these norms."""
    monkeypatch.setitem(requirements._QK_NORMS_FROM, "command-r", 3)


# What decays in them is an exponential.
RECURRENT = {
    "falcon-h1-ones",
    "granitehybrid",
    "granitehybrid-moe",
    "mamba",
    "mamba2",
    "nemotron-h",
    "nemotron-h-moe",
    "qwen3_5",
    "qwen3_5-moe",
    "qwen3next",
}

# Where we differ from what the converter has written, and why.
OTHER_VALUES = {
    # nomic-bert: it read Transformers' defaults for the sizes, not the checkpoint's
    "nomic-bert-moe": re.compile(r"nomic-bert-moe\..*"),
    # it takes four times the hidden size, which this model hasn't: llama.cpp can't load its file
    "phi2": re.compile(r"phi2\.feed_forward_length"),
    # the tokenizer of 30 tokens, by which it has cut the embedding, isn't kept
    "gemma3": re.compile(r"token_embd\.weight"),
    # llama.cpp calculates so without the key
    "minimax-m2": re.compile(r"minimax-m2\.expert_gating_func"),
    # written for all families but this one
    "gptneox": re.compile(r"general\.file_type"),
    # rounded by another library: one unit in the last place
    **{name: re.compile(r"blk\..*\.ssm_a") for name in RECURRENT},
    # the names of the folders at the time
    **dict.fromkeys(("llama-bias", "llama3-tied", "mixtral"), re.compile("general.name")),
    # and there is more in the file (the pooler)
    "bert": re.compile("general.(name|size_label)"),
}


# What llama.cpp has no place for (test_loadable): heads that together are wider than the model, or
# of which an odd number of values is rotated.
OTHER_HEADS = {"cohere2", "exaone4", "nemotron", "glm4", "phi2", "stablelm-qknorm"}


@pytest.fixture(autouse=True)
def _other_heads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let them pass where it is asked what would be written."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if isinstance(path := parameters.get("path"), Path) and path.parent.name in OTHER_HEADS:
        monkeypatch.setattr("gguf_lab.bridge.drafting.check_loadable", lambda *_: None)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


def plain(metadata: Any) -> dict[str, tuple[str, Any]]:
    return {
        key: (metadata.type_of(key), list(v) if isinstance(v, ArrayValue) else v)
        for key, v in metadata.items()
        if not key.startswith("tokenizer.")
    }


@EVERY
def test_the_converters_own_files(path: Path, tmp_path: Path) -> None:
    """The same tensors in the same order to the last byte, the same keys, types and values.

    One key besides: without tokens llama.cpp must be told how many there are. It does not load the
    converter's own files without a tokenizer, of most families.
    """
    folder, qtype = path.parent.name, path.stem.rpartition("-")[2].upper()
    theirs = gl.open(DATA / path)
    ours = exported(DATA / folder / "hf", tmp_path / "ours.gguf", qtype=qtype)
    differing = {
        key
        for key in plain(theirs.metadata).keys() | plain(ours.metadata).keys()
        if plain(theirs.metadata).get(key) != plain(ours.metadata).get(key)
    }
    vocabulary = f"{ours.architecture}.vocab_size"
    assert ours.metadata[vocabulary] == ours.tensors["token_embd.weight"].shape[0]
    if vocabulary not in theirs.metadata:
        differing.remove(vocabulary)
    # the pooler below a classifier, without which llama.cpp would score something else
    more = {"cls.weight", "cls.bias"} if folder == "bert" else set()
    assert ours.tensors.keys() - theirs.tensors.keys() == more
    if folder != "llama3-tied":  # a checkpoint in shards: the converter goes shard by shard
        assert [name for name in ours.tensors if name not in more] == list(theirs.tensors)
    for name, tensor in theirs.tensors.items():
        mine = ours.tensors[name]
        assert mine.qtype == tensor.qtype
        if mine.shape != tensor.shape or not np.array_equal(mine.blocks(), tensor.blocks()):
            differing.add(name)
    expected = OTHER_VALUES.get(folder, re.compile("$none"))
    assert [name for name in sorted(differing) if not expected.fullmatch(name)] == []
    if folder in RECURRENT:
        for name in differing:
            pair = (m.tensors[name].dequantize().numpy() for m in (ours, theirs))
            np.testing.assert_array_max_ulp(*pair, maxulp=1)
    if folder == "gemma3":
        mine, tensor = (m.tensors["token_embd.weight"] for m in (ours, theirs))
        assert np.array_equal(mine.blocks()[: tensor.n_rows], tensor.blocks())


@pytest.mark.parametrize("name", ["llama-nvfp4", "qwen3moe-nvfp4"])
def test_originals_in_nvfp4_become_what_they_stand_for(name: str, tmp_path: Path) -> None:
    """The converter would leave them as they are."""
    ours = exported(DATA / name / "hf", tmp_path / "ours.gguf")
    result = gl.compare(ours, DATA / name / f"{name}.gguf", progress=False)
    assert {row.status for row in result.rows if row.name} == {"compared"}
    assert all(row.exact for row in result.compared)
    scaled = [row for row in result.compared if row.transform]
    assert len(scaled) == 7
    assert {row.reference_qtype for row in scaled} == {"F32"}


@EVERY
def test_an_exported_file_lines_up_with_its_checkpoint(path: Path, tmp_path: Path) -> None:
    """In F32 nothing is lost: every value is that of the checkpoint, after the transform."""
    hf = DATA / path.parent / "hf"
    model, checkpoint = exported(hf, tmp_path / "f.gguf"), open_checkpoint(hf)
    alignment = align(model, checkpoint)
    made_up = {p.name for p in alignment.pairs if p.status != "matched"}
    assert all(name.startswith("rope_f") for name in made_up)
    for pair in alignment.pairs:
        if pair.status == "matched":
            tensor = model.tensors[pair.name]
            source = np.ascontiguousarray(pair.read(0, tensor.n_rows))
            ours = dequantize(np.ascontiguousarray(tensor.blocks()), tensor.qtype)
            assert ours.tobytes() == dequantize(source, pair.dtype).tobytes()


@LOADED
def test_there_and_back_is_the_identity(path: Path, tmp_path: Path) -> None:
    """Transformers -> GGUF in F32 -> Transformers: every parameter as it was, to the last bit."""
    import torch
    import transformers

    folder = path.parent.name
    config = json.loads((DATA / folder / "hf" / "config.json").read_text())
    name, aloud = config["architectures"][0], contextlib.nullcontext()
    if folder in PREDICTS:
        aloud = pytest.warns(UserWarning, match="further tokens")
    kind = getattr(transformers, name)
    before = kind.from_pretrained(DATA / folder / "hf", dtype=torch.float32).state_dict()
    file = exported(DATA / folder / "hf", tmp_path / "f.gguf")
    with aloud:
        after = to_transformers(file, dtype="float32")[0].state_dict()
    # llama.cpp has a pooler only below a classifier
    lost = {name for name in before if "pooler" in name and folder != "bert"}
    assert after.keys() == before.keys() - lost
    for name in before.keys() - lost:
        ours = after[name]
        if folder in RECURRENT and name.endswith("A_log"):  # an exponential and its logarithm
            torch.testing.assert_close(ours, before[name], rtol=1e-6, atol=1e-7)
        elif folder == "gemma" and name.endswith("norm.weight"):
            # in half precision: the converter rounds when it adds 1, and so do we
            torch.testing.assert_close(ours, before[name], rtol=0, atol=2**-10)
        else:
            assert torch.equal(ours, before[name]), name


@LOADED
def test_a_model_in_memory_is_exported_as_its_checkpoint(path: Path, tmp_path: Path) -> None:
    import transformers

    hf = DATA / path.parent / "hf"
    config = json.loads((hf / "config.json").read_text())
    model = getattr(transformers, config["architectures"][0]).from_pretrained(hf, dtype="auto")
    settings = {"qtype": "BF16", "metadata": {"general.name": "Same"}}
    files = [
        exported(source, tmp_path / f"{i}.gguf", **settings).path
        for i, source in enumerate((hf, model))
    ]
    if path.parent.name in PREDICTS:
        whole, loaded = (gl.open(file) for file in files)
        kind = loaded.architecture
        assert loaded.metadata[f"{kind}.block_count"] == 3
        assert f"{kind}.nextn_predict_layers" not in loaded.metadata
        assert not any(name.startswith("blk.3.") for name in loaded.tensors)
        for name, tensor in loaded.tensors.items():
            assert np.array_equal(tensor.blocks(), whole.tensors[name].blocks()), name
        return
    assert files[0].read_bytes() == files[1].read_bytes()


EYES = {
    "qwen3_5": "model.visual.blocks.0.norm1.weight",
    "mistral3": "vision_tower.transformer.layers.0.ffn_norm.weight",
}


@pytest.mark.parametrize(
    ("name", "prefix", "classes"),
    [
        ("qwen3_5", "model.language_model.", ("qwen3_5", "Qwen3_5ForConditionalGeneration")),
        ("mistral3", "language_model.model.", ("mistral3", "Mistral3ForConditionalGeneration")),
        ("mistral3", "model.language_model.", ("mistral3", "Mistral3ForConditionalGeneration")),
    ],
)
def test_a_model_that_sees_is_exported_without_its_eyes(
    name: str, prefix: str, classes: tuple[str, str], tmp_path: Path
) -> None:
    """As such are published: the language model in a part of its own, what predicts beside it."""
    hf, tensors = DATA / name / "hf", tensors_of(name)
    config = json.loads((hf / "config.json").read_text())
    (tmp_path / "hf").mkdir()
    outer = prefix.removesuffix("model.") if prefix.endswith(".model.") else ""
    write_checkpoint(
        tmp_path / "hf" / "model.safetensors",
        {
            key.replace("model.", prefix, 1) if key.startswith("model.") else outer + key: t
            for key, t in tensors.items()
        }
        | {EYES[name]: ramp(8)},
    )
    whole = {"model_type": classes[0], "text_config": config, "tie_word_embeddings": False}
    whole["architectures"] = [classes[1]]
    (tmp_path / "hf" / "config.json").write_text(json.dumps(whole))
    settings = {"qtype": "BF16", "metadata": {"general.name": "Same"}}
    paths = [
        exported(source, tmp_path / f"{i}.gguf", **settings).path
        for i, source in enumerate((hf, tmp_path / "hf"))
    ]
    with gl.open(paths[0]) as plain_one, gl.open(paths[1]) as one_that_saw:
        assert plain(one_that_saw.metadata) == plain(plain_one.metadata)
        assert one_that_saw.tensors.keys() == plain_one.tensors.keys()
        for name, tensor in plain_one.tensors.items():
            assert np.array_equal(tensor.blocks(), one_that_saw.tensors[name].blocks())


@pytest.mark.parametrize("folder", ["mamba2", "nemotron-h-moe"])
def test_infinity_as_transformers_5_writes_it(folder: str, tmp_path: Path) -> None:
    endless = {"time_step_limit": [0.0, {"__float__": "Infinity"}]}
    hf = checkpoint_with(tmp_path / "hf", folder, tensors_of(folder), **endless)
    if folder == "nemotron-h-moe":  # found by its class
        config = json.loads((hf / "config.json").read_text())
        del config["topk_group"]
        (hf / "config.json").write_text(json.dumps(config))
    drafts: list[Any] = []
    file = exported(hf, tmp_path / "f.gguf", report=drafts.append)
    assert "time_step_limit" not in drafts[0].unsaid
    assert folder == "mamba2" or file.metadata["nemotron_h_moe.expert_group_used_count"] == 1


def test_multipliers_go_into_the_weights(tmp_path: Path) -> None:
    """As the converter does it; what is loaded of them has none, and computes the same."""
    folder = DATA.parent / "tables" / "falcon-h1"
    ours = exported(folder / "hf", tmp_path / "ours.gguf", qtype="F32")
    with gl.open(folder / "falcon-h1-f32.gguf") as theirs:
        assert ours.tensors.keys() == theirs.tensors.keys()
        for name, tensor in theirs.tensors.items():
            pair = (m.tensors[name].dequantize().numpy() for m in (ours, theirs))
            np.testing.assert_array_max_ulp(*pair, maxulp=int(name.endswith("ssm_a")))
            assert ours.tensors[name].qtype == tensor.qtype
    model = causal("falcon_h1")
    loaded, _ = gl.to_transformers(exported(model, tmp_path / "f.gguf", qtype="F32"))
    assert {name: getattr(loaded.config, name) for name in ONES} == ONES
    tokens = torch.arange(1, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits, rtol=0.0, atol=1e-5)


def test_rows_of_a_model_are_views_of_its_parameters() -> None:
    model = causal("mixtral")
    with sources.open_source(model) as source:
        rows = source.tensors["model.layers.1.self_attn.q_proj.weight"].read(2, 5)
        parameter = model.model.layers[1].self_attn.q_proj.weight.detach()
        assert np.shares_memory(rows, parameter.numpy())
        assert rows.tobytes() == parameter[2:5].numpy().tobytes()
        # experts are taken apart as for saving
        name = "model.layers.1.block_sparse_moe.experts.3.w2.weight"
        expert = model.model.layers[1].mlp.experts.down_proj.detach()[3]
        assert source.tensors[name].read(0, 64).tobytes() == expert.numpy().tobytes()


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    model = causal("llama", tie_word_embeddings=True)
    file = exported(model, tmp_path / "f.gguf")
    assert "output.weight" not in file.tensors
    model.save_pretrained(tmp_path / "hf")
    tensors = dict(open_checkpoint(tmp_path / "hf").tensors)
    values = {t.name: (t.dtype, t.shape, t.read(0, t.n_rows).tobytes()) for t in tensors.values()}
    # some checkpoints have it twice
    values["lm_head.weight"] = values["model.embed_tokens.weight"]
    write_checkpoint(tmp_path / "hf" / "model.safetensors", values)
    drafts: list[Any] = []
    file = exported(tmp_path / "hf", tmp_path / "g.gguf", report=drafts.append)
    assert "output.weight" not in file.tensors
    assert "lm_head.weight" in drafts[0].left_out
    assert "left out: lm_head.weight: tied" in repr(drafts[0])


@pytest.mark.parametrize("model_type", ["llama", "qwen2"])
def test_an_output_of_its_own_is_written_whatever_the_settings_say(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT's `modules_to_save` trains the output, and leaves `tie_word_embeddings` as it was."""
    monkeypatch.setattr(drafting, "_AT_ONCE", 1000)
    model = causal(model_type, tie_word_embeddings=True)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    model.lm_head.weight.data[-1, -1] += 1
    file = exported(model, tmp_path / "f.gguf")
    own = model.lm_head.weight.detach().numpy()
    assert np.array_equal(file.tensors["output.weight"].dequantize().numpy(), own)
    loaded, _ = to_transformers(file.path)
    text = torch.arange(5)[None]
    assert torch.equal(loaded(text).logits, model(text).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_a_layer_that_is_there_twice_is_written_twice(tied: bool, tmp_path: Path) -> None:
    """Transformers saves no such model."""
    model = causal("llama", tie_word_embeddings=tied)
    model.model.layers[2] = model.model.layers[1]
    model.model.layers[0].mlp.up_proj.weight = model.model.layers[1].mlp.up_proj.weight
    file = exported(model, tmp_path / "f.gguf")
    assert ("output.weight" in file.tensors) != tied
    one, two = (file.tensors[f"blk.{layer}.attn_q.weight"].blocks() for layer in (1, 2))
    assert np.array_equal(one, two)
    loaded, text = to_transformers(file)[0], torch.arange(5)[None]
    # with a cache, which two layers of one number share, the model computes something else
    due = model(text, use_cache=False).logits
    assert torch.equal(loaded(text, use_cache=False).logits, due)


def test_parameters_that_are_parts_of_each_other_are_refused(tmp_path: Path) -> None:
    model = causal("llama")
    model.model.norm.weight = torch.nn.Parameter(model.lm_head.weight.detach()[0])
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach())
    with pytest.raises(UnsupportedError, match="parameters that are parts of each other"):
        exported(model, tmp_path / "f.gguf")


@pytest.mark.parametrize("model_type", ["gemma", "cohere"])
def test_an_output_of_its_own_without_a_place_is_refused(model_type: str, tmp_path: Path) -> None:
    model = causal(model_type)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() + 1)
    with pytest.raises(CheckpointError, match=r"lm_head.weight.*not what the embedding is"):
        exported(model, tmp_path / "f.gguf")


def test_shards_and_readers(tmp_path: Path) -> None:
    hf = causal("qwen2_moe")
    whole = exported(hf, tmp_path / "whole.gguf", qtype="Q8_0").path
    paths = export(
        hf,
        tmp_path / "m.gguf",
        tokenizer=False,
        qtype="Q8_0",
        max_shard_bytes=50_000,
        progress=False,
    )
    assert isinstance(paths, list)
    assert [p.name for p in paths] == [
        f"m-{i + 1:05d}-of-{len(paths):05d}.gguf" for i in range(len(paths))
    ]
    assert len(paths) > 2
    one, many = gl.open(whole), gl.open(paths[1])
    assert list(one.tensors) == list(many.tensors)
    theirs = {t.name: t for p in paths for t in gguf.GGUFReader(p).tensors}
    for name, tensor in one.tensors.items():
        assert tensor.blocks().tobytes() == many.tensors[name].blocks().tobytes()
        assert tensor.blocks().tobytes() == theirs[name].data.tobytes()
        assert tensor.shape == tuple(int(n) for n in reversed(theirs[name].shape))
    for number, path in enumerate(paths):
        keys = gguf.GGUFReader(path).fields.keys()
        assert ("general.architecture" in keys) == (number == 0)


def test_types_by_pattern_and_by_function(tmp_path: Path) -> None:
    model = causal("llama")
    patterns = {"token_embd.weight": "F16", "blk.0.*": "BF16", "*": "Q8_0"}
    file = exported(model, tmp_path / "f.gguf", qtype=patterns)
    types = {name: tensor.qtype for name, tensor in file.tensors.items()}
    assert types["token_embd.weight"] == "F16"
    assert types["blk.0.attn_q.weight"] == "BF16"
    assert types["blk.1.attn_q.weight"] == "Q8_0"
    assert types["blk.0.attn_norm.weight"] == "F32"
    assert file.file_type == "Q8_0"
    asked: list[tuple[str, tuple[int, ...]]] = []

    def choose(name: str, shape: tuple[int, ...]) -> str:
        asked.append((name, shape))
        return "F16"

    again = exported(model, tmp_path / "g.gguf", qtype=choose, file_type="Q4_K_M")
    assert again.file_type == "Q4_K_M"
    assert ("blk.2.ffn_down.weight", (64, 96)) in asked
    assert all("norm" not in name for name, _ in asked)
    with pytest.raises(GGUFLabError, match=r"no pattern.*'output.weight'"):
        exported(model, tmp_path / "h.gguf", qtype={"blk.*": "F16", "token*": "F16"})
    with pytest.raises(UnsupportedError, match="no file type 'Q9'"):
        exported(model, tmp_path / "h.gguf", file_type="Q9")


def test_values_are_quantized_by_the_codec(tmp_path: Path) -> None:
    model = causal("llama")
    file = exported(model, tmp_path / "f.gguf", qtype="Q8_0")
    weight = model.model.layers[2].mlp.down_proj.weight.detach().numpy()
    assert np.array_equal(file.tensors["blk.2.ffn_down.weight"].blocks(), quantize(weight, "Q8_0"))


def test_rows_that_are_no_whole_blocks(tmp_path: Path) -> None:
    """As llama-quantize and the converter do: another type, said aloud."""
    with pytest.warns(UserWarning, match=r"become F16: rows of 24 are no multiple of 32"):
        file = exported(DATA / "qwen2" / "hf", tmp_path / "f.gguf", qtype="Q8_0")
    assert file.tensors["blk.0.attn_q.weight"].qtype == "F16"
    drafts: list[Any] = []
    with pytest.warns(UserWarning, match=r"become Q8_0: rows of 96.*256, the block of Q6_K"):
        exported(causal("llama"), tmp_path / "g.gguf", qtype="Q6_K", report=drafts.append)
    assert "Q8_0, rows of 96 are no multiple of 256" in repr(drafts[0])


def test_the_file_is_named_by_the_convention(tmp_path: Path) -> None:
    name = {"general.name": "Tiny Model"}
    file = exported(DATA / "llama" / "hf", tmp_path, qtype="F16", metadata=name)
    assert file.path.name == "Tiny-Model-311K-v1.0-F16.gguf"
    parsed = gl.FileName.parse(file.path)
    assert parsed is not None
    assert parsed.encoding == "F16"
    experts = exported(DATA / "mixtral" / "hf", tmp_path, metadata=name)
    assert re.fullmatch(r"Tiny-Model-3x[0-9.]+K-v1\.0-F32\.gguf", experts.path.name)


@pytest.mark.parametrize(
    ("general", "name"),
    [
        ({"name": "Qwen2.5 7B Instruct", "size_label": "7B"}, "Qwen2.5_7B_Instruct-7B-v1.0-F16"),
        (
            {"name": "x", "basename": "Qwen2.5", "size_label": "7B", "finetune": "Instruct"},
            "Qwen2.5-7B-Instruct-v1.0-F16",
        ),
        ({"name": "a/b (c)", "size_label": "1M", "version": "2.1"}, "a-b-c-1M-v2.1-F16"),
        ({"size_label": "1M"}, "model-1M-v1.0-F16"),
    ],
)
def test_names(general: dict[str, str], name: str) -> None:
    metadata = {f"general.{key}": value for key, value in general.items()}
    assert file_name(metadata, "F16") == f"{name}.gguf"


def test_a_name_that_the_convention_has_no_place_for() -> None:
    with pytest.raises(GGUFError, match="Or give the path of the file"):
        file_name({"general.name": "x", "general.size_label": "large"}, "F16")


def test_the_model_card_and_generation_config_are_read(tmp_path: Path) -> None:
    hf = tmp_path / "My-Model-1B-Instruct"
    shutil.copytree(DATA / "llama" / "hf", hf)
    (hf / "README.md").write_text("---\nlicense: mit\ntags: [a, b]\n---\ntext")
    (hf / "generation_config.json").write_text('{"temperature": 0.5}')
    metadata = exported(hf, tmp_path / "f.gguf").metadata
    assert metadata["general.name"] == "My Model 1B Instruct"
    assert metadata["general.license"] == "mit"
    assert list(metadata["general.tags"]) == ["a", "b"]
    (hf / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(CheckpointError, match=r"README\.md.*can't be read"):
        exported(hf, tmp_path / "g.gguf")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('{"temperature": "hot"}', r"sampling.temp would be 'hot'; expected a number"),
        ('{"temperature": NaN}', r"sampling.temp would be nan; expected a number"),
        ('{"top_k": 2.5}', r"sampling.top_k would be 2.5; expected a whole number"),
        ('{"top_k": true}', r"sampling.top_k would be True; expected a whole number"),
    ],
)
def test_settings_of_sampling_that_are_no_numbers(tmp_path: Path, written: str, words: str) -> None:
    hf = tmp_path / "hf"
    shutil.copytree(DATA / "llama" / "hf", hf)
    (hf / "generation_config.json").write_text(written)
    with pytest.raises(CheckpointError, match=f"generation_config.json can't be read.*{words}"):
        exported(hf, tmp_path / "f.gguf")


def test_metadata_of_the_user(tmp_path: Path) -> None:
    more = {
        "general.name": "Mine",
        "llama.context_length": 64,
        "llama.rope.freq_base": 5000,
        "x.list": ["a"],
        "x.byte": np.uint8(3),
    }
    metadata = exported(DATA / "llama" / "hf", tmp_path / "f.gguf", metadata=more).metadata
    assert metadata["general.name"] == "Mine"
    assert metadata["llama.context_length"] == 64
    assert metadata["llama.rope.freq_base"] == 5000.0
    assert metadata.type_of("llama.rope.freq_base") == "float32"
    assert list(metadata["x.list"]) == ["a"]
    assert metadata.type_of("x.byte") == "uint8"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("general.architecture", "gpt2", "how the file is to be read"),
        ("general.alignment", 64, "how the file is to be read"),
        ("split.count", 2, "how the file is to be read"),
        ("tokenizer.ggml.tokens", ["a"], "how the file is to be read"),
        ("llama.block_count", "3", "is of type uint32; .3. is of string"),
        ("llama.block_count", -1, "is of int32"),
        ("a key", 1, "visible ASCII"),
        ("x", None, "no form"),
    ],
)
def test_metadata_that_is_refused(key: str, value: object, words: str) -> None:
    with pytest.raises(GGUFError, match=words):
        added({"llama.block_count": 3, "general.architecture": "llama"}, {key: value})


Q = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (
            {"model.layers.1.adapter.weight": ramp(4, 4)},
            {},
            "1 tensor.*adapter.weight.*known by.*without what was added",
        ),
        (
            {Q.replace("weight", "qweight"): ramp(4, 4)},
            {"quantization_config": {"quant_method": "awq"}},
            r"1 tensor.*It is quantized \(awq\), in a way that is not read: export the original",
        ),
        ({"model.layers.7.mlp.up_proj.weight": ramp(4, 4)}, {}, "layer 7: the file ends with"),
        ({Q: ("F8_E4M3", (96, 96), bytes(96 * 96))}, {}, "attn_q.*F8_E4M3, which is not decoded"),
        ({Q: ramp(95, 96)}, {}, "blk.1.attn_q.weight.*can't be made of.*two rotary halves"),
        ({}, {"model_type": "clip"}, "models of type 'clip' can't be exported yet.*llama"),
        ({}, {"model_type": None}, "models of type 'None'"),
        ({}, {"hidden_size": "x"}, "hidden_size"),
    ],
)
def test_nothing_is_lost_silently(tmp_path: Path, change: Any, settings: Any, words: str) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors() | change, **settings)
    with pytest.raises(GGUFLabError, match=words):
        exported(hf, tmp_path / "f.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]


def test_a_checkpoint_saved_with_its_wrapper_is_told_so(tmp_path: Path) -> None:
    hf = llama_with(tmp_path / "hf", {f"module.{n}": t for n, t in llama_tensors().items()})
    with pytest.raises(CheckpointError, match=r"begins with 'module.'.*the model that is inside"):
        exported(hf, tmp_path / "f.gguf")


def test_layers_that_only_predict_are_left_out(tmp_path: Path) -> None:
    more = {"model.layers.3.mlp.up_proj.weight": ramp(4, 4)}
    hf = llama_with(tmp_path / "hf", llama_tensors() | more, num_nextn_predict_layers=1)
    drafts: list[Any] = []
    exported(hf, tmp_path / "f.gguf", report=drafts.append)
    assert drafts[0].left_out == dict.fromkeys(more, "of a layer that only predicts further tokens")


def test_an_output_that_llama_cpp_does_not_have_is_not_dropped(tmp_path: Path) -> None:
    model = causal("gemma2", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"lm_head.weight.*not tied"):
        exported(model, tmp_path / "f.gguf")


def weights(value: float) -> tuple[str, tuple[int, ...], bytes]:
    rows = np.zeros((96, 96), np.float32)
    rows[90, 5] = value
    return "F32", (96, 96), rows.tobytes()


@pytest.mark.parametrize("qtype", ["F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path: Path, value: float, qtype: str) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors() | {Q: weights(value)})
    with pytest.raises(QuantizationError, match=r"'blk.1.attn_q.weight'.*column 5"):
        exported(hf, tmp_path / "f.gguf", qtype=qtype)
    assert [p.name for p in tmp_path.iterdir()] == ["hf"]
    # what isn't rounded is as it was
    with pytest.warns(UserWarning, match=r"1 tensors \('blk.1.attn_q.weight'\) have values that"):
        kept = exported(hf, tmp_path / "f.gguf").tensors["blk.1.attn_q.weight"].dequantize()
    assert not kept.isfinite().all()


def test_a_weight_too_large_for_half_precision(tmp_path: Path) -> None:
    hf = llama_with(tmp_path / "hf", llama_tensors() | {Q: weights(1e5)})
    with pytest.raises(QuantizationError, match="100000"):
        exported(hf, tmp_path / "f.gguf", qtype="F16")
    exported(hf, tmp_path / "f.gguf", qtype="BF16")


@pytest.mark.parametrize("qtype", ["q8_0", 8, {"*": "q8_0"}, lambda _name, _shape: "q8_0"])
def test_a_type_in_any_letters_or_by_number(tmp_path: Path, qtype: Any) -> None:
    with exported(DATA / "llama" / "hf", tmp_path / "f.gguf", qtype=qtype) as model:
        assert model.tensor("blk.0.attn_q.weight").qtype == "Q8_0"


def test_a_mix_in_any_letters(tmp_path: Path) -> None:
    folder = DATA / "llama-256" / "hf"
    with exported(folder, tmp_path / "f.gguf", qtype="q4_k_m") as model:
        assert model.file_type == "Q4_K_M"


@pytest.mark.parametrize("metadata", [[("general.name", "x")], "x"])
def test_metadata_is_a_mapping(tmp_path: Path, metadata: Any) -> None:
    with pytest.raises(GGUFError, match="Expected a mapping"):
        exported(DATA / "llama" / "hf", tmp_path / "f.gguf", metadata=metadata)


@pytest.mark.parametrize("qtype", ["F17", "Q8_1", "I8", "", None, 99, ["Q8_0"]])
def test_unknown_types(tmp_path: Path, qtype: Any) -> None:
    with pytest.raises(UnsupportedError, match=r"type .*(unknown|can't be written).*Q8_0"):
        exported(DATA / "llama" / "hf", tmp_path / "f.gguf", qtype=qtype)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space")])
def test_an_interruption_leaves_nothing(tmp_path: Path, trouble: BaseException) -> None:
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        assert 0 < done <= total
        seen.append(done)
        if done > total / 2:
            assert [p.name for p in tmp_path.iterdir()] != []
            raise trouble

    with pytest.raises((KeyboardInterrupt, OSError)):
        exported(DATA / "llama" / "hf", tmp_path / "f.gguf", progress=progress)
    assert len(seen) > 3
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "f.gguf"
    path.write_text("precious")
    with pytest.raises(GGUFError, match="exists already"):
        exported(DATA / "llama" / "hf", path)
    assert path.read_text() == "precious"
    assert exported(DATA / "llama" / "hf", path, overwrite=True).tensors


def test_sources_that_are_none(tmp_path: Path) -> None:
    import torch

    with pytest.raises(UnsupportedError, match="Linear has no configuration"):
        exported(torch.nn.Linear(2, 2), tmp_path / "f.gguf")
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", num_hidden_layers=1))
    with pytest.raises(UnsupportedError, match="have no data"):
        exported(model, tmp_path / "f.gguf")
    with pytest.raises(CheckpointError, match="without a tokenizer"):
        export(causal("llama"), tmp_path / "f.gguf", progress=False)
    write_checkpoint(tmp_path / "model.safetensors", {"a": ramp(2)})
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        exported(tmp_path, tmp_path / "f.gguf")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds an adapter.*merge_and_unload\(\)"):
        exported(tmp_path, tmp_path / "f.gguf")
    with pytest.raises(CheckpointError, match="no file or folder"):
        exported(tmp_path / "none", tmp_path / "f.gguf")
    for source in (causal("llama").state_dict(), None):
        with pytest.raises(UnsupportedError, match="can't be exported: give the folder"):
            exported(source, tmp_path / "f.gguf")


def test_a_wrapped_model_is_exported_as_the_model_inside(tmp_path: Path) -> None:
    import torch

    model = causal("llama")
    plain = exported(model, tmp_path / "plain.gguf").path.read_bytes()
    for wrapped in (torch.compile(model, backend="eager"), torch.nn.DataParallel(model)):
        found = exported(torch.nn.DataParallel(wrapped), tmp_path / "f.gguf", overwrite=True)
        assert found.path.read_bytes() == plain


@pytest.mark.parametrize("qtype", ["F32", "BF16"])
def test_a_model_with_compiled_layers_is_exported_as_without(tmp_path: Path, qtype: str) -> None:
    """Some layers alone, as is usual in training: their parameters have other names then."""
    model = causal("qwen3_moe", tie_word_embeddings=True)
    plain = exported(model, tmp_path / "plain.gguf", qtype=qtype).path.read_bytes()
    for number, layer in enumerate(model.model.layers):
        model.model.layers[number] = torch.compile(layer, backend="eager")
    model.model.embed_tokens = torch.compile(model.model.embed_tokens, backend="eager")
    assert exported(model, tmp_path / "f.gguf", qtype=qtype).path.read_bytes() == plain


def test_the_tokenizer_of_another_folder_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama_with(tmp_path / "hf", llama_tensors())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("hf") as checkpoint:
        monkeypatch.chdir("elsewhere")
        with pytest.raises(CheckpointError, match=r"^hf was opened, but is not there any more"):
            export(checkpoint, tmp_path / "f.gguf", progress=False)


def test_what_the_weights_are_read_from_is_not_overwritten(tmp_path: Path) -> None:
    """But what a model in memory was read from once may be."""
    hf = llama_with(tmp_path / "hf", llama_tensors())
    settings: dict[str, Any] = {"tokenizer": False, "progress": False, "overwrite": True}
    weights = hf / "model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(GGUFError, match="is a file that is read"):
        export(hf, weights, **settings)
    assert weights.read_bytes() == before
    assert not [*tmp_path.glob("**/.*")]
    before = (hf / "config.json").read_bytes()
    with pytest.raises(GGUFError, match=r"config\.json is a file that is read"):
        export(hf, hf / "config.json", **settings)
    assert (hf / "config.json").read_bytes() == before
    file = export(hf, tmp_path / "f.gguf", **settings)
    before = file.read_bytes()
    model, _ = to_transformers(file)
    assert export(model, file, **settings).read_bytes()[:4] == before[:4]


def test_adapters_that_are_not_merged_are_refused(tmp_path: Path) -> None:
    """As PEFT puts them in: a layer around a layer, and a model around the model."""
    import torch

    class Adapted(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.base_layer = layer
            self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(64, 4, bias=False)})

    model = causal("llama")
    attention = model.model.layers[0].self_attn
    attention.q_proj = Adapted(attention.q_proj)
    with pytest.raises(UnsupportedError, match=r"not merged .*merge_and_unload\(\)"):
        exported(model, tmp_path / "f.gguf")


def test_an_open_checkpoint_and_a_file_are_sources(tmp_path: Path) -> None:
    hf = DATA / "llama" / "hf"
    checkpoint = open_checkpoint(hf)
    files = [
        exported(source, tmp_path / f"{i}.gguf").path.read_bytes()
        for i, source in enumerate((hf, checkpoint, hf / "model.safetensors"))
    ]
    assert files[0] == files[1] == files[2]
    assert checkpoint.tensors["model.norm.weight"].read(0, 1).size  # it was not closed


def test_a_pre_tokenizer_that_nobody_knows_can_be_named(tmp_path: Path) -> None:
    model, tokenizer = causal("gpt2"), byte_level("o")
    with pytest.raises(UnsupportedError, match=r"metadata={'tokenizer.ggml.pre': 'gpt-2'}"):
        export(model, tmp_path / "f.gguf", tokenizer=tokenizer, progress=False)
    named = {"tokenizer.ggml.pre": "starcoder"}
    path = export(model, tmp_path / "f.gguf", tokenizer=tokenizer, metadata=named, progress=False)
    assert gl.open(path).metadata["tokenizer.ggml.pre"] == "starcoder"


def test_a_tokenizer_goes_with_the_model(tmp_path: Path) -> None:
    tokenizer = byte_level()
    path = export(causal("gpt2"), tmp_path / "f.gguf", tokenizer=tokenizer, progress=False)
    metadata = gl.open(path).metadata
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    assert len(metadata["tokenizer.ggml.tokens"]) == 300
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    again = export(
        causal("gpt2"), tmp_path / "g.gguf", tokenizer=tmp_path / "tokenizer", progress=False
    )
    assert again.read_bytes() == path.read_bytes()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {n: t for n, t in tensors_of("bert").items() if not n.startswith("classifier")}
    encoder = checkpoint_with(tmp_path / "hf", "bert", tensors, architectures=["BertModel"])
    hf, path = str(encoder), str(tmp_path / "f.gguf")
    assert main(["export", hf, path, "--no-tokenizer", "--qtype", "q8_0"]) == 0
    out = capsys.readouterr().out
    assert "rows of 24 are no multiple of 32, the block of Q8_0" in out
    assert "left out: bert.pooler.dense.bias, bert.pooler.dense.weight: the pooler" in out
    assert main(["export", hf, path, "--no-tokenizer"]) == 2
    assert "exists already" in capsys.readouterr().err
    arguments = ["export", hf, path, "--no-tokenizer", "--overwrite", "--json"]
    assert main([*arguments, "--shard-size", "20K"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["paths"]) > 1
    assert all(Path(p).is_file() for p in answer["paths"])
    assert answer["tensors"][0]["from"]
    assert len(answer["left_out"]) == 2
    with pytest.raises(SystemExit):
        main([*arguments, "--shard-size", "0G"])
    assert main([*arguments, "--tokenizer", hf]) == 2
    assert "--tokenizer and --no-tokenizer exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("qwen3moe", "norm_topk_prob: False in config.json, True in llama.cpp"),
        ("gemma2", "query_pre_attn_scalar: 256 in config.json, 10 in llama.cpp"),
        ("gemma3", "query_pre_attn_scalar: 256 in config.json, 10 in llama.cpp"),
    ],
)
def test_what_no_key_tells_is_said(folder: str, words: str, tmp_path: Path) -> None:
    drafts: list[Any] = []
    with pytest.warns(UserWarning, match=words):
        export(DATA / folder / "hf", tmp_path / "out.gguf", tokenizer=False, report=drafts.append)
    assert words in repr(drafts[0])


def test_a_least_sum_of_the_shares_of_experts_is_said(tmp_path: Path) -> None:
    drafts: list[Any] = []
    exported(causal("ernie4_5_moe"), tmp_path / "f.gguf", report=drafts.append)
    assert drafts[0].unsaid == {}
    with pytest.warns(UserWarning, match=r"moe_norm_min: 0\.5 in config.json"):
        path = export(
            causal("ernie4_5_moe", moe_norm_min=0.5),
            tmp_path / "g.gguf",
            tokenizer=False,
            progress=False,
        )
    assert gl.open(path).architecture == "ernie4_5-moe"


@pytest.mark.parametrize("window", [8, 256])
def test_a_dots1_of_which_layers_slide_is_said(window: int, tmp_path: Path) -> None:
    drafts: list[Any] = []
    model = causal("dots1", sliding_window=window, max_window_layers=1)
    exported(model, tmp_path / "f.gguf", report=drafts.append)
    assert drafts[0].unsaid.keys() == ({"layer_types"} if window < 256 else set())


def test_the_command_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "query_pre_attn_scalar: 256 in config.json, 10 in llama.cpp"
    arguments = ["export", str(DATA / "gemma2" / "hf"), str(tmp_path), "--no-tokenizer", "--json"]
    assert main(arguments) == 0
    answer = capsys.readouterr()
    assert answer.err.startswith("gguf-lab: warning: llama.cpp computes differently")
    assert words in answer.err
    assert any(words in text for text in json.loads(answer.out)["warnings"])


LOCAL = {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}


# Nothing of it matters where the context is short.
UNTUNED = {"attn_temperature_tuning": False, "floor_scale": 100, "attn_scale": 0.2}


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("mistral", {"sliding_window": 64}, True),
        ("mixtral", {"sliding_window": 64}, True),
        ("mistral", {"sliding_window": 256}, False),  # as long as the context
        ("mistral", {"sliding_window": None}, False),
        ("ministral3", {"sliding_window": 64}, True),
        ("llama", {"sliding_window": 64}, False),  # no setting of a llama
        ("qwen2", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0}, True),
        ("exaone4", {"sliding_window": 64, **LOCAL}, True),  # not of the size that slides there
        ("exaone4", {"sliding_window": 64, "layer_types": ["full_attention"] * 3}, False),
        ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 3}, False),
    ],
)
def test_a_window_that_llama_cpp_does_not_have_is_said(
    kind: str, settings: dict[str, Any], told: bool, tmp_path: Path
) -> None:
    drafts: list[Any] = []
    exported(causal(kind, **settings), tmp_path / "f.gguf", report=drafts.append)
    words = drafts[0].unsaid.get("sliding_window")
    assert words == ("64 in config.json, None in llama.cpp" if told else None)


def test_the_exaone4_that_slides_is_not_warned_of(tmp_path: Path) -> None:
    small = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "head_dim": 4}
    kinds = [*LOCAL["layer_types"] * 21, "full_attention"]
    layers = {"num_hidden_layers": len(kinds), "layer_types": kinds}
    drafts: list[Any] = []
    model = causal("exaone4", sliding_window=64, **small, **layers)
    exported(model, tmp_path / "f.gguf", report=drafts.append)
    assert drafts[0].unsaid == {}
    # and one that predicts further tokens, as EXAONE 4.5: a layer of the file, not of the window
    model.save_pretrained(tmp_path / "hf")
    tensors = contents(tmp_path / "hf")
    last = "model.layers.63."
    more = {n.replace(last, "mtp.layers.0."): t for n, t in tensors.items() if n.startswith(last)}
    dtype, shape, data = tensors["model.norm.weight"]
    more |= {f"mtp.{n}.weight": (dtype, shape, data)
             for n in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")}  # fmt: skip
    more["mtp.fc.weight"] = dtype, (8, 16), data * 16
    (tmp_path / "hf" / "model.safetensors").unlink()
    write_checkpoint(tmp_path / "hf" / "model.safetensors", tensors | more)
    found = exported(tmp_path / "hf", tmp_path / "g.gguf")
    assert found.metadata["exaone4.block_count"] == 65
    assert found.metadata["exaone4.nextn_predict_layers"] == 1
    assert len(found.metadata["exaone4.attention.sliding_window_pattern"]) == 64
    assert gl.memory(found, 8192).n_windowed == 42
    with pytest.warns(UserWarning, match="what predicts further tokens"):
        again, _ = gl.to_transformers(tmp_path / "g.gguf")
    assert again.config.layer_types == kinds


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LONG = {
    "rope_type": "longrope",
    "factor": 4.0,
    "long_factor": [2.0] * 8,
    "short_factor": [1.2] * 8,
    "original_max_position_embeddings": 64,
}


ONE_BASE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
    "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
}
TWO_BASES = ONE_BASE | {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
LOCALLY_SCALED = {
    "sliding_attention": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
    "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
}


@pytest.mark.parametrize(
    ("kind", "scaling", "told"),
    [
        ("llama", {"rope_type": "default"}, []),
        ("llama", {"rope_type": "linear", "factor": 2.0}, []),
        ("llama", {"rope_type": "dynamic", "factor": 2.0}, ["rope_type"]),
        ("llama", LLAMA3, []),
        ("llama", LONG, ["rope_type"]),
        ("llama", LONG | {"short_factor": [2.0] * 8, "factor": 1.0}, []),  # written as factors
        ("llama", YARN, []),
        ("llama", YARN | {"beta_fast": 32, "beta_slow": 1, "truncate": True}, []),
        ("llama", YARN | {"beta_fast": 16.0, "beta_slow": 2.0}, ["beta_fast", "beta_slow"]),
        ("llama", YARN | {"truncate": False}, ["truncate"]),
        ("llama", YARN | {"attention_factor": 1.5}, ["attention_factor"]),
        ("llama", YARN | {"attention_factor": 0.1 * np.log(4.0) + 1}, []),
        ("llama", YARN | {"mscale": 0.7, "mscale_all_dim": 1.0}, ["attention_factor"]),
        ("llama", YARN | {"mscale": 0.7}, []),  # one alone is for nothing
        *(
            ("ministral3", YARN | {"llama_4_scaling_beta": 0.1} | more, told)
            for more, told in (
                ({}, []),
                ({"beta_fast": 16.0, "beta_slow": 2.0}, []),  # which it reads
                ({"mscale": 1.0, "mscale_all_dim": 0.7}, []),
                ({"mscale": 0.7, "mscale_all_dim": 1.0}, ["attention_factor"]),
                ({"mscale_all_dim": 1.0}, ["attention_factor"]),  # takes the other for 1
                ({"truncate": False}, ["truncate"]),
            )
        ),
        ("deepseek_v2", YARN | {"mscale": 0.7, "mscale_all_dim": 0.7}, []),
        ("deepseek_v2", YARN | {"mscale": 0.7, "mscale_all_dim": 1.0}, ["attention_factor"]),
        ("deepseek_v2", YARN, ["mscale_all_dim"]),
        ("deepseek_v2", YARN | {"mscale": 1.0}, ["mscale_all_dim"]),
        ("deepseek_v2", YARN | {"factor": 1.0}, []),
        ("deepseek_v2", {"rope_type": "linear", "factor": 2.0}, ["rope_type"]),
        ("deepseek_v2", {"rope_type": "linear", "factor": 1.0}, []),
        ("llama4_text", LLAMA3, []),
        ("llama4_text", LLAMA3 | {"high_freq_factor": 1.0}, []),
        ("qwen2", LLAMA3, ["rope_type"]),
        ("qwen2", LONG, ["rope_type"]),
        ("falcon", {"rope_type": "linear", "factor": 2.0}, ["rope_type"]),
        ("gpt_neox", {"rope_type": "linear", "factor": 2.0}, ["rope_type"]),
        ("falcon_h1", {"rope_type": "linear", "factor": 2.0}, ["rope_type"]),
        ("phi", {"rope_type": "linear", "factor": 2.0}, ["rope_type"]),
        ("phi", {"rope_type": "linear", "factor": 1.0}, []),
        ("gpt_oss", YARN | {"truncate": False}, ["truncate"]),
    ],
)
def test_a_scaling_of_positions_that_llama_cpp_takes_otherwise_is_said(
    kind: str, scaling: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    """As found by running such models there: where nothing is told, the logits agree."""
    drafts: list[Any] = []
    rope = {"rope_theta": 10000.0, "partial_rotary_factor": 0.5 if kind == "phi" else 1.0}
    model = causal(kind, rope_parameters=rope | scaling)
    exported(model, tmp_path / "f.gguf", report=drafts.append)
    assert [*drafts[0].unsaid] == told


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("phi3", {"sliding_window": 64}, ["sliding_window"]),
        ("phi3", {"sliding_window": 256}, []),
        ("qwen2_moe", {"sliding_window": 64, **LOCAL}, ["layer_types"]),
        ("smollm3", {"sliding_window": 64}, []),
        (
            "smollm3",
            {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"] * 2},
            ["layer_types"],
        ),
        ("gemma", {}, []),
        ("gemma", {"use_bidirectional_attention": True}, ["use_bidirectional_attention"]),
        ("gemma3_text", {"use_bidirectional_attention": True}, ["use_bidirectional_attention"]),
        ("gemma3_text", {"rope_parameters": LOCALLY_SCALED}, ["rope_type"]),
        ("exaone4", {"layer_types": ["full_attention"] * 3}, ["layer_types"]),  # no positions there
        ("exaone4", {"layer_types": ["sliding_attention"] * 3}, []),
        ("qwen2", {"sliding_window": 64, **LOCAL}, []),  # not without use_sliding_window
        ("gemma4_text", {"use_bidirectional_attention": "all"}, ["use_bidirectional_attention"]),
        ("gemma4_text", {"use_bidirectional_attention": "vision"}, []),
        ("gemma4_text", {"num_kv_shared_layers": 0}, []),
        ("olmo3", {"rope_parameters": TWO_BASES}, ["rope_theta"]),
        ("olmo3", {"rope_parameters": ONE_BASE}, []),
        ("gemma3_text", {"rope_parameters": TWO_BASES}, []),
        ("deepseek_v2", {"norm_topk_prob": True}, ["norm_topk_prob"]),
        ("falcon_h1", {}, []),
        ("falcon_h1", {"mamba_norm_before_gate": True}, ["mamba_norm_before_gate"]),
        ("falcon_h1", {"mamba_norm_before_gate": True, "mamba_rms_norm": False}, []),
        ("falcon_h1", {"time_step_limit": (0.5, 1.0)}, ["time_step_limit"]),
        ("granitemoehybrid", {}, []),
        ("granitemoehybrid", {"time_step_limit": (0.5, 1.0)}, ["time_step_limit"]),
        ("granitemoehybrid", {"num_local_experts": 0}, []),
        ("gpt2", {"scale_attn_weights": False}, ["scale_attn_weights"]),
        ("gpt_bigcode", {"scale_attn_weights": False}, ["scale_attn_weights"]),
        ("llama4_text", {"use_qk_norm": False}, ["use_qk_norm"]),
        ("llama4_text", {"num_local_experts": 128}, ["use_qk_norm"]),
        ("llama4_text", {"num_local_experts": 128, "use_qk_norm": False}, []),
        ("llama4_text", {"attention_chunk_size": 128}, ["attention_chunk_size"]),
        ("llama4_text", {"attention_chunk_size": 256, **UNTUNED}, []),
        (
            "llama4_text",
            {"max_position_embeddings": 8192, **UNTUNED},
            ["attn_temperature_tuning", "floor_scale", "attn_scale"],
        ),
        ("gpt_neox", {"hidden_act": "relu"}, ["hidden_act"]),
        ("gpt_neox", {"hidden_act": "gelu_fast", "use_parallel_residual": False}, []),
        ("mamba2", {"time_step_limit": (0.0, float("inf"))}, []),
        ("mamba2", {"time_step_limit": (0.0, 0.1)}, ["time_step_limit"]),
        ("nemotron_h", {"time_step_min": 0.001}, ["time_step_min"]),
        ("nemotron_h", {"mlp_hidden_act": "silu"}, ["mlp_hidden_act"]),
    ],
)
def test_what_else_llama_cpp_has_not_is_said(
    kind: str, settings: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    drafts: list[Any] = []
    exported(causal(kind, **settings), tmp_path / "f.gguf", report=drafts.append)
    assert [*drafts[0].unsaid] == told


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("bert", {}, []),
        ("bert", {"is_decoder": True}, ["is_decoder"]),
        ("distilbert", {}, []),
        ("distilbert", {"activation": "relu"}, ["activation"]),
        ("t5", {}, ["scale_decoder_outputs"]),
        ("t5", {"tie_word_embeddings": False}, []),  # so are those with a gate
        ("t5", {"tie_word_embeddings": False, "feed_forward_proj": "relu"}, []),
        ("t5", {"tie_word_embeddings": False, "feed_forward_proj": "silu"}, ["dense_act_fn"]),
        ("t5", {"tie_word_embeddings": False, "feed_forward_proj": "gated-relu"}, ["dense_act_fn"]),
        ("mt5", {}, []),
        ("umt5", {}, ["tie_word_embeddings"]),  # its class scales always
    ],
)
def test_what_llama_cpp_has_not_of_encoders_is_said(
    kind: str, settings: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    drafts: list[Any] = []
    exported(other(kind, **settings), tmp_path / "f.gguf", report=drafts.append)
    assert [*drafts[0].unsaid] == told


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("t5", {}, False),
        ("t5", {"feed_forward_proj": "relu"}, False),
        ("t5", {"feed_forward_proj": "relu", "tie_word_embeddings": False}, True),
        ("mt5", {}, False),
        ("mt5", {"feed_forward_proj": "relu"}, True),
    ],
)
def test_whether_a_t5_scales_comes_back(
    kind: str, settings: dict[str, Any], told: bool, tmp_path: Path
) -> None:
    """Of one without a gate a key says it, which nothing but the way back looks at."""
    model = other(kind, **settings)
    file = exported(model, tmp_path / "f.gguf")
    assert file.metadata.get("t5.logit_scale") == (1.0 if told else None)
    given = {"input_ids": torch.arange(3, 9)[None], "decoder_input_ids": torch.arange(5)[None]}
    loaded, _ = to_transformers(file)
    if settings or kind == "mt5":  # the other has a gate and scales, which nobody publishes
        with torch.no_grad():
            assert torch.equal(loaded(**given).logits, model(**given).logits)


@pytest.mark.parametrize(
    ("groups", "chosen", "method", "written"),
    [
        (2, 1, "group_limited_greedy", 2),
        (2, 2, "group_limited_greedy", 1),  # all of them: llama.cpp takes no such choice
        (2, 1, "greedy", 1),  # no choice of groups at all
        (2, None, "greedy", 1),
        (1, 1, "greedy", 1),
    ],
)
def test_groups_of_experts_that_llama_cpp_chooses_otherwise_are_said(
    groups: int, chosen: int | None, method: str, written: int, tmp_path: Path
) -> None:
    """Seen there: logits of such a model are off by a tenth; without groups they agree."""
    drafts: list[Any] = []
    model = causal("deepseek_v2", n_group=groups, topk_group=chosen, topk_method=method)
    file = exported(model, tmp_path / "f.gguf", report=drafts.append)
    assert file.metadata["deepseek2.expert_group_count"] == written
    assert [*drafts[0].unsaid] == (["topk_method"] if written > 1 else [])


@pytest.mark.parametrize("full", [{"rope_type": "default"}, {"factor": 4.0}])
def test_a_gemma4_turned_in_another_way_is_refused(full: dict[str, Any], tmp_path: Path) -> None:
    rope = causal("gemma4_text").config.rope_parameters
    model = causal(
        "gemma4_text", rope_parameters={**rope, "full_attention": rope["full_attention"] | full}
    )
    with pytest.raises(UnsupportedError, match="turned proportionally, by a factor of 1"):
        exported(model, tmp_path / "f.gguf")


@pytest.mark.parametrize("kind", ["gemma3_text", "olmo3"])
def test_a_window_that_no_layer_has_is_not_written(kind: str, tmp_path: Path) -> None:
    """With it, llama.cpp ends the process."""
    model = causal(kind, layer_types=["full_attention"] * 3)
    file = exported(model, tmp_path / "f.gguf")
    assert f"{file.architecture}.attention.sliding_window" not in file.metadata


def test_a_phi2_of_grouped_heads_is_refused(tmp_path: Path) -> None:
    shutil.copytree(DATA / "phi2" / "hf", tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    config["num_key_value_heads"] = config["num_attention_heads"] // 2
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match="a phi-2 with fewer heads of keys"):
        export(tmp_path / "hf", tmp_path / "out.gguf", tokenizer=False)


def scoring(name: str, config: str, **settings: Any) -> Any:
    """A small model that tells texts or tokens apart."""
    import transformers

    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 96}
    sizes |= {"num_attention_heads": 4, "num_hidden_layers": 2}
    if config == "DistilBertConfig":
        sizes = {"vocab_size": 300, "dim": 64, "hidden_dim": 96, "n_heads": 4, "n_layers": 2}
    kind = getattr(transformers, name)
    return shaken(kind(getattr(transformers, config)(**sizes, **settings)).float())


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "XLMRoberta"])
@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("saved", [True, False])
def test_what_scores_a_text_comes_back(kind: str, labels: int, saved: bool, tmp_path: Path) -> None:
    """Of a roberta as what computes the same; a comparison finds the layer below the scores."""
    model = scoring(f"{kind}ForSequenceClassification", f"{kind}Config", num_labels=labels)
    model.save_pretrained(tmp_path / "hf")
    file = exported(tmp_path / "hf" if saved else model, tmp_path / "f.gguf")
    assert file.tensors["cls.output.weight"].shape == (labels, 64)
    result = gl.compare(file, tmp_path / "hf", progress=False)
    assert all(row.exact for row in result.rows)
    loaded, _ = to_transformers(file)
    assert type(loaded).__name__ == "BertForSequenceClassification"
    tokens = torch.tensor([[4, 5, 17, 99, 3, 64, 2]])
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize(
    ("name", "config", "labels"),
    [
        ("DistilBertForSequenceClassification", "DistilBertConfig", 3),
        ("DistilBertForTokenClassification", "DistilBertConfig", 3),
        ("BertForTokenClassification", "BertConfig", 2),
        ("BertForTokenClassification", "BertConfig", 3),
        ("RobertaForTokenClassification", "RobertaConfig", 3),
    ],
)
def test_other_classifiers_are_refused(name: str, config: str, labels: int, tmp_path: Path) -> None:
    model = scoring(name, config, num_labels=labels)
    with pytest.raises(UnsupportedError, match="which this classifier does not"):
        exported(model, tmp_path / "f.gguf")
    exported(model.base_model, tmp_path / "f.gguf")


@pytest.mark.parametrize("saved", [True, False])
def test_an_end_that_llama_cpp_cannot_know_is_said(tmp_path: Path, saved: bool) -> None:
    """Not one that a key names, nor one that llama.cpp knows by its text."""
    from transformers import GenerationConfig

    tokenizer = byte_level()
    tokenizer.add_tokens(["<my_end>", "<|im_end|>"])
    mine, known = tokenizer.convert_tokens_to_ids(["<my_end>", "<|im_end|>"])
    model = causal("llama", vocab_size=len(tokenizer))
    words = rf"eos_token_id: {mine} \('<my_end>'\) ends a reply in generation_config, and not in"
    key = {"tokenizer.ggml.eot_token_id": mine}
    for ends, metadata, said in (
        ([tokenizer.eos_token_id, known], {}, False),
        ([tokenizer.eos_token_id, known, mine], {}, True),
        (mine, {}, True),
        (mine, key, False),
    ):
        model.generation_config = GenerationConfig(eos_token_id=ends)
        if saved:
            model.save_pretrained(tmp_path / "hf")
            tokenizer.save_pretrained(tmp_path / "hf")
        drafts: list[Any] = []
        with pytest.warns(UserWarning, match=words) if said else contextlib.nullcontext():
            export(
                tmp_path / "hf" if saved else model,
                tmp_path / "f.gguf",
                tokenizer=None if saved else tokenizer,
                metadata=metadata,
                overwrite=True,
                progress=False,
                report=drafts.append,
            )
        assert ("eos_token_id" in drafts[0].unsaid) is said


def test_a_tokenizer_for_short_texts_is_exported_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers warned of the text by which the pre-tokenizer is told."""
    from transformers import tokenization_utils_base

    tokenizer = byte_level()
    tokenizer.model_max_length = 16
    said: list[str] = []
    monkeypatch.setattr(tokenization_utils_base.logger, "warning", said.append)
    export(causal("llama"), tmp_path / "f.gguf", tokenizer=tokenizer, progress=False)
    assert said == []


def test_a_model_that_pytorch_has_quantized_is_refused(tmp_path: Path) -> None:
    import torch

    class Packed(torch.nn.Linear):  # as `quantize_dynamic` leaves a layer
        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            destination[prefix + "_packed_params.dtype"] = torch.qint8

    model = causal("llama")
    model.model.layers[0].mlp.up_proj = Packed(64, 96)
    with pytest.raises(UnsupportedError, match="is quantized by PyTorch: export the original"):
        exported(model, tmp_path / "f.gguf")
