from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from gguf_lab.errors import ComparisonError
from gguf_lab.panels import ErrorHistograms
from gguf_lab.panels.chart import verdict
from gguf_lab.panels.histograms import in_order
from gguf_lab.panels.numbers import number

from .support import (
    HOSTILE,
    ORPHAN,
    StubComparison,
    StubModel,
    StubTensor,
    compared,
    missing,
    rows_of,
)


def cell(panel: ErrorHistograms, name: str) -> dict[str, object]:
    return next(c for c in panel.cells if c["name"] == name)


@pytest.fixture
def panel() -> ErrorHistograms:
    return ErrorHistograms(StubComparison([*rows_of(StubModel()), ORPHAN]))


def test_kinds_follow_the_flow_of_data_vectors_behind_matrices(panel: ErrorHistograms) -> None:
    assert panel.kinds[:2] == ["attn_q", "attn_k"]
    assert panel.kinds.index("ffn_down") < panel.kinds.index("attn_norm")
    assert "token_embd" not in panel.kinds
    assert panel.reference_only == 1


def test_every_state_is_told_apart(panel: ErrorHistograms) -> None:
    assert cell(panel, "blk.0.attn_norm.weight")["exact"] is True
    assert cell(panel, "blk.0.attn_q.weight")["exact"] is False
    unmatched = cell(panel, "blk.1.attn_k.weight")
    assert unmatched["status"] == "unmatched"
    assert "no tensor" in str(unmatched["reason"])
    assert unmatched["absolute"] is None
    assert cell(panel, "blk.2.ffn_up.weight")["status"] == "unsupported"


def test_what_is_unverified_is_drawn_and_marked() -> None:
    rows = rows_of(StubModel())
    reason = "no table for architecture 'new'"
    rows = [
        replace(row, status="unverified", reason=reason) if row.measured else row for row in rows
    ]
    panel = ErrorHistograms(StubComparison(rows))
    drawn, exact = (cell(panel, f"blk.0.{kind}.weight") for kind in ("attn_q", "attn_norm"))
    assert (drawn["status"], drawn["reason"]) == ("unverified", reason)
    assert drawn["absolute"] is not None
    assert exact["exact"] is True
    assert panel.limits["absolute"] > 0
    panel.selected = "blk.0.attn_q.weight"
    assert panel.chart["doubt"] == f"⚠ unverified: {reason}"
    assert panel.chart["verdict"] == ""
    assert panel.chart["figures"]
    assert panel.chart_bins
    panel.selected = "blk.0.attn_norm.weight"
    assert panel.chart["verdict"].startswith("exact")
    assert panel.chart["doubt"]
    panel.selected = "blk.1.attn_k.weight"
    assert panel.chart["doubt"] == ""
    assert f", {len(rows) - 2} unverified>" in repr(panel)
    html = panel.snapshot().html
    assert "⚠ unverified: no table" in html
    picture = base64.b64decode(html.partition("svg+xml;base64,")[2].partition('"')[0]).decode()
    assert ">unverified</text>" in picture
    assert ">exact, unverified</text>" in picture


def test_small_bins_are_packed_where_the_cells_say(panel: ErrorHistograms) -> None:
    rows = {row.name: row for row in rows_of(StubModel())}
    for mode in ("absolute", "relative"):
        data = np.frombuffer(getattr(panel, f"bins_{mode}"), np.float32)
        for entry in panel.cells:
            if entry[mode] is None:
                continue
            start, n = entry[mode]
            edges, counts = data[start : start + n + 1], data[start + n + 1 : start + 2 * n + 1]
            assert (np.diff(edges) > 0).all()
            assert counts.sum() <= rows[entry["name"]].histogram.total
            assert counts.sum() > 0.95 * rows[entry["name"]].histogram.total


def test_rows_may_come_one_after_the_other() -> None:
    model = StubModel()
    whole = ErrorHistograms(StubComparison(rows_of(model)))
    grown = ErrorHistograms()
    grown.expect(model)
    assert {c["status"] for c in grown.cells} == {"pending"}
    for row in rows_of(model):
        grown.extend([row])
    assert grown.limits == whole.limits
    data = {"whole": whole, "grown": grown}
    for mode in ("absolute", "relative"):
        bins = {k: np.frombuffer(getattr(p, f"bins_{mode}"), np.float32) for k, p in data.items()}
        for a in whole.cells:
            b = cell(grown, a["name"])
            assert a["ratio"] == b["ratio"]
            if a[mode]:
                (i, n), (j, m) = a[mode], b[mode]
                assert n == m
                left, right = bins["whole"][i : i + 2 * n + 1], bins["grown"][j : j + 2 * m + 1]
                np.testing.assert_array_equal(left, right)


def test_the_large_histogram_follows_the_selection(panel: ErrorHistograms) -> None:
    row = next(r for r in rows_of(StubModel()) if r.name == "blk.2.attn_q.weight")
    panel.selected = "blk.2.attn_q.weight"
    data = np.frombuffer(panel.chart_bins)
    n = (data.size - 1) // 2
    assert set(data[: n + 1]) <= set(row.histogram.edges)
    assert data[n + 1 :].sum() + panel.chart["below"] + panel.chart["above"] == row.histogram.total
    common = panel.chart["limit"]
    assert common == panel.limits["absolute"]
    panel.extent = "full"
    assert panel.chart["limit"] == pytest.approx(row.max_abs_error * 1.05)
    assert panel.chart["below"] == panel.chart["above"] == 0
    panel.mode = "relative"
    assert panel.chart["rmse"] == pytest.approx(row.relative_rmse)
    assert "RMS of the reference" in panel.chart["axis"]
    figures = {name: text for name, text, _ in panel.chart["figures"]}
    assert figures["SQNR"] == number(row.sqnr_db, "dB")
    assert figures["not finite"] == "0"
    panel.extend([replace(row, n_nan=11, n_inf=245)])
    assert panel.chart["figures"][-1][:2] == ["not finite", "256"]
    assert panel.chart["figures"][-1][2].endswith(": 11 NaN, 245 inf")
    panel.selected = []
    assert panel.chart == {}
    assert panel.chart_bins == b""


def test_without_a_histogram_the_reason_is_told(panel: ErrorHistograms) -> None:
    panel.selected = "blk.1.attn_k.weight"
    assert panel.chart["bad"]
    assert panel.chart["verdict"].startswith("unmatched: the checkpoint has no tensor")
    assert panel.chart["figures"] == []
    panel.selected = "blk.0.attn_norm.weight"
    assert panel.chart["verdict"].startswith("exact")
    with pytest.raises(ComparisonError):
        panel.selected = "nowhere"


def test_an_all_zero_reference_has_no_relative_error() -> None:
    tensor = StubTensor("blk.0.attn_q.weight", 0, "attn_q", "Q4_0", (32, 32), 4.5)
    row = compared(tensor, np.full(1024, 0.01))
    row.reference_rms, row.relative_rmse = 0.0, None
    panel = ErrorHistograms(StubComparison([row]))
    assert panel.cells[0]["absolute"] is not None
    assert panel.cells[0]["relative"] is None
    panel.mode = "relative"
    panel.selected = tensor.name
    assert "zero everywhere" in panel.chart["verdict"]
    assert verdict(row) == ""


def test_eighty_layers_are_sent_small() -> None:
    panel = ErrorHistograms(StubComparison(rows_of(StubModel(layers=80))))
    assert len(panel.bins_absolute) < 600_000
    assert len(panel.bins_relative) < 600_000


def test_static_form_is_a_picture_and_a_table(panel: ErrorHistograms) -> None:
    html = panel.snapshot().html
    picture = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert picture
    svg = base64.b64decode(picture[1]).decode()
    assert svg.count("<path") == 4 * 7 - 2
    assert "attn_output" in svg
    assert "quality" not in html


def test_hostile_words_do_no_harm() -> None:
    tensor = StubTensor(HOSTILE, 0, HOSTILE, "Q4_0", (32, 32), 4.5)
    normal = StubTensor("blk.0.attn_q.weight", 0, "attn_q", "Q4_0", (32, 32), 4.5)
    rows = [missing(tensor, "unmatched", HOSTILE), compared(normal, np.linspace(-1, 1, 1024))]
    panel = ErrorHistograms(StubComparison(rows))
    html = panel.snapshot().html
    svg = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1]).decode()  # type: ignore[index]
    for forbidden in ("<script", "<img src=x", "\x1b", "\u202e"):
        assert forbidden not in html
        assert forbidden not in svg
    assert cell(panel, HOSTILE)["label"].isprintable()  # type: ignore[attr-defined]


def test_scales_of_a_quantization_are_the_last_columns() -> None:
    kinds = ["attn_q.scale", "attn_norm", "attn_q", "ffn_up", "ffn_up.input_scale"]
    ordered = in_order(kinds, {"attn_q", "ffn_up"})
    assert ordered == ["attn_q", "ffn_up", "attn_norm", "attn_q.scale", "ffn_up.input_scale"]
