"""How an embedding model pools: read from the files of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import gguf_lab as gl
from gguf_lab.bridge import export
from gguf_lab.bridge.pooling import pooling_of

BERT = Path(__file__).parents[1] / "data" / "models" / "bert" / "hf"
MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
OFF = {"pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}


def written(folder: Path, settings: Any, modules: Any = MODULES) -> Path:
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, (1, "")),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, (2, "")),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, (3, "")),
        ({"pooling_mode": "mean"}, (1, "")),
        ({"pooling_mode": "lasttoken"}, (3, "")),
        ({"pooling_mode": "max"}, (None, '"max"')),
        ({"pooling_mode": 7}, (None, '"7"')),
        ({"pooling_mode_max_tokens": True}, (None, '"pooling_mode_max_tokens"')),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            (None, '"mean" and "cls"'),
        ),
        ({}, (None, "")),
    ],
)
def test_what_is_read(settings: dict[str, Any], expected: tuple[Any, str], tmp_path: Path) -> None:
    assert pooling_of(written(tmp_path / "model", OFF | settings)) == expected


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    assert pooling_of(None) == (None, "")
    assert pooling_of(tmp_path) == (None, "")
    assert pooling_of(written(tmp_path / "model", {}, MODULES[:1])) == (None, "")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("modules.json", "{", "is not JSON"),
        ("modules.json", "[" * 100_000, "is not JSON"),
        ("modules.json", "{}", "a list of modules"),
        ("modules.json", "[1]", "a list of modules"),
        ("modules.json", '[{"type": "Pooling", "path": "../.."}]', "not in the folder"),
        ("modules.json", '[{"type": "Pooling", "path": "\\u0000"}]', "not in the folder"),
        ("modules.json", '[{"type": "Pooling", "path": "\\ud800"}]', "not in the folder"),
        ("modules.json", '[{"type": "Pooling", "path": "/etc"}]', "not in the folder"),
        ("modules.json", '[{"type": "Pooling"}]', "can't be read"),
        ("1_Pooling/config.json", "no", "is not JSON"),
        ("1_Pooling/config.json", "[]", "an object"),
    ],
)
def test_malformed(name: str, text: str, words: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {})
    (folder / name).write_text(text)
    with pytest.raises(gl.CheckpointError, match=words):
        pooling_of(folder)


def test_export_writes_it(tmp_path: Path) -> None:
    """As llama.cpp's converter does: a uint32 under the name of the architecture."""
    folder = written(tmp_path / "model", {"pooling_mode_cls_token": True})
    shutil.copytree(BERT, folder, dirs_exist_ok=True)
    path = export(folder, tmp_path / "f.gguf", tokenizer=False, progress=False)
    metadata = gl.open(path).metadata
    assert metadata["bert.pooling_type"] == 2
    assert metadata.type_of("bert.pooling_type") == "uint32"


def test_export_says_what_it_can_not_write(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {"pooling_mode": "weightedmean"})
    shutil.copytree(BERT, folder, dirs_exist_ok=True)
    with pytest.warns(UserWarning, match='"weightedmean" in modules.json; llama.cpp has mean'):
        path = export(folder, tmp_path / "f.gguf", tokenizer=False, progress=False)
    assert "bert.pooling_type" not in gl.open(path).metadata
