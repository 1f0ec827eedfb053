"""Panels in narrow columns: what they are for is in sight, and numbers stay whole."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab.panels import (
    BlockView,
    ChatTemplate,
    ErrorHistograms,
    ErrorMap,
    MetadataTree,
    Overview,
    TensorView,
    WillItRun,
    WorstPlaces,
)
from gguf_lab.panels.tabs import Tabs

from ..models import MODELS
from .support import StubComparison, StubModel, rows_of
from .test_side_by_side import made_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOLDER = MODELS / "llama-256"
NAME = "blk.0.ffn_up.weight"
WIDTHS = (484, 600, 650, 700, 760, 900, 1300)
# How far a node reaches beyond what is seen of the panel, to the right.
BEYOND = """([node, panel]) => {
  const box = (n) => n.getBoundingClientRect();
  let right = box(panel).right;
  for (let n = node.parentElement; n !== panel; n = n.parentElement) {
    if (getComputedStyle(n).overflowX !== 'visible') right = Math.min(right, box(n).right);
  }
  return box(node).right - right;
}"""

TWO_FRAMES = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    with gl.open(FOLDER / "llama-Q4_K_M.gguf") as opened:
        yield opened


def beyond(page: Any, panel: Any, node: Any) -> float:
    nodes = [node.element_handle(), panel.element_handle()]
    return float(page.evaluate(BEYOND, nodes))


def resize(harness: Harness, panel: Any, wide: int) -> None:
    page = harness.page
    now = panel.bounding_box()["width"]
    page.set_viewport_size(
        {"width": round(page.viewport_size["width"] + wide - now), "height": 900}
    )
    page.evaluate(TWO_FRAMES)  # observers of sizes draw in the next one
    assert panel.bounding_box()["width"] == wide


def test_histograms_are_seen_at_any_width(harness: Harness) -> None:
    histograms = ErrorHistograms(StubComparison(rows_of(StubModel())), height=520)
    histograms.selected = ["blk.0.attn_q.weight"]
    panel = harness.add(histograms)
    for wide in WIDTHS:
        resize(harness, panel, wide)
        assert panel.locator(".gl-cells").evaluate("n => n.clientHeight") > 140, wide
        assert panel.locator(".gl-layer path").first.is_visible(), wide
        assert panel.locator(".gl-large .gl-plot").evaluate("n => n.clientHeight") > 100, wide


def test_headings_of_the_error_map_are_whole_at_any_width(harness: Harness) -> None:
    rows = rows_of(StubModel(layers=1))
    kinds = [f"{stem}_output_norm.bias" for stem in ("attn", "layer", "ffn", "enc", "dec", "post")]
    rows = [replace(rows[0], name=kind, layer=0, kind=kind) for kind in ["attn_q", *kinds]]
    panel = harness.add(ErrorMap(StubComparison(rows)))
    headings = panel.locator(".gl-map-head > div")
    for wide in (320, *WIDTHS):
        resize(harness, panel, wide)
        assert headings.count() == 8
        room = "nodes => nodes.map((n) => n.clientWidth - n.scrollWidth)"
        assert headings.evaluate_all(room) == [0] * 8, wide


def test_buttons_of_the_picture_are_whole_in_a_phone(harness: Harness, model: Any) -> None:
    view = TensorView(model, NAME, FOLDER / "hf")
    panel = harness.add(view)
    harness.listen()
    panel.locator(".gl-here").wait_for()
    for wide in (320, 420):
        resize(harness, panel, wide)
        for button in panel.locator("button:visible").all():
            assert beyond(harness.page, panel, button) <= 0, (wide, button.inner_text())
        # what has no room is scrolled to: it does not lie over the line at the bottom
        assert panel.locator(".gl-parts").evaluate("n => n.scrollHeight - n.clientHeight") <= 0
    view.close()


def test_nothing_is_cut_where_a_page_is_at_400_percent(harness: Harness, model: Any) -> None:
    """Of 1280 pixels 320 are left, of which JupyterLab takes 120 beside a panel."""
    stub = StubComparison(rows_of(StubModel()))
    made = {
        "overview": Overview(StubModel(), check=False),
        "tree": MetadataTree(StubModel()),
        "template": ChatTemplate(model),
        "view": TensorView(model, NAME, FOLDER / "hf"),
        "block": BlockView(model, NAME),
        "map": ErrorMap(stub),
        "histograms": ErrorHistograms(stub),
        "run": WillItRun(model, context=131_072),
    }
    for name, one in made.items():
        harness.add(one, name)
    harness.listen()
    harness.page.locator(".gl-here").first.wait_for()
    harness.page.locator(".gl-tok").first.wait_for()
    panels = harness.page.locator(".gl-panel").all()
    resize(harness, panels[0], 200)
    cut = ".gl-places input, .gl-legend, .gl-setting :is(input, select), .gl-count, .gl-turn *"
    for panel in panels:
        for node in panel.locator(cut).locator("visible=true").all():
            assert beyond(harness.page, panel, node) <= 0, node.evaluate("n => n.outerHTML")
    room = "nodes => nodes.map((n) => n.scrollWidth - n.clientWidth)"
    page = harness.page
    for words in (".gl-count", ".gl-remark", ".gl-readout", ".gl-kind-name > :last-child"):
        assert max(page.locator(words).locator("visible=true").evaluate_all(room)) <= 0, words
    # a number in a line of facts is not broken in two
    facts = page.locator(".gl-lines dd").evaluate_all("nodes => nodes.map((n) => n.clientWidth)")
    assert min(facts) > 140
    values = page.locator(".gl-tree-row .gl-value").filter(has_text=re.compile(r"^\d{1,6}$"))
    assert values.count() == 3
    assert max(values.evaluate_all(room)) <= 0
    assert page.locator(".gl-turn textarea").first.bounding_box()["width"] > 140
    for one in made.values():
        one.close()


def test_names_of_two_files_can_be_read_in_a_phone(harness: Harness) -> None:
    a, b = made_up().map.files
    both = made_up()
    both.map.sums = [
        [("a-name-of-two-words-Q4_K_M.gguf" if c in (a, b) else c) for c in row]
        for row in both.map.sums
    ]
    panel = harness.add(both.map)
    resize(harness, panel, 320)
    name = panel.locator(".gl-sums tbody td").first
    assert name.bounding_box()["width"] > 100
    assert panel.locator(".gl-sums-scroll").evaluate("n => n.scrollWidth > n.clientWidth")


def test_jumps_to_the_worst_places_are_seen_at_any_width(harness: Harness, model: Any) -> None:
    places = WorstPlaces(model, NAME, FOLDER / "hf", height=420)
    assert places.wait(60)
    panel = harness.add(places)
    for wide in WIDTHS:
        resize(harness, panel, wide)
        for jump in panel.get_by_role("button", name="Show row").all():
            assert beyond(harness.page, panel, jump) <= 0, wide
    places.close()


def test_weights_of_a_block_are_seen_at_any_width(harness: Harness, model: Any) -> None:
    block = BlockView(model, NAME, FOLDER / "hf")
    panel = harness.add(block)
    harness.listen()
    harness.page.wait_for_selector("[data-shown]")
    for wide in WIDTHS:
        resize(harness, panel, wide)
        for cells in (".gl-weight", ".gl-byte"):
            right = max(panel.locator(cells).all(), key=lambda n: n.bounding_box()["x"])
            assert beyond(harness.page, panel, right) <= 0, (cells, wide)
    block.close()


def test_no_number_is_cut_at_any_width(harness: Harness, model: Any) -> None:
    block = BlockView(model, NAME, FOLDER / "hf")
    panel = harness.add(block)
    harness.listen()
    panel.locator(".gl-here").wait_for()
    shown = set()
    for column, wide in product((0, 5, 9), WIDTHS):
        block.cell = [1, column]
        harness.page.locator(".gl-corner-words").filter(has_text=f"column {column}:").wait_for()
        resize(harness, panel, wide)
        cells = panel.locator(".gl-numbers tr").last.locator("td:visible").all()
        shown.add(len(cells))
        assert all(beyond(harness.page, panel, cell) <= 0 for cell in cells), wide
        assert panel.locator(".gl-here").is_visible(), wide
    assert min(shown) >= 3
    assert len(shown) > 1
    block.close()


def test_lines_do_not_break_inside_a_number(harness: Harness, model: Any) -> None:
    page = harness.page
    page.evaluate("document.querySelector('#root').className = 'jp-OutputArea-output'")
    block = BlockView(model, NAME)
    harness.add(block)
    harness.add(MetadataTree(StubModel()), "tree")
    harness.listen()
    page.wait_for_selector("[data-shown]")
    # What JupyterLab says of every output comes last here.
    page.add_style_tag(content=".jp-OutputArea-output pre { word-break: break-all; }")
    page.locator(".gl-tree-scroll").evaluate("node => node.scrollTop = 9999")
    page.get_by_text("chat_template").click()
    page.wait_for_selector(".gl-tree-text pre")
    breaks = "nodes => nodes.map((n) => getComputedStyle(n).wordBreak)"
    assert page.locator(".gl-panel pre").evaluate_all(breaks) == ["normal", "normal"]
    block.close()


def test_metadata_take_the_whole_width_of_the_workbench(harness: Harness) -> None:
    page = harness.page
    page.set_viewport_size({"width": 1500, "height": 900})
    page.evaluate(
        """() => { document.querySelector('#root').innerHTML = `<div class="gl-workbench">
        <div class="gl-stage widget-box"><div class="gl-room gl-room-metadata widget-box"></div>
        </div></div>`; }"""
    )
    harness.add(Tabs([("metadata", "Metadata")]), "tabs", "gl-host", ".gl-workbench")
    harness.add(MetadataTree(StubModel()), "tree", "gl-host", ".gl-room")
    assert page.locator(".gl-tree").bounding_box()["width"] > 1400


def test_the_longest_context_is_whole_while_it_is_edited(harness: Harness, model: Any) -> None:
    panel = harness.add(WillItRun(model, context=131_072, height=500))
    field = panel.get_by_label("Tokens of context")
    for context in ("131072", "16777216"):
        field.fill(context)
        field.press("Home")
        assert field.evaluate("n => n.scrollWidth - n.clientWidth") <= 0
