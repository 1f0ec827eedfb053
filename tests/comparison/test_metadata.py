from __future__ import annotations

import math

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.comparison.metadata import compare_metadata


@pytest.fixture
def differences(tmp_path):
    """What differs between two files of these metadata, by key."""

    def find(*sides):
        models = []
        for i, values in enumerate(sides):
            writer = gguf.GGUFWriter(tmp_path / f"{i}.gguf", "llama")
            for key, (add, value) in values.items():
                getattr(writer, f"add_{add}")(key, value)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.close()
            models.append(gl.open(tmp_path / f"{i}.gguf"))
        found = compare_metadata(*(model.metadata for model in models))
        for model in models:
            model.close()
        return found

    return find


def only(found):
    (difference,) = found
    return difference.ours, difference.theirs, difference.kind


def test_equal_values_are_no_difference(differences):
    values = {
        "a": ("uint32", 1),
        "b": ("float32", math.nan),
        "c": ("array", [1.5, math.nan]),
        "d": ("array", ["x", "y"]),
        "e": ("string", "x" * 1000),
    }
    assert differences(values, values) == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        (("uint32", 1), ("uint32", 2), ("1", "2", "another value")),
        (("uint32", 1), ("int32", 1), ("uint32", "int32", "another type, the same value")),
        (("uint32", 1), ("bool", True), ("1", "True", "another value, uint32 and bool")),
        (("uint32", 1), ("string", "1"), ("1", '"1"', "another value, uint32 and string")),
        (("string", "a\n"), ("string", "b"), ('"a\\n"', '"b"', "another value")),
        (
            ("array", [1, 2, 3]),
            ("array", [1, 5, 3, 4]),
            ("[1] 2", "[1] 5, [3] 4", "3 and 4 items, 2 of 4 items differ"),
        ),
        (
            ("array", ["a", "b"]),
            ("array", ["a"]),
            ('[1] "b"', "", "2 and 1 items, 1 of 2 items differ"),
        ),
        (
            ("array", [0] * 99),
            ("array", [1] * 99),
            (
                "[0] 0, [1] 0, [2] 0, [3] 0, …",
                "[0] 1, [1] 1, [2] 1, [3] 1, …",
                "99 of 99 items differ",
            ),
        ),
        (
            ("array", [1, 2]),
            ("array", ["1", "2"]),
            (
                "[0] 1, [1] 2",
                '[0] "1", [1] "2"',
                "2 of 2 items differ, array[int32] and array[string]",
            ),
        ),
    ],
)
def test_what_differs_is_shown(differences, ours, theirs, shown):
    assert only(differences({"k": ours}, {"k": theirs})) == shown


def test_long_texts_are_shown_where_they_differ(differences):
    head = "line\n" * 100
    ours, theirs, kind = only(
        differences({"t": ("string", head + "A" * 500)}, {"t": ("string", head + "B" * 400)})
    )
    assert kind == "texts of 1,000 and 900 characters differ from line 101 on"
    assert "AAAA" in ours
    assert "BBBB" in theirs
    assert ours.startswith('"…')
    assert max(len(ours), len(theirs)) <= 160
    for at in (0, 1, 255, 499):  # wherever it is, the first difference is shown
        text = "x" * at + "Y" + "x" * (499 - at)
        (found,) = differences({"t": ("string", "x" * 500)}, {"t": ("string", text)})
        assert found.theirs.lstrip('"…x').startswith("Y")
        assert found.theirs.index("Y") <= 26
    _, theirs, kind = only(differences({"t": ("string", head)}, {"t": ("string", head + "more")}))
    assert "more" in theirs
    assert "line 101" in kind


def test_hostile_keys_and_values_are_capped_and_escaped(differences):
    values = {f"key\x1b{i:04}": ("string", "x\x1b" * 500) for i in range(1005)}
    values["k" * 5000] = ("array", ["\x1b" * 5000] * 9)
    found = differences(values, {})
    assert len(found) == 1001
    assert found[-1].kind == "6 further keys were not compared"
    for difference in found:
        for text in (difference.key, difference.ours, difference.theirs, difference.kind):
            assert len(text) <= 160
            assert text.isprintable()


def test_long_arrays_are_not_held(differences):
    numbers = np.arange(300_000)
    other = numbers.copy()
    other[[5, 70_000]] = -1
    shown = only(differences({"n": ("array", numbers.tolist())}, {"n": ("array", other.tolist())}))
    assert shown == ("[5] 5, [70000] 70000", "[5] -1, [70000] -1", "2 of 300,000 items differ")
