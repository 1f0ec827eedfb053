from __future__ import annotations

from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from traitlets import TraitError

import gguf_lab as gl
from gguf_lab.errors import CheckpointError, ComparisonError, GGUFLabError
from gguf_lab.panels import Workbench, explore
from gguf_lab.panels.background import Background

from ..models import MODELS
from .support import HOSTILE, StubModel, StubRun

REFERENCE = SimpleNamespace(path=Path("hf"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace the run by one that goes on only when `gate` is set."""
    gate = Event()

    def make(*args: Any, **kwargs: Any) -> StubRun:
        return StubRun(*args, gate=gate, **kwargs)

    monkeypatch.setattr("gguf_lab.panels.workbench.Run", make)
    monkeypatch.setattr("gguf_lab.panels.workbench.open_reference", lambda given: given)
    return gate


FOLDER = MODELS / "llama-256"
WORST = "blk.0.ffn_gate.weight"


@pytest.fixture(scope="module")
def bench() -> Any:
    """A workbench with real errors, all of them measured."""
    workbench = explore(FOLDER / "llama-Q4_K_M.gguf", FOLDER / "hf")
    assert workbench.wait(60).complete
    yield workbench
    workbench.close()


def made(workbench: Workbench) -> list[str]:
    return list(workbench._made)


def test_without_a_reference_it_is_a_viewer() -> None:
    workbench = Workbench(StubModel())
    assert workbench.histograms is workbench.errors is workbench.worst is workbench.types is None
    assert workbench.result is None
    assert [name for name, _ in workbench.tabs.tabs] == [
        *("overview", "tensors", "weights", "run", "metadata", "vocabulary", "template"),
    ]
    assert made(workbench) == ["overview"]  # the others are made when they are shown
    workbench.selected = "blk.0.attn_q.weight"
    assert "reference=" in workbench.detail.hint
    assert ["type", "Q4_K"] in workbench.detail.facts
    assert made(workbench) == ["overview", "table", "detail"]
    assert repr(workbench) == "<Workbench: Stub 1B, 38 tensors, no reference>"
    with pytest.raises(TraitError, match="no tab 'errors'"):
        workbench.tab = "errors"
    with pytest.raises(AttributeError, match="tabel"):
        _ = workbench.tabel
    workbench.close()


def test_results_come_and_are_known_to_panels_that_are_made_later(run: Event) -> None:
    workbench = explore(StubModel(), REFERENCE)
    workbench.selected = ["blk.2.attn_q.weight"]
    assert workbench.detail.hint == "This tensor has not been compared yet."
    assert {state[0] for state in workbench.table.states if state} == set()
    run.set()
    result = workbench.wait(20)
    assert result is workbench.result
    assert result.complete
    assert workbench.progress.state == "done"
    assert workbench.detail.hint == ""
    assert workbench.detail.chart["label"] == "blk.2.attn_q.weight"
    workbench.table.selected = ["model.rotary.inv_freq"]  # the reference alone has it
    assert workbench.selected == ["model.rotary.inv_freq"]
    with pytest.raises(ComparisonError):
        workbench.selected = ["nowhere"]
    workbench.close()


def test_a_selection_goes_everywhere(bench: Workbench) -> None:
    bench.tab = "overview"
    bench.table.set_state({"selected": ["blk.0.attn_q.weight"]})
    assert bench.selected == bench.histograms.selected == ["blk.0.attn_q.weight"]
    assert bench.errors.selected == ["blk.0.attn_q.weight"]
    assert bench.detail.title == "blk.0.attn_q.weight"
    bench.histograms.set_state({"selected": ["output_norm.weight"]})
    assert bench.selected == bench.table.selected == ["output_norm.weight"]
    bench.errors.set_state({"selected": [WORST]})
    assert bench.selected == bench.table.selected == bench.histograms.selected == [WORST]
    bench.histograms.mode = "relative"
    assert bench.detail.mode == "relative"
    bench.histograms.mode = "absolute"


def test_what_reads_weights_follows_when_it_is_seen(bench: Workbench) -> None:
    bench.tab = "errors"
    bench.selected = WORST
    assert bench.worst.selected == bench.types.selected == [WORST]
    bench.tab = "overview"
    bench.selected = "blk.1.ffn_up.weight"
    assert bench.worst.selected == [WORST]  # nobody looks: nothing is read
    bench.tab = "errors"
    assert bench.worst.selected == bench.types.selected == ["blk.1.ffn_up.weight"]
    assert bench.worst.wait(30)
    assert bench.worst.error == ""


def test_a_jump_shows_the_weight(bench: Workbench) -> None:
    bench.tab = "errors"
    bench.selected = WORST
    assert bench.worst.wait(30)
    row, column = bench.worst.rows[0][5:7]
    assert (row, column) != (0, 0)
    bench.worst.set_state({"cell": [row, column], "jumps": bench.worst.jumps + 1})
    assert bench.tab == "weights"
    assert bench.cell == bench.picture.cell == bench.block.cell == [row, column]
    assert bench.picture.selected == bench.block.selected == [WORST]
    # And on from there: the block follows the picture, another tensor begins at its first weight.
    bench.picture.cell = [1, 2]
    assert bench.cell == bench.block.cell == [1, 2]
    bench.selected = "blk.1.attn_k.weight"
    assert bench.cell == bench.picture.cell == bench.block.cell == [0, 0]
    assert bench.picture.selected == bench.block.selected == ["blk.1.attn_k.weight"]
    bench.block.set_state({"selected": [WORST]})
    assert bench.selected == bench.picture.selected == [WORST]
    # A finding of the overview leads to its tensor in the table.
    name = "blk.1.attn_k.weight"
    bench.overview.set_state({"selected": [name], "jumps": 1})
    assert bench.tab == "tensors"
    assert bench.selected == bench.table.selected == [name]


def test_the_first_tensor_to_look_at_is_the_worst() -> None:
    workbench = explore(FOLDER / "llama-Q4_K_M.gguf", FOLDER / "hf")
    result = workbench.wait(60)
    worst = max(result.compared, key=lambda row: row.relative_rmse)
    workbench.tab = "errors"
    assert workbench.selected == workbench.worst.selected == [worst.name]
    workbench.close()


def test_what_is_unusual_is_looked_for_off_the_kernels_thread(bench: Workbench) -> None:
    assert bench.overview.wait(60)
    assert bench.overview.error == ""
    assert bench.overview.found is not None
    assert bench.overview.verdict.startswith(bench.overview.found.summary)
    # The comparison is known to it, not done again.
    assert bench.overview.found.skipped.get("comparison") is None


def test_another_file_is_put_beside() -> None:
    file = FOLDER / "llama-Q4_K_M.gguf"
    workbench = Workbench(file, other=FOLDER / "llama-Q4_K_M.gguf", tab="pair")
    assert ["pair", "A and B"] in workbench.tabs.tabs
    assert made(workbench)[0] == "pair"
    assert workbench.pair.wait(60) is not None
    workbench.selected = WORST
    assert workbench.pair.selected == [WORST]
    workbench.close()


def test_an_imatrix_weights_the_errors() -> None:
    columns = np.linspace(0.5, 2, 256)
    importance = {"blk.0.attn_q.weight": columns}
    workbench = Workbench(FOLDER / "llama-Q4_K_M.gguf", FOLDER / "hf", imatrix=importance)
    result = workbench.wait(60)
    row = result["blk.0.attn_q.weight"]
    assert result["blk.0.attn_k.weight"].weighted_relative_rmse is None
    assert workbench.errors.statistic == "weighted_relative_rmse"
    (cell,) = [c for c in workbench.errors.cells if c["name"] == row.name]
    assert cell["figures"][0] == row.weighted_relative_rmse > 0
    workbench.selected = row.name
    workbench.tab = "errors"
    assert workbench.worst.wait(30)
    assert "importance-weighted squared error" in workbench.worst.verdict
    workbench.close()


def test_cancel_keeps_what_was_finished(run: Event) -> None:
    workbench = Workbench(StubModel(), REFERENCE)
    workbench.progress._handle_custom_msg({"ask": "cancel", "id": "1"}, [])
    assert workbench.wait(20) is not None
    assert not workbench.result.complete
    assert workbench.progress.state == "cancelled"
    workbench.selected = ["output_norm.weight"]
    assert workbench.detail.hint == "This tensor was not compared: the comparison was stopped."
    assert workbench.progress.shown
    workbench.close()


def test_after_the_end_of_a_run_nothing_is_said_to_come() -> None:
    with gl.open(FOLDER / "llama-Q4_K_M.gguf") as model:
        workbench = Workbench(model, FOLDER / "hf")
        assert workbench.histograms.over == ""
        assert workbench.wait(60).complete
        assert workbench.histograms.over == ""
        workbench._end("failed")
        assert workbench.histograms.over == workbench.errors.over == "the comparison failed"
        workbench.close()


def test_closing_stops_the_run(run: Event) -> None:
    workbench = Workbench(StubModel(), REFERENCE)
    workbench.close()
    assert workbench._background.wait(0)
    assert all(not t.is_alive() or t.join(5) is None for t in workbench._background._threads)


@pytest.mark.parametrize("most", [0, 1])
def test_a_run_without_threads_is_cancelled(run: Event, most: int, allow_threads: Any) -> None:
    run.set()
    stub = StubRun(StubModel(), REFERENCE, gate=run)
    background = Background(stub, lambda *_: None)
    allow_threads(most)
    with pytest.raises(GGUFLabError, match="no thread can be started"):
        background.start()
    assert background.wait(0)
    assert stub._stop


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


def test_static_forms_have_no_script(run: Event) -> None:
    run.set()
    workbench = Workbench(StubModel())
    bundle = workbench._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert made(workbench) == ["overview"]  # showing it makes nothing
    snapshot = workbench.snapshot().html
    assert "general.architecture" in snapshot
    assert "blk.0.attn_q.weight" in snapshot
    assert "Will it run" in snapshot
    for html in (bundle["text/html"], snapshot):
        assert "Stub 1B" in html
        for forbidden in ("<script", "<img src=x", "\x1b", "\u202e"):
            assert forbidden not in html
    assert HOSTILE not in snapshot
    workbench.close()


def test_a_snapshot_has_the_errors(bench: Workbench) -> None:
    html = bench.snapshot().html
    for words in ("Errors by layer and kind", "suffers most", "Weight-space error", WORST, "SQNR"):
        assert words in html


def test_nothing_is_left_of_what_is_closed() -> None:
    """ipywidgets keeps every widget that is not closed, and with it all that it holds."""
    before = set(_instances)
    path, original = MODELS / "llama" / "llama-bf16.gguf", MODELS / "llama" / "hf"
    workbench = gl.explore(path, original, other=path)
    assert workbench.wait(60)
    for name, _ in workbench.tabs.tabs:
        workbench.tab = name
    assert len(set(_instances) - before) > 40
    workbench.close()
    assert [_instances[key] for key in set(_instances) - before] == []


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


def test_real_errors_are_drawn(bench: Workbench) -> None:
    name = "blk.0.attn_q.weight"
    bench.selected = name
    row = bench.result[name]
    assert bench.progress.error == bench.histograms.error == ""
    figures = {key: text for key, text, _ in bench.detail.chart["figures"]}
    assert figures["RMSE"] == f"{row.rmse:.4g}"
    assert row.transform
    assert ["aligned by", row.transform] in bench.detail.facts
