from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pytest
from traitlets import TraitError

from gguf_lab.panels import ErrorMap
from gguf_lab.panels.verdicts import suffering

from .support import HOSTILE, ORPHAN, StubComparison, StubModel, rows_of


def test_cells_have_all_figures_of_the_rows() -> None:
    model = StubModel()
    rows = rows_of(model)
    panel = ErrorMap()
    panel.expect(model)
    assert {cell["status"] for cell in panel.cells} == {"pending"}
    panel.extend([*rows, ORPHAN])
    assert len(panel.cells) == len(rows)
    names = [statistic["id"] for statistic in panel.statistics]
    for cell, row in zip(panel.cells, rows, strict=True):
        for name, figure in zip(names, cell["figures"], strict=True):
            value = getattr(row, name, None)
            if value is None or math.isfinite(value):
                assert figure == value
            else:  # JSON knows no infinity
                assert float(figure) == value
    assert panel.kinds[0] == "attn_q"
    assert panel.kinds[-2:] == ["attn_norm", "ffn_norm"]  # vectors behind matrices
    panel.statistic = "sqnr_db"
    with pytest.raises(TraitError, match="relative_rmse, sqnr_db"):
        panel.statistic = "luck"


def test_weighted_errors_are_a_figure_of_their_own() -> None:
    panel = ErrorMap(weighted=True)
    assert panel.statistics[0]["id"] == panel.statistic == "weighted_relative_rmse"
    assert "weighted_relative_rmse" not in [s["id"] for s in ErrorMap().statistics]


def test_csv_has_every_digit_and_no_formula() -> None:
    rows = rows_of(StubModel())
    rows[1] = replace(rows[1], name="=HYPERLINK(1);=2")
    panel = ErrorMap(StubComparison(rows))
    messages = []
    panel.send = lambda content, buffers=None: messages.append(content)
    panel._handle_custom_msg({"ask": "csv", "id": "1"}, [])
    lines = list(csv.DictReader(io.StringIO(messages[0]["csv"])))
    assert len(lines) == len(rows)
    assert lines[1]["name"] == "'=HYPERLINK(1);'=2"
    for line, row in zip(lines, rows, strict=True):
        assert line["relative_rmse"] == (
            "" if row.relative_rmse is None else repr(row.relative_rmse)
        )
    frame = panel.to_frame()
    assert list(frame.columns) == list(lines[0])


def test_which_layer_suffers_most_and_why() -> None:
    rows = rows_of(StubModel())
    at = next(k for k, row in enumerate(rows) if row.name == "blk.2.ffn_gate.weight")
    bad = replace(rows[at], rmse=0.04, relative_rmse=0.8)
    rows[at] = bad
    words = suffering(rows)
    assert words.startswith("Layer 2 suffers most: relative RMSE ")
    assert "of its squared error is in ffn_gate, stored as Q4_K (4.50 bits) with 80.0 %" in words
    assert "median of this kind in other layers" in words
    assert "In the same layer " in words  # others have more bits
    # Pooled by hand.
    mine = [r for r in rows if r.layer == 2 and r.rmse is not None]
    ee = sum(r.rmse**2 * r.n_elements for r in mine)
    rr = sum(r.reference_rms**2 * r.n_elements for r in mine)
    assert f"relative RMSE {100 * math.sqrt(ee / rr):.3g} %" in words
    assert f"{100 * bad.rmse**2 * bad.n_elements / ee:.0f} % of its squared error" in words


def test_what_is_unverified_or_missing_says_nothing_about_layers() -> None:
    rows = [replace(row, status="unverified") for row in rows_of(StubModel()) if row.measured]
    assert suffering(rows) == ""
    assert suffering([]) == ""
    exact = [replace(r, rmse=0.0, relative_rmse=0.0) for r in rows_of(StubModel()) if r.measured]
    assert suffering(exact) == "No compared layer has an error."


def test_what_is_not_finite_is_told_first_and_is_no_error_of_none() -> None:
    exact = [
        replace(r, rmse=0.0, relative_rmse=0.0, max_abs_error=0.0)
        for r in rows_of(StubModel())
        if r.measured
    ]
    nan = {"rmse": math.nan, "relative_rmse": math.nan, "max_abs_error": math.nan}
    broken = replace(exact[1], **nan, n_nan=1)
    words = suffering([exact[0], broken, *exact[2:]])
    assert words == f"\u26a0 1 tensor has weights that are not finite: {broken.name}."
    rows = [r for r in rows_of(StubModel()) if r.measured]
    infinite = {"rmse": math.inf, "relative_rmse": math.nan, "n_inf": 3}
    words = suffering([replace(row, **infinite) for row in rows[:5]] + rows[5:])
    assert words.startswith("\u26a0 5 tensors have weights that are not finite, left out of what ")
    assert f": {', '.join(row.name for row in rows[:3])} and 2 more. Layer " in words
    assert "suffers most" in words


def test_the_static_form_lists_the_worst_first() -> None:
    rows = rows_of(StubModel())
    panel = ErrorMap(StubComparison([*rows, replace(rows[2], name=HOSTILE)]))
    html = panel.snapshot().html
    worst = max((r for r in rows if r.measured), key=lambda r: r.relative_rmse)
    others = [r.name for r in rows if r.measured and r is not worst]
    assert all(html.index(worst.name) < html.index(name) for name in others)
    assert "suffers most" in html
    for forbidden in ("<script", "<img src=x", "\x1b", "\u202e"):
        assert forbidden not in html
    assert "No tensor has been compared yet." in ErrorMap().snapshot().html
