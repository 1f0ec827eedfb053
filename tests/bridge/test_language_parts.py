"""The language models of models that see or hear, exported from the same checkpoint."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.errors import CheckpointError, UnsupportedError
from gguf_lab.reference import open_checkpoint

from ..reference.support import PROJECTORS, TABLES, write_checkpoint
from .checkpoints import contents, exported
from .small_encoders import READING, encoder
from .test_exporting import plain

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURES = {
    "gemma4": "gemma4", "glm4v": "glm4", "lighton_ocr": "qwen3", "janus": "llama",
    "qwen3_5": "qwen35", "qwen3_5_moe": "qwen35moe",
    "gemma3": "gemma3", "exaone4_5": "exaone4", "llava": "llama", "idefics3": "llama",
    "mistral3": "mistral3", "internvl": "qwen2",
    "llama4": "llama4", "lfm2_vl": "lfm2", "qwen2_vl": "qwen2vl", "qwen2_5_vl": "qwen2vl",
    "qwen3_vl": "qwen3vl", "qwen3_vl_moe": "qwen3vlmoe", "qwen2_audio": "qwen2",
    "voxtral": "llama", "audioflamingo3": "qwen2", "paddleocr_vl": "paddleocr",
    "minicpmv4_6": "qwen35",
}  # fmt: skip
PARTS = ("mmproj", "rotary", "image", "tied")


@pytest.mark.parametrize("kind", READING)
def test_a_model_that_sees_or_hears(kind: str, tmp_path: Path) -> None:
    """In memory or as it is saved: the same file, of which nothing differs from the checkpoint."""
    model = encoder(kind)
    model.save_pretrained(tmp_path / "hf")
    names = {"general.name": "Small"}
    made = exported(model, tmp_path / "a.gguf", metadata=names)
    saved = exported(tmp_path / "hf", tmp_path / "b.gguf", metadata=names)
    assert made.architecture == saved.architecture == ARCHITECTURES[kind]
    assert plain(made.metadata) == plain(saved.metadata)
    assert {*made.tensors} == {*saved.tensors}
    for name, tensor in saved.tensors.items():
        assert np.array_equal(tensor.to_numpy(), made.tensors[name].to_numpy()), name
    rows = gl.compare(saved, tmp_path / "hf", progress=False).rows
    made_up = {row.name for row in rows if row.name and not row.measured}
    assert made_up == ({"rope_freqs.weight"} if kind == "gemma4" else set())
    assert all(row.exact for row in rows if row.measured)
    assert all(any(part in row.reason for part in PARTS) for row in rows if not row.name)


@pytest.mark.parametrize("name", ["qwen2vl", "qwen3vl", "qwen3vlmoe"])
def test_the_converters_own_files(name: str, tmp_path: Path) -> None:
    """Byte for byte; the number of tokens is told besides, without which llama.cpp loads none."""
    (path,) = (TABLES / name).glob("*.gguf")
    theirs = gl.open(path)
    ours = exported(TABLES / name / "hf", tmp_path / "f.gguf", qtype="BF16")
    due = plain(theirs.metadata) | {f"{name}.vocab_size": ("uint32", 20)}
    assert plain(ours.metadata) == due
    assert [*ours.tensors] == [*theirs.tensors]
    for key, tensor in theirs.tensors.items():
        assert ours.tensors[key].qtype == tensor.qtype
        assert ours.tensors[key].to_numpy().tobytes() == tensor.to_numpy().tobytes()


def test_the_language_model_of_internvl_as_published(tmp_path: Path) -> None:
    """Its configuration calls it otherwise."""
    config = json.loads((PROJECTORS / "internvl" / "hf" / "config.json").read_text())
    part = {
        "model_type": "qwen2", "hidden_size": 16, "intermediate_size": 24, "vocab_size": 20,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
    }  # fmt: skip
    config["llm_config"] = part
    tensors = {
        "embed_tokens.weight": (20, 16), "norm.weight": (16,),
        "layers.0.input_layernorm.weight": (16,), "layers.0.post_attention_layernorm.weight": (16,),
        "layers.0.mlp.gate_proj.weight": (24, 16), "layers.0.mlp.up_proj.weight": (24, 16),
        "layers.0.mlp.down_proj.weight": (16, 24), "layers.0.self_attn.q_proj.weight": (16, 16),
        "layers.0.self_attn.k_proj.weight": (8, 16), "layers.0.self_attn.v_proj.weight": (8, 16),
        "layers.0.self_attn.o_proj.weight": (16, 16), "layers.0.self_attn.q_proj.bias": (16,),
        "layers.0.self_attn.k_proj.bias": (8,), "layers.0.self_attn.v_proj.bias": (8,),
    }  # fmt: skip
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    content = {
        f"language_model.model.{name}": ("F32", shape, np.ones(shape, "<f4").tobytes())
        for name, shape in tensors.items()
    }
    content["vision_model.embeddings.class_embedding"] = ("F32", (1, 1, 12), b"\0" * 48)
    write_checkpoint(folder / "model.safetensors", content)
    model = exported(folder, tmp_path / "f.gguf")
    assert model.architecture == "qwen2"
    assert len(model.tensors) == len(tensors)


def changed(folder: Path, kind: str, change: Any) -> Path:
    encoder(kind).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_whole_says_whether_it_is_tied(tmp_path: Path) -> None:
    def untied(config: dict[str, Any]) -> None:
        config["tie_word_embeddings"] = False
        config["text_config"]["tie_word_embeddings"] = True

    folder = changed(tmp_path / "hf", "idefics3", untied)
    tensors = contents(folder)
    tensors.pop("lm_head.weight", None)
    (folder / "model.safetensors").unlink()
    write_checkpoint(folder / "model.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"there is nothing for 'output\.weight'"):
        exported(folder, tmp_path / "f.gguf")


@pytest.mark.parametrize("value", [[1], 3, None, "no such"])
def test_a_model_type_that_is_none(value: object, tmp_path: Path) -> None:
    folder = changed(tmp_path / "hf", "voxtral", lambda config: config.update(model_type=value))
    with pytest.raises(UnsupportedError, match="can't be exported yet"):
        exported(folder, tmp_path / "f.gguf")


def test_layers_of_kinds_that_are_no_list(tmp_path: Path) -> None:
    """A window is told of only where a list says who has it."""

    def other(config: dict[str, Any]) -> None:
        config["text_config"]["layer_types"] = 3

    exported(changed(tmp_path / "hf", "internvl", other), tmp_path / "f.gguf")


def test_a_number_of_tokens_that_no_float_can_be(tmp_path: Path) -> None:
    def other(config: dict[str, Any]) -> None:
        config["text_config"]["vocab_size"] = 10**400

    folder = changed(tmp_path / "hf", "paddleocr_vl", other)
    assert exported(folder, tmp_path / "f.gguf").tensors["token_embd.weight"].shape[0] == 300


@pytest.mark.parametrize(
    ("kind", "sections", "words"),
    [
        ("qwen2_vl", [2, 2, 2], "turns pairs of no section otherwise"),
        ("qwen2_vl", [9, 9, 9], "more than the size of a head"),
        ("qwen2_vl", [2, 2], "mrope_section in config.json is .*; expected three numbers"),
        ("qwen2_vl", "2", "mrope_section in config.json is '2'; expected a list"),
        ("qwen3_vl", [2, 3, 3], "turns pairs of no section otherwise"),
        ("qwen3_vl", None, "mrope_section in config.json is None; expected three numbers"),
        ("qwen3_vl", [3, 3, -2], "mrope_section in config.json is -2"),
    ],
)
def test_sections(kind: str, sections: object, words: str, tmp_path: Path) -> None:
    def other(config: dict[str, Any]) -> None:
        config["text_config"]["rope_parameters"]["mrope_section"] = sections

    folder = changed(tmp_path / "hf", kind, other)
    with pytest.raises((CheckpointError, UnsupportedError), match=words):
        exported(folder, tmp_path / "f.gguf")


def test_experts_as_published_and_as_saved(tmp_path: Path) -> None:
    """On their sides, or upright as Transformers 5 saves them: the same file."""
    model = encoder("qwen3_vl_moe")
    model.save_pretrained(tmp_path / "hf")
    upright = exported(tmp_path / "hf", tmp_path / "a.gguf")
    shutil.copytree(tmp_path / "hf", tmp_path / "published")
    tensors = {}
    for t in open_checkpoint(tmp_path / "hf").tensors.values():
        values = t.read(0, t.n_rows).view("<f4").reshape(t.shape)
        values = values.swapaxes(1, 2) if ".experts." in t.name else values
        tensors[t.name] = ("F32", values.shape, np.ascontiguousarray(values).tobytes())
    write_checkpoint(tmp_path / "published" / "model.safetensors", tensors)
    lying = exported(tmp_path / "published", tmp_path / "b.gguf")
    assert lying.tensors["blk.0.ffn_gate_exps.weight"].shape == (4, 24, 64)
    for name, tensor in lying.tensors.items():
        assert np.array_equal(tensor.to_numpy(), upright.tensors[name].to_numpy()), name
