"""What llama.cpp loads is no error, odd as it is; with one thing wrong both refuse it."""

from __future__ import annotations

from typing import Any

import pytest

import gguf_lab as gl
from gguf_lab.reference.facts import Facts
from gguf_lab.reference.lengths import filled_layers

from .loading import verdicts
from .odd_models import ODD, Odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_models_are_in_order_until_something_is_wrong(odd: Odd, tmp_path: Any) -> None:
    found = gl.check(odd.write(tmp_path / "odd.gguf"), progress=False)
    assert {f.code for f in found if f.severity == "error"} == {odd.wrong} - {""}, found
    assert found.codes <= {odd.wrong, "name", "unknown-architecture"}, found


@pytest.mark.parametrize(
    ("said", "layers"), [(0, 0), (1, 2), (9, 4), (-1, 4), ("x", 4), (float("inf"), 4), ([2, 1], 4)]
)
def test_of_two_stacks_no_more_layers_are_expected_than_there_are(said: Any, layers: int) -> None:
    facts = Facts.of("hrm_text", {"hrm_text.hrm.layers_per_stack": said}, {})
    assert [*filled_layers(facts, 4)] == [*range(layers)]


@pytest.mark.oracle
def test_llama_cpp_loads_odd_models(tmp_path: Any) -> None:
    pytest.importorskip("llama_cpp")
    paths = [odd.write(tmp_path / f"{n}.gguf") for n, odd in enumerate(ODD)]
    due = {odd.name: "refused" if odd.wrong else "loaded" for odd in ODD}
    assert dict(zip(due, verdicts(paths), strict=True)) == due
