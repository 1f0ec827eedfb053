from __future__ import annotations

from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

import gguf_lab as gl
from gguf_lab.errors import CheckpointError, ComparisonError, GGUFLabError
from gguf_lab.panels import Workbench, explore

from .support import HOSTILE, StubModel, StubRun

MODELS = Path(__file__).parents[1] / "data" / "models"
REFERENCE = SimpleNamespace(path=Path("hf"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace the run by one that goes on only when `gate` is set."""
    gate = Event()

    def make(*args: Any, **kwargs: Any) -> StubRun:
        return StubRun(*args, gate=gate, **kwargs)

    monkeypatch.setattr("gguf_lab.comparison.Run", make)
    monkeypatch.setattr("gguf_lab.panels.workbench._opened_reference", lambda given: given)
    return gate


def test_without_a_reference_it_is_a_viewer() -> None:
    workbench = Workbench(StubModel())
    assert workbench.histograms is None
    assert workbench.result is None
    workbench.selected = "blk.0.attn_q.weight"
    assert "reference=" in workbench.detail.hint
    assert ["type", "Q4_K"] in workbench.detail.facts
    assert repr(workbench) == "<Workbench: Stub 1B, 38 tensors, no reference>"
    workbench.close()


def test_results_come_and_the_selection_goes_everywhere(run: Event) -> None:
    workbench = explore(StubModel(), REFERENCE)
    assert {c["status"] for c in workbench.histograms.cells} == {"pending"}
    workbench.selected = ["blk.2.attn_q.weight"]
    assert workbench.detail.hint == "This tensor has not been compared yet."
    run.set()
    result = workbench.wait(20)
    assert result is workbench.result
    assert result.complete
    assert workbench.progress.state == "done"
    assert workbench.detail.hint == ""
    assert workbench.detail.chart["label"] == "blk.2.attn_q.weight"
    assert workbench.histograms.reference_only == 1
    # From each panel to all others.
    workbench.table.set_state({"selected": ["blk.0.attn_q.weight"]})
    assert workbench.selected == workbench.histograms.selected == ["blk.0.attn_q.weight"]
    assert workbench.detail.title == "blk.0.attn_q.weight"
    workbench.histograms.set_state({"selected": ["output_norm.weight"]})
    assert workbench.selected == workbench.table.selected == ["output_norm.weight"]
    workbench.table.selected = ["model.rotary.inv_freq"]  # the reference alone has it
    assert workbench.histograms.selected == []
    assert workbench.selected == ["model.rotary.inv_freq"]
    with pytest.raises(ComparisonError):
        workbench.selected = ["nowhere"]
    workbench.histograms.mode = "relative"
    assert workbench.detail.mode == "relative"
    workbench.close()


def test_cancel_keeps_what_was_finished(run: Event) -> None:
    workbench = Workbench(StubModel(), REFERENCE)
    workbench.progress._handle_custom_msg({"ask": "cancel", "id": "1"}, [])
    assert workbench.wait(20) is not None
    assert not workbench.result.complete
    assert workbench.progress.state == "cancelled"
    assert workbench.progress.shown
    workbench.close()


def test_closing_stops_the_run(run: Event) -> None:
    workbench = Workbench(StubModel(), REFERENCE)
    workbench.close()
    assert workbench._background.wait(0)
    assert all(not t.is_alive() or t.join(5) is None for t in workbench._background._threads)


def test_a_run_that_fails_is_seen(run: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: StubRun) -> Any:
        yield self._rows[0]
        raise GGUFLabError("blk.1 is damaged")

    monkeypatch.setattr(StubRun, "__iter__", broken)
    workbench = Workbench(StubModel(), REFERENCE)
    assert workbench.wait(20) is None
    assert workbench.progress.state == "failed"
    assert workbench.progress.error == "The comparison failed. blk.1 is damaged"
    assert repr(workbench) == "<Workbench: Stub 1B, failed, 1 tensors compared>"
    workbench.close()


def test_static_form_has_every_panel_and_no_script(run: Event) -> None:
    run.set()
    workbench = Workbench(StubModel(), REFERENCE)
    workbench.wait(20)
    bundle = workbench._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    for html in (bundle["text/html"], workbench.snapshot().html):
        assert "general.architecture" in html
        assert "blk.0.attn_q.weight" in html
        assert "Weight-space error" in html
        for forbidden in ("<script", "<img src=x", "\x1b", "\u202e"):
            assert forbidden not in html
    assert HOSTILE not in workbench.snapshot().html
    workbench.close()


def test_paths_are_opened_and_closed(tmp_path: Path) -> None:
    path = MODELS / "llama" / "llama-bf16.gguf"
    with pytest.raises(CheckpointError):
        Workbench(path, tmp_path / "nothing")
    workbench = gl.explore(str(path), str(MODELS / "llama" / "hf"))
    result = workbench.wait(60)
    assert workbench.progress.error == ""
    assert {row.status for row in result.rows} == {"compared"}
    # A bfloat16 file holds its checkpoint exactly.
    assert all(cell["exact"] for cell in workbench.histograms.cells)
    workbench.selected = result.rows[0].name
    assert workbench.detail.chart["verdict"].startswith("exact")
    workbench.close()


def test_a_model_that_was_given_stays_open() -> None:
    model = StubModel()
    Workbench(model).close()
    assert not model.closed


def test_real_errors_are_drawn() -> None:
    folder = MODELS / "llama-256"
    workbench = Workbench(folder / "llama-Q4_K_M.gguf", folder / "hf")
    result = workbench.wait(60)
    assert workbench.progress.error == workbench.histograms.error == ""
    name = "blk.0.attn_q.weight"
    workbench.selected = name
    row = result[name]
    figures = {key: text for key, text, _ in workbench.detail.chart["figures"]}
    assert figures["RMSE"] == f"{row.rmse:.4g}"
    assert row.transform
    assert ["aligned by", row.transform] in workbench.detail.facts
    assert "SQNR" in workbench.snapshot().html
    workbench.close()
