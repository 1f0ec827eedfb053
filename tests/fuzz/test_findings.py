"""What longer runs and reading with an evil eye have found, each on its own."""

from __future__ import annotations

import json
import pickle
import struct
from typing import Any

import numpy as np
import pytest

from gguf_lab.bridge.chat_process import _answer
from gguf_lab.bridge.tokenizers.building import build, merges_of_scores
from gguf_lab.bridge.tokenizers.vocabulary import read_vocabulary
from gguf_lab.errors import ChatTemplateError, CheckpointError, GGUFError, GGUFLabError
from gguf_lab.file import open_file
from gguf_lab.reference import open_checkpoint

from ..bridge import vocabularies
from ..file.builders import small

CHARSMAP = "tokenizer.ggml.precompiled_charsmap"


def test_the_name_of_a_file_is_a_strangers_too(tmp_path):
    path = tmp_path / "a\x1b[2J\u202egnp.gguf"
    path.write_bytes(b"no model")
    with pytest.raises(GGUFError) as caught:
        open_file(path)
    assert str(caught.value).isprintable()
    assert r"a\x1b[2J\u202egnp.gguf" in str(caught.value)


def test_no_error_is_long_whatever_it_quotes(tmp_path):
    for length in (3999, 4000, 4001, 10**7):
        error = GGUFLabError("\x00" + "x" * length)
        assert len(str(error)) == min(length + 4, 4000)
    assert str(GGUFLabError("x" * 4001)).endswith("x…")
    assert str(GGUFLabError("two\nlines")) == "two\nlines"
    again = pickle.loads(pickle.dumps(CheckpointError("a\x07")))
    assert (type(again), str(again)) == (CheckpointError, r"a\x07")
    builder = small().key("split.count", "string", "y" * 10**6)
    with pytest.raises(GGUFError, match=r"split\.count") as caught:
        open_file(builder.write(tmp_path / "a.gguf"))
    assert len(str(caught.value)) < 1000


def test_tokens_that_begin_with_each_other_are_no_bomb():
    # half a million merges, of a thousand tokens: 500 kB
    ids = {"a" * n: n for n in range(1, 1001)}
    with pytest.raises(GGUFError, match="begin with each other"):
        merges_of_scores(ids, [0.0] * 1001)
    # many lengths and few beginnings cost no more than their characters
    ids = {chr(200 + n) + "b" * n * 20: n for n in range(2000)}
    assert merges_of_scores(ids, [0.0] * 2000) == []


def _by_all_pairs(ids: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    found = [
        (-scores[place], cut, place, token[:cut], token[cut:])
        for token, place in ids.items()
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    return [(left, right) for *_, left, right in sorted(found)]


def test_merges_are_those_of_all_pairs():
    random = np.random.default_rng(0)
    for _ in range(100):
        texts = {"".join(random.choice(list("ab"), random.integers(1, 7))) for _ in range(30)}
        ids = {text: place for place, text in enumerate(sorted(texts, key=lambda text: text[::-1]))}
        scores = random.integers(0, 4, len(ids)).tolist()
        assert merges_of_scores(ids, scores) == _by_all_pairs(ids, scores)


def charsmap(units: list[int], texts: bytes) -> Any:
    trie = np.array(units, "<u4").tobytes()
    return np.frombuffer(struct.pack("<I", len(trie)) + trie + texts, np.uint8)


# a walk begins at 0; the one unit with a value leads to where the text begins
UNITS = [0] * 256
UNITS[ord("a")] = ord("a") | 1 << 8 | 1 << 10  # "a" ends here; its value is one place beside it
UNITS[ord("a") ^ 1] = 1 << 31 | 2


def test_a_charsmap_is_walked_as_it_says():
    found = vocabularies.metadata("t5") | {CHARSMAP: charsmap(UNITS, b"x\0b\0")}
    assert build(read_vocabulary(found)).normalizer.normalize_str("a").strip() == "b"


@pytest.mark.parametrize(
    ("place", "unit", "message"),
    [
        (0, 1 << 20, "unit 0 of the trie leads to 1024, beyond its 256 units"),
        (97, 97 | 1 << 8 | 1 << 30, "unit 97 of the trie leads to 1048673, beyond"),
        (96, 1 << 31 | 99, "unit 97 of the trie leads to byte 99 of the 5 bytes of texts"),
        (96, 1 << 31 | 4, r"byte 4 .*, where no text begins"),
    ],
)
def test_a_charsmap_that_leads_astray_is_refused(place, unit, message):
    """The library that walks it would panic: an exception that nobody catches."""
    units = list(UNITS)
    units[place] = unit
    found = vocabularies.metadata("t5") | {CHARSMAP: charsmap(units, b"x\0b\xc3\xa9")}
    with pytest.raises(GGUFError, match=message):
        read_vocabulary(found)


def test_an_index_may_name_what_is_too_long_for_a_file(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "a/" * 500_000}}))
    with pytest.raises(CheckpointError, match="the shard 'a/a/") as caught:
        open_checkpoint(tmp_path)
    assert len(str(caught.value)) < 1000


def test_a_token_as_long_as_a_file_does_not_end_the_process():
    """The tree of the library is as deep as the longest token, and is taken down by recursion."""
    found = dict(vocabularies.metadata("t5"))
    tokens = list(found["tokenizer.ggml.tokens"])
    for text, refused in (("é" * 1000, False), ("é" * 1001, True), ("H" * 10**6, True)):
        tokens[10] = text
        read = read_vocabulary(found | {"tokenizer.ggml.tokens": tokens})
        if refused:
            with pytest.raises(GGUFError, match=r"tokens\[10\] has 1,00.*Expected at most 2,000"):
                build(read)
        else:
            assert text in build(read).get_vocab()


def test_an_answer_of_a_template_that_nests_without_end():
    with pytest.raises(ChatTemplateError, match="broke the process that rendered it"):
        _answer((b"[" * 10**6, 0), 1.0)


def test_a_vocabulary_without_unknown_token_is_refused():
    """The library would raise a bare exception for the first character that no token has."""
    found = vocabularies.metadata("t5")
    kinds = np.array(found["tokenizer.ggml.token_type"], np.int32)
    kinds[2] = 1  # no control token: then 2 is no default either
    found = {key: value for key, value in found.items() if key != "tokenizer.ggml.unknown_token_id"}
    with pytest.raises(GGUFError, match="unknown_token_id is missing"):
        build(read_vocabulary(found | {"tokenizer.ggml.token_type": kinds}))
