from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from gguf_lab.errors import ComparisonError
from gguf_lab.panels import TensorTable
from gguf_lab.panels.columns import FIGURES

from .support import HOSTILE, ORPHAN, StubComparison, StubModel, StubTensor, rows_of


def figures(table: TensorTable) -> np.ndarray:
    return np.frombuffer(table.figures).reshape(-1, len(FIGURES))


def test_a_model_is_listed_in_file_order() -> None:
    model = StubModel()
    table = TensorTable(model)
    assert table.rows["name"] == list(model.tensors)
    assert table.rows["shape"][0] == "32000 × 256"
    assert table.figures == b""
    assert all(column["figure"] is None for column in table.columns)


def test_figures_are_there_only_for_what_was_compared() -> None:
    rows = rows_of(StubModel())
    table = TensorTable(StubComparison([*rows, ORPHAN]))
    names = table.rows["name"]
    assert names[-1] == "model.rotary.inv_freq"
    data = figures(table)
    for row, values, state in zip(rows, data, table.states, strict=False):
        assert state[0] == row.status
        if row.status == "compared":
            assert values[0] == row.relative_rmse
            assert values[3] == row.max_abs_error
        else:
            assert np.isnan(values).all()
            assert state[1] == row.reason
    exact = names.index("blk.0.attn_norm.weight")
    assert np.isinf(data[exact, 1])


def test_unverified_rows_have_figures_and_a_mark() -> None:
    rows = rows_of(StubModel())
    doubted = replace(rows[2], status="unverified", reason="no table for 'new'")
    table = TensorTable(StubComparison([rows[1], doubted]))
    assert table.states[1] == ["unverified", "no table for 'new'"]
    assert figures(table)[1, 0] == doubted.relative_rmse
    html = table.snapshot().html
    assert "unverified: no table for" in html
    assert f"{doubted.relative_rmse:.4g}" in html


def test_rows_of_a_run_fill_the_table() -> None:
    model = StubModel()
    rows = rows_of(model)
    table = TensorTable(model, figures=True)
    assert np.isnan(figures(table)).all()
    table.extend(rows[:3])
    assert np.isfinite(figures(table)[:3, 0]).all()
    assert np.isnan(figures(table)[3:, 0]).all()
    table.extend([*rows[3:], ORPHAN])
    assert table.total == len(model.tensors) + 1


def test_selection_is_checked() -> None:
    table = TensorTable(StubModel())
    table.selected = "blk.0.attn_q.weight"
    assert table.selected == ["blk.0.attn_q.weight"]
    words = r"no tensor named 'blk\.9\.attn_q\.weight'\. Did you mean \"blk\..\.attn_q\.weight\""
    with pytest.raises(ComparisonError, match=words):
        table.selected = ["blk.9.attn_q.weight"]
    assert table.selected == ["blk.0.attn_q.weight"]


def test_what_an_observer_raises_is_seen_when_the_browser_selects() -> None:
    table = TensorTable(StubModel())

    def broken(change: object) -> None:
        raise RuntimeError("my own function failed")

    table.observe(broken, ["selected"])
    table.set_state({"selected": ["blk.0.attn_q.weight"]})
    assert table.error.startswith("RuntimeError: my own function failed (test_table.py, line ")
    with pytest.raises(RuntimeError):
        table.selected = []


def test_what_is_sent_is_capped() -> None:
    tensors = [
        StubTensor(f"blk.{i}.attn_q.weight", i, "attn_q", "Q4_0", (32, 32), 4.5)
        for i in range(20_010)
    ]
    table = TensorTable(StubModel(tensors=tensors))
    assert len(table.rows["name"]) == 20_000
    assert table.total == 20_010


def test_hostile_names_are_shown_escaped_and_stay_keys() -> None:
    tensor = StubTensor(HOSTILE, 0, HOSTILE, "Q4_0", (32, 32), 4.5)
    table = TensorTable(StubModel(tensors=[tensor]))
    assert table.rows["labels"][HOSTILE].isprintable()
    table.selected = [HOSTILE]
    html = table.snapshot().html
    for forbidden in ("<script", "<img", "\x1b", "\u202e"):
        assert forbidden not in html
    assert "\\u202e" in html
    assert repr(table) == "<TensorTable: 1 tensors, 1 selected>"


def test_static_form_gives_reasons_in_place_of_figures() -> None:
    html = TensorTable(StubComparison(rows_of(StubModel()))).snapshot().html
    assert "unmatched: the checkpoint has no tensor" in html
    assert "unsupported: no definition of type IQ9_X" in html
    short = TensorTable(StubModel(layers=40))._static(10)
    assert "and 352 more tensors" in short


def test_static_form_writes_figures_as_the_panel_does() -> None:
    row = next(row for row in rows_of(StubModel()) if row.measured)
    row = replace(row, relative_rmse=np.inf, sqnr_db=-np.inf, cosine=np.nan, max_abs_error=np.nan)
    html = TensorTable(StubComparison([row])).snapshot().html
    cells = re.findall(r">([^<>]+)</td>", html)
    assert cells[2:6] == ["∞", "−∞", "NaN", "NaN"]
    # a ratio to zeros has no value; that is no NaN among the weights
    undefined = dict.fromkeys(("relative_rmse", "sqnr_db", "cosine"), np.nan)
    zeros = replace(row, **undefined, max_abs_error=0.0)
    html = TensorTable(StubComparison([zeros])).snapshot().html
    assert re.findall(r">([^<>]+)</td>", html)[2:6] == ["–", "–", "–", "0"]
