"""Tokenizers both ways, against llama.cpp and its converter, SentencePiece and the originals."""

from __future__ import annotations

import json
import shutil
import unicodedata
from functools import cache

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

import gguf_lab as gl
from gguf_lab.bridge.tokenizers import has_tokenizer, metadata_of_tokenizer, to_tokenizer
from gguf_lab.bridge.tokenizers.fingerprints import FINGERPRINTS
from gguf_lab.bridge.tokenizers.forced import ends_of
from gguf_lab.bridge.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from gguf_lab.bridge.tokenizers.sentencepiece import read_sentencepiece
from gguf_lab.bridge.tokenizers.vocabulary import TokenType

from .vocabularies import DATA, NAMES, TEXTS, expected, metadata, typed, write_vocabulary

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
SCORES, MERGES = "tokenizer.ggml.scores", "tokenizer.ggml.merges"

# What people write, and what they do not: letters of all scripts, marks, controls, spaces.
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
LIKELY = st.lists(
    st.sampled_from([*TEXTS, " ", "  ", "\n", "the", "Größe", "1234", "'s", "e\u0301", "…"]),
    max_size=4,
).map("".join)


def exported(name):
    case = expected(name)
    return metadata_of_tokenizer(
        DATA / case["folder"], config=case["config"], vocabulary=case["vocabulary"]
    )


@cache
def tokenizer(name):
    return to_tokenizer(exported(name))


# What is better than in the converter: of a tokenizer.json alone it writes no scores, and takes an
# added token that no setting names for a normal one; of SentencePiece's, what the user defined.
BETTER = {"llama-json": {SCORES, TYPES}, "gemma4": {TYPES}} | {
    name: {TYPES} for name in NAMES if expected(name)["folder"] == "llama"
}


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_what_the_converter_writes(name):
    got = {key: typed(value) for key, value in exported(name).items()}
    want = expected(name)["metadata"]
    assert list(got) == list(want)
    better = BETTER.get(name, set())
    assert {key for key in want if got[key] != want[key]} == better
    for key in better:
        assert got[key][0] == want[key][0]
    if better:
        texts = want[TOKENS][1]
        types = zip(texts, got[TYPES][1], want[TYPES][1], strict=True)
        differing = [found for found in types if found[1] != found[2]]
        folder = expected(name)["folder"]
        assert differing == [("<tool>", 4, 1) if folder == "llama" else ("<ctl>", 3, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_what_went_out_comes_back(name):
    """GGUF -> Transformers -> GGUF, of the tokens that are not fillers."""
    case = expected(name)
    out = metadata(name)
    kinds = out[TYPES]
    back = metadata_of_tokenizer(
        to_tokenizer(out), config=case["config"], vocabulary=case["vocabulary"]
    )
    if out["tokenizer.ggml.model"] == back["tokenizer.ggml.model"] != "t5":
        assert back[TOKENS] == out[TOKENS]
    for key in (MERGES, "tokenizer.ggml.pre", "tokenizer.chat_template"):
        if key != "tokenizer.ggml.pre" or out.get(key) != "default":
            assert back.get(key) == out.get(key)
    assert np.array_equal(back[TYPES] == TokenType.CONTROL, np.isin(kinds, (2, 3))) or (
        out["tokenizer.ggml.model"] == "t5"
    )


@pytest.mark.parametrize("folder", ["qwen2", "llama3", "gpt2", "roberta", "bert", "llama-json"])
@settings(max_examples=150)
@given(text=ANY_TEXT | LIKELY)
def test_ids_are_those_of_the_original(folder, text):
    original = original_tokenizer(folder)
    ours = tokenizer(folder)
    assert ours(text)["input_ids"] == original(text)["input_ids"]
    plain = original(text, add_special_tokens=False)["input_ids"]
    assert ours(text, add_special_tokens=False)["input_ids"] == plain
    assert ours.decode(plain) == original.decode(plain)


@cache
def original_tokenizer(folder):
    return AutoTokenizer.from_pretrained(DATA / folder)


@pytest.mark.parametrize("folder", ["qwen2", "llama3", "gpt2", "bert", "llama-json"])
def test_special_tokens_and_templates_are_those_of_the_original(folder):
    original, ours = original_tokenizer(folder), tokenizer(folder)
    assert ours.get_vocab() == original.get_vocab()
    named = {n: i for n, i in original.special_tokens_map.items() if n != "cls_token"}
    assert {n: i for n, i in ours.special_tokens_map.items() if n in named} == named
    if isinstance(original.chat_template, dict):
        assert {n.replace(" ", "_"): t for n, t in original.chat_template.items()} == (
            ours.chat_template
        )
    else:
        assert ours.chat_template == original.chat_template
    # What looks special to the converter is: "<|tool|>".
    ids = [i for i in range(len(original)) if original.convert_ids_to_tokens(i) != "<|tool|>"]
    kept = original.decode(ids, skip_special_tokens=True)
    assert "<|im_start|>" not in kept
    assert ours.decode(ids, skip_special_tokens=True) == kept


# SentencePiece itself: its own tokens of words, and the bytes of what it does not know.
@pytest.mark.parametrize(
    ("name", "file"), [("nemotron", "tokenizer.model"), ("t5", "spiece.model")]
)
@settings(max_examples=200)
@given(text=ANY_TEXT | LIKELY)
def test_ids_are_those_of_sentencepiece(name, file, text):
    processor = sentence_pieces(expected(name)["folder"], file)
    ours = tokenizer(name)
    if any(token in text for token in ours.get_added_vocab()):
        return
    text = text.replace("\u2581", "_")
    got = ours(text, add_special_tokens=False)["input_ids"]
    want = processor.encode(text)
    # llama.cpp puts its space in front of a text of spaces too, SentencePiece likewise.
    assert got == want or not text.strip(" ")


@cache
def sentence_pieces(folder, file):
    return sentencepiece.SentencePieceProcessor(model_file=str(DATA / folder / file))


@pytest.mark.parametrize(("folder", "file"), [("llama", "tokenizer.model"), ("t5", "spiece.model")])
def test_a_sentencepiece_model_is_read_without_its_library(folder, file):
    model, library = read_sentencepiece(DATA / folder / file), sentence_pieces(folder, file)
    assert len(model.pieces) == library.vocab_size()
    for place, piece in enumerate(model.pieces):
        assert piece.text == library.id_to_piece(place)
        assert piece.score == library.get_score(place)
        assert (piece.kind == 3) == library.is_control(place)
        assert (piece.kind == 6) == library.is_byte(place)
    assert model.add_dummy_prefix
    assert model.remove_extra_whitespaces == (folder == "t5")
    assert bool(model.charsmap) == (folder == "t5")


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_sentencepiece_model_is_refused_or_read(tmp_path_factory, data):
    whole = bytearray((DATA / "t5" / "spiece.model").read_bytes())
    path = tmp_path_factory.mktemp("damaged") / "spiece.model"
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(place, len(whole)))])
    try:
        assert read_sentencepiece(path).pieces
    except gl.CheckpointError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_smollm2_comes_back_as_it_was():
    with gl.open(gl.demo.smollm2()) as model:
        found = dict(model.metadata)
        ours = to_tokenizer(model.metadata)
        assert ours.model_max_length == found["llama.context_length"]
        back = metadata_of_tokenizer(ours, config={}, vocabulary=len(found[TOKENS]))
        for key in (TOKENS, TYPES, MERGES):
            assert list(back[key]) == list(found[key])
        for name in ("model", "pre", "bos_token_id", "eos_token_id", "padding_token_id"):
            assert back[f"tokenizer.ggml.{name}"] == found[f"tokenizer.ggml.{name}"]
        assert back["tokenizer.chat_template"] == found["tokenizer.chat_template"]


@pytest.mark.parametrize("name", ["llama", "qwen2", "bert", "t5"])
def test_a_tokenizer_is_saved_and_loaded(name, tmp_path):
    ours = tokenizer(name)
    ours.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert loaded(text)["input_ids"] == ours(text)["input_ids"]
    assert loaded.chat_template == ours.chat_template


def test_bos_and_eos_are_added_as_the_file_says():
    found = metadata("llama")
    for bos in (True, False):
        for eos in (True, False):
            flags = {"tokenizer.ggml.add_bos_token": bos, "tokenizer.ggml.add_eos_token": eos}
            ids = to_tokenizer(found | flags)("the")["input_ids"]
            assert (ids[0] == 1, ids[-1] == 2) == (bos, eos)


def test_fillers_are_no_tokens():
    found, ours = metadata("qwen2"), tokenizer("qwen2")
    assert found[TOKENS][-1] == f"[PAD{len(found[TOKENS]) - 1}]"
    assert len(ours) == 384
    assert f"[PAD{len(found[TOKENS]) - 1}]" not in ours.get_vocab()


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("Phi-3 mini", "a </s> b", ["a", "\u2581", "</s> ", "b"]),
        ("Phi-3 mini", "a <s> b", ["a", "\u2581", "<s>", "\u2581b"]),
        ("Llama 3", "a </s> b", ["a", "\u2581", "</s>", "\u2581b"]),
    ],
)
def test_some_special_tokens_take_in_spaces(name, text, tokens):
    """Phi-3's do (in its own tokenizer), though no key of a file says so."""
    assert to_tokenizer(metadata("gemma") | {"general.name": name}).tokenize(text) == tokens


# --- llama.cpp ---


def llama_cpp_ids(path, texts, *, special):
    llama_cpp = pytest.importorskip("llama_cpp")
    llama = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
    try:
        ids = [llama.tokenize(text.encode(), add_bos=special, special=True) for text in texts]
        shown = [llama.detokenize(i, special=True).decode("utf-8", "replace") for i in ids]
    finally:
        llama.close()
    return ids, shown


@pytest.mark.oracle
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_llama_cpp(name, special, tmp_path):
    """Of a file as it is exported; the converter's is the same, but for `BETTER`."""
    path = write_vocabulary(tmp_path / "v.gguf", exported(name))
    with gl.open(path) as model:
        ours = to_tokenizer(model.metadata)
    ids, shown = llama_cpp_ids(path, TEXTS, special=special)
    assert [ours(text, add_special_tokens=special)["input_ids"] for text in TEXTS] == ids
    if name != "bert":
        # llama.cpp keeps the space that was put in front, of several texts between special tokens.
        got = [ours.decode(i) for i in ids]
        for mine, theirs in zip(got, shown, strict=True):
            assert theirs in {mine, f" {mine}"}


@pytest.mark.oracle
def test_ids_of_smollm2_are_those_of_llama_cpp():
    path = gl.demo.smollm2()
    with gl.open(path) as model:
        ours = to_tokenizer(model.metadata)
    ids, shown = llama_cpp_ids(path, TEXTS, special=False)
    assert [ours(text)["input_ids"] for text in TEXTS] == ids
    assert [ours.decode(i) for i in ids] == shown


# Where the model's own pattern, which stands here, is not what llama.cpp's engine makes of it: it
# leaves marks out, takes the ideographic space for another one, and its \b knows ASCII alone.
MARKS = {"tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", "kimi-k2"}
DIFFERENT = {name: {"កា", "नम"} for name in MARKS} | {
    "deepseek-llm": {"\u3000"},
    "deepseek-coder": {"\u3000"},
    "tiny_aya": {"151天"},
    "cohere2moe": {"151天"},
}
PLAIN = [text.replace("<|", "<").replace("<s>", "").replace("</s>", "") for text in TEXTS]


@cache
def merging_everything():
    """A vocabulary whose tokens reach across words: what is not cut apart is merged."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        PLAIN * 2,
        trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    tokens = ["<s>", *sorted(model["vocab"], key=model["vocab"].get)]
    return {
        "tokenizer.ggml.model": "gpt2",
        TOKENS: tokens,
        MERGES: [" ".join(pair) for pair in model["merges"]],
        TYPES: np.array([3] + [1] * (len(tokens) - 1), np.int32),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n, pre in PRE_TOKENIZERS.items() if not pre.raw])
def test_a_pre_tokenizer_cuts_as_llama_cpp_does(name, tmp_path):
    found = merging_everything() | {"tokenizer.ggml.pre": name}
    path = write_vocabulary(tmp_path / "v.gguf", found)
    different = DIFFERENT.get(name, set())
    ids, _ = llama_cpp_ids(path, PLAIN, special=False)
    ours = to_tokenizer(found)
    for text, want in zip(PLAIN, ids, strict=True):
        got = ours(text, add_special_tokens=False)["input_ids"]
        assert (got == want) != any(part in text for part in different), text


# --- Pre-tokenizers ---


def test_every_fingerprint_has_a_definition_or_is_of_wordpiece():
    assert {*FINGERPRINTS.values()} - {*PRE_TOKENIZERS} == {"bert-bge-large", "jina-v2-en"}
    assert all(len(key) == 64 for key in FINGERPRINTS)


def test_of_hunyuans_several_ends_the_first_is_that_of_a_turn(tmp_path):
    shutil.copytree(DATA / "qwen2", tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 1]}')
    config = {"model_type": "hunyuan_v1_dense", "eos_token_id": 2, "eod_token_id": 1}
    found = metadata_of_tokenizer(tmp_path, config=config, vocabulary=384, pre_tokenizer="qwen2")
    ends = {name: found[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot")}
    assert ends == {"eos": 1, "eot": 2}


def test_hunyuans_end_is_that_of_a_tokenizer_with_another():
    """Not what config.json says that a document ends with."""
    config = {"model_type": "hunyuan_v1_dense", "eos_token_id": 2, "eod_token_id": 1}
    for published, due in (True, 1), (False, 384):
        ours = to_tokenizer(metadata("qwen2"))
        if not published:
            ours.add_special_tokens({"eos_token": "<fin>"})
        found = metadata_of_tokenizer(ours, config=config, vocabulary=385)
        assert found["tokenizer.ggml.eos_token_id"] == due


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("name", ["qwen2", "llama-json", "llama3"])
def test_a_text_may_end_with_an_ordinary_word(name, saved, tmp_path):
    ours, case = to_tokenizer(metadata(name)), expected(name)
    word = next(i for i, kind in enumerate(metadata(name)[TYPES]) if i > 290 and kind == 1)
    ours.eos_token = ours.convert_ids_to_tokens(word)
    ours.save_pretrained(tmp_path)
    found = metadata_of_tokenizer(
        tmp_path if saved else ours, config=case["config"], vocabulary=case["vocabulary"]
    )
    assert found["tokenizer.ggml.eos_token_id"] == word


def test_an_unknown_pre_tokenizer_can_be_named(tmp_path):
    shutil.copytree(DATA / "gpt2", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    whole = json.loads(path.read_text())
    whole["pre_tokenizer"]["pretokenizers"].insert(
        0, {"type": "Split", "pattern": {"String": "o"}, "behavior": "Isolated", "invert": False}
    )
    path.write_text(json.dumps(whole))
    with pytest.raises(gl.UnsupportedError, match=r"metadata={'tokenizer.ggml.pre': 'gpt-2'}"):
        metadata_of_tokenizer(tmp_path, config={}, vocabulary=384)
    found = metadata_of_tokenizer(tmp_path, config={}, vocabulary=384, pre_tokenizer="starcoder")
    assert found["tokenizer.ggml.pre"] == "starcoder"
    with pytest.raises(gl.UnsupportedError, match="no pre-tokenizer 'gpt-9'"):
        metadata_of_tokenizer(tmp_path, config={}, vocabulary=384, pre_tokenizer="gpt-9")


@pytest.mark.parametrize("nfc", [True, False])
def test_a_name_is_chosen_that_normalizes_likewise(nfc, tmp_path):
    shutil.copytree(DATA / "qwen2", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    whole = json.loads(path.read_text())
    whole["normalizer"] = {"type": "NFC"} if nfc else None
    path.write_text(json.dumps(whole))
    found = metadata_of_tokenizer(tmp_path, config={}, vocabulary=384)
    assert PRE_TOKENIZERS[found["tokenizer.ggml.pre"]].nfc == nfc
    text = "cafe\u0301"
    assert (to_tokenizer(found).decode(to_tokenizer(found)(text)["input_ids"]) == text) != nfc
    assert unicodedata.normalize("NFC", text) != text


# --- What cannot be exported ---


def test_more_tokens_than_rows_are_refused():
    with pytest.raises(gl.CheckpointError, match="the embedding has 300 rows"):
        metadata_of_tokenizer(DATA / "gpt2", config={}, vocabulary=300)


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(gl.CheckpointError, match="not int"):
        metadata_of_tokenizer(3, config={}, vocabulary=3)
    with pytest.raises(gl.CheckpointError, match="is not a folder"):
        metadata_of_tokenizer(tmp_path / "none", config={}, vocabulary=3)
    for model_type in ("llama", "gpt2"):  # Transformers would make up an empty GPT-2
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        with pytest.raises(gl.CheckpointError, match=r"has no tokenizer: .* tokenizer=False"):
            metadata_of_tokenizer(tmp_path, config={}, vocabulary=3)
    (tmp_path / "vocab.txt").write_text("a\nb")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(gl.CheckpointError, match="cannot load the tokenizer"):
        metadata_of_tokenizer(tmp_path, config={}, vocabulary=3)
    for text in ("{", "[" * 100_000):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(gl.CheckpointError, match="is not JSON"):
            metadata_of_tokenizer(tmp_path, config={}, vocabulary=3)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(gl.CheckpointError, match="cannot be read"):
        metadata_of_tokenizer(tmp_path, config={}, vocabulary=3)


def test_a_template_outside_of_the_folder_is_not_written_into_a_file(tmp_path):
    shutil.copytree(DATA / "gpt2", tmp_path / "model")
    (tmp_path / "private").write_text("a key")
    (tmp_path / "model" / "chat_template.jinja").symlink_to(tmp_path / "private")
    with pytest.raises(gl.CheckpointError, match="a link that leads out of the folder"):
        metadata_of_tokenizer(tmp_path / "model", config={}, vocabulary=3)


# --- Malformed files ---


def test_a_file_without_a_tokenizer():
    assert not has_tokenizer({})
    assert not has_tokenizer({"tokenizer.ggml.model": "none"})
    assert has_tokenizer(metadata("llama"))
    with pytest.raises(gl.GGUFError, match="no tokenizer"):
        to_tokenizer({"general.architecture": "llama"})


def changed(name, key, change):
    found = metadata(name)
    found[key] = change(found.get(key))
    return found


MALFORMED = {
    "scores are missing": ("llama", SCORES, lambda v: v[:-1], "499 items for 500 tokens"),
    "a score is no number": ("llama", SCORES, lambda v: np.append(v[:-1], np.nan), "is nan"),
    "scores are texts": ("llama", SCORES, lambda _: ["a"] * 500, "array of numbers"),
    "types are missing": ("llama", TYPES, lambda v: v[:10], "10 items for 500 tokens"),
    "types are fractions": ("llama", TYPES, lambda v: v + 0.5, "array of numbers"),
    "no merges": ("gpt2", MERGES, lambda _: 3, "array of strings"),
    "a merge of nothing": (
        "gpt2",
        MERGES,
        lambda v: [*v, "th zzz"],
        r"merges\[\d+\] is \"th zzz\"",
    ),
    "a merge of one": ("gpt2", MERGES, lambda v: ["th", *v], r"merges\[0\] is \"th\""),
    "an id below zero": ("gpt2", "tokenizer.ggml.eos_token_id", lambda _: -1, "384 tokens"),
    "an id in words": ("gpt2", "tokenizer.ggml.unknown_token_id", lambda _: "x", "whole number"),
    "tokens are numbers": ("gpt2", TOKENS, lambda _: [1, 2], "array of strings"),
    "tokens are a number": ("gpt2", TOKENS, lambda _: 3, "array of strings"),
    "no tokens": ("llama", TOKENS, lambda _: [], "is empty"),
    "a token twice": ("llama", TOKENS, lambda v: [*v[:-1], v[3]], "twice, at 3 and at 499"),
    "pre is a number": ("gpt2", "tokenizer.ggml.pre", lambda _: 3, "expected text"),
    "a flag is a number": ("gpt2", "tokenizer.ggml.add_bos_token", lambda _: 1, "true or false"),
    "a template is a number": ("gpt2", "tokenizer.chat_template", lambda _: 1, "expected text"),
    "a named template is missing": (
        *("gpt2", "tokenizer.chat_templates", lambda _: ["rag"]),
        r"tokenizer.chat_template.rag",
    ),
    "no charsmap": (
        *("t5", "tokenizer.ggml.precompiled_charsmap", lambda v: v[:6]),
        "precompiled_charsmap is malformed",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_metadata_is_refused_by_name(case):
    name, key, change, message = MALFORMED[case]
    with pytest.raises(gl.GGUFError, match=message) as caught:
        to_tokenizer(changed(name, key, change))
    if case != "a named template is missing":
        assert key in str(caught.value)


@pytest.mark.parametrize("model", ["rwkv", "plamo2", "hybriddna", "x\x1b"])
def test_an_unknown_kind_is_unsupported(model):
    found = metadata("llama") | {"tokenizer.ggml.model": model}
    with pytest.raises(gl.UnsupportedError, match=r"tokenizer\.ggml\.model is"):
        to_tokenizer(found)


def test_an_unknown_pre_tokenizer_is_unsupported():
    found = metadata("gpt2") | {"tokenizer.ggml.pre": "gpt-9"}
    with pytest.raises(gl.UnsupportedError, match=r"tokenizer\.ggml\.pre is 'gpt-9'"):
        to_tokenizer(found)


def test_tokens_that_are_not_text_are_refused(tmp_path):
    found = metadata("llama")
    found[TOKENS] = [*found[TOKENS][:-1], "12345"]
    path = write_vocabulary(tmp_path / "v.gguf", found)
    path.write_bytes(path.read_bytes().replace(b"12345", b"12\xff45"))
    with (
        gl.open(path) as model,
        pytest.raises(gl.GGUFError, match=r"tokenizer\.ggml\.tokens\[499\] is not UTF-8"),
    ):
        to_tokenizer(model.metadata)


def test_a_special_token_that_is_to_be_added_must_be_known():
    found = metadata("gpt2") | {"tokenizer.ggml.add_eos_token": True}
    del found["tokenizer.ggml.eos_token_id"]
    with pytest.raises(gl.GGUFError, match=r"tokenizer\.ggml\.eos_token_id is missing"):
        to_tokenizer(found)


# --- What llama.cpp makes of a file ---

SPECIALS = ("padding", "unknown", "eos", "mask")


@pytest.mark.parametrize("name", SPECIALS)
def test_an_ordinary_word_that_a_special_id_names_stays_one(name):
    """Converters wrote 0 for padding where there was none: "!" was cut out of every reply."""
    found = metadata("gpt2")
    bang = found[TOKENS].index("!")
    ours = to_tokenizer(found | {f"tokenizer.ggml.{name}_token_id": bang})
    ids = ours("Hello!!!").input_ids
    assert ids == tokenizer("gpt2")("Hello!!!").input_ids
    assert ours.decode(ids, skip_special_tokens=True) == "Hello!!!"
    # a file without types says of no token what it is
    del found[TYPES]
    assert to_tokenizer(found | {"tokenizer.ggml.eos_token_id": bang}).eos_token == "!"


FORCED = {
    "an end": (["<EOT>"], {}, "<EOT>", TokenType.CONTROL),
    "a gap": (["<PRE>"], {}, "<PRE>", TokenType.CONTROL),
    "another gap": (
        *(["<PRE>"], {"tokenizer.ggml.fim_pre_token_id": 3}, "<PRE>"),
        TokenType.NORMAL,
    ),
    "a channel": (["<|channel|>"], {}, "<|channel|>", TokenType.USER_DEFINED),
    "no end": (["<|return|>", "<|call|>", "<|end|>"], {}, "<|end|>", TokenType.USER_DEFINED),
    "a word": (["</s>", "<|tool_response>"], {}, "</s>", TokenType.NORMAL),
}


def with_words(words):
    """A byte-level BPE with further tokens, all of which the file calls normal."""
    found = merging_everything() | {"tokenizer.ggml.pre": "gpt-2"}
    types = np.append(found[TYPES], np.full(len(words), TokenType.NORMAL, np.int32))
    return found | {TOKENS: [*found[TOKENS], *words], TYPES: types.astype(np.int32)}


@pytest.mark.parametrize("case", FORCED)
def test_types_that_llama_cpp_forces_by_name(case):
    words, more, word, kind = FORCED[case]
    ours = to_tokenizer(with_words(words) | more)
    found = ours.added_tokens_decoder.get(ours.convert_tokens_to_ids(word))
    assert (found is not None) == (kind != TokenType.NORMAL)
    if found is not None:
        assert found.special == (kind == TokenType.CONTROL)


@pytest.mark.oracle
@pytest.mark.parametrize("case", FORCED)
def test_types_are_those_of_llama_cpp(case, tmp_path):
    words, more, word, _ = FORCED[case]
    found = with_words(words) | more
    texts = [f"a {word} b", f"{word}{word}"]
    ids, _ = llama_cpp_ids(write_vocabulary(tmp_path / "v.gguf", found), texts, special=False)
    assert [to_tokenizer(found)(text).input_ids for text in texts] == ids


ENDS = {
    "of a turn": (["<end_of_turn>", "<eos>", "a turn"], {}, ["<end_of_turn>", "<eos>"]),
    "of keys": (
        ["one", "two", "</s>"],
        {"tokenizer.ggml.eot_token_id": -2, "tokenizer.ggml.eom_token_id": -3},
        ["two", "one", "</s>"],
    ),
    "of a gap": (
        ["<|fim_pad|>", "<|file_sep|>", "<|fim_prefix|>"],
        {},
        ["<|fim_pad|>", "<|file_sep|>"],
    ),
    "of a gap by key": (
        ["<|fim_pad|>", "<|file_sep|>", "a pad"],
        {"tokenizer.ggml.fim_pad_token_id": -1},
        ["a pad", "<|file_sep|>"],
    ),
    "of gpt-oss": (
        ["<|return|>", "<|call|>", "<|end|>", "<|message|>"],
        {},
        ["<|return|>", "<|call|>"],
    ),
    "of gemma4": (["</s>", "<turn|>", "<|tool_response>"], {}, ["<turn|>", "<|tool_response>"]),
}
"""Words, keys with their places from the end, and those words that end a reply."""


def with_ends(words, keys):
    found = with_words(words)
    return found | {key: len(found[TOKENS]) + place for key, place in keys.items()}


@pytest.mark.parametrize("case", ENDS)
def test_a_reply_ends_at_keys_and_names(case):
    words, keys, ends = ENDS[case]
    found = with_ends(words, keys)
    assert [found[TOKENS][token] for token in ends_of(found, found[TOKENS])] == ["<s>", *ends]


@pytest.mark.oracle
@pytest.mark.parametrize("case", ENDS)
def test_a_reply_ends_where_llama_cpp_ends_it(case, tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp")
    words, keys, _ = ENDS[case]
    found = with_ends(words, keys)
    path = write_vocabulary(tmp_path / "v.gguf", found)
    llama = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
    try:
        vocabulary = llama._model.vocab
        ends = [
            token
            for token in range(len(found[TOKENS]))
            if llama_cpp.llama_vocab_is_eog(vocabulary, token)
        ]
    finally:
        llama.close()
    assert sorted(ends_of(found, found[TOKENS])) == ends


def test_gemma4_begins_with_bos_whatever_the_file_says():
    found = metadata("gemma4") | {"tokenizer.ggml.add_bos_token": False}
    assert to_tokenizer(found)("").input_ids == [found["tokenizer.ggml.bos_token_id"]]


SPACES = ["", " ", "  ", "a \n \n b", " a\n  b ", "\n", " \n "]


@pytest.mark.oracle
@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("prefix", [True, False])
def test_spaces_of_a_unigram_are_those_of_llama_cpp(prefix, merge, tmp_path):
    found = metadata("t5") | {
        "tokenizer.ggml.add_space_prefix": prefix,
        "tokenizer.ggml.remove_extra_whitespaces": merge,
    }
    del found["tokenizer.ggml.precompiled_charsmap"]  # it makes spaces of line feeds
    path = write_vocabulary(tmp_path / "v.gguf", found)
    ids, _ = llama_cpp_ids(path, SPACES, special=True)
    assert [to_tokenizer(found)(text).input_ids for text in SPACES] == ids
