"""What is written can be read: contrast of at least 4.5 to 1 (WCAG 2.2, AA), in each theme."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gguf_lab.panels import BlockView, ErrorMap, Overview

from .support import StubComparison, StubModel, StubRow, StubTensor, rows_of
from .tensors import write_gguf
from .test_side_by_side import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# The texts with the least contrast: [ratio, class, text], of all that has a plain background.
FAINT = """() => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => under.map((v, i) => top[i] * top[3] + v * (1 - top[3]));
  const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const texts = [...document.querySelectorAll('.gl-panel *')].filter((node) =>
    node.getClientRects().length && node.localName !== 'option' && !node.closest('.gl-live')
    && parseFloat(getComputedStyle(node).fontSize)
    && [...node.childNodes].some((part) => part.nodeType === 3 && part.textContent.trim()));
  return texts.map((node) => {
    const grounds = [];
    for (let n = node; n; n = n.parentElement) grounds.unshift(rgba(getComputedStyle(n).backgroundColor));
    const ground = grounds.reduce((under, top) => over(top, under), [255, 255, 255]);
    const style = getComputedStyle(node);
    const ink = over(rgba(node.closest('svg') ? style.fill : style.color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    return [(high + 0.05) / (low + 0.05), String(node.className.baseVal ?? node.className), node.textContent];
  }).filter(([ratio]) => ratio < 4.5).sort((a, b) => a[0] - b[0]).slice(0, 10);
}"""  # noqa: E501
# As JupyterLab's dark theme has them: a raised ground that is lighter than that of other sites.
DARK = (
    "body { --jp-layout-color1: #111; --jp-layout-color2: #424242; --jp-ui-font-color1: #ededed }"
)


def dress(harness: Harness, *, light: bool) -> None:
    harness.theme(light)
    if not light:
        harness.page.add_style_tag(content=DARK)


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """A block with every shade from the least to the largest weight."""
    values = np.linspace(-1, 1, 32, dtype=np.float32)[None]
    return write_gguf(tmp_path / "shades.gguf", {"blk.0.ffn_up.weight": (values, "Q8_0")})


@pytest.mark.parametrize("light", [True, False])
def test_the_weights_of_a_block(light: bool, shades: Path, harness: Harness) -> None:
    harness.page.set_viewport_size({"width": 1500, "height": 900})
    dress(harness, light=light)
    block = BlockView(shades)
    view = harness.add(block)
    harness.listen()
    view.locator(".gl-weight").last.wait_for()
    assert view.locator(".gl-weight").first.evaluate("n => getComputedStyle(n).fontSize") != "0px"
    assert harness.page.evaluate(FAINT) == []
    block.close()


def shaded_rows() -> list[StubRow]:
    """Matrices with errors on every part of the scale, whose ends are 1 and 2 %."""
    rows = [row for row in rows_of(StubModel(layers=8)) if row.measured and row.max_abs_error]
    steps = np.geomspace(0.01, 0.02, len(rows))
    return [replace(row, relative_rmse=float(step)) for row, step in zip(rows, steps, strict=True)]


@pytest.mark.parametrize("light", [True, False])
def test_the_cells_of_the_error_map(light: bool, harness: Harness) -> None:
    dress(harness, light=light)
    view = harness.add(ErrorMap(StubComparison(shaded_rows()), height=900))
    view.locator(".gl-map-cell").last.wait_for()
    assert view.locator(".gl-map-cell").count() > 40
    assert harness.page.evaluate(FAINT) == []


@pytest.mark.parametrize("light", [True, False])
def test_types_in_the_bars_of_the_overview(light: bool, harness: Harness) -> None:
    dress(harness, light=light)
    types = ["Q4_K", "Q6_K", "F32", "Q5_K", "Q8_0", "IQ4_XS", "Q3_K"]
    tensors = [
        StubTensor(f"blk.{i}.ffn_up.weight", i, "ffn_up", qtype, (4096, 4096), 4.5)
        for i, qtype in enumerate(types)
    ]
    tensors += [
        StubTensor(f"{qtype}.weight", None, qtype, qtype, (4096, 8192), 4.5) for qtype in types
    ]
    harness.add(Overview(StubModel(tensors=tensors), check=False))
    named = harness.page.locator(".gl-kind-bar > span").filter(has_text="Q")
    assert named.count() >= 5
    assert harness.page.evaluate(FAINT) == []


@pytest.mark.parametrize("light", [True, False])
def test_letters_of_the_nearer_file(light: bool, harness: Harness) -> None:
    dress(harness, light=light)
    harness.add(made_up().map)
    assert harness.page.locator(".gl-pairs-grid :is(.gl-is-a, .gl-is-b)").count() == 3
    assert harness.page.evaluate(FAINT) == []


def test_a_contrast_theme_of_the_system(harness: Harness) -> None:
    page: Any = harness.page
    page.emulate_media(forced_colors="active")
    harness.theme(light=False)  # whatever the page's own is
    harness.add(ErrorMap(StubComparison(shaded_rows()), height=900))
    page.locator(".gl-depth svg").wait_for()
    assert page.evaluate(FAINT) == []
    seen = page.locator(".gl-map-cell").evaluate_all(
        "nodes => new Set(nodes.map((n) => getComputedStyle(n).backgroundColor)).size"
    )
    assert seen > 10  # the colours of the scale are still there
