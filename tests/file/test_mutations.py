"""Valid files, damaged at random: the reader gives a good result or a `GGUFError`, never more."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gguf_lab.errors import GGUFError, UnsupportedError
from gguf_lab.file import ArrayValue, FileName, GGUFFile, parse_header

from .builders import F32, Q4_0, Q8_0, Builder, Grudging

# What a file of this size may cost, whatever it claims. A decoded value may be 4 bytes per byte,
# an object is some 100 bytes.
BYTES_PER_BYTE = 200
ALLOWANCE = 300_000


def valid_file(version: int, byteorder: str) -> bytes:
    builder = Builder(version=version, byteorder=byteorder)
    builder.key("general.architecture", "string", "llama")
    builder.key("general.alignment", "uint32", 32)
    builder.key("llama.block_count", "uint32", 2)
    builder.key("general.basename", "string", "Foo-Bar")
    builder.key("general.file_type", "uint32", 15)
    builder.key("llama.rope.freq_base", "float32", 1e4)
    builder.key("a.flag", "bool", 1)
    builder.key("a.flags", "array[bool]", [0, 1, 1])
    builder.key("tokenizer.ggml.tokens", "array[string]", ["", "a", "bc", "Ġd"] * 40)
    builder.key("tokenizer.ggml.scores", "array[float32]", [0.5] * 160)
    builder.key("nested", "array[array[array[array[int16]]]]", [[[[1], []], []], [[[2, 3]]]])
    builder.key("nested.strings", "array[array[string]]", [["x"], ["y", "z"]])
    builder.tensor("token_embd.weight", [32, 4], Q4_0, bytes(72))
    builder.tensor("blk.0.attn_q.weight", [64, 2], Q8_0, bytes(136))
    builder.tensor("blk.0.attn_norm.weight", [4], F32, struct.pack("<4f", 1, 2, 3, 4))
    builder.tensor("odd", [5, 7], 99, bytes(64))
    builder.tensor("empty", [0, 3])
    return builder.tensor("output.weight", [8, 2, 2, 1], F32, bytes(128)).build()


FILES = {
    (version, order): valid_file(version, order)
    for version in (1, 2, 3)
    for order in ("little", "big")
}

# Numbers that make trouble where a count, a length, an offset or a type is read.
NUMBERS = st.sampled_from(
    [0, 1, 2, 7, 8, 9, 13, 31, 32, 33, 64, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
    + [2**n + d for n in (33, 40, 60, 61, 62, 63) for d in (-1, 0, 32)]
    + [2**64 - 1, 2**64 - 32]
)
PLACES = st.integers(0, 10**6)
DAMAGES = st.one_of(
    st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
    st.tuples(st.just("byte"), PLACES, st.integers(0, 255)),
    st.tuples(st.just("u32"), PLACES, NUMBERS),
    st.tuples(st.just("u64"), PLACES, NUMBERS),
    st.tuples(st.just("cut"), PLACES, st.just(0)),
    st.tuples(st.just("insert"), PLACES, st.integers(0, 255)),
    st.tuples(st.just("delete"), PLACES, st.integers(1, 40)),
    st.tuples(st.just("repeat"), PLACES, st.integers(1, 60)),
)


def damaged(content: bytes, order: Any, damages: list[tuple[str, int, int]]) -> bytes:
    for what, place, number in damages:
        at = place % (len(content) + 1)
        before, after = content[:at], content[at:]
        if what == "flip" and after:
            after = bytes([after[0] ^ 1 << number]) + after[1:]
        elif what == "byte" and after:
            after = bytes([number]) + after[1:]
        elif what in ("u32", "u64"):
            width = 4 if what == "u32" else 8
            after = (number % 256**width).to_bytes(width, order) + after[width:]
        elif what == "cut":
            after = b""
        elif what == "insert":
            after = bytes([number]) + after
        elif what == "delete":
            after = after[number:]
        elif what == "repeat":
            after = after[:number] * 3 + after[number:]
        content = before + after
    return content


def look_at_everything(content: bytes) -> None:
    source = Grudging(content, "damaged.gguf")
    header = parse_header(source)
    for key, value in header.metadata.items():
        repr(value)
        assert isinstance(header.metadata.type_of(key), str)
        if isinstance(value, ArrayValue):
            assert len(list(value)) == len(value)
            assert value[-1:] == list(value)[-1:]
    repr(header.metadata)
    FileName.from_metadata(header.metadata)
    file = GGUFFile([source], [header])
    for info in file.tensors:
        assert info.status in ("ok", "truncated", "opaque")
        try:
            raw = file.raw(info)
        except (GGUFError, UnsupportedError):
            assert info.status != "ok"
        else:
            assert info.status == "ok"
            assert raw.shape == (info.n_rows, info.row_bytes)
            assert raw.nbytes == info.nbytes


@given(st.sampled_from(sorted(FILES)), st.lists(DAMAGES, min_size=1, max_size=4))
@settings(
    max_examples=600,
    deadline=timedelta(seconds=1),
    suppress_health_check=[HealthCheck.too_slow],
)
@example((3, "little"), [("u64", 8, 2**60)])
@example((3, "little"), [("u64", 16, 2**64 - 1)])
def test_damaged_files(which: tuple[int, str], damages: list[tuple[str, int, int]]) -> None:
    content = damaged(FILES[which], which[1], damages)
    tracemalloc.start()
    try:
        look_at_everything(content)
    except GGUFError as refused:
        assert str(refused).startswith("damaged.gguf, byte ")  # noqa: PT017
        assert str(refused).isprintable()  # noqa: PT017
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < ALLOWANCE + BYTES_PER_BYTE * len(content)


@given(st.binary(max_size=200), st.sampled_from([1, 2, 3]), st.sampled_from(["little", "big"]))
@settings(max_examples=300, deadline=timedelta(seconds=1))
def test_random_bytes_behind_a_good_start(content: bytes, version: int, byteorder: Any) -> None:
    try:
        look_at_everything(b"GGUF" + version.to_bytes(4, byteorder) + content)
    except GGUFError as refused:
        assert "damaged.gguf, byte " in str(refused)  # noqa: PT017


def test_undamaged_files_are_good() -> None:
    for content in FILES.values():
        look_at_everything(content)


def test_single_bytes_changed_all_over_the_head() -> None:
    content = FILES[3, "little"]
    head = content.index(b"output.weight") + 60
    good = 0
    for at in range(0, head, 2):
        bits = (0x01, 0x80, 0xFF)[at % 3]
        changed = content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]
        try:
            look_at_everything(changed)
            good += 1
        except GGUFError:
            pass
    assert 0 < good < head // 2


def test_recursion_limit_is_not_touched() -> None:
    builder = Builder()
    entry = builder.string("k") + builder.kind("array")
    level = builder.kind("array") + builder.count(1)
    builder.raw_key(entry + level * (2 * sys.getrecursionlimit()))
    try:
        look_at_everything(builder.build())
    except GGUFError as refused:
        assert "nests arrays 5 deep" in str(refused)  # noqa: PT017
    else:
        raise AssertionError("was not refused")
