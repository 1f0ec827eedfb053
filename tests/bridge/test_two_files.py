"""Two files, of a language model and of what sees or hears, as one model of Transformers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge.hyperparameters import PARTS, config_of
from gguf_lab.errors import GGUFError, UnsupportedError

from .running import TOKENS, expected
from .senses import (
    MEAN,
    RATE,
    SEEING,
    STD,
    due_of_image,
    due_of_sound,
    processor,
    read_around,
)
from .small_encoders import ENCODERS, READING, encoder
from .small_models import byte_level, causal

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:llama.cpp computes differently"),
    pytest.mark.filterwarnings("ignore:.*has no token"),
]

# janus has parts that make images, which are in neither file
READ = [kind for kind in READING if kind != "janus"]
# 1 is added to norms, and taken away again, in float32; one factor goes through a logarithm
ROUNDED = ("gemma3", "gemma4", "minicpmv4_6", "qwen3_5", "qwen3_5_moe")
# llama.cpp wants these in F16, whatever is asked for
HALVED = ("mm_input_projection_weight", "conv1.weight", "conv2.weight")
LEFT_OUT = ".vision_tower.head."  # in no file: it is not asked for


def written(kind: str, model: Any, folder: Path, qtype: str = "F32") -> tuple[Path, Path]:
    """Both files of a model."""
    told = processor(kind, folder)
    text = gl.export(model, folder / "text.gguf", tokenizer=False, qtype=qtype, progress=False)
    senses = gl.export_mmproj(
        model, folder / "mmproj.gguf", processor=told, qtype=qtype, progress=False
    )
    assert not isinstance(text, list)
    return text, senses


@pytest.mark.parametrize("kind", READ)
def test_they_become_the_model_again(kind: str, tmp_path: Path) -> None:
    """Weights, what it reads, sees and hears; and the files that are made of it."""
    import torch

    model = encoder(kind)
    text, senses = written(kind, model, tmp_path)
    again, tokenizer = gl.to_transformers(text, projector=senses)
    assert tokenizer is None
    assert type(again) is type(model)
    had, got = model.state_dict(), again.state_dict()
    assert {*got} == {name for name in had if LEFT_OUT not in name}
    for name, values in got.items():
        due = had[name]
        if name.endswith(HALVED) and "language_model" not in name:
            due = due.half().float() if torch.equal(values, due.half().float()) else due
        torch.testing.assert_close(values, due, rtol=0, atol=1e-7 * (kind in ROUNDED))
    assert np.allclose(expected(again, TOKENS), expected(model, TOKENS), atol=1e-5)
    across, down = ENCODERS[kind][2]
    if across:
        image = np.random.default_rng(1).integers(0, 256, (down, across, 3), dtype=np.uint8)
        normal = torch.tensor(((image / 255 - MEAN) / STD).astype(np.float32))
        pixels = normal.permute(2, 0, 1)[None]
        seen, due = (due_of_image(kind, of, pixels) for of in (again, model))
        assert np.linalg.norm(seen - due) < 1e-3 * np.linalg.norm(due)
        read, due = (read_around(kind, of, pixels) for of in (again, model))
        assert np.abs(read - due).max() < (1e-3 if kind == "gemma3" else 1e-5)
    if kind == "gemma4" or kind not in SEEING:
        sound = 0.1 * np.random.default_rng(1).standard_normal(30 * RATE).astype(np.float32)
        heard, due = (due_of_sound(kind, of, sound) for of in (again, model))
        assert np.linalg.norm(heard - due) < 1e-3 * np.linalg.norm(due)
    (tmp_path / "again").mkdir()
    for first, second in zip((text, senses), written(kind, again, tmp_path / "again"), strict=True):
        ones, others = gl.open(first).tensors, gl.open(second).tensors
        assert [*ones] == [*others]
        for name, tensor in ones.items():
            off = np.abs(others[name].to_numpy() - tensor.to_numpy()).max()
            assert off <= 1e-6 * (kind in ROUNDED), name


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("mistral3", "llama"),
        ("internvl", "llama"),
        ("internvl", "qwen3"),
        ("internvl", "qwen3_moe"),
        ("internvl", "gpt_oss"),
    ],
)
def test_other_language_models(kind: str, architecture: str, tmp_path: Path) -> None:
    _, senses = written(kind, encoder(kind), tmp_path)
    language = causal(architecture, hidden_size=64, head_dim=16)
    text = gl.export(
        language, tmp_path / "f.gguf", tokenizer=byte_level(), qtype="F32", progress=False
    )
    assert not isinstance(text, list)
    alone, _ = gl.to_transformers(text)
    model, _ = gl.to_transformers(text, projector=senses)
    assert model.config.text_config.model_type == alone.config.model_type
    assert np.array_equal(expected(model, TOKENS), expected(alone, TOKENS))


def test_in_few_bits(tmp_path: Path) -> None:
    """What is decoded is what the file says, in the type that is asked for."""
    import torch

    text, senses = written("qwen2_5_vl", encoder("qwen2_5_vl"), tmp_path, "Q8_0")
    model, _ = gl.to_transformers(text, projector=senses, dtype="bfloat16")
    weight = model.get_parameter("model.visual.blocks.0.mlp.gate_proj.weight")
    tensor = gl.open(senses).tensors["v.blk.0.ffn_gate.weight"]
    assert tensor.qtype == "Q8_0"
    assert torch.equal(weight, torch.from_numpy(tensor.to_numpy()).bfloat16())


def test_the_place_of_an_image_is_found_by_its_token(tmp_path: Path) -> None:
    import torch

    model = encoder("idefics3")
    model.resize_token_embeddings(320)
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    number = tokenizer.convert_tokens_to_ids("<image>")
    model.config.image_token_id = model.model.image_token_id = number
    told = processor("idefics3", tmp_path)
    text = gl.export(model, tmp_path / "f.gguf", tokenizer=tokenizer, qtype="F32", progress=False)
    senses = gl.export_mmproj(
        model, tmp_path / "mmproj.gguf", processor=told, qtype="F32", progress=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, read = gl.to_transformers(text, projector=senses)
    assert read is not None
    assert again.config.image_token_id == number
    given = {
        "input_ids": torch.tensor([[1, 5, *[number] * 4, 9]]),
        "pixel_values": torch.rand(1, 1, 3, 56, 56),
    }
    with torch.no_grad():
        found, due = again(**given).logits, model(**given).logits
        blind = model(input_ids=given["input_ids"]).logits
    assert torch.allclose(found, due, atol=1e-5)
    assert not torch.allclose(blind, due, atol=1e-3)


def test_a_token_is_missing(tmp_path: Path) -> None:
    text, senses = written("idefics3", encoder("idefics3"), tmp_path)
    with pytest.warns(UserWarning, match=r"has no token '<image>': which one stands for"):
        gl.to_transformers(text, projector=senses)


def test_they_dont_belong_together(tmp_path: Path) -> None:
    text, senses = written("idefics3", encoder("idefics3"), tmp_path)
    metadata = dict(gl.open(senses).metadata)
    assert metadata["clip.vision.projection_dim"] == 64
    content = senses.read_bytes()
    key = b"clip.vision.projection_dim" + (4).to_bytes(4, "little")
    assert content.count(key + (64).to_bytes(4, "little")) == 1
    senses.write_bytes(content.replace(key + b"\x40", key + b"\x41"))
    with pytest.raises(GGUFError, match=r"65 numbers wide, .* is 64: they don't belong together"):
        gl.to_transformers(text, projector=senses)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    text, _ = written("idefics3", encoder("idefics3"), tmp_path)
    with pytest.raises(UnsupportedError, match="is no projector, but of kind model"):
        gl.to_transformers(text, projector=text)
    (tmp_path / "other").mkdir()
    qwen, _ = written("qwen2_vl", encoder("qwen2_vl"), tmp_path / "other")
    with pytest.raises(UnsupportedError, match=r"it is there only with what sees, .*projector="):
        gl.to_transformers(qwen)
    (tmp_path / "glm4v").mkdir()
    glm, _ = written("glm4v", encoder("glm4v"), tmp_path / "glm4v")
    with pytest.raises(UnsupportedError, match=r"it is there only with what sees, .*projector="):
        gl.to_transformers(glm)
    (tmp_path / "janus").mkdir()
    reads, makes = written("janus", encoder("janus"), tmp_path / "janus")
    with pytest.raises(UnsupportedError, match="type 'janus_pro' beside a language model of"):
        gl.to_transformers(reads, projector=makes)
    (tmp_path / "gemma3").mkdir()
    _, sees = written("gemma3", encoder("gemma3"), tmp_path / "gemma3")
    with pytest.raises(UnsupportedError, match=r"type 'gemma3' beside .* architecture 'llama'"):
        gl.to_transformers(reads, projector=sees)


def test_what_the_whole_does_not_do_is_refused(tmp_path: Path) -> None:
    """A cap on the logits: the class around any language model has none."""
    _, sees = written("internvl", encoder("internvl"), tmp_path)
    language = causal("gemma2", hidden_size=64, head_dim=16)
    caps = gl.export(language, tmp_path / "f.gguf", tokenizer=byte_level(), progress=False)
    assert not isinstance(caps, list)
    with pytest.raises(UnsupportedError, match=r"type 'internvl' beside .* 'gemma2' can't be"):
        gl.to_transformers(caps, projector=sees)


@pytest.mark.parametrize("name", ["v.blk.1.attn_q.bias", "mm.model.fc.weight"])
def test_a_tensor_is_missing(name: str, tmp_path: Path) -> None:
    text, senses = written("idefics3", encoder("idefics3"), tmp_path)
    content = senses.read_bytes()
    senses.write_bytes(content.replace(name.encode(), b"x" + name.encode()[1:], 1))
    with pytest.raises(GGUFError, match=r"has no place for 1 tensors of the file: x\S+$"):
        gl.to_transformers(text, projector=senses)


def test_parts_have_no_class_of_their_own() -> None:
    for family in PARTS:
        for name in family.architectures:
            with pytest.raises(GGUFError, match="lack"):
                config_of(name, {}, {"token_embd.weight": (3, 4)}, part=True)
