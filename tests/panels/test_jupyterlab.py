"""The panels where they live: a real JupyterLab, a real kernel, real models, a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .lab import jupyterlab, run_all, write_notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MODELS = Path(__file__).parents[1] / "data" / "models"

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
SNAPSHOT = "assert bench.wait(60).complete, bench.progress.error\nbench.table.snapshot()"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("notebooks")
    write_notebook(root / "panels.ipynb", PANELS, TABLE, EXACT)
    write_notebook(
        root / "workbench.ipynb", PANELS.replace("gl.MetadataTree(model)", ""), WORKBENCH
    )
    write_notebook(
        root / "static.ipynb", PANELS.replace("gl.MetadataTree(model)", ""), WORKBENCH, SNAPSHOT
    )
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
    tree, table = page.locator(".gl-tree"), page.locator(".gl-table")
    # The tree unfolds, and an array is paged from the kernel.
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
    # The table is sorted, and a tensor is clicked.
    table.get_by_role("columnheader", name="relative RMSE").click()
    page.locator(".gl-count").get_by_text("21 compared", exact=True).wait_for()
    bars = table.locator(".gl-tr[aria-rowindex='2'] .gl-td").nth(2)
    assert bars.inner_text().endswith("%")
    table.get_by_label("Filter tensors by name").fill("blk.1.attn_q")
    table.locator(".gl-tr", has_text="blk.1.attn_q.weight").click()
    # Its histogram is seen, with its figures, and the small one is marked.
    detail = page.locator(".gl-detail")
    detail.locator(".gl-steps").wait_for()
    assert detail.locator(".gl-detail-name").inner_text() == "blk.1.attn_q.weight"
    assert "SQNR" in detail.locator(".gl-figures").inner_text()
    cell = page.get_by_role("gridcell", name="blk.1.attn_q.weight: relative RMSE")
    assert cell.get_attribute("aria-selected") == "true"
    # And the other way: from a small histogram to the table.
    page.get_by_role("gridcell", name="blk.0.ffn_up.weight").click()
    table.get_by_text("1 hidden by the filter").wait_for()
    table.get_by_label("Filter tensors by name").fill("")
    row = table.locator(".gl-tr[aria-selected=true] .gl-name", has_text="blk.0.ffn_up.weight")
    row.wait_for()
    detail.locator(".gl-detail-name", has_text="blk.0.ffn_up.weight").wait_for()
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
