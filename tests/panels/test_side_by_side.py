from __future__ import annotations

import math
import shutil
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.comparison import Run
from gguf_lab.comparison.beside import pair_of
from gguf_lab.comparison.statistics import measure
from gguf_lab.errors import ComparisonError
from gguf_lab.file.called import called
from gguf_lab.file.remote import parse_address
from gguf_lab.panels import SideBySide
from gguf_lab.panels.pairs import not_finite_in, sentence, strength

from ..comparison.test_beside import REFERENCE, comparison, only, row
from ..models import MODELS
from .browser import until
from .support import HOSTILE
from .tensors import write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .browser import Harness

FOLDER = MODELS / "llama-256"
FILE = FOLDER / "llama-Q4_K_M.gguf"


def made_up(**more: Any) -> SideBySide:
    """Two comparisons: A is better in one matrix, B in another, one is unverified."""
    a = comparison(
        row("output", 0.05),
        row("blk.0.attn_q", 0.01),
        row("blk.0.ffn_up", 0.1),
        row("blk.1.attn_q", 0.0),
        row("blk.1.ffn_up", 0.1, status="unverified"),
        row("blk.1.norm", 0.0, shape=(256,)),
        only("model.rotary"),
    )
    b = comparison(
        row("output", 0.0, 8.5),
        row("blk.0.attn_q", 0.08),
        row("blk.0.ffn_up", 0.05, 8.5),
        row("blk.1.attn_q", 0.0, 8.5),
        row("blk.1.ffn_up", 0.05, 8.5),
        row("blk.1.norm", 0.0, shape=(256,)),
        only("model.rotary"),
        path="b.gguf",
    )
    return SideBySide(a, b, **more)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """A real file and what half precision makes of it."""
    path = tmp_path_factory.mktemp("b") / "llama-F16.gguf"
    gl.requantize(FILE, path, "F16", progress=False)
    panel = SideBySide(FILE, path, FOLDER / "hf")
    assert panel.wait(120) is not None, panel.progress.error
    yield panel
    panel.close()


def figures(panel: SideBySide) -> np.ndarray:
    return np.frombuffer(panel.table.figures).reshape(len(panel.table.rows["name"]), -1)


def test_a_real_run_gives_what_the_two_comparisons_give(real: SideBySide) -> None:
    path = real.map.files[1]
    assert (real.progress.state, real.progress.error, path) == ("done", "", "llama-F16.gguf")
    assert real.progress.done == real.progress.total == 2 * 1_443_072
    result = real.result
    assert result is not None
    alone = gl.compare(FILE, FOLDER / "hf", progress=False).to_frame().set_index("name")
    frame = result.to_frame().set_index("name")
    assert frame["relative_rmse_a"].to_dict() == alone["relative_rmse"].to_dict()
    assert (frame["relative_rmse_b"] - frame["relative_rmse_a"]).abs().max() < 1e-4
    assert real.table.rows["name"] == list(frame.index)
    assert figures(real)[:, 0].tolist() == frame["relative_rmse_a"].tolist()
    assert figures(real)[:, 2].tolist() == frame["difference"].tolist()
    assert real.table.rows["nbytes_b"] == frame["nbytes_b"].tolist()
    keys = [line[0] for line in real.map.metadata]
    assert real.map.compared_metadata
    assert "general.file_type" in keys


def test_what_is_not_finite_in_one_file_has_a_mark_of_its_own(harness: Harness) -> None:
    broken = measure(np.full_like(REFERENCE, np.nan), REFERENCE)
    a = comparison(
        row("blk.0.attn_q", statistics=broken), row("blk.0.ffn_up", 0.1), row("blk.1.ffn_up", 0.1)
    )
    b = comparison(
        row("blk.0.attn_q", 0.1),
        row("blk.0.ffn_up", statistics=broken),
        row("blk.1.ffn_up", 0.05),
        path="b.gguf",
    )
    panel = SideBySide(a, b)
    for statistic in ("relative_rmse", "max_abs_error"):
        panel.statistic = statistic
        assert [cell[3] for cell in panel.map.cells] == ["!", "!", "B"]
        assert panel.table.rows["better"] == ["", "", "B"]
        assert [line[-1] for line in panel.map.sums[1:]] == ["0 of 3", "1 of 3"]
    assert panel.map.cells[0][5].endswith("· A has weights that are not finite")
    assert panel.map.note.startswith("! Weights that are not finite: 1 tensor of A, 1 tensor of B.")
    view = harness.add(panel.map)
    expect(view.get_by_role("gridcell", name="blk.0.attn_q")).to_have_text("!")
    expect(view.locator(".gl-pairs-legend")).to_contain_text("weights that are not finite")
    direct = comparison(row("blk.0.attn_q", statistics=broken))
    assert not_finite_in(pair_of(direct.rows[0], None)) == "A"


def test_a_difference_of_percentages_is_in_points(harness: Harness) -> None:
    panel = made_up()
    change = next(c for c in panel.table.columns if c["id"] == "change")
    assert change["title"].endswith("in percentage points (pp)")
    table = harness.add(panel.table)
    row = table.get_by_role("row").filter(has_text="blk.0.ffn_up")
    expect(row).to_contain_text("−6.11 pp")
    expect(row).to_contain_text("11.49 %")
    assert " pp<" in panel.table._static(None)
    panel.statistic = "sqnr_db"
    change = next(c for c in panel.table.columns if c["id"] == "change")
    assert "points" not in change["title"]


def test_a_reference_whose_folder_says_nothing_is_called_by_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--repo" / "snapshots" / "86b58ae7d0"
    shutil.copytree(FOLDER / "hf", folder)
    for original, name in ((folder, "owner/repo"), (FOLDER / "hf", "llama-256/hf")):
        bench = gl.explore(FILE, original)
        assert f"compared with {name}" in bench.headline.subtitle
        bench.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("hf://owner/repo", "owner/repo"),
        ("hf://owner/repo/sub/llama-8b.gguf", "llama-8b.gguf"),
        ("hf://owner/repo/model.safetensors", "owner/repo/model.safetensors"),
        ("https://host/a/model.gguf", "a/model.gguf"),
        ("https://host/model.gguf", "https://host/model.gguf"),
    ],
)
def test_what_lies_on_a_server_is_called_by_its_repository(address: str, name: str) -> None:
    assert called(parse_address(address)) == name


def test_each_other_without_a_reference(real: SideBySide) -> None:
    """Of A against B there is one figure, and no verdict."""
    panel = SideBySide(FILE, real.result.b_path)  # type: ignore[union-attr]
    result = panel.wait(120)
    assert result is not None, panel.progress.error
    direct = gl.compare(FILE, result.b_path, progress=False).to_frame().set_index("name")
    frame = result.to_frame().set_index("name")
    assert frame["rmse_a"].to_dict() == direct["rmse"].to_dict()
    assert frame["rmse_b"].isna().all()
    assert frame["better"].isna().all()
    assert set(frame["qtype_b"]) == {"F16", "F32"}
    assert frame["nbytes_b"].sum() > frame["nbytes_a"].sum()
    assert [c["id"] for c in panel.table.columns if c["figure"] is not None] == ["a"]
    assert {cell[3] for cell in panel.map.cells} <= {"", "=", "?"}
    assert panel.map.direct
    assert "21 tensors of A compared with B itself; 892 kB and 2.9 MB" in repr(result)
    panel.close()


def test_the_statistic_can_be_changed_from_both_sides() -> None:
    panel = made_up()
    assert panel.map.sums[1][-1] == "1 of 5"
    better = dict(zip(panel.table.rows["name"], panel.table.rows["better"], strict=True))
    assert better["blk.0.attn_q"] == "A"
    assert better["output"] == "B"
    assert better["blk.1.attn_q"] == "equal"
    assert figures(panel)[1, 0] < figures(panel)[1, 1]
    panel.map.set_state({"statistic": "sqnr_db"})
    assert panel.statistic == "sqnr_db"
    assert "SQNR" in panel.map.sums[0][4]
    assert figures(panel)[1, 0] > figures(panel)[1, 1]
    panel.statistic = "cosine"
    assert panel.map.statistic == "cosine"
    assert panel.table.columns[2]["label"] == "cosine A"


def test_the_picture_says_who_is_nearer_and_leaves_out_what_is_unverified() -> None:
    panel = made_up()
    cells = {cell[0]: cell for cell in panel.map.cells}
    assert (panel.map.kinds, panel.map.layers) == (["output", "attn_q", "ffn_up"], [-1, 0, 1])
    assert [cells[n][3] for n in ("output", "blk.0.attn_q", "blk.0.ffn_up")] == ["B", "A", "B"]
    assert cells["output"][4] == 1.0  # B is exact
    assert cells["blk.0.attn_q"][4] == pytest.approx(1, abs=0.1)  # 8 times nearer
    assert cells["blk.0.ffn_up"][4] == pytest.approx(1 / 3, abs=0.1)  # twice
    assert cells["blk.1.attn_q"][3:5] == ["=", 0.0]
    assert cells["blk.1.ffn_up"][3] == "?"
    assert panel.map.note == "Only in the table: 1 vector and 1 tensor of the reference alone."
    states = dict(zip(panel.table.rows["name"], panel.table.states, strict=True))
    assert states["blk.1.ffn_up"][0] == "unverified"
    assert states["model.rotary"][0] == "unmatched"


def test_strength_is_in_halvings_of_the_error() -> None:
    pair = made_up().result["blk.0.ffn_up"]  # type: ignore[index]
    a, b = pair.figures("rmse")
    assert strength(pair, "rmse") == math.log2(a / b)
    assert strength(pair, "sqnr_db") == pytest.approx(strength(pair, "relative_rmse"))
    assert "B is nearer" in sentence(pair, "rmse", direct=False)
    assert f"{a / b:.3g} times" in sentence(pair, "rmse", direct=False)


def test_a_selection_goes_everywhere() -> None:
    panel = made_up()
    panel.selected = "blk.0.attn_q"
    assert panel.map.selected == panel.table.selected == ["blk.0.attn_q"]
    panel.map.selected = ["output"]
    assert panel.selected == panel.table.selected == ["output"]
    with pytest.raises(ComparisonError, match="has no tensor named 'nothing'"):
        panel.selected = "nothing"


def test_what_cannot_be_compared_is_refused() -> None:
    one = comparison(row("x"))
    with pytest.raises(ComparisonError, match="Compare both with the same one"):
        SideBySide(one, comparison(row("x"), reference="other"))
    with pytest.raises(ComparisonError, match="have their reference already"):
        SideBySide(one, one, "hf")
    with pytest.raises(ComparisonError, match="not one of each"):
        SideBySide(one, FILE)


def test_a_run_that_fails_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> object:
        raise OSError("the disk is gone")

    monkeypatch.setattr("gguf_lab.comparison.Run.__iter__", broken)
    panel = SideBySide(FILE, FILE, FOLDER / "hf")
    panel.wait(60)
    assert panel.progress.state == "failed"
    assert "the disk is gone" in panel.progress.error
    assert "the disk is gone" in panel.snapshot().html
    panel.close()


def test_what_has_not_been_compared_yet_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    begin = Run.__iter__
    monkeypatch.setattr(Run, "__iter__", lambda run: (go_on.wait(60), begin(run))[1])
    panel = SideBySide(FILE, FILE, FOLDER / "hf")
    html = panel._repr_mimebundle_()[0]["text/html"]
    assert f"under way: 0 of {panel._run.total:,} weights" in html
    assert "bytes" not in html
    assert "nan" not in html.lower()
    go_on.set()
    panel.wait(60)
    html = panel._repr_mimebundle_()[0]["text/html"]
    assert "under way" not in html
    assert "kB" in html
    panel.close()


def test_cancel_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled, begin = Event(), Run.__iter__
    monkeypatch.setattr(Run, "__iter__", lambda run: (cancelled.wait(60), begin(run))[1])
    panel = SideBySide(FILE, FILE, FOLDER / "hf")
    panel.cancel()
    cancelled.set()
    result = panel.wait(60)
    assert result is not None
    assert panel.progress.state == "cancelled"
    assert not result.complete
    assert "cancelled: " in panel.snapshot().html
    assert panel.map.idle == "Nothing was compared: the comparison was stopped."
    panel.close()


def test_what_has_no_matrix_says_so(tmp_path: Path) -> None:
    vectors = {"blk.0.attn_norm.weight": (np.ones(8, np.float32), "F32")}
    file = write_gguf(tmp_path / "a.gguf", vectors)
    panel = SideBySide(file, file)
    assert panel.map.idle
    assert panel.wait(60) is not None
    assert panel.map.idle == "There is no matrix to compare."
    assert not panel.map.cells
    panel.close()


def test_static_form_escapes_everything() -> None:
    a, b = (comparison(row(HOSTILE, error), path=f"{HOSTILE}.gguf") for error in (0.1, 0.2))
    html = SideBySide(a, b)._repr_mimebundle_()[0]["text/html"]
    for forbidden in ("<script", "<img", "\x1b", "\u202e"):
        assert forbidden not in html
    assert "&lt;script&gt;" in html
    html = made_up().snapshot().html
    assert "A is nearer" in html
    assert "unverified: it is unverified" in html or "unverified: A: it is unverified" in html


# -- in the browser


def shown(harness: Harness, panel: SideBySide) -> Any:
    harness.add(panel.map, "map")
    harness.add(panel.table, "table")
    return harness.page


@pytest.mark.browser
@pytest.mark.slow
def test_the_picture_by_mouse_and_keyboard(harness: Harness, tmp_path: Path) -> None:
    panel = made_up()
    page = shown(harness, panel)
    grid = page.get_by_role("grid", name="Which file is nearer")
    page.get_by_role("gridcell", name="blk.0.attn_q: A Q4_K").click()
    until(page, panel, selected=["blk.0.attn_q"])
    page.locator(".gl-table .gl-tr[aria-selected=true]", has_text="blk.0.attn_q").wait_for()
    expect(page.locator(".gl-pairs-words")).to_contain_text("A is nearer")
    grid.focus()
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(page, panel, selected=["blk.0.ffn_up"])
    expect(page.locator(".gl-pairs-words")).to_contain_text("B is nearer")
    page.get_by_label("Statistic that decides").select_option(label="SQNR dB")
    page.get_by_role("columnheader", name="SQNR dB A").wait_for()
    until(page, panel, statistic="sqnr_db")
    # The table: filtered, sorted, saved.
    page.get_by_label("nearer: any").select_option("B")
    page.locator(".gl-table .gl-count").get_by_text("3 of 7").wait_for()
    page.get_by_role("columnheader", name="SQNR dB A").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].startswith("name,nearer,SQNR dB A,SQNR dB B")
    frame = panel.result.to_frame("sqnr_db").set_index("name")  # type: ignore[union-attr]
    order = frame[frame["better"] == "B"].sort_values("sqnr_db_a", ascending=False)
    assert [line.split(",")[0] for line in lines[1:]] == list(order.index)
    assert [float(line.split(",")[2]) for line in lines[1:]] == order["sqnr_db_a"].tolist()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
def test_a_real_pair_and_hostile_names(harness: Harness, real: SideBySide, light: bool) -> None:
    harness.theme(light)
    page = harness.page
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page = shown(harness, real)
    cells = page.locator(".gl-pairs-grid .gl-is-a, .gl-pairs-grid .gl-is-b")
    cells.first.wait_for()
    assert page.locator(".gl-pairs-grid .gl-pairs-cell:not(.gl-none)").count() == 16
    page.locator("summary").click()
    page.locator(".gl-keys", has_text="general.file_type").wait_for()
    a, b = (comparison(row(HOSTILE, error), path=f"{HOSTILE}.gguf") for error in (0.1, 0.2))
    hostile = SideBySide(a, b)
    harness.add(hostile.map, "hostile-map")
    harness.add(hostile.table, "hostile-table")
    page.get_by_text("<script>").first.wait_for()
    assert page.locator("img, #root script").count() == 0
    assert "\u202e" not in page.locator("#root").inner_text()
