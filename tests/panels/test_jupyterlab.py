"""The panels where they live: a real JupyterLab, a real kernel, real models, a real browser."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

from ..models import MODELS
from .lab import jupyterlab, run_all, write_notebook
from .tensors import large_blocks, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]


PANELS = f"""
import gguf_lab as gl
from pathlib import Path
models = Path({str(MODELS)!r})
model = gl.open(models / "llama-256" / "llama-Q4_K_M.gguf")
gl.MetadataTree(model)
"""
TABLE = "table = gl.TensorTable(model)\ntable"
EXACT = """
workbench = gl.explore(models / "llama" / "llama-bf16.gguf", reference=models / "llama" / "hf")
assert workbench.wait(60).complete
gl.ErrorHistograms(workbench.result)
"""
WORKBENCH = """
bench = gl.explore(model, reference=models / "llama-256" / "hf")
bench
"""
BLOCK = """
block = gl.BlockView(model, "blk.0.ffn_down.weight", models / "llama-256" / "hf")
view = gl.TensorView(model, "blk.0.ffn_down.weight")
block
"""
SNAPSHOT = "assert bench.wait(60).complete, bench.progress.error\nbench.table.snapshot()"

BOXES = f"""
import gguf_lab as gl
import ipywidgets as w
from pathlib import Path
model = gl.open(Path({str(MODELS)!r}) / "llama-256" / "llama-Q4_K_M.gguf")
def table(**layout):
    made = gl.TensorTable(model, height=120)
    made.layout = w.Layout(**layout)
    made.add_class("measured")
    return made
boxes = [
    table(),
    w.HBox([table(), table()]),
    w.HBox([w.Button(), table(width="300px"), w.VBox([table()])]),
    w.Box([table()], layout=w.Layout(width="520px")),
    w.VBox([table()], layout=w.Layout(align_items="center")),
    w.GridBox([table(), table()], layout=w.Layout(grid_template_columns="1fr 1fr")),
    w.Tab([table()]),
    w.Accordion([table()], selected_index=0),
]
for box in boxes:
    display(box)
"""

RUN = PANELS.replace("MetadataTree(model)", "WillItRun(model)")

LARGE = """
import gguf_lab as gl
large = gl.open("large.gguf")
gl.TensorView(large, "small.weight")
"""
# Milliseconds from a click to the picture, as the page sees them.
WATCH = """
(ready) => {
  const node = document.querySelector('.gl-heat');
  window.took = {};
  const start = performance.now();
  new MutationObserver(() => {
    const kind = node.dataset.painted.split(' ')[0];
    if (kind === 'waiting') return;
    window.took[kind] ??= performance.now() - start;
    window.took[`${kind} words`] ??= document.querySelector('.gl-coarse').textContent;
  }).observe(node, { attributes: true, attributeFilter: ['data-painted'] });
  const list = document.querySelector('.gl-tensor');
  list.value = ready;
  list.dispatchEvent(new Event('change'));
}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("notebooks")
    write_notebook(root / "panels.ipynb", PANELS, TABLE, EXACT)
    write_notebook(root / "theme.ipynb", PANELS, TABLE, BLOCK, "block", "view")
    write_notebook(
        root / "workbench.ipynb", PANELS.replace("gl.MetadataTree(model)", ""), WORKBENCH
    )
    write_notebook(
        root / "static.ipynb", PANELS.replace("gl.MetadataTree(model)", ""), WORKBENCH, SNAPSHOT
    )
    write_notebook(root / "boxes.ipynb", BOXES)
    write_notebook(root / "run.ipynb", RUN, TABLE)
    tensors = {
        "small.weight": (np.ones((4, 32), np.float32), "Q8_0"),
        "large.weight": (large_blocks(24_576, 4096), "Q4_0"),
    }
    write_gguf(root / "large.gguf", tensors)
    write_notebook(root / "large.ipynb", LARGE)
    with jupyterlab(root, tmp_path_factory.mktemp("home")) as url:
        yield url


class Lab:
    """A notebook in JupyterLab, and every error that is seen on the way."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self, address: str, name: str, *, execute: bool = True) -> None:
        self.page.goto(f"{address}/lab/tree/{name}?reset")
        if execute:
            run_all(self.page)

    def see(self, selector: str) -> Any:
        """Scroll to something: JupyterLab draws only what is in view."""
        found = self.page.locator(selector).first
        try:
            found.wait_for(state="attached")
        except Exception as error:
            texts = self.page.locator(".jp-OutputArea-output, .gl-error").all_inner_texts()
            message = "\n".join([f"{selector} is not in the notebook", *texts])
            raise AssertionError(message) from error
        found.evaluate("node => node.scrollIntoView({ block: 'center' })")
        found.wait_for()
        return found

    def check(self) -> None:
        page = self.page
        assert self.errors == []
        assert page.get_by_text("Error displaying widget").count() == 0
        assert page.locator(".gl-error:visible").all_inner_texts() == []
        assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").all_inner_texts() == []
        assert page.get_by_text("Would you like to").count() == 0  # the news of the project


@pytest.fixture
def lab(chromium: Any) -> Iterator[Lab]:
    page = chromium.new_page(viewport={"width": 1400, "height": 1400})
    page.set_default_timeout(30_000)
    yield Lab(page)
    page.close()


def test_the_workbench_follows_a_selection_everywhere(lab: Lab, address: str) -> None:
    page = lab.page
    lab.open(address, "workbench.ipynb")

    def show(tab: str) -> None:
        page.get_by_role("tab", name=tab, exact=True).click()

    page.get_by_role("tab", name="Overview", selected=True).wait_for()
    page.locator(".gl-overview .gl-kind-line").first.wait_for()
    assert page.locator(".gl-tree, .gl-table, .gl-error-map").count() == 0  # made when shown
    # The tree unfolds, and an array is paged from the kernel.
    show("Metadata")
    tree, table = page.locator(".gl-tree"), page.locator(".gl-table")
    tree.get_by_label("Search keys and values").wait_for()
    tree.locator("[role=tree]").focus()
    page.keyboard.type("tokenizer")
    page.keyboard.press("Home")
    tree.locator("[role=tree]").evaluate("node => { node.scrollTop = 9999; }")
    key = tree.locator(".gl-key[title='tokenizer.ggml.tokens']")
    key.wait_for()
    assert tree.locator(".gl-tree-item").count() == 0
    key.click()
    tree.locator(".gl-tree-item").first.wait_for()
    tree.locator("[role=tree]").evaluate("node => { node.scrollTop += 300 * 24; }")
    tree.locator(".gl-tree-item:not([aria-busy])").first.wait_for()
    tree.locator(".gl-index", has_text="300").first.wait_for()
    # The table is sorted, and a tensor is clicked: its errors are seen.
    show("Tensors")
    table.get_by_role("columnheader", name="relative RMSE").click()
    bars = table.locator(".gl-tr[aria-rowindex='2'] .gl-td").nth(2)
    bars.get_by_text("%").wait_for()
    table.get_by_label("Filter tensors by name").fill("blk.1.attn_q")
    table.locator(".gl-tr", has_text="blk.1.attn_q.weight").click()
    detail = page.locator(".gl-detail")
    detail.locator(".gl-steps").wait_for()
    expect(detail.locator(".gl-detail-name")).to_have_text("blk.1.attn_q.weight")
    expect(detail.locator(".gl-figures")).to_contain_text("SQNR")
    # It is selected among the errors, where the worst rows are told, and what another type is.
    show("Errors")
    heat, small = page.locator(".gl-error-map"), page.locator(".gl-histograms")
    heat.locator("[aria-selected=true][aria-label^='blk.1.attn_q.weight']").wait_for()
    small.locator("[aria-selected=true][aria-label^='blk.1.attn_q.weight']").wait_for()
    expect(heat.locator(".gl-map-verdict")).to_contain_text("suffers most")
    heat.get_by_role("gridcell", name="blk.0.ffn_up.weight").click()
    small.locator("[aria-selected=true][aria-label^='blk.0.ffn_up.weight']").wait_for()
    page.locator(".gl-worst-verdict", has_text="largest share of the squared error").wait_for()
    page.locator(".gl-worst-verdict", has_text="The next larger type").wait_for()
    # A jump leads to the picture and the block of that weight.
    jump = page.locator(".gl-worst-places .gl-jump").first
    place = jump.get_attribute("aria-label").removeprefix("Show row ").split(", column ")
    jump.click()
    page.get_by_role("tab", name="Weights", selected=True).wait_for()
    row, column = (n.replace(",", "") for n in place)
    for panel in (".gl-tensor-view", ".gl-block-view"):
        for word, value in (("row", row), ("column", column)):
            field = page.locator(f"{panel} [aria-label='Go to {word}']")
            page.wait_for_function(
                "([node, value]) => node.value === value", arg=[field.element_handle(), value]
            )
    show("Will it run")
    page.locator(".gl-answer", has_text="Yes, it fits in 8.0 GiB with 8,192 tokens").wait_for()
    # And back: the filter of the table hides what was selected elsewhere.
    show("Tensors")
    table.get_by_text("1 hidden by the filter").wait_for()
    table.get_by_label("Filter tensors by name").fill("")
    chosen = table.locator(".gl-tr[aria-selected=true] .gl-name", has_text="blk.0.ffn_up.weight")
    chosen.wait_for()
    lab.check()


def test_each_panel_stands_alone(lab: Lab, address: str) -> None:
    page = lab.page
    lab.open(address, "panels.ipynb")
    lab.see(".gl-tree .gl-key[title='llama.block_count']")
    lab.see(".gl-table")
    page.locator(".gl-table .gl-tr").nth(3).click()
    page.locator(".gl-table .gl-tr[aria-selected=true]").wait_for()
    # Keys typed in a panel are not shortcuts of the notebook: two d's would delete the cell.
    cells = page.locator(".jp-CodeCell").count()
    for key in ("d", "d", "ArrowDown"):
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == cells
    # A bfloat16 file has its checkpoint's weights exactly.
    lab.see(".gl-histograms")
    page.locator(".gl-histograms .gl-cell-exact").first.wait_for()
    assert page.locator(".gl-histograms .gl-cell svg").count() == 0
    lab.check()


def test_a_panel_has_its_width_in_every_box(lab: Lab, address: str) -> None:
    page = lab.page
    page.set_viewport_size({"width": 1500, "height": 2400})
    lab.open(address, "boxes.ipynb")
    panels = page.locator(".measured")
    page.wait_for_function("() => document.querySelectorAll('.measured .gl-table').length === 11")
    whole, *widths = panels.evaluate_all("nodes => nodes.map(n => n.clientWidth)")
    assert whole > 1000
    left, right, given, stacked, single, centred, *grid, tabbed, folded = widths
    assert abs(left - right) <= 1
    assert abs(whole - left - right) < 10
    assert abs(given - 300) <= 2
    assert stacked > 400
    assert 500 < single <= 520
    assert abs(whole - centred) < 10
    assert min(grid) > 0.48 * whole
    assert min(tabbed, folded) > 0.9 * whole
    heights = panels.locator(".gl-panel").evaluate_all("nodes => nodes.map(n => n.offsetHeight)")
    assert {*heights} == {120}
    lab.check()


def test_after_a_restart_of_the_kernel_panels_say_that_they_are_old(lab: Lab, address: str) -> None:
    page = lab.page
    lab.open(address, "run.ipynb")
    run, table = lab.see(".gl-running"), lab.see(".gl-table")
    table.locator(".gl-tr").first.wait_for()
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    expect(run).to_have_class(re.compile("gl-stale"))
    expect(table).to_have_class(re.compile("gl-stale"))
    expect(page.locator(".gl-error:visible")).to_have_count(0)
    run.get_by_label("Tokens of context").fill("4096")
    page.keyboard.press("Enter")
    table.locator(".gl-tr").nth(2).click()
    for panel in (run, table):
        expect(panel.locator(".gl-error-text")).to_contain_text("does not run any more")


def test_a_change_of_the_theme_leaves_nothing_empty(lab: Lab, address: str) -> None:
    # JupyterLab hides its page for a frame then, and what is drawn in it has no size
    page = lab.page
    page.set_viewport_size({"width": 1400, "height": 3600})  # all in view
    lab.open(address, "theme.ipynb")
    page.locator(".gl-tensor-view .gl-values svg").wait_for()
    page.locator(".gl-tensor-view canvas[data-painted^=whole]").wait_for()
    # the second view of a block is drawn before it is in the page
    page.wait_for_function("document.querySelectorAll('.gl-block-view[data-shown]').length === 2")
    count = """() => ['.gl-tree-row', '.gl-tr', '.gl-weight', '.gl-values svg'].map(
        name => document.querySelectorAll('.gl-panel ' + name).length)"""
    before = ",".join(map(str, page.evaluate(count)))
    assert "0" not in before.split(",")
    for theme in ("Dark", "Light"):
        page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })",
            f"JupyterLab {theme}",
        )
        page.locator(f"body[data-jp-theme-light={str(theme == 'Light').lower()}]").wait_for(
            state="attached"
        )
        page.wait_for_timeout(1000)  # what the change takes away
        page.wait_for_function(f"before => ({count})().join() === before", arg=before)
    lab.check()


def test_a_snapshot_survives_reopening_without_a_kernel(lab: Lab, address: str) -> None:
    page = lab.page
    lab.open(address, "static.ipynb")
    words = lab.see(".jp-RenderedHTML table").inner_text()
    lab.check()
    assert "compared" in words
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=10_000
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:shutdown-kernel')")
    lab.open(address, "static.ipynb", execute=False)
    words = lab.see(".jp-RenderedHTML table").inner_text()
    assert "blk.0.attn_q.weight" in words
    assert "compared" in words


def test_a_hundred_million_weights_in_time(
    lab: Lab, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = lab.page
    lab.open(address, "large.ipynb")
    lab.see(".gl-heat[data-painted^=whole]")
    page.wait_for_timeout(500)  # the kernel has other things to do when a panel has come
    page.evaluate(WATCH, "large.weight")
    page.wait_for_function("window.took.whole")
    took = page.evaluate("took")
    assert "coarse: one row read of every" in took["coarse words"]
    assert re.match(r"one cell is \d+ × \d+ weights", took["whole words"])
    started = page.evaluate("performance.now()")
    lab.see(".gl-heat").focus()
    for _ in range(14):
        page.keyboard.press("+")
    page.get_by_text("one cell is one weight").wait_for()
    zoomed = page.evaluate("performance.now()") - started
    lab.check()
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    with capsys.disabled():
        print(
            f"\n100.7 M weights, Q4_0: click to the first picture {took['coarse']:.0f} ms, to the "
            f"whole one {took['whole']:.0f} ms; zoomed in to single weights {zoomed:.0f} ms "
            f"({crowd:.1f} processes per core)"
        )
