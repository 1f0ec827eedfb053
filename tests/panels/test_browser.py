"""Mouse and keyboard on every panel, in a real browser, both themes."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.comparison.histogram import BINS, Histogram
from gguf_lab.panels import (
    ErrorHistograms,
    ErrorMap,
    MetadataTree,
    Progress,
    TensorDetail,
    TensorTable,
)

from ..file.builders import F32, Builder
from .browser import keys, until
from .support import HOSTILE, ORPHAN, StubComparison, StubModel, StubTensor, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def focused(page: Any) -> Any:
    """The row or cell that the keyboard is at."""
    return page.locator(
        "#" + page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    )


def count(page: Any, words: str) -> Any:
    """The count in the head of a panel, once it reads like this."""
    return page.locator(".gl-count").get_by_text(words, exact=True)


def test_a_tensor_of_unknown_type_leaves_the_other_rows(harness: Harness, tmp_path: Path) -> None:
    builder = Builder().tensor("known", [32], F32, bytes(128)).tensor("new", [32], 9999, bytes(64))
    with gl.open(builder.write(tmp_path / "a.gguf")) as model:
        table = harness.add(TensorTable(model))
        rows = table.get_by_role("row")
        expect(rows).to_have_count(3)
        expect(rows.nth(1)).to_contain_text("32.00")
        expect(rows.nth(2)).to_contain_text("new")
        assert "NaN" not in table.inner_text()


def test_a_ratio_to_zeros_is_no_nan(harness: Harness) -> None:
    undefined = {"rmse": 0.0, "relative_rmse": math.nan, "sqnr_db": math.nan, "cosine": math.nan}
    rows = [r for r in rows_of(StubModel(layers=1)) if r.measured][:3]
    rows[1] = replace(rows[1], **undefined, max_abs_error=0.0)
    rows[2] = replace(rows[2], **undefined | {"rmse": math.nan}, max_abs_error=math.nan, n_nan=1)
    words = "not defined: the reference is all zeros"
    table = harness.add(TensorTable(StubComparison(rows)))
    lines = table.get_by_role("row")
    for k, text in ((2, "–"), (3, "NaN")):
        assert lines.nth(k).locator(".gl-num").all_inner_texts()[:3] == [text] * 3
    assert lines.nth(2).get_by_title(words).count() == 3
    assert lines.nth(3).get_by_title(words).count() == 0
    errors = harness.add(ErrorMap(StubComparison(rows)), "errors")
    assert errors.locator(".gl-worst").get_by_title(words).count() == 3
    expect(errors.get_by_role("gridcell", name=rows[1].name)).to_have_text(re.compile("exact$"))
    detail = TensorDetail(StubModel(layers=1))
    detail.show(rows[1].name, rows[1])
    figures = harness.add(detail, "detail").locator(".gl-figures")
    expect(figures).to_contain_text("relative RMSE–")
    assert figures.get_by_title(words).count() == 2


def test_errors_that_are_not_finite_have_no_histogram(harness: Harness) -> None:
    rows = [r for r in rows_of(StubModel(layers=1)) if r.measured and r.max_abs_error]
    nan = dict.fromkeys(("rmse", "relative_rmse", "sqnr_db", "max_abs_error"), np.nan)
    empty = Histogram.of_grid(np.zeros(BINS, np.int64))
    whole = replace(rows[1], **nan, n_nan=rows[1].n_elements, histogram=empty)
    some = replace(rows[2], **nan, n_nan=1)
    panel = ErrorHistograms(StubComparison([rows[0], whole, some, *rows[3:]]), height=500)
    view = harness.add(panel)
    for name, words in ((whole.name, "not finite"), (some.name, "not finite")):
        expect(view.get_by_role("gridcell", name=name)).to_have_text(re.compile(f"{words}$"))
    assert view.get_by_role("gridcell", name=whole.name).locator("svg").count() == 0
    assert view.get_by_role("gridcell", name=some.name).locator("svg").count() == 1
    panel.selected = [whole.name]
    harness.push()
    for extent in ("full", "common"):
        panel.extent = extent
        harness.push()
        expect(view.locator(".gl-verdict")).to_contain_text("the errors are not finite")


def test_cells_whose_errors_never_come_do_not_wait(harness: Harness) -> None:
    panels = ErrorHistograms(height=500), ErrorMap(height=500)
    row = next(r for r in rows_of(StubModel()) if r.measured)
    for k, panel in enumerate(panels):
        panel.expect(StubModel())
        view = harness.add(panel, f"panel{k}")
        panel.extend([row])
        harness.push()
        expect(view.get_by_text("…", exact=True).first).to_be_visible()
        panel.over = "the comparison was stopped"
        harness.push()
        expect(view.get_by_text("…", exact=True)).to_have_count(0)
        cell = view.get_by_role("gridcell", name="blk.1.attn_q.weight")
        expect(cell).to_have_text(re.compile("–$"))
        expect(cell).to_have_attribute("aria-label", re.compile(": the comparison was stopped$"))


# -- metadata


def test_the_tree_by_keyboard(harness: Harness) -> None:
    page = harness.page
    harness.add(MetadataTree(StubModel()))
    page.locator("[role=tree]").focus()
    assert focused(page).locator(".gl-key").inner_text().endswith("general")
    keys(page, "ArrowLeft")
    assert focused(page).get_attribute("aria-expanded") == "false"
    keys(page, "ArrowDown")
    assert "llama" in focused(page).inner_text()
    keys(page, "ArrowUp", "Enter", "ArrowRight")
    assert "architecture" in focused(page).inner_text()
    keys(page, "End")
    assert "chat_template" in focused(page).inner_text()
    keys(page, "Home")
    page.keyboard.type("ro")  # type-ahead
    assert "rope" in focused(page).inner_text()


def test_an_array_is_paged_from_the_kernel(harness: Harness) -> None:
    page = harness.page
    model = StubModel(tokens=262_144)
    harness.add(MetadataTree(model))
    page.locator(".gl-key[title='tokenizer.ggml.tokens']").click()
    page.get_by_text('"token5"', exact=True).wait_for()
    assert page.locator(".gl-tree-row").count() < 60
    page.locator(".gl-tree-scroll").evaluate("node => node.scrollTop = 150000 * 24")
    page.get_by_text('"token150000"').wait_for()
    # The array that one is in stays named, with a way out and a way to any item.
    assert page.locator(".gl-crumb-text").inner_text() == "tokenizer.ggml.tokens"
    page.get_by_label("Go to item number").fill("262143")
    page.keyboard.press("Enter")
    page.get_by_text('"token262143"').wait_for()
    assert "262,143" in focused(page).inner_text()
    page.get_by_role("button", name="Collapse").click()
    page.get_by_text('"token262143"').wait_for(state="detached")
    assert "tokens" in focused(page).inner_text()
    assert model.metadata["tokenizer.ggml.tokens"].decoded < 3000


def test_search_in_keys_values_and_tokens(harness: Harness) -> None:
    page = harness.page
    harness.add(MetadataTree(StubModel(tokens=3000)))
    page.get_by_label("Search keys and values").fill("apache")
    count(page, "1 of 12 keys").wait_for()
    assert page.locator("mark").inner_text() == "apache"
    page.get_by_label("Search keys and values").fill("token299")
    page.get_by_text('"token2999"').wait_for()
    assert page.locator(".gl-tree-item").count() == 11
    page.keyboard.press("Enter")  # to the first, the next, and back
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    page.locator(".gl-tree-item.gl-active").get_by_text('"token299"', exact=True).wait_for()
    page.get_by_label("Search keys and values").fill("no such thing")
    page.get_by_text("Nothing found.").wait_for()
    page.get_by_label("Search keys and values").fill("")
    count(page, "12 keys").wait_for()


def test_the_template_unfolds_as_text(harness: Harness) -> None:
    page = harness.page
    harness.add(MetadataTree(StubModel()))
    page.locator(".gl-tree-scroll").evaluate("node => node.scrollTop = 9999")
    page.get_by_text("chat_template").click()
    text = page.locator(".gl-tree-text pre").inner_text()
    assert "{% for m in messages %}\n  <b>{{ m }}</b>" in text


def test_hostile_metadata_stays_text(harness: Harness) -> None:
    page = harness.page
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    tensor = StubTensor(HOSTILE, 0, HOSTILE, "Q4_0", (32, 32), 4.5)
    model = StubModel(tensors=[tensor])
    harness.add(MetadataTree(model), "tree")
    harness.add(TensorTable(model), "table")
    histograms = ErrorHistograms()
    histograms.expect(model)
    harness.add(histograms, "histograms")
    page.get_by_text("<script>").first.wait_for()
    assert page.locator("img, #root script").count() == 0
    assert "\u202e" not in page.locator("#root").inner_text()


# -- tensors


def names(page: Any) -> list[str]:
    rows = page.locator(".gl-tr").evaluate_all(
        "rows => rows.map(r => [Number(r.getAttribute('aria-rowindex')), r.firstChild.textContent])"
    )
    return [name for _, name in sorted(rows)]


def test_the_table_is_sorted_by_click_and_by_key(harness: Harness) -> None:
    page = harness.page
    rows = rows_of(StubModel())
    harness.add(TensorTable(StubComparison(rows)))
    header = page.get_by_role("columnheader", name="relative RMSE")
    header.click()
    assert header.get_attribute("aria-sort") == "descending"
    done = [row for row in rows if row.status == "compared"]
    worst = max(done, key=lambda row: row.relative_rmse)
    assert names(page)[0] == worst.name
    header.click()
    assert header.get_attribute("aria-sort") == "ascending"
    header.click()
    assert header.get_attribute("aria-sort") == "none"
    assert names(page)[0] == "token_embd.weight"
    page.locator("[role=grid]").focus()
    keys(page, "ArrowUp", "Home", "ArrowRight", "Enter")
    header = page.get_by_role("columnheader", name="type")
    assert header.get_attribute("aria-sort") == "ascending"
    assert names(page)[0] == "blk.0.attn_norm.weight"


def test_header_and_columns_stand_in_line(harness: Harness) -> None:
    page = harness.page
    harness.add(TensorTable(StubComparison(rows_of(StubModel(layers=30)))))
    scroller = page.locator("[role=grid]")
    scroller.evaluate("node => { node.scrollTop = 2000; node.scrollLeft = 150; }")
    page.wait_for_timeout(100)
    lefts = page.evaluate(
        """() => ['.gl-head', '.gl-tr:not(.gl-bad)'].map(s =>
            [...document.querySelector(s).children]
            .map(c => Math.round(c.getBoundingClientRect().left)))"""
    )
    assert lefts[0] == lefts[1]
    top = scroller.bounding_box()["y"]
    # A pixel higher: between fractions of pixels a line of the row under it would show.
    assert -1 <= page.locator(".gl-head").bounding_box()["y"] - top < 0
    cut = page.evaluate(
        "() => [...document.querySelectorAll('.gl-tr:not(.gl-bad) .gl-td')]"
        ".filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent)"
    )
    assert cut == []


def test_rows_are_selected_by_mouse_and_keyboard(harness: Harness) -> None:
    page = harness.page
    table = TensorTable(StubModel())
    harness.add(table)
    page.locator(".gl-tr").nth(1).click()
    until(page, table, selected=["blk.0.attn_norm.weight"])
    page.locator(".gl-tr").nth(3).click(modifiers=["Shift"])
    three = [f"blk.0.attn_{part}.weight" for part in ("norm", "q", "k")]
    until(page, table, selected=three)
    page.locator(".gl-tr").nth(0).click(modifiers=["Control"])
    until(page, table, selected=[*three, "token_embd.weight"])
    keys(page, "ArrowDown")
    until(page, table, selected=["blk.0.attn_norm.weight"])
    keys(page, "Shift+ArrowDown")
    until(page, table, selected=["blk.0.attn_norm.weight", "blk.0.attn_q.weight"])
    keys(page, "Control+End", "Enter")
    until(page, table, selected=["output_norm.weight"])
    keys(page, "Escape")
    until(page, table, selected=[])


def test_a_selection_from_python_scrolls_into_view(harness: Harness) -> None:
    page = harness.page
    table = TensorTable(StubModel(layers=500))
    harness.add(table)
    assert page.locator(".gl-tr").count() < 60
    table.selected = ["blk.321.attn_q.weight"]
    harness.push()
    row = page.locator(".gl-tr[aria-selected=true]")
    expect(row.locator(".gl-name")).to_have_text("blk.321.attn_q.weight")
    grid, box = page.locator("[role=grid]").bounding_box(), row.bounding_box()
    assert grid["y"] < box["y"] < grid["y"] + grid["height"] - 20


def test_the_table_is_filtered(harness: Harness) -> None:
    page = harness.page
    table = TensorTable(StubComparison([*rows_of(StubModel()), ORPHAN]))
    harness.add(table)
    page.get_by_label("Filter tensors by name").fill("ATTN_Q")
    count(page, "4 of 39 tensors").wait_for()
    page.get_by_label("Filter tensors by name").fill("")
    page.get_by_label("any type").select_option("Q6_K")
    count(page, "9 of 39 tensors").wait_for()
    page.get_by_label("any type").select_option("")
    page.get_by_label("any state").select_option("unmatched")
    count(page, "2 of 39 tensors").wait_for()
    row = page.locator(".gl-tr").first
    assert "the checkpoint has no tensor" in row.inner_text()
    assert "%" not in row.inner_text()
    table.selected = ["token_embd.weight"]
    harness.push()
    page.locator(".gl-count", has_text="1 hidden by the filter").wait_for()


def test_five_thousand_rows_are_sorted_at_once(harness: Harness) -> None:
    page = harness.page
    tensors = [
        StubTensor(
            f"blk.{i // 9}.kind{i % 9}.weight", i // 9, f"kind{i % 9}", "Q4_0", (64, 32), 4.5
        )
        for i in range(5000)
    ]
    harness.add(TensorTable(StubModel(tensors=tensors)))
    milliseconds = page.evaluate(
        """() => { const start = performance.now();
            document.querySelector('[role=columnheader]').click();
            return performance.now() - start; }"""
    )
    assert milliseconds < 1000


# -- errors


def test_histograms_are_shown_and_chosen(harness: Harness) -> None:
    page = harness.page
    panel = ErrorHistograms(StubComparison([*rows_of(StubModel()), ORPHAN]))
    harness.add(panel)
    cell = page.get_by_role("gridcell", name="blk.2.attn_q.weight")
    cell.click()
    until(page, panel, selected=["blk.2.attn_q.weight"])
    expect(cell).to_have_attribute("aria-selected", "true")
    page.locator(".gl-steps").wait_for()
    assert "SQNR" in page.locator(".gl-figures").inner_text()
    assert "stored − reference" in page.locator(".gl-plot").text_content()
    # Every edge is where the kernel says: one step per bin.
    bins = (len(panel.chart_bins) // 8 - 1) // 2
    assert page.locator(".gl-steps").get_attribute("d").count("H") == bins
    page.get_by_role("button", name="full range").click()
    until(page, panel, extent="full")
    page.get_by_role("button", name="log").click()
    page.get_by_role("button", name="relative").click()
    until(page, panel, mode="relative")
    page.get_by_text("RMS of the reference").first.wait_for()
    plot = page.locator(".gl-plot")
    plot.focus()
    keys(page, "Home")
    expect(page.locator(".gl-readout")).to_contain_text("weights")
    exact = page.get_by_role("gridcell", name="blk.0.attn_norm.weight: no error, exact")
    assert exact.inner_text() == "exact"
    page.get_by_role("gridcell", name="blk.1.attn_k.weight: unmatched").click()
    page.get_by_text("unmatched: the checkpoint has no tensor").wait_for()
    expect(page.locator(".gl-steps")).to_have_count(0)


def test_what_is_unverified_is_marked(harness: Harness) -> None:
    page = harness.page
    doubt = {"status": "unverified", "reason": "no table for architecture 'new'"}
    rows = [replace(row, **doubt) if row.measured else row for row in rows_of(StubModel())]
    panel = ErrorHistograms(StubComparison(rows))
    harness.add(panel)
    cell = page.get_by_role("gridcell", name="blk.2.attn_q.weight: unverified, relative RMSE")
    assert cell.locator("svg").count() == 1
    assert re.fullmatch(r"⚠ \d+\.\d\d %", cell.inner_text().strip())
    box = cell.locator(".gl-cell-figure").evaluate("n => [n.scrollWidth, n.clientWidth]")
    assert box[0] <= box[1]
    exact = page.get_by_role("gridcell", name="blk.0.attn_norm.weight: no error, exact, unverified")
    assert exact.inner_text() == "⚠ exact"
    assert "unverified" in page.locator(".gl-count").inner_text()
    assert "⚠ unverified" in page.locator(".gl-note").inner_text()
    cell.click()
    page.locator(".gl-steps").wait_for()
    assert "⚠ unverified: no table" in page.locator(".gl-verdict").inner_text()


def test_the_table_marks_what_is_unverified(harness: Harness) -> None:
    page = harness.page
    row = replace(rows_of(StubModel())[2], status="unverified", reason="no table")
    harness.add(TensorTable(StubComparison([row])))
    shown = page.locator(".gl-tr").first
    assert "%" in shown.inner_text()
    chip = shown.locator(".gl-state-bad")
    assert chip.inner_text() == "unverified"
    assert "⚠" in chip.evaluate("n => getComputedStyle(n, '::before').content")


def test_histograms_by_keyboard(harness: Harness) -> None:
    page = harness.page
    panel = ErrorHistograms(StubComparison(rows_of(StubModel(layers=80))))
    harness.add(panel)
    assert page.locator(".gl-cell").count() < 200
    page.locator("[role=grid]").focus()
    keys(page, "ArrowDown", "ArrowDown", "ArrowRight", "Enter")
    until(page, panel, selected=["blk.1.attn_k.weight"])
    keys(page, "Control+End", "Enter")
    until(page, panel, selected=["blk.79.ffn_norm.weight"])
    panel.selected = ["blk.40.ffn_up.weight"]
    harness.push()
    cell = page.get_by_role("gridcell", name="blk.40.ffn_up.weight")
    expect(cell).to_have_attribute("aria-selected", "true")


def test_histograms_grow_with_a_run(harness: Harness) -> None:
    page = harness.page
    model = StubModel()
    panel = ErrorHistograms()
    panel.expect(model)
    harness.add(panel)
    assert page.get_by_text("…").count() >= 20
    rows = rows_of(model)
    panel.extend(rows[:12])
    harness.push()
    count(page, "12 of 38 compared").wait_for()
    panel.extend(rows[12:])
    harness.push()
    count(page, "36 compared · 2 not comparable").wait_for()


def test_the_detail_says_what_a_tensor_is(harness: Harness) -> None:
    page = harness.page
    model = StubModel()
    detail = TensorDetail(model)
    harness.add(detail)
    page.get_by_text("Select a tensor").wait_for()
    row = rows_of(model)[2]
    detail.show(row.name, row, {"absolute": 0.02, "relative": 0.4})
    harness.push()
    page.locator(".gl-steps").wait_for()
    expect(page.locator(".gl-detail-facts")).to_contain_text("rows permuted")


def test_progress_and_cancel(harness: Harness) -> None:
    page = harness.page
    asked = SimpleNamespace(times=0)
    progress = Progress(cancel=lambda: vars(asked).update(times=asked.times + 1))
    harness.add(progress)
    assert not page.locator(".gl-progress").is_visible()
    progress.report("running", done=250_000, total=1_000_000, seconds=1, tensor="blk.0.attn_q")
    harness.push()
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "250000")
    page.get_by_text("250 k of 1.0 M weights · 250 k weights/s · 3 s left").wait_for()
    page.get_by_role("button", name="Cancel").click()
    until(page, asked, times=1)


# -- all


def test_an_error_is_shown_and_dismissed(harness: Harness) -> None:
    page = harness.page
    table = TensorTable(StubModel())
    harness.add(table)
    table.observe(lambda change: 1 / 0, ["selected"])
    page.locator(".gl-tr").first.click()
    page.get_by_role("alert").get_by_text("ZeroDivisionError").wait_for()
    page.get_by_role("button", name="Dismiss").click()
    until(page, table, error="")
    expect(page.get_by_role("alert")).not_to_be_visible()


@pytest.mark.parametrize("light", [True, False])
def test_words_can_be_read_in_both_themes(harness: Harness, light: bool) -> None:
    page = harness.page
    model = StubModel()
    harness.add(MetadataTree(model), "tree")
    harness.add(TensorTable(StubComparison(rows_of(model))), "table")
    harness.add(ErrorHistograms(StubComparison(rows_of(model))), "histograms")
    harness.theme(light)
    # WCAG contrast of words against the panel's background, measured on what the browser computed.
    low = page.evaluate(
        """() => {
          const options = { willReadFrequently: true };
          const canvas = document.createElement('canvas').getContext('2d', options);
          const rgb = (css) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const light = (c) => c.slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const bad = [];
          for (const panel of document.querySelectorAll('.gl-panel')) {
            const ground = light(rgb(getComputedStyle(panel).backgroundColor));
            for (const node of panel.querySelectorAll('*')) {
              const words = [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim());
              if (!words || !node.getClientRects().length) continue;
              const ink = light(rgb(getComputedStyle(node).color));
              const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
              if (ratio < 4.5) bad.push([node.className, node.textContent.slice(0, 30), ratio]);
            }
          }
          return bad;
        }"""
    )
    assert low == []
    dark_ground = page.evaluate(
        "() => getComputedStyle(document.querySelector('.gl-panel')).backgroundColor"
    )
    assert dark_ground == ("rgb(255, 255, 255)" if light else "rgb(28, 28, 30)")


def test_signs_keep_their_sides_in_a_page_from_right_to_left(harness: Harness) -> None:
    """Else "0-1" reads "1-0" there, and a minus stands behind its number."""
    harness.page.evaluate("document.documentElement.dir = 'rtl'")
    table = TensorTable(StubModel())
    panel = harness.add(table)
    harness.page.evaluate(
        "html => document.body.insertAdjacentHTML('beforeend', html)", table.snapshot().html
    )
    for box in (panel, harness.page.locator(".gguf-lab")):
        expect(box).to_have_css("direction", "ltr")


def test_a_static_form_is_not_cut_off_on_paper(harness: Harness) -> None:
    page = harness.page
    html = TensorTable(StubModel(layers=12)).snapshot().html
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", html)
    box = page.locator(".gguf-lab > div").last
    hidden = "e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]"
    assert box.evaluate(hidden)[0] > 100
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 600, "height": 800})
    assert box.evaluate(hidden) == [0, 0]


def test_keys_stay_inside(harness: Harness) -> None:
    page = harness.page
    harness.add(TensorTable(StubModel()))
    page.evaluate("() => { window.seen = []; addEventListener('keydown', e => seen.push(e.key)); }")
    page.locator("[role=grid]").focus()
    keys(page, "d", "d", "ArrowDown", "Enter")
    assert page.evaluate("seen") == []
    assert page.locator(".gl-panel[data-lm-suppress-shortcuts=true]").count() == 1


# Notebook 7 looks at keys first, for bindings such as "d d" of ".jp-mod-commandMode :focus".
BOUND = """() => {
  window.bound = [];
  document.addEventListener('keydown', (event) => {
    let n = event.target;
    for (; n && !n.hasAttribute('data-lm-suppress-shortcuts'); n = n.parentElement) {
      if (n.matches('body :focus')) { bound.push(event.key); break; }
    }
  }, true);
}"""


def test_no_shortcut_deletes_the_cell_of_a_panel_in_notebook_7(harness: Harness) -> None:
    page, model = harness.page, StubModel()
    for name, panel in (("table", TensorTable(model)), ("tree", MetadataTree(model))):
        harness.add(panel, name)
    page.evaluate(BOUND)
    page.locator("[role=grid]").focus()
    keys(page, "d", "d")
    page.locator("[role=tree]").click()
    keys(page, "d", "d", "Tab", "d", "d")
    page.get_by_role("button", name="CSV").focus()
    keys(page, "d", "d")
    assert page.evaluate("bound") == []


def test_two_panels_and_two_views_share_no_id(harness: Harness) -> None:
    """A widget's script is a module of its own, also where another of its class is in the page."""
    page, model = harness.page, StubModel()
    for name in ("one", "two"):
        harness.add(TensorTable(model, height=200), name)
        harness.add(MetadataTree(model, height=200), f"{name}-tree")
        harness.add(ErrorMap(StubComparison(rows_of(model))), f"{name}-map")
    harness.again("two")
    ids = page.locator(".gl-panel [id]").evaluate_all("nodes => nodes.map((node) => node.id)")
    assert len(ids) > 100
    assert len({*ids}) == len(ids)
    for table in page.locator(".gl-table").all():
        table.get_by_role("grid").focus()
        keys(page, "ArrowDown")
        expect(focused(page)).to_have_count(1)
        assert focused(page).evaluate("node => document.activeElement.contains(node)")
