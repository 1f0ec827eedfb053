"""What llama.cpp loads is no error, odd as it is; with one thing wrong both refuse it."""

from __future__ import annotations

from typing import Any

import pytest

import gguf_lab as gl

from .loading import verdicts
from .odd_models import ODD, Odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_models_are_in_order_until_something_is_wrong(odd: Odd, tmp_path: Any) -> None:
    found = gl.check(odd.write(tmp_path / "odd.gguf"), progress=False)
    assert {f.code for f in found if f.severity == "error"} == {odd.wrong} - {""}, found
    assert found.codes <= {odd.wrong, "name", "unknown-architecture"}, found


@pytest.mark.oracle
def test_llama_cpp_loads_odd_models(tmp_path: Any) -> None:
    pytest.importorskip("llama_cpp")
    paths = [odd.write(tmp_path / f"{n}.gguf") for n, odd in enumerate(ODD)]
    due = {odd.name: "refused" if odd.wrong else "loaded" for odd in ODD}
    assert dict(zip(due, verdicts(paths), strict=True)) == due
