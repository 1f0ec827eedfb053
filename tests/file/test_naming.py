"""The naming convention, both ways."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import GGUFError
from gguf_lab.file import (
    FILE_TYPES,
    FileName,
    LocalFile,
    Metadata,
    file_type_name,
    open_file,
    parse_header,
)

from ..models import MODELS
from .builders import Builder

# From the specification, as Python writes it: an oracle for the names we write.
SPECIFICATION = re.compile(
    r"^(?P<BaseName>[A-Za-z0-9\s]*(?:(?:-(?:(?:[A-Za-z\s][A-Za-z0-9\s]*)|(?:[0-9\s]*)))*))-"
    r"(?:(?P<SizeLabel>(?:\d+x)?(?:\d+\.)?\d+[A-Za-z](?:-[A-Za-z]+(\d+\.)?\d+[A-Za-z]+)?)"
    r"(?:-(?P<FineTune>[A-Za-z0-9\s-]+))?)?-(?:(?P<Version>v\d+(?:\.\d+)*))"
    r"(?:-(?P<Encoding>(?!LoRA|vocab)[\w_]+))?(?:-(?P<Type>LoRA|vocab))?"
    r"(?:-(?P<Shard>\d{5}-of-\d{5}))?\.gguf$"
)

NAMES = [
    # the examples of the specification
    ("Mixtral-8x7B-v0.1-KQ2", FileName("Mixtral", "8x7B", None, "v0.1", "KQ2")),
    ("Hermes-2-Pro-Llama-3-8B-F16", FileName("Hermes 2 Pro Llama 3", "8B", encoding="F16")),
    (
        "Grok-100B-v1.0-Q4_0-00003-of-00009",
        FileName("Grok", "100B", None, "v1.0", "Q4_0", None, 3, 9),
    ),
    (
        "Phi-3-mini-3.8B-ContextLength4k-instruct-v1.0",
        FileName("Phi 3 mini", "3.8B-ContextLength4k", "instruct"),
    ),
    # names in use
    ("SmolLM2-135M-Instruct.Q4_1", FileName("SmolLM2", "135M", "Instruct", encoding="Q4_1")),
    (
        "Meta-Llama-3.1-8B-Instruct-Q4_K_M",
        FileName("Meta Llama 3.1", "8B", "Instruct", encoding="Q4_K_M"),
    ),
    (
        "Qwen2.5-0.5B-Instruct-IQ2_XXS",
        FileName("Qwen2.5", "0.5B", "Instruct", encoding="IQ2_XXS"),
    ),
    (
        "Qwen3-30B-A3B-Instruct-2507-UD-Q4_K_XL",
        FileName("Qwen3", "30B-A3B", "Instruct 2507", encoding="UD-Q4_K_XL"),
    ),
    (
        "DeepSeek-R1-Distill-Qwen-7B.i1-IQ3_M",
        FileName("DeepSeek R1 Distill Qwen", "7B", encoding="i1-IQ3_M"),
    ),
    (
        "tinyllama-1.1b-chat-v1.0.Q4_K_M",
        FileName("tinyllama", "1.1B", "chat", "v1.0", "Q4_K_M"),
    ),
    ("vicuna-13b-v1.5-16k.q5_k_s", FileName("vicuna", "13B", "16k", "v1.5", "Q5_K_S")),
    ("Phi-3-mini-4k-instruct-q4", FileName("Phi 3 mini 4k instruct", encoding="Q4")),
    ("gpt-oss-20b-mxfp4", FileName("gpt oss", "20B", encoding="MXFP4")),
    ("mmproj-model-f16", FileName("model", encoding="F16", type="mmproj")),
    (
        "mmproj-SmolVLM-500M-Instruct-Q8_0",
        FileName("SmolVLM", "500M", "Instruct", encoding="Q8_0", type="mmproj"),
    ),
    ("Foo-8B-v1.0-F16-LoRA", FileName("Foo", "8B", encoding="F16", type="LoRA")),
    ("Foo-8B-LoRA-F16", FileName("Foo", "8B", encoding="F16", type="LoRA")),
    ("Foo-8B-v2-vocab", FileName("Foo", "8B", version="v2", type="vocab")),
    (
        "Llama-3.2-3B-BF16-00001-of-00002",
        FileName("Llama 3.2", "3B", None, "v1.0", "BF16", None, 1, 2),
    ),
    ("Q4_K_M", FileName("", encoding="Q4_K_M")),
]


@pytest.mark.parametrize(("stem", "expected"), NAMES, ids=[name for name, _ in NAMES])
def test_names(stem: str, expected: FileName) -> None:
    assert FileName.parse(f"{stem}.gguf") == expected
    assert FileName.parse(Path("/some/folder") / f"{stem}.gguf") == expected


@pytest.mark.parametrize(
    "name", ["not-a-known-arrangement.gguf", "model.gguf", ".gguf", "", "Foo-8B-v1.0-F16.bin"]
)
def test_names_that_say_nothing(name: str) -> None:
    assert FileName.parse(name) is None


@pytest.mark.parametrize("name", [name for name, _ in NAMES[:4]])
def test_examples_are_written_back(name: str) -> None:
    parsed = FileName.parse(f"{name}.gguf")
    assert parsed is not None
    written = parsed.format()
    assert FileName.parse(written) == parsed
    if "-v" in name:
        assert written == f"{name}.gguf"


WORD = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,6}", fullmatch=True)
WORDS = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
FILE_NAMES = st.builds(
    FileName,
    base_name=WORDS,
    size_label=st.from_regex(
        r"([1-9]x)?([1-9]\.)?[0-9]{1,3}[KMBT](-[A-Z][a-z]{1,5}[1-9]k)?", fullmatch=True
    ),
    fine_tune=st.none() | WORDS,
    version=st.from_regex(r"v[0-9](\.[0-9]{1,2}){0,2}", fullmatch=True),
    encoding=st.none() | st.sampled_from(sorted(FILE_TYPES.values())),
    type=st.none() | st.sampled_from(["LoRA", "vocab"]),
)
SHARDS = st.none() | st.tuples(st.integers(1, 99), st.integers(0, 99_900))


@given(FILE_NAMES, SHARDS)
def test_written_names_read_back(parts: FileName, shard: tuple[int, int] | None) -> None:
    if shard:
        parts = replace(parts, shard=shard[0], shard_count=sum(shard))
    if FileName.parse(str(parts)) != parts:  # say, a fine tune that looks like an attribute
        with pytest.raises(GGUFError, match="read back"):
            parts.format()
        return
    name = parts.format()
    assert FileName.parse(name) == parts
    match = SPECIFICATION.fullmatch(name)
    assert match is not None
    assert match["Version"] == parts.version
    assert match["Encoding"] == parts.encoding
    assert match["Type"] == parts.type


@given(st.text(alphabet="aBv019.-_xKMQ ofLoRA", max_size=60))
def test_whatever_is_read_can_be_read_again(stem: str) -> None:
    parsed = FileName.parse(f"{stem}.gguf")
    if parsed is not None:
        with contextlib.suppress(GGUFError):
            assert FileName.parse(parsed.format()) == parsed


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (FileName(""), "base name is missing"),
        (FileName("Foo"), "size label is missing"),
        (FileName("Foo", "large"), "size label 'large'"),
        (FileName("Foo", "8B-"), "size label"),
        (FileName("Foo", "8B", version="1.0"), "version '1.0'"),
        (FileName("../Foo", "8B"), "base name '../Foo'"),
        (FileName("Foo", "8B", "a/b"), "fine tune 'a/b'"),
        (FileName("Foo", "8B", "a\nb"), "fine tune"),
        (FileName("Foo", "8B", encoding="Q4/K"), "read back"),
        (FileName("Foo", "8B", encoding="LoRA"), "read back"),
        (FileName("Foo", "8B", type="model"), "type 'model'"),
        (FileName("Foo", "8B", shard=1), "number and the count"),
        (FileName("Foo", "8B", shard=0, shard_count=3), "shard 0 of 3"),
        (FileName("Foo", "8B", shard=4, shard_count=3), "shard 4 of 3"),
        (FileName("Foo", "8B", shard=1, shard_count=100_000), "shard 1 of 100000"),
        (FileName("Foo 8B", "8B"), "read back"),
        (FileName("Foo v2", "8B", version="v1"), ""),
    ],
)
def test_invalid_parts_are_not_written(parts: FileName, words: str) -> None:
    if words:
        with pytest.raises(GGUFError, match=re.escape(words)):
            parts.format()
    else:
        assert FileName.parse(parts.format()) == parts


@pytest.mark.parametrize(
    "stem",
    ["-" * 900, "a-" * 400, "1" * 900, "1." * 450, "8x" * 450, "v1" + ".1" * 440, "Q4" + "_K" * 400,
     "A1" * 450, "8B-" * 300, " " * 900, "a" * 10**7, "ContextLength4" * 60],
)  # fmt: skip
def test_hostile_names_are_read_at_once(stem: str) -> None:
    start = time.perf_counter()
    FileName.parse(f"{stem}.gguf")
    FileName.parse(f"{stem}-Q4_K_M-00001-of-00002.gguf")
    assert time.perf_counter() - start < 5  # what is quadratic takes minutes


def metadata_of(folder: Path, **keys: object) -> Metadata:
    builder = Builder()
    for key, value in keys.items():
        kind = "string" if isinstance(value, str) else "uint32"
        builder.key(key.replace("__", "."), kind, value)
    with LocalFile(builder.write(folder / "file.gguf")) as source:
        return parse_header(source).metadata


def test_from_metadata(tmp_path: Path) -> None:
    metadata = metadata_of(
        tmp_path,
        general__basename="Meta-Llama-3.1",
        general__size_label="8B",
        general__finetune="Instruct-Chat",
        general__version="1.2",
        general__file_type=15,
        general__type="adapter",
        split__no=2,
        split__count=9,
    )
    parts = FileName("Meta Llama 3.1", "8B", "Instruct Chat", "v1.2", "Q4_K_M", "LoRA", 3, 9)
    assert FileName.from_metadata(metadata) == parts
    assert parts.format() == (
        "Meta-Llama-3.1-8B-Instruct-Chat-v1.2-Q4_K_M-LoRA-00003-of-00009.gguf"
    )


def test_from_the_name_in_the_metadata(tmp_path: Path) -> None:
    metadata = metadata_of(tmp_path, general__name="SmolLM2 135M Instruct", general__file_type=3)
    assert FileName.from_metadata(metadata) == FileName(
        "SmolLM2", "135M", "Instruct", encoding="Q4_1"
    )


def test_from_metadata_that_says_nothing(tmp_path: Path) -> None:
    assert FileName.from_metadata(metadata_of(tmp_path)) == FileName("")
    odd = metadata_of(tmp_path, general__basename=7, general__file_type="x", split__count=1)
    assert FileName.from_metadata(odd) == FileName("")
    assert FileName.from_metadata(metadata_of(tmp_path, general__file_type=999)).encoding is None


def test_from_a_real_file() -> None:
    path = MODELS / "llama-256" / "llama-Q4_K_M.gguf"
    assert FileName.from_metadata(open_file(path).metadata).encoding == "Q4_K_M"


def test_file_types_are_those_of_the_gguf_package() -> None:
    from gguf.constants import LlamaFileType

    for kind in LlamaFileType:
        if kind.name != "GUESSED":
            name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            assert file_type_name(kind) == name
            assert file_type_name(kind | 1024) == name
    assert file_type_name(-1) is None
