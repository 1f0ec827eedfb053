"""The checker of the exercises: right solutions pass, wrong ones are told what is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.exercises import EXERCISES, Verdict, check
from gguf_lab.exercises.tasks import find_task

from .solutions import RIGHT, WRONG, d_of, halves, k_quant, no_offset, packed_block, two_mistakes

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def test_every_exercise_has_a_solution_here():
    assert tuple(RIGHT) == EXERCISES
    assert {exercise for exercise, _, _ in WRONG} == {*EXERCISES}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_right_solution_is_right(exercise):
    verdict = check(exercise, RIGHT[exercise])
    assert verdict
    assert verdict.state == "right"
    assert re.search(r"All \d[\d,]* (weights|bytes) of \d+ blocks are right", verdict.said[0])
    assert verdict.working == verdict.mistake == ""


@pytest.mark.parametrize(
    ("exercise", "words", "function"), WRONG, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_typical_mistake_is_named(exercise, words, function):
    verdict = check(exercise, function)
    assert not verdict
    assert verdict.state == "wrong"
    assert words in verdict.mistake
    # The place is the first that differs, and expected and got are what they are there.
    task = find_task(exercise)
    for k, (trial, right) in enumerate(zip(task.solution.trials, task.right, strict=True)):
        with np.errstate(all="ignore"):
            got = np.asarray(function(trial.given.copy()))
        differ = np.flatnonzero(got != right)
        if differ.size:
            assert (verdict.block, verdict.index) == (k, differ[0])
            assert verdict.expected == right[differ[0]]
            assert verdict.got == pytest.approx(float(got[differ[0]]), nan_ok=True)
            break
    assert f"Block {verdict.block} (" in verdict.said[0]
    assert f" {verdict.index}" in verdict.said[0]


def test_two_mistakes_are_both_named():
    verdict = check("Q4_0", two_mistakes)
    assert sum(s.startswith(("It looks like this", "And also")) for s in verdict.said) == 2


@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_mistake_is_no_mistake_and_every_mistake_shows(exercise):
    """Every way to be wrong gives other numbers than the codec, and is recognised as itself."""
    solution = find_task(exercise).solution
    for trial, right in zip(solution.trials, find_task(exercise).right, strict=True):
        assert np.array_equal(solution(trial.given), right)
    seen = []
    for choice in solution.choices:
        for way, words in choice.wrong.items():
            verdict = check(exercise, lambda given, c=choice, w=way: solution(given, **{c.name: w}))
            assert verdict.mistake == words
            seen.append(words)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("exercise", ["Q8_0", "Q4_0", "Q4_K"])
def test_the_solution_without_mistakes_meets_ggml(exercise):
    """Apart from the codec: on blocks that ggml itself has decoded."""
    with np.load(GOLDEN / f"{exercise}.npz") as golden:
        blocks, values = golden["raw"], golden["raw_dequantized"]
    finite = np.isfinite(values).all(axis=1)
    assert finite.sum() > 30
    solution = find_task(exercise).solution
    for block, right in zip(blocks[finite], values[finite], strict=True):
        np.testing.assert_array_equal(solution(block), right)
        np.testing.assert_array_equal(RIGHT[exercise](block), right)


def test_the_quantizing_without_mistakes_meets_the_codec():
    task = find_task("quantize Q4_0")
    given = [trial.given for trial in task.solution.trials]
    given += [*np.random.default_rng(0).normal(0, 0.1, (50, 32)).astype(np.float32)]
    for weights in given:
        np.testing.assert_array_equal(task.solve(weights), gl.quantize(weights, "Q4_0")[0])


def from_above(limit):
    """Two's complement by hand; bytes above `limit` are negative (127 is the right one)."""

    def decode(block):
        codes = [b - 256 if b > limit else b for b in block[2:].tolist()]
        return d_of(block) * np.array(codes, np.float32)

    return decode


def test_two_complement_is_tried_at_its_ends():
    assert check("Q8_0", from_above(127))
    for limit, index, expected in ((126, 15, 127), (128, 16, -128)):
        verdict = check("Q8_0", from_above(limit))
        assert (verdict.block, verdict.index, verdict.expected) == (1, index, expected)


@pytest.mark.parametrize("preferred", [np.max, np.min])
def test_the_first_of_two_largest_is_neither_always_the_positive_nor_the_negative(preferred):
    def quantize(x):
        both = x[np.abs(x) == np.abs(x).max()]
        d = preferred(both) / np.float32(-8)
        return packed_block(x, d, np.trunc(x * (1 / d if d else d) + np.float32(8.5)))

    assert "sign" in check("quantize Q4_0", quantize).said[0]


def test_a_function_may_use_one_array_for_all_blocks():
    weights = np.empty(32, np.float32)

    def decode(block):
        weights[:] = RIGHT["Q4_0"](block)
        return weights

    assert check("Q4_0", decode)


def test_a_byte_that_is_no_whole_number_is_shown_as_it_is():
    def uncut(x):
        block = np.frombuffer(RIGHT["quantize Q4_0"](x), np.uint8).astype(np.float64)
        return block + np.where(np.arange(18) >= 2, 0.25, 0)

    assert "expected 240 (0xf0), got 240.25." in check("quantize Q4_0", uncut).said[0]


def pass_(block):
    pass


def dots(block):
    return ...


def not_implemented(block):
    raise NotImplementedError


@pytest.mark.parametrize("exercise", EXERCISES)
@pytest.mark.parametrize("blank", [pass_, dots, not_implemented])
def test_a_blank_is_not_yet_done(exercise, blank):
    verdict = check(exercise, blank)
    assert verdict.state == "not yet"
    assert not verdict
    assert repr(verdict) == f"{exercise}: not yet\n  Nothing is returned yet: write the function."


def deep(block, n=0):
    return deep(block, n + 1) if n < 50 else block[99]


def test_an_error_is_told_with_the_students_own_lines():
    verdict = check("Q4_0", deep)
    assert verdict.state == "wrong"
    assert "IndexError: index 99 is out of bounds" in verdict.said[0]
    lines = verdict.working.splitlines()
    assert lines[0] == "(48 calls before)"
    assert len(lines) == 7
    assert re.fullmatch(r"line \d+, in deep", lines[-2])
    assert lines[-1].strip() == "return deep(block, n + 1) if n < 50 else block[99]"


def test_the_calls_of_an_endless_recursion_are_all_counted():
    def endless(block):
        return endless(block)

    verdict = check("Q4_0", endless)
    assert "RecursionError" in verdict.said[0]
    calls = int(re.match(r"\((\d+) calls before\)", verdict.working)[1])
    assert calls > sys.getrecursionlimit() // 2


def test_an_error_without_a_line_of_the_student():
    verdict = check("Q4_0", lambda: None)
    assert "TypeError" in verdict.said[0]
    assert verdict.working == ""


class Strange:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("weights", "A str was returned, with elements of type <U7"),
        ([[1.0], [1.0, 2.0]], "A list was returned that is no array: ValueError"),
        (Strange(), "no array: RuntimeError: no array"),
        ({1: 2}, "A dict was returned, with elements of type object"),
        (np.zeros((2, 16), np.float32), r"expected an array of shape (32,), got (2, 16). Flatten"),
        (np.zeros(16, np.float32), "expected an array of shape (32,), got (16,)."),
        (1.5, "got (). Return all 32 weights of the block."),
        (np.full(32, np.nan, np.float32), "NaN is no number"),
    ],
    ids=["text", "ragged", "raises", "dict", "matrix", "half", "number", "nan"],
)
def test_something_else_is_returned(returned, words):
    verdict = check("Q4_0", lambda block: returned)
    assert verdict.state == "wrong"
    assert words in " ".join(verdict.said)
    assert verdict.block == 0


def test_nothing_is_returned_for_a_later_block():
    verdict = check("Q4_0", lambda b: RIGHT["Q4_0"](b) if d_of(b) == 1 else None)
    assert verdict.block == 2
    assert verdict.said[0] == "Block 2 (a scale below 1): nothing was returned."


def test_the_right_values_of_another_type():
    for kind in (list, np.float64):
        verdict = check("Q4_K", lambda block, kind=kind: kind(RIGHT["Q4_K"](block).tolist()))
        (sentence,) = verdict.said
        assert sentence == (
            "Every value is right, but of type float64; float32 was asked for: "
            "return np.asarray(result, np.float32)."  # which a list has no method for
        )
        assert verdict.state == "wrong"


def test_bytes_and_a_list_of_integers_are_as_good():
    assert check("quantize Q4_0", lambda x: np.frombuffer(RIGHT["quantize Q4_0"](x), np.uint8))
    assert not check("quantize Q4_0", lambda x: [256 + b for b in RIGHT["quantize Q4_0"](x)])


def test_rounding_is_told_from_a_mistake():
    def otherwise(block):
        return k_quant(block).astype(np.float64) * (1 + 1e-6)

    verdict = check("Q4_K", lambda block: otherwise(block).astype(np.float32))
    assert "rounding only" in verdict.said[1]
    assert verdict.mistake == ""
    # One weight that is off by more, and it is none.
    verdict = check("Q4_K", lambda block: otherwise(block) + (np.arange(256) == 7))
    assert "256 weights are wrong" in verdict.said[1]


def test_the_sign_of_a_zero_is_told_from_a_mistake():
    verdict = check("Q4_0", lambda b: d_of(b) * halves(b).astype("f4") - d_of(b) * np.float32(8))
    assert "Only the sign of a zero is wrong" in verdict.said[1]
    assert (verdict.expected, verdict.got) == (0, 0)


def test_a_warning_of_numpy_is_passed_on():
    def careless(block):
        return d_of(block) * np.array([q - np.uint8(8) for q in halves(block)])

    said = check("Q4_0", careless).said
    assert said[-1] == "Python warned: overflow encountered in scalar subtract."


def test_the_block_is_a_copy():
    def destructive(block):
        weights = RIGHT["Q4_0"](block)
        block[:] = 0
        return weights

    assert check("Q4_0", destructive)
    assert check("Q4_0", destructive)


def test_the_result_instead_of_the_function():
    verdict = check("Q4_0", np.zeros(32))
    assert verdict.said == (
        "Give the function itself, as in check('Q4_0', decode), not its result.",
    )


def test_an_unknown_exercise():
    with pytest.raises(
        gl.GGUFLabError, match=r"no exercise 'q4_k'.*Q8_0, Q4_0, Q4_K, quantize Q4_0"
    ):
        check("q4_k", pass_)
    with pytest.raises(gl.GGUFLabError, match=r'Did you mean "Q4_0"\?'):
        check("q4_0", pass_)


def test_a_list_in_place_of_a_name_is_no_exercise_either() -> None:
    with pytest.raises(gl.GGUFLabError, match=r"no exercise \['Q4_0'\]"):
        check(["Q4_0"], len)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Q6_K", "IQ4_NL", "MXFP4", "F16"])
def test_any_other_type_can_be_tried(name):
    assert check(name, lambda block: gl.dissect(block, name).weights)
    verdict = check(name, lambda block: -gl.dissect(block, name).weights)
    assert re.search(r"weights (is|are) wrong", verdict.said[1])
    assert f"{name} block, weight {verdict.index}" in verdict.working


def test_a_function_that_ends_the_program_does_not():
    verdict = check("Q4_0", lambda block: sys.exit("done"))
    assert verdict.said[0].endswith("SystemExit: done")


def test_an_interrupt_goes_through():
    def endless(block):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("Q4_0", endless)


def test_the_verdict_is_shown_as_text_and_as_html():
    verdict = check("Q4_0", no_offset)
    text, page = repr(verdict), verdict._repr_html_()
    assert text.startswith(
        "Q4_0: wrong\n  Block 0 (a scale of 1), weight 0: expected -8.0, got 0.0."
    )
    assert "block.qs[0]" in text
    assert "weight = d * q = 1.0 * -8 = -8.0" in text
    for piece in ("Q4_0", "wrong", "expected -8.0, got 0.0.", "<details>", "d * q"):
        assert piece in page
    hostile = Verdict("<b>", "wrong", ("<script>",), working="<i>")._repr_html_()
    assert not {"<b>", "<script>", "<i>"} & {*re.findall("<[^>]*>", hostile)}


def test_it_is_reached_from_the_entrance():
    assert gl.exercises.check is check
