"""Lazy arrays behave like the lists they stand for."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.errors import GGUFError
from gguf_lab.file import ArrayValue, parse_header

from .builders import Builder, Grudging

if TYPE_CHECKING:
    from collections.abc import Callable


def array_of(kind: str, items: list[Any], byteorder: str = "little") -> ArrayValue:
    builder = Builder(byteorder=byteorder).key("key", f"array[{kind}]", items)
    value = parse_header(Grudging(builder.build())).metadata["key"]
    assert isinstance(value, ArrayValue)
    return value


LISTS = st.one_of(
    st.tuples(st.just("string"), st.lists(st.text(max_size=5), max_size=300)),
    st.tuples(st.just("int16"), st.lists(st.integers(-(2**15), 2**15 - 1), max_size=300)),
    st.tuples(
        st.just("array[uint8]"),
        st.lists(st.lists(st.integers(0, 255), max_size=3), max_size=200),
    ),
)
PLACES = st.one_of(st.none(), st.integers(-400, 400))
STEPS = st.one_of(st.none(), st.integers(1, 200), st.integers(-200, -1))


@given(LISTS, PLACES, PLACES, STEPS, st.sampled_from(["little", "big"]))
def test_like_a_list(
    case: tuple[str, list[Any]], start: int | None, stop: int | None, step: int | None, order: str
) -> None:
    kind, items = case
    value = array_of(kind, items, order)
    assert len(value) == len(items)
    assert value == items
    assert list(value) == items
    assert list(reversed(value)) == items[::-1]
    assert value[start:stop:step] == items[start:stop:step]
    for index in range(-len(items), len(items), 37):
        assert value[index] == items[index]
    for index in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            value[index]


@pytest.mark.parametrize(
    "double",
    [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
    ids=["copy", "deepcopy", "pickle"],
)
@given(LISTS)
def test_a_copy_is_plain(double: Callable[[Any], Any], case: tuple[str, list[Any]]) -> None:
    """A memoryview of the file can be neither copied nor pickled."""
    kind, items = case
    builder = Builder().key("word", "string", "a").key("key", f"array[{kind}]", items)
    metadata = parse_header(Grudging(builder.build())).metadata
    again = double(metadata["key"])
    assert type(again) is list
    assert again == items
    whole = double(metadata)
    assert type(whole) is dict
    assert whole == {"word": "a", "key": items}


def test_search_and_comparison() -> None:
    value = array_of("string", [str(i % 150) for i in range(300)])
    assert value.index("149") == 149
    assert value.index("0", 1) == 150
    assert value.count("7") == 2
    assert "149" in value
    assert "150" not in value
    with pytest.raises(ValueError, match='"150" is not in the array'):
        value.index("150")
    assert value != list(value)[:-1]
    assert value != "text"
    assert value == tuple(value)
    assert value == array_of("string", list(value))
    assert value[np.int64(149)] == "149"
    for wrong in ("0", 1.0, None, [0], np.array([0, 1])):
        with pytest.raises(TypeError, match="integer"):
            value[wrong]  # type: ignore[call-overload]


@pytest.mark.parametrize("order", ["little", "big"])
def test_numbers_as_an_array(order: str) -> None:
    value: Any = array_of("int32", [1, -2, 3], order)
    array = value.to_numpy()
    assert array.dtype == np.dtype("int32")
    assert array.dtype.isnative
    assert array.tolist() == [1, -2, 3]
    assert np.asarray(value, np.float64).tolist() == [1.0, -2.0, 3.0]
    flags: Any = array_of("bool", [True, False], order)
    assert flags.to_numpy().tolist() == [True, False]
    assert flags[0] is True


def test_repr_is_short_and_safe() -> None:
    assert repr(array_of("int8", [1, 2])) == "<2 × int8: [1, 2]>"
    text = repr(array_of("string", ["\x1b[31m" + "x" * 1000] * 1000))
    assert text.startswith("<1,000 × string: [")
    assert "\x1b" not in text
    assert len(text) < 200
    assert len(repr(array_of("array[string]", [["x" * 1000] * 9] * 9))) < 250


def test_item_type() -> None:
    assert array_of("string", []).item_type == "string"
    assert array_of("array[uint8]", [[1]]).item_type == "array"
    assert array_of("array[uint8]", [[1]])[0].item_type == "uint8"


def mixed_strings(which: str, count: int) -> list[str]:
    """Make many strings, of kinds that the reader finds in different ways."""
    random = np.random.default_rng(7)
    lengths = random.integers(0, 12, count)
    if which == "some long":
        lengths[:: count // 7] = 300
    if which == "long":
        lengths = random.integers(250, 600, count)
    if which == "empty":
        lengths[:] = 0
    letter = (
        "\0" if which == "zeros" else "\x01" if which == "ones" else "é" * (which == "é") or "x"
    )
    strings = [letter * int(n) for n in lengths]
    if which == "some zeros":
        for i in random.integers(0, count, 20):
            strings[i] = "\x05" + "\0" * 9 + "\x03" + "\0" * 7
    return strings


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("count", [1023, 1024, 1025, 9001])
@pytest.mark.parametrize(
    "which", ["short", "some long", "long", "empty", "zeros", "ones", "some zeros", "é"]
)
def test_many_strings(which: str, count: int, version: int, order: str) -> None:
    strings = mixed_strings(which, count)
    builder = Builder(version=version, byteorder=order)
    builder.key("before", "uint8", 1).key("key", "array[string]", strings).key("after", "uint8", 2)
    metadata = parse_header(Grudging(builder.build())).metadata
    value: Any = metadata["key"]
    assert value == strings
    assert [value[i] for i in range(0, count, 61)] == strings[::61]
    assert metadata["after"] == 2


@pytest.mark.slow
def test_arrays_of_arrays_are_looked_at_by_several_threads() -> None:
    rows = [[i] * 3 for i in range(2000)]
    nested = array_of("array[uint32]", rows)
    wrong: list[object] = []

    def look(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, len(rows), 2000).tolist():
            try:
                if list(nested[i]) != rows[i]:
                    wrong.append(i)
            except GGUFError as error:
                wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
