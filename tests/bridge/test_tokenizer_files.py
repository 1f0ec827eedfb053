"""Tokenizers of checkpoints with more or less in their files than those of `test_tokenizers`."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab.bridge.tokenizers import metadata_of_tokenizer, to_tokenizer
from gguf_lab.bridge.tokenizers.vocabulary import TokenType

from .vocabularies import DATA, expected, metadata

if TYPE_CHECKING:
    from pathlib import Path

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"


def folder_of(name: str, target: Path, **changes: Any) -> Path:
    """A copy of a tokenizer's folder; a dict is merged into a file, None removes it."""
    shutil.copytree(DATA / name, target, dirs_exist_ok=True)
    for stem, change in changes.items():
        path = target / f"{stem}.json"
        if change is None:
            path.unlink()
        elif isinstance(change, dict):
            old = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(old | change))
        else:
            path.write_text(json.dumps(change))
    return target


def exported(folder: Path, count: int, **config: Any) -> dict[str, Any]:
    return metadata_of_tokenizer(folder, config=config, vocabulary=count)


def token(place: int, text: str, *, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    return {"id": place, "content": text, "special": special, **flags}


# --- Added tokens ---


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_added_tokens_are_taken_from_whichever_file_has_them(name: str, tmp_path: Path) -> None:
    """Transformers 5 saves them in `tokenizer.json` alone, beside SentencePiece's own file."""
    config, first = expected(name)["config"], 493 if name == "llama" else 164
    later = token(first + 1, "<later>", special=True)
    settings = {"added_tokens_decoder": {str(first + 2): token(0, "<described>", special=False)}}
    folder = folder_of(
        name,
        tmp_path,
        added_tokens={"<plain>": first},
        tokenizer={"added_tokens": [later, token(config["eos_token_id"], "</s>", special=True)]},
        tokenizer_config=settings,
    )
    found = exported(folder, first + 4, **config)
    assert found[TOKENS][first:] == ["<plain>", "<later>", "<described>", f"[PAD{first + 3}]"]
    user, control = TokenType.USER_DEFINED, TokenType.CONTROL
    assert found[TYPES][first:].tolist() == [user, control, user, TokenType.UNUSED]
    with pytest.warns(UserWarning, match='the file goes without.*"<described>"'):
        assert len(exported(folder, first + 2, **config)[TOKENS]) == first + 2


def test_pieces_beyond_the_embedding_are_named(tmp_path: Path) -> None:
    folder = folder_of("llama", tmp_path, added_tokens=None, tokenizer_config=[])
    (folder / "tokenizer_config.json").unlink()
    with pytest.warns(UserWarning, match="400 rows for 480 pieces"):
        exported(folder, 400, model_type="llama")


MALFORMED = {
    "an id in words": ("llama", {"added_tokens": {"<a>": "3"}}, r"added_tokens\.json: .*\"<a>\""),
    "an id below zero": ("llama", {"added_tokens": {"<a>": -1}}, r"added_tokens\.json"),
    "described by a name": (
        *("llama", {"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "a"}}}}),
        r"tokenizer_config\.json: an added token is \"a\" with the id \"x\"",
    ),
    "described without a text": (
        *("llama", {"tokenizer_config": {"added_tokens_decoder": {"490": {"special": True}}}}),
        r"tokenizer_config\.json: an added token is None",
    ),
    "described in a list": (
        *("llama", {"tokenizer_config": {"added_tokens_decoder": [1]}}),
        "expected an object",
    ),
    "a vocabulary of numbers": (
        *("llama-json", {"tokenizer": {"model": {"type": "Unigram", "vocab": [1, 2]}}}),
        "expected an array of texts with scores",
    ),
    "no vocabulary": (
        *("llama-json", {"tokenizer": {"model": {"type": "BPE", "byte_fallback": True}}}),
        "expected an object with an id",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    name, changes, message = MALFORMED[case]
    with pytest.raises(gl.CheckpointError, match=message):
        exported(folder_of(name, tmp_path, **changes), 500, model_type="llama")


# --- Tokens of one text, which llama.cpp ends the process for ---


def test_a_filler_gives_way_to_a_token_of_its_name(tmp_path: Path) -> None:
    folder = folder_of("llama", tmp_path, added_tokens={"[PAD495]": 489})
    found = exported(folder, 500, **expected("llama")["config"])
    assert found[TOKENS][489] == "[PAD495]"
    assert found[TOKENS][495] == "[PAD495]_"
    ours = to_tokenizer(found)
    assert ours.get_vocab()["[PAD495]"] == 489
    assert "[PAD495]_" not in ours.get_vocab()


def test_two_tokens_of_one_text_are_refused(tmp_path: Path) -> None:
    piece = metadata("llama")[TOKENS][300]
    folder = folder_of("llama", tmp_path / "llama", added_tokens={piece: 489})
    message = re.escape(f'The tokens 300 and 489 are both "{piece}"')
    with pytest.raises(gl.CheckpointError, match=message):
        exported(folder, 500, **expected("llama")["config"])
    # "##X" and "X" as a word are one, written with "▁" for the beginning of a word
    whole = json.loads((DATA / "bert" / "tokenizer.json").read_text())
    whole["model"]["vocab"] |= {"##\u2581the": 320, "the": whole["model"]["vocab"]["the"]}
    folder = folder_of("bert", tmp_path / "bert", tokenizer=whole)
    with pytest.raises(gl.CheckpointError, match='are both "\u2581the"'):
        exported(folder, 330, **expected("bert")["config"])
