"""Errors as figures in cells and as colours, in a real browser: one rule for all panels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from gguf_lab.panels import ErrorHistograms, ErrorMap

from .support import StubComparison, StubModel, StubRow, rows_of

if TYPE_CHECKING:
    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIGURES = {
    "relative_rmse": (0.000012, 0.0799, 1.2345),
    "rmse": (0.0000012, 0.00123, 0.0345),
    "sqnr_db": (98.42, 21.96, -1.83),
    "cosine": (0.99999, 0.9968, -0.25),
}
"""Of a good, a middling and a bad tensor, the last of which is not even like its original."""

WRITTEN = {
    "relative_rmse": ["<.01", "8.0", "123"],
    "rmse": ["<.01", "0.12", "3.5"],
    "sqnr_db": ["98.4", "22.0", "−1.8"],
    "cosine": [">.9999", ".9968", "−0.25"],
}
LEGENDS = {
    "relative_rmse": "<0.01 % 123.45 % (worst)",
    "rmse": "1.2e−6 0.0345 (worst) · cells × 10⁻²",
    "sqnr_db": "98.4 dB −1.8 dB (worst)",
    "cosine": "1 − 1e−5 −0.250000 (worst)",
}
LUMINANCE = """(node) => {
  const style = getComputedStyle(node);
  const [r, g, b] = style[node.localName === 'path' ? 'fill' : 'backgroundColor'].match(/[\\d.]+/g);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""


def three_rows() -> list[StubRow]:
    """Three matrices of one layer with the figures above, and vectors that are exact."""
    rows = [row for row in rows_of(StubModel(layers=1)) if row.layer is not None]
    noisy = [at for at, row in enumerate(rows) if row.measured and row.max_abs_error][:3]
    for k, at in enumerate(noisy):
        rows[at] = replace(rows[at], **{name: values[k] for name, values in FIGURES.items()})
    exact = [row for row in rows if row.max_abs_error == 0]
    return [*(rows[at] for at in noisy), *exact]


def words(node: Any) -> str:
    """Text as it is read, in one line."""
    return " ".join(node.inner_text().split())


@pytest.mark.parametrize("statistic", FIGURES)
def test_cells_are_short_and_tell_apart(statistic: str, harness: Harness) -> None:
    panel = ErrorMap(StubComparison(three_rows()))
    panel.statistic = statistic
    view = harness.add(panel)
    cells = view.locator(".gl-map-row .gl-map-cell")
    expect(cells).to_have_text([*WRITTEN[statistic], "exact", "exact"])
    assert words(view.locator(".gl-legend")) == LEGENDS[statistic]  # exact ones are no end of it
    for cell in cells.all():
        assert cell.evaluate("n => n.scrollWidth <= n.clientWidth")
    assert view.locator(".gl-depth circle").count() == 3


@pytest.mark.parametrize("statistic", FIGURES)
def test_a_broken_tensor_leads_the_worst_and_zeros_come_last(
    statistic: str, harness: Harness
) -> None:
    rows = three_rows()
    undefined = dict.fromkeys(FIGURES, math.nan)
    rows[0] = replace(rows[0], **undefined)
    rows[-1] = replace(rows[-1], **(undefined | {"rmse": 0.0}))
    panel = ErrorMap(StubComparison(rows))
    panel.statistic = statistic
    names = harness.add(panel).locator(".gl-worst .gl-name-link").all_inner_texts()
    assert names[:3] == [rows[k].name for k in (0, 2, 1)]
    assert rows[-1].name in names[3:]
    html = panel.snapshot().html
    assert [html.index(name) for name in names[:3]] == sorted(html.index(n) for n in names[:3])


@pytest.mark.parametrize("light", [True, False])
def test_the_worst_stands_out_in_both_panels_alike(light: bool, harness: Harness) -> None:
    rows = three_rows()
    harness.theme(light)
    harness.add(ErrorMap(StubComparison(rows)), "map")
    harness.add(ErrorHistograms(StubComparison(rows)), "histograms")
    heat, small = (harness.page.locator(name) for name in (".gl-error-map", ".gl-histograms"))
    assert words(heat.locator(".gl-legend")) == words(small.locator(".gl-legend"))
    cells = heat.locator(".gl-map-row .gl-map-cell"), small.locator(".gl-layer .gl-cell path")
    seen = [[nodes.nth(k).evaluate(LUMINANCE) for k in range(3)] for nodes in cells]
    assert seen[0] == seen[1]
    assert seen[0] == sorted(seen[0], reverse=light)


def test_one_tensor_is_both_ends_of_the_scale(harness: Harness) -> None:
    rows = three_rows()[1:2]
    legend = harness.add(ErrorHistograms(StubComparison(rows))).locator(".gl-legend")
    assert words(legend) == "7.99 % 7.99 % (worst)"  # no value that no tensor has
    depth = harness.add(ErrorMap(StubComparison(rows)), "map").locator(".gl-depth")
    middle = depth.locator("text[text-anchor=middle]").all_text_contents()
    assert middle == ["0", "layer", "relative RMSE, %"]  # no layer that does not exist


def test_nothing_stands_above_curves_that_are_not_there(harness: Harness) -> None:
    exact = [row for row in three_rows() if row.max_abs_error == 0]
    view = harness.add(ErrorMap(StubComparison(exact)))
    headings = view.locator(".gl-map-right h4:visible")
    expect(headings).to_have_text(["Tensors, the worst first"])
