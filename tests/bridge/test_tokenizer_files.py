"""Tokenizers of checkpoints with more or less in their files than those of `test_tokenizers`."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import sentencepiece

import gguf_lab as gl
from gguf_lab.bridge.tokenizers import metadata_of_tokenizer, to_tokenizer
from gguf_lab.bridge.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from gguf_lab.bridge.tokenizers.vocabulary import TokenType

from .small_models import TEXT, byte_level, causal
from .vocabularies import DATA, expected, metadata, write_vocabulary

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


# --- Special tokens ---

BOS, EOS, UNK, SEP, PAD = (
    f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown", "seperator", "padding")
)


@pytest.mark.parametrize(
    "named", ["tokenizer_config", "special_tokens_map", "nowhere", "vocab.txt"]
)
def test_special_tokens_of_wordpiece_are_told_where_llama_cpp_would_take_others(
    named: str, tmp_path: Path
) -> None:
    names = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
    tokens = {f"{name}_token": text for name, text in names.items()}
    folder = folder_of("bert", tmp_path, tokenizer_config=None)
    if named == "vocab.txt":
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
        (folder / "tokenizer.json").unlink()
        (folder / "config.json").write_text('{"model_type": "bert"}')
    elif named != "nowhere":
        (folder / f"{named}.json").write_text(json.dumps(tokens))
    if named != "tokenizer_config":
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if named == "vocab.txt":
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    found = exported(folder, 330, model_type="bert")
    assert (found[UNK], found[BOS], found[SEP]) == (1, 2, 3)
    assert to_tokenizer(found)("").input_ids == [2, 3]


def test_special_tokens_of_sentencepiece_are_told_where_llama_cpp_would_take_others(
    tmp_path: Path,
) -> None:
    settings = {"bos_token": "<ctl>", "eos_token": {"content": "<tool>"}, "unk_token": None}
    folder = folder_of("llama", tmp_path, tokenizer_config=None)
    (folder / "special_tokens_map.json").write_text(json.dumps(settings))
    found = exported(folder, 500, model_type="llama")
    assert (found[BOS], found[EOS], UNK in found) == (3, 4, False)
    assert to_tokenizer(found)("").input_ids == [3]
    (folder / "special_tokens_map.json").unlink()
    # nothing but SentencePiece's file: its own ids are those that llama.cpp takes
    found = exported(folder, 500, model_type="llama")
    assert not {BOS, EOS, UNK} & found.keys()


def test_special_tokens_of_a_byte_level_bpe_without_tokenizer_json(tmp_path: Path) -> None:
    folder = folder_of("gpt2", tmp_path)
    whole = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    merges = [" ".join(pair) for pair in whole["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(merges))
    (folder / "tokenizer.json").unlink()
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "GPT2Tokenizer", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.warns(UserWarning, match=r"takes '<\|im_end\|>' for control tokens by the text"):
        found = metadata_of_tokenizer(folder, config={}, vocabulary=400, pre_tokenizer="gpt-2")
    assert (found[BOS], found[EOS]) == (0, 0)


@pytest.mark.oracle
def test_control_tokens_by_the_text_alone(tmp_path: Path) -> None:
    """An added token that is not special: llama.cpp makes it one, and that is said."""
    llama_cpp = pytest.importorskip("llama_cpp")
    from gguf_lab.bridge import export

    tokenizer, path = byte_level(), tmp_path / "f.gguf"
    tokenizer.add_tokens(["[PAD]", "[OTHER]"])
    with pytest.warns(UserWarning, match=r"takes '\[PAD\]' for control tokens by the text"):
        export(causal("gpt2", vocab_size=302), path, tokenizer=tokenizer, progress=False)
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    assert {300, 301} < {*tokenizer("a[PAD]b[OTHER]")["input_ids"]}
    assert {300, 301} & {*model.tokenize(b"a[PAD]b[OTHER]", add_bos=False)} == {301}
    assert model.detokenize([300, 301]) == b"[OTHER]"
    model.close()


@pytest.mark.parametrize(
    ("ids", "told"), [([2, 0], 2), (True, None), (384, None), (-1, None), ("2", None)]
)
def test_ids_in_the_configuration(ids: object, told: int | None, tmp_path: Path) -> None:
    folder = folder_of("gpt2", tmp_path)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = exported(folder, 384, eos_token_id=ids, pad_token_id=384)
    assert found.get(EOS) == told
    assert PAD not in found


def test_an_id_beyond_the_vocabulary_is_passed_over() -> None:
    """As llama.cpp does it, with a warning: some Llama 2 have a token for padding but no row."""
    found = metadata("llama")
    ours = to_tokenizer(found | {PAD: 500, BOS: 1000})
    assert ours("the").input_ids == to_tokenizer(found)("the").input_ids
    assert ours.pad_token is None


# --- SentencePiece's own settings ---

PREFIX = "tokenizer.ggml.add_space_prefix"


def trained(target: Path, kind: str, **settings: Any) -> Path:
    """The folder of a SentencePiece model that is trained with some settings."""
    whole = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False} | settings
    target.mkdir()
    with (target / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT.splitlines()),
            model_writer=file,
            vocab_size=360,
            model_type=kind,
            hard_vocab_limit=False,
            minloglevel=5,
            **{"byte_fallback": kind == "bpe"} | whole,
        )
    return target


def test_a_space_in_front_is_put_as_sentencepiece_does(tmp_path: Path) -> None:
    folder = trained(tmp_path / "none", "bpe", add_dummy_prefix=False)
    assert exported(folder, 400, model_type="llama")[PREFIX] is False
    # what Transformers is told counts more
    (folder / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert exported(folder, 400, model_type="llama")[PREFIX] is True
    assert PREFIX not in exported(trained(tmp_path / "bpe", "bpe"), 400, model_type="llama")


def test_what_the_user_defined_is_found_in_a_text(tmp_path: Path) -> None:
    folder = trained(tmp_path / "m", "bpe", user_defined_symbols=["<sep>", "a b"])
    found = exported(folder, 400, model_type="llama")
    assert found[TOKENS][3:5] == ["<sep>", "a b"]
    assert found[TYPES][3:5].tolist() == [TokenType.USER_DEFINED] * 2
    assert 3 in to_tokenizer(found)("x<sep>y").input_ids


REFUSED = {
    "no bytes": ("bpe", {"byte_fallback": False}, "256 of 256 are missing"),
    "suffix": ("bpe", {"treat_whitespace_as_suffix": True}, "the space behind a word"),
    "unigram suffix": ("unigram", {"treat_whitespace_as_suffix": True}, "the space behind a word"),
}
WARNED = {
    "charsmap": ("bpe", {"normalization_rule_name": "nmt_nfkc"}, "does not normalize"),
    "spaces": ("bpe", {"remove_extra_whitespaces": True}, "keeps spaces"),
    "bytes": ("unigram", {"byte_fallback": True}, "writes as bytes"),
    "merging": (
        *("unigram", {"remove_extra_whitespaces": True, "add_dummy_prefix": False}),
        "puts a space before a text",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_llama_cpp_would_cut_otherwise_is_refused(case: str, tmp_path: Path) -> None:
    kind, settings, message = REFUSED[case]
    folder = trained(tmp_path / "m", kind, **settings)
    with pytest.raises(gl.UnsupportedError, match=message):
        exported(folder, 400, model_type="t5")


@pytest.mark.parametrize("case", WARNED)
def test_what_llama_cpp_does_not_do_is_said(case: str, tmp_path: Path) -> None:
    kind, settings, message = WARNED[case]
    folder = trained(tmp_path / "m", kind, **settings)
    with pytest.warns(UserWarning, match=message):
        exported(folder, 400, model_type="t5")
    if kind == "bpe":  # Transformers goes by tokenizer.json
        whole = {"type": "BPE", "byte_fallback": True}
        (folder / "tokenizer.json").write_text(json.dumps({"model": whole}))
        exported(folder, 400, model_type="t5")


# --- What is done to a text first ---

LOWERCASE, STRIP = (f"tokenizer.ggml.normalizer.{name}" for name in ("lowercase", "strip_accents"))
DIGITS = {"type": "Digits", "individual_digits": True}
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}
OTHERWISE = {
    "words of WordPiece": ("bert", {"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
    "no words": ("bert", {"pre_tokenizer": None}, "missing"),
    "characters of WordPiece": ("bert", {"normalizer": {"type": "NFKC"}}, "NFKC"),
    "digits": ("llama-json", {"pre_tokenizer": DIGITS}, "Digits"),
    "characters": ("llama-json", {"normalizer": {"type": "Lowercase"}}, "Lowercase"),
    "spaces": ("llama-json", {"normalizer": None, "pre_tokenizer": None}, "missing"),
    "characters of Unigram": (
        *("t5", {"normalizer": {"type": "NFKC"}, "pre_tokenizer": METASPACE}),
        "NFKC",
    ),
    "no spaces of Unigram": ("t5", {"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
    "a text of Unigram": (
        "t5",
        {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}},
        "Replace of a text",
    ),
}


def with_parts(name: str, target: Path, parts: dict[str, Any]) -> Path:
    """A folder in which parts of `tokenizer.json` are others."""
    if name != "t5":
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        return folder_of(name, target, tokenizer=parts, tokenizer_config=settings)
    to_tokenizer(metadata("t5")).save_pretrained(target)
    path = target / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))
    return target


@pytest.mark.parametrize("case", OTHERWISE)
def test_another_normalizer_or_pre_tokenizer_is_refused(case: str, tmp_path: Path) -> None:
    name, parts, message = OTHERWISE[case]
    with pytest.raises(gl.UnsupportedError, match=message):
        exported(with_parts(name, tmp_path, parts), 500, model_type="bert")


@pytest.mark.parametrize(
    ("normalizers", "lowercase", "strip"),
    [
        ([], False, False),
        (["Lowercase"], True, False),
        (["NFD", "StripAccents"], False, True),
        (["NFD", "Lowercase", "StripAccents"], True, True),
    ],
)
def test_what_wordpiece_does_to_characters_is_told(
    normalizers: list[str], lowercase: bool, strip: bool, tmp_path: Path
) -> None:
    parts = [{"type": kind} for kind in normalizers]
    changed = {"normalizer": {"type": "Sequence", "normalizers": parts}}
    with pytest.warns(UserWarning, match="parts Chinese characters"):
        found = exported(with_parts("bert", tmp_path, changed), 330, model_type="bert")
    assert (found[LOWERCASE], found[STRIP]) == (lowercase, strip)


def test_what_transformers_does_counts_more_than_tokenizer_json(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path / "bert", tokenizer_config={"do_lower_case": False})
    assert exported(folder, 330, model_type="bert")[LOWERCASE] is False
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}
    folder = folder_of("gpt2", tmp_path / "gpt2", tokenizer_config=settings)
    with pytest.raises(gl.UnsupportedError, match="cuts text in the same way"):
        exported(folder, 384)


def test_what_is_cut_after_bytes_are_written(tmp_path: Path) -> None:
    """Of the characters that stand for bytes few are what they look like: digits are."""
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    digits = split | {"pattern": {"Regex": "[0-9][0-9][0-9]"}}
    words = split | {"pattern": {"Regex": PRE_TOKENIZERS["gpt-2"].patterns[0]}}
    contiguous = {"type": "Punctuation", "behavior": "Contiguous"}
    falcon = [contiguous, bytes_ | {"use_regex": True}, digits]
    other = [bytes_ | {"use_regex": False}, words]
    for target, parts in ("falcon", falcon), ("other", other):
        changed = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}
        with_parts("gpt2", tmp_path / target, changed)
    assert exported(tmp_path / "falcon", 384)["tokenizer.ggml.pre"] == "falcon"
    with pytest.raises(gl.UnsupportedError, match="cuts text in the same way"):
        exported(tmp_path / "other", 384)


def test_pieces_marked_otherwise_are_refused(tmp_path: Path) -> None:
    whole = json.loads((DATA / "bert" / "tokenizer.json").read_text())["model"]
    changed = {"model": whole | {"continuing_subword_prefix": "@@"}}
    with pytest.raises(gl.UnsupportedError, match="'@@' before pieces"):
        exported(with_parts("bert", tmp_path, changed), 330, model_type="bert")


def test_tokens_added_to_wordpiece_are_found(tmp_path: Path) -> None:
    whole = json.loads((DATA / "bert" / "tokenizer.json").read_text())["added_tokens"]
    added = [token(320, "NewTok", special=False), token(321, "##new", special=False)]
    folder = folder_of("bert", tmp_path, tokenizer={"added_tokens": whole + added})
    found = exported(folder, 330, model_type="bert")
    assert found[TOKENS][320:322] == ["NewTok", "##new"]
    assert found[TYPES][320:322].tolist() == [TokenType.USER_DEFINED] * 2
    ours = to_tokenizer(found)
    assert ours("NewToks").input_ids[1] == 320
    # the converter writes it so, and llama.cpp finds it as a word alone
    found[TOKENS][320] = "\u2581newtok"
    ours = to_tokenizer(found)
    assert ours("NewTok").input_ids[1:-1] == [320]
    assert "newtok" not in ours.get_added_vocab()


# --- Chat templates ---

KEY = "tokenizer.chat_template"
IN_SETTINGS = {
    "a text": ("A", {KEY: "A"}),
    "an object": ({"default": "A", "t": "B"}, {KEY: "A", f"{KEY}.t": "B", f"{KEY}s": ["t"]}),
    "an object without a default": ({"t": "B"}, {f"{KEY}.t": "B", f"{KEY}s": ["t"]}),
    "names that are alike": (
        [{"name": "a-b", "template": "A"}, {"name": "a_b", "template": "B"}],
        {f"{KEY}.a_b": "A", f"{KEY}.a_b_": "B", f"{KEY}s": ["a_b", "a_b_"]},
    ),
    "numbers": ([{"name": 1, "template": "A"}, {"name": "t", "template": 2}], {}),
}
IN_FILES = {
    "one": ({"chat_template.jinja": "J"}, {KEY: "J"}),
    "more": (
        {"chat_template.jinja": "J", "additional_chat_templates/t.jinja": "T"},
        {KEY: "J", f"{KEY}.t": "T", f"{KEY}s": ["t"]},
    ),
    "no default": (
        {"additional_chat_templates/t.jinja": "T"},
        {f"{KEY}.t": "T", f"{KEY}s": ["t"]},
    ),
}


def templates_of(folder: Path) -> dict[str, Any]:
    return {k: v for k, v in exported(folder, 384).items() if k.startswith(KEY)}


@pytest.mark.parametrize("case", IN_SETTINGS)
def test_templates_in_the_settings(case: str, tmp_path: Path) -> None:
    template, told = IN_SETTINGS[case]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template}
    if case == "numbers":
        settings["chat_template"] = None
        (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert templates_of(folder_of("gpt2", tmp_path, tokenizer_config=settings)) == told


@pytest.mark.parametrize("case", IN_FILES)
@pytest.mark.parametrize("settings", [{"chat_template": "A"}, None])
def test_templates_in_files_count_more(
    settings: dict[str, Any] | None, case: str, tmp_path: Path
) -> None:
    files, told = IN_FILES[case]
    folder = folder_of("gpt2", tmp_path, tokenizer_config=settings)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert templates_of(folder) == told


@pytest.mark.parametrize("template", [5, [1]])
def test_malformed_templates_are_refused(template: object, tmp_path: Path) -> None:
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template}
    with pytest.raises(gl.CheckpointError, match=r"chat template|cannot load"):
        exported(folder_of("gpt2", tmp_path, tokenizer_config=settings), 384)


# --- What is put around a text ---


@pytest.mark.parametrize(
    ("around", "settings", "words"),
    [
        (
            (["<|im_start|>", "<|user|>"], []),
            {},
            r"puts \['<.im_start.>'\] around a text, Transformers .*user",
        ),
        ((["<|user|>"], []), {}, r"puts \['<.im_start.>'\] around a text, Transformers \['<.user"),
        (None, {"add_bos_token": True}, r"llama.cpp puts .*im_start.* Transformers \[\]"),
        ((["<|im_start|>"], ["<|im_end|>"]), {}, None),
    ],
)
def test_tokens_around_a_text_that_no_key_tells(
    around: tuple[list[str], list[str]] | None,
    settings: dict[str, Any],
    words: str | None,
    tmp_path: Path,
) -> None:
    ids = {"<|im_start|>": 1, "<|im_end|>": 2, "<|user|>": 380}
    processor = None
    if around is not None:
        single = [{"SpecialToken": {"id": text, "type_id": 0}} for text in around[0] + around[1]]
        single.insert(len(around[0]), {"Sequence": {"id": "A", "type_id": 0}})
        special = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in around[0] + around[1]}
        processor = {"type": "TemplateProcessing", "single": single, "pair": single}
        processor["special_tokens"] = special
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>"}
    folder = folder_of(
        "gpt2",
        tmp_path,
        tokenizer={"post_processor": processor},
        tokenizer_config=named | {"eos_token": "<|im_end|>"} | settings,
    )
    if words is None:
        exported(folder, 384)
    else:
        with pytest.warns(UserWarning, match=words):
            exported(folder, 384)


TOGGLED = ("llama", "llama-json", "gemma", "llama3", "gpt2", "t5")
ADD_BOS, ADD_EOS = (f"tokenizer.ggml.add_{name}_token" for name in ("bos", "eos"))


def without_ends(name: str) -> Any:
    """A tokenizer of Transformers that puts nothing around a text."""
    return to_tokenizer(metadata(name) | {ADD_BOS: False, ADD_EOS: False})


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("name", TOGGLED)
def test_a_text_that_begins_with_nothing_is_told(name: str, saved: bool, tmp_path: Path) -> None:
    """No post-processor says so, and of most vocabularies llama.cpp begins a text with bos."""
    ours, case = without_ends(name), expected(name)
    ours.save_pretrained(tmp_path)
    source = tmp_path if saved else ours
    found = metadata_of_tokenizer(source, config=case["config"], vocabulary=case["vocabulary"])
    key = {"t5": ADD_EOS, "gpt2": None}.get(name, ADD_BOS)
    assert {k: found[k] for k in (ADD_BOS, ADD_EOS) if k in found} == ({key: False} if key else {})
    assert to_tokenizer(found)("the")["input_ids"] == ours("the")["input_ids"]


def test_what_gemma4_begins_with_is_said_where_no_key_changes_it() -> None:
    ours, case = to_tokenizer(metadata("gemma4")), expected("gemma4")
    ours.add_bos_token = False
    with pytest.warns(UserWarning, match=r"llama.cpp puts \['<s>'\] around a text.* \[\]"):
        metadata_of_tokenizer(ours, config=case["config"], vocabulary=case["vocabulary"])


@pytest.mark.oracle
@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("name", TOGGLED)
def test_a_text_that_begins_with_nothing_does_so_in_llama_cpp(
    name: str, saved: bool, tmp_path: Path
) -> None:
    ours, case = without_ends(name), expected(name)
    ours.save_pretrained(tmp_path)
    source = tmp_path if saved else ours
    found = metadata_of_tokenizer(source, config=case["config"], vocabulary=case["vocabulary"])
    texts = ["Hello", "the the"]
    theirs = ids_in_llama_cpp(write_vocabulary(tmp_path / "v.gguf", found), texts)
    assert theirs == [ours(text)["input_ids"] for text in texts]


def ids_in_llama_cpp(path: Path, texts: list[str]) -> list[list[int]]:
    llama_cpp = pytest.importorskip("llama_cpp")
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    try:
        return [model.tokenize(text.encode(), add_bos=True, special=True) for text in texts]
    finally:
        model.close()


# --- Where added tokens are found ---

PLAIN = {"normalized": False}
PHI3 = {"general.name": "A Phi-3 tuned"}
REST = ["<|endoftext|>"]  # what else of Phi-3's tokens llama.cpp asks for
# vocabulary, added token, how it is found, what else the file says; the words of the note, and a
# text of which llama.cpp and Transformers make other tokens if there is one
FOUND: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str | None, str]] = {
    "before": (
        *("qwen2", "<img>", {"lstrip": True, **PLAIN}, {}),
        *("keeps spaces before '<img>', which Transformers takes in", "a <img>b"),
    ),
    "behind": (
        *("qwen2", "<img>", {"rstrip": True, **PLAIN}, {}),
        *("keeps spaces behind '<img>', which Transformers takes in", "a<img> \n b"),
    ),
    "spaces of WordPiece": ("bert", "<img>", {"rstrip": True, **PLAIN}, {}, None, "a <img> b"),
    "alone": (
        *("qwen2", "foo", {"single_word": True, **PLAIN}, {}),
        *("finds 'foo' within words too", "food"),
    ),
    "lower case": (
        *("bert", "NEW", {"normalized": True}, {}),
        *("finds 'NEW' in a text as it stands", "a new b"),
    ),
    "as it stands": ("bert", "NEW", PLAIN, {}, None, "a new NEWb"),
    "a space in front": (
        *("llama-json", "NEW", {"normalized": True}, {}),
        *("finds 'NEW' in a text as it stands", "a NEW b"),
    ),
    "composed": ("qwen2", "NÄW", {"normalized": True}, {}, None, "a NÄWb"),
    "not composed": (
        *("qwen2", "NA\u0308W", {"normalized": True}, {}),
        *("finds 'NA\u0308W' in a text as it stands", "aN\u00c4Wb"),
    ),
    "phi-3 by another name": (
        *("llama-json", "<|user|>", {"rstrip": True, **PLAIN}, {}),
        *(r"behind '<\|user\|>', .* takes them in with 'phi-3' in general.name", "<|user|>\nthe"),
    ),
    "phi-3": (
        *("llama-json", "<|user|>", {"rstrip": True, **PLAIN}, PHI3),
        *("takes in spaces behind '</s>', .* by the name of the model", "a</s> the"),
    ),
}


def with_added(case: str) -> tuple[Any, dict[str, Any]]:
    """A tokenizer with an added token, and the arguments to export it."""
    from tokenizers import AddedToken

    name, text, how, general, *_ = FOUND[case]
    ours, rows = to_tokenizer(metadata(name)), expected(name)
    more = [AddedToken(text, special=False, **how)]
    if name == "llama-json":
        more += [AddedToken(token, special=True, normalized=False) for token in REST]
    ours.add_tokens(more)
    count = rows["vocabulary"] + 2
    return ours, {"config": rows["config"], "vocabulary": count, "general": general}


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("case", FOUND)
def test_tokens_that_llama_cpp_finds_elsewhere_are_named(
    case: str, saved: bool, tmp_path: Path
) -> None:
    ours, arguments = with_added(case)
    ours.save_pretrained(tmp_path)
    words = FOUND[case][4]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metadata_of_tokenizer(tmp_path if saved else ours, **arguments)
    notes = [str(one.message) for one in caught if "control tokens" not in str(one.message)]
    assert len(notes) == (words is not None)
    assert words is None or re.search(words, notes[0])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:the tokenizer")
@pytest.mark.parametrize("case", FOUND)
def test_tokens_that_are_named_llama_cpp_finds_elsewhere(case: str, tmp_path: Path) -> None:
    """Just those: where nothing is noted, it finds them where Transformers does."""
    ours, arguments = with_added(case)
    found = metadata_of_tokenizer(ours, **arguments) | arguments["general"]
    words, text = FOUND[case][4:]
    theirs = ids_in_llama_cpp(write_vocabulary(tmp_path / "v.gguf", found), [text])
    assert (theirs == [ours(text)["input_ids"]]) == (words is None)
    # and what is read of the file finds them as llama.cpp does
    assert theirs == [to_tokenizer(found)(text)["input_ids"]]


def llama_tokenizer(*more: str) -> Any:
    """Transformers' own class, which puts a space before a text and behind no special token."""
    from transformers import LlamaTokenizer

    model = json.loads((DATA / "llama-json" / "tokenizer.json").read_text())["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    ours = LlamaTokenizer(vocab=model["vocab"], merges=merges)
    ours.add_special_tokens({"additional_special_tokens": [*more]})
    return ours


def test_a_space_behind_special_tokens_is_said(tmp_path: Path) -> None:
    words = (
        r"a space before the text behind '<\|user\|>', too; Transformers does so at the beginning"
    )
    ours = llama_tokenizer("<|user|>")
    ours.save_pretrained(tmp_path)
    for source in ours, tmp_path:
        with pytest.warns(UserWarning, match=words):
            metadata_of_tokenizer(source, config={"model_type": "x"}, vocabulary=len(ours))
    alone = llama_tokenizer()
    metadata_of_tokenizer(alone, config={"model_type": "x"}, vocabulary=len(alone))
    # of SentencePiece's own file the settings say it
    folder = folder_of("llama", tmp_path / "own", tokenizer_config={"legacy": False})
    with pytest.warns(UserWarning, match="at the beginning alone"):
        exported(folder, 500, model_type="nemotron")


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:the tokenizer")
def test_a_space_behind_special_tokens_is_put_by_llama_cpp(tmp_path: Path) -> None:
    ours = llama_tokenizer("<|user|>")
    found = metadata_of_tokenizer(ours, config={"model_type": "x"}, vocabulary=len(ours))
    texts = ["the", "<|user|>the"]
    theirs = ids_in_llama_cpp(write_vocabulary(tmp_path / "v.gguf", found), texts)
    assert [a == ours(t)["input_ids"] for a, t in zip(theirs, texts, strict=True)] == [True, False]


@pytest.mark.parametrize("name", ["qwen2", "llama-json"])
@pytest.mark.parametrize("called", ["Distilled from phi3", "My PHI-3", "Phi 3"])
def test_a_name_by_which_llama_cpp_looks_for_tokens_is_refused(name: str, called: str) -> None:
    rows, ours = expected(name), to_tokenizer(metadata(name))
    arguments = {"config": rows["config"], "vocabulary": rows["vocabulary"]}
    arguments["general"] = {"general.name": called}
    if called == "Phi 3":
        metadata_of_tokenizer(ours, **arguments)
        return
    words = rf'"{called}" for a Phi-3.*<\|endoftext\|>.*general.name'
    if name == "qwen2":
        words = rf'"{called}" for a Phi-3.*</s>.*general.name'
    with pytest.raises(gl.UnsupportedError, match=words):
        metadata_of_tokenizer(ours, **arguments)
    # a name that is looked at for something else
    arguments["general"]["general.architecture"] = "nomic-bert-moe"
    metadata_of_tokenizer(ours, **arguments)


@pytest.mark.oracle
def test_a_name_by_which_llama_cpp_looks_for_tokens_is_not_loaded(tmp_path: Path) -> None:
    found = metadata("qwen2")
    for name, loads in ("Phi 3", True), ("Distilled from phi3", False):
        path = write_vocabulary(tmp_path / "v.gguf", found | {"general.name": name})
        if loads:
            ids_in_llama_cpp(path, ["the"])
        else:
            with pytest.raises(ValueError, match="Failed to load"):
                ids_in_llama_cpp(path, ["the"])


def test_the_name_that_a_user_gives_counts(tmp_path: Path) -> None:
    from gguf_lab.bridge import export

    model, settings = causal("gpt2"), {"tokenizer": byte_level(), "progress": False}
    model.name_or_path = "somebody/phi3-distilled"
    with pytest.raises(gl.UnsupportedError, match="for a Phi-3"):
        export(model, tmp_path / "f.gguf", **settings)
    assert not [*tmp_path.iterdir()]
    export(model, tmp_path / "f.gguf", metadata={"general.name": "Mine"}, **settings)
