"""Overview, errors, worst places, other types, will it run and tabs, by mouse and by keyboard."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.model.words import bytes_in_words
from gguf_lab.panels import (
    BlockView,
    ErrorMap,
    OtherTypes,
    Overview,
    TensorDetail,
    TensorTable,
    TensorView,
    WillItRun,
    WorstPlaces,
)
from gguf_lab.panels.numbers import exact, number, percent
from gguf_lab.panels.tabs import Tabs

from ..file.builders import Builder
from ..models import MODELS
from .browser import until
from .support import HOSTILE, StubComparison, StubModel, StubTensor, rows_of
from .tensors import write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOLDER = MODELS / "llama-256"
NAME = "blk.0.ffn_up.weight"
GONE = (
    "The kernel that made this panel does not run any more, so it cannot answer. "
    "Run its cell again."
)


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    with gl.open(FOLDER / "llama-Q4_K_M.gguf") as opened:
        yield opened


def clean(page: Any) -> None:
    """Nothing of a file has become markup."""
    assert page.evaluate("document.querySelectorAll('img, script:not([type=module])').length") == 0


@pytest.mark.parametrize("light", [True, False])
def test_will_it_run_by_keyboard(harness: Harness, light: bool) -> None:
    page = harness.page
    with gl.open(gl.demo.smollm2()) as model:
        panel = WillItRun(model, height=700)
    harness.theme(light)
    harness.add(panel)
    answer = page.locator(".gl-answer")
    assert answer.inner_text().startswith("Yes, it fits in 8.0 GiB with 8,192 tokens")
    page.get_by_label("Memory of the machine in GiB").fill("0.2")
    page.keyboard.press("Tab")
    page.get_by_text("No, it does not fit in 205 MiB").wait_for()
    page.get_by_label("Tokens of context").fill("512")
    page.keyboard.press("Enter")
    page.get_by_text("with 512 tokens of context").first.wait_for()
    page.get_by_label("Type of keys and values").select_option("Q4_0")
    page.get_by_text("keys and values in Q4_0").wait_for()
    # A value that makes no sense is taken back.
    page.get_by_label("Tokens of context").fill("-3")
    page.keyboard.press("Tab")
    assert page.get_by_label("Tokens of context").input_value() == "512"
    gpus = page.get_by_label("Memory of each GPU")
    gpus.fill("24, x")
    page.keyboard.press("Tab")
    assert gpus.get_attribute("aria-invalid") == "true"
    expect(answer).to_contain_text("“24, x” is no memory of GPUs")
    expect(page.locator(".gl-devices")).to_be_hidden()  # they answer another question
    gpus.fill("23,5")  # one, as it is written in many countries, or two
    gpus.press("Tab")
    expect(answer).to_contain_text("“23,5” is no memory of GPUs")
    assert panel.gpus == []
    gpus.fill("24, 12")
    page.keyboard.press("Tab")
    page.get_by_text("GPU 1", exact=True).wait_for()
    expect(answer).not_to_contain_text("no memory of GPUs")
    until(page, panel, gpus=[24.0, 12.0])
    assert "memory bandwidth / bytes read for a token" in page.locator(".gl-formulas").inner_text()


@pytest.mark.parametrize(
    ("label", "typed", "most"),
    [
        ("Sequences at the same time", "1000000", "256"),
        ("Memory of the machine in GiB", "1e300", "1,000,000"),
        ("Tokens of context", "1000000000", "268,435,456"),
    ],
)
def test_a_number_too_large_to_count_is_said_and_forgotten(
    harness: Harness, model: Any, label: str, typed: str, most: str
) -> None:
    page = harness.page
    panel = WillItRun(model)
    harness.add(panel)
    answer = page.locator(".gl-answer")
    before = answer.inner_text()
    field = page.get_by_label(label)
    asked = field.input_value()
    field.fill(typed)
    field.press("Tab")
    expect(answer).to_have_text(f"{label}: {typed} is too much, at most {most} can be counted.")
    expect(page.locator(".gl-devices")).to_be_hidden()
    assert field.get_attribute("aria-invalid") == "true"
    field.fill(asked)
    field.press("Tab")
    expect(answer).to_have_text(before)
    assert field.get_attribute("aria-invalid") is None
    assert panel.error == ""


@pytest.mark.parametrize("light", [True, False])
def test_errors_by_keyboard(
    harness: Harness, light: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    page = harness.page
    panel = ErrorMap(StubComparison(rows_of(StubModel())))
    harness.theme(light)
    harness.add(panel)
    grid = page.get_by_role("grid", name="Errors by layer and kind")
    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    until(page, panel, selected=["blk.1.attn_k.weight"])
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    until(page, panel, selected=["blk.1.attn_v.weight"])
    chosen = page.locator("[role=gridcell][aria-selected=true]")
    words = re.compile(r"^blk\.1\.attn_v\.weight: relative RMSE ")
    expect(chosen).to_have_attribute("aria-label", words)
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    until(page, panel, selected=["token_embd.weight"])
    # The table is sorted by its heads, and selects too.
    names = page.locator(".gl-worst tbody tr td:first-child")
    rows = [r for r in rows_of(StubModel()) if r.measured]
    worst = max(rows, key=lambda r: r.relative_rmse).name
    assert names.first.inner_text() == worst
    page.get_by_role("button", name="tensor", exact=True).click()
    assert names.first.inner_text() == "blk.0.attn_k.weight"
    page.get_by_role("button", name=worst).click()
    until(page, panel, selected=[worst])
    page.get_by_label("Statistic").select_option("sqnr_db")
    page.get_by_text("SQNR, dB").wait_for()
    until(page, panel, statistic="sqnr_db")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    assert Path(download.value.path()).read_text("utf-8") == panel.to_csv()
    # From a click to the mark on the screen.
    cell = page.get_by_role("gridcell", name="blk.3.attn_q.weight")
    start = time.perf_counter()
    cell.click()
    page.locator("[aria-selected=true][aria-label^='blk.3.attn_q.weight']").wait_for()
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"  [click to mark in the map of errors: {1000 * seconds:.0f} ms] ", end="")


def test_without_a_clipboard_it_is_said_what_else_there_is(harness: Harness) -> None:
    page = harness.page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    harness.add(ErrorMap(StubComparison(rows_of(StubModel()))))
    page.get_by_role("button", name="Copy CSV").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("over https or from localhost only")
    expect(alert).to_contain_text("Save CSV")
    expect(page.get_by_role("button", name="Copy CSV")).to_be_visible()  # not "Copied"


def test_what_a_handler_throws_later_is_seen(harness: Harness) -> None:
    page = harness.page
    panel = ErrorMap(StubComparison(rows_of(StubModel())))
    harness.add(panel)
    page.evaluate("() => { URL.createObjectURL = () => { throw new Error('no more'); }; }")
    page.get_by_role("button", name="Save CSV").click()
    expect(page.get_by_role("alert")).to_contain_text("no more")
    assert len(harness.errors) == 1
    harness.errors.clear()


def test_the_focus_stays_on_a_name_of_the_table(harness: Harness) -> None:
    page = harness.page
    panel = ErrorMap(StubComparison(rows_of(StubModel())))
    harness.add(panel)
    name = page.locator(".gl-worst .gl-name-link").nth(3)
    label = name.inner_text()
    name.press("Enter")
    until(page, panel, selected=[label])
    page.wait_for_selector(".gl-chosen")
    expect(page.locator(".gl-worst .gl-name-link").get_by_text(label)).to_be_focused()


def test_an_overview_without_tensors_has_no_empty_part(harness: Harness, tmp_path: Path) -> None:
    with gl.open(Builder().write(tmp_path / "vocabulary.gguf")) as model:
        harness.add(Overview(model, check=False))
    expect(harness.page.get_by_text("The file has no tensors.")).to_be_visible()
    expect(harness.page.get_by_text("Bits per weight by layer")).to_be_hidden()


def test_a_kind_without_bytes_has_no_share(harness: Harness) -> None:
    tensors = [StubTensor(n, None, n, "F32", (32, k), 32.0) for n, k in (("full", 4), ("empty", 0))]
    panel = harness.add(Overview(StubModel(tensors=tensors), check=False))
    sizes = panel.locator(".gl-kind-size").all_text_contents()
    assert sizes == ["512 bytes · 100.0 %", "0 bytes · 0.0 %"]


def test_a_share_of_a_kind_is_read_out_as_it_is_shown(harness: Harness) -> None:
    tensors = [StubTensor(n, None, n, "F32", (32, k), 32.0) for n, k in (("a", 4000), ("b", 1))]
    small = harness.add(Overview(StubModel(tensors=tensors), check=False)).locator(".gl-kind-line")
    assert small.locator(".gl-kind-size").last.inner_text().endswith("<0.1 %")
    assert "<0.1 %: F32" in (small.last.get_attribute("aria-label") or "")


def test_an_error_without_end_is_no_percentage(harness: Harness) -> None:
    rows = [replace(row, relative_rmse=float("inf")) for row in rows_of(StubModel())]
    panel = harness.add(ErrorMap(StubComparison(rows)))
    panel.locator(".gl-map-right tbody td", has_text="\N{INFINITY}").first.wait_for()
    assert "Infinity" not in panel.inner_text()


def test_kinds_that_differ_at_their_ends_can_be_told_apart(
    harness: Harness, tmp_path: Path
) -> None:
    kinds = [f"attn_q.weight.{end}" for end in ("lora_a", "lora_b", "in_sum2", "counts")]
    tensors = {f"blk.0.{kind}": (np.ones((4, 32), np.float32), "F32") for kind in kinds}
    with gl.open(write_gguf(tmp_path / "lora.gguf", tensors)) as model:
        panel = harness.add(Overview(model, check=False))
    names = panel.locator(".gl-kind-name")
    assert sorted(names.all_text_contents()) == sorted(kinds)
    cut = "nodes => nodes.map((n) => [...n.children].map((c) => c.scrollWidth - c.clientWidth > 1))"
    assert names.evaluate_all(cut) == [[False, False]] * 4
    harness.page.set_viewport_size({"width": 300, "height": 900})
    assert names.evaluate_all(cut) == [[True, False]] * 4  # the end is whole
    assert panel.locator(".gl-kind-bar").first.bounding_box()["width"] > 10


def test_panels_of_a_file_without_tensors_say_so(harness: Harness, tmp_path: Path) -> None:
    with gl.open(Builder().write(tmp_path / "empty.gguf")) as model:
        harness.add(TensorTable(model, height=400))
        harness.add(TensorDetail(model), "detail")
        harness.add(WillItRun(model), "run")
    table, detail, run = (harness.page.locator(f".gl-{n}") for n in ("table", "detail", "running"))
    empty = table.locator(".gl-empty")
    expect(empty).to_have_text("There are no tensors.")
    assert empty.bounding_box()["y"] - table.bounding_box()["y"] < 120  # right under the heads
    expect(detail.locator(".gl-empty")).to_have_text("There are no tensors.")
    expect(run.locator(".gl-answer")).to_have_text("empty.gguf has no tensors: nothing runs")


def test_the_overview_by_keyboard(harness: Harness, model: Any) -> None:
    page = harness.page
    panel = Overview(model, check=False, height=700)
    panel.findings = [["warning", "rule", NAME, "it is strange", "look at it", NAME]]
    panel.verdict = "1 warning; 1 rule not asked"
    panel.skipped = [["outlier", "nothing was compared"]]
    harness.add(panel)
    page.get_by_text("Rules not asked").click()
    expect(page.get_by_text("outlier: nothing was compared")).to_be_visible()
    page.get_by_role("button", name=NAME).press("Enter")
    until(page, panel, selected=[NAME])
    link = page.get_by_role("button", name=NAME)
    expect(link).to_have_attribute("aria-pressed", "true")  # something is seen to have happened
    expect(link).to_be_focused()
    assert panel.jumps == 1
    plot = page.get_by_role("group", name="Bits per weight by layer")
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    bits = panel.layers[2][1]
    page.get_by_text(f"layer 1: {bits:.2f} bits per weight").wait_for()
    line = page.get_by_role("img", name="ffn_down:")
    assert "Q6_K" in line.get_attribute("aria-label")


def test_a_jump_to_the_worst_row(harness: Harness, model: Any) -> None:
    page = harness.page
    panel = WorstPlaces(model, NAME, FOLDER / "hf")
    assert panel.wait(60)
    harness.add(panel)
    first = panel.worst.rows[0]
    assert f"Row {first.row}" in page.locator(".gl-worst-verdict").inner_text()
    page.get_by_role("button", name=f"Show row {first.row}, column {first.peak}").first.press(
        "Enter"
    )
    until(page, panel, cell=[first.row, first.peak])
    until(page, panel, jumps=1)
    panel.close()


def test_other_types_are_a_table(harness: Harness, model: Any, monkeypatch: Any) -> None:
    page = harness.page
    monkeypatch.setattr("gguf_lab.panels.other_types._LADDER", ("Q8_0",))
    panel = OtherTypes(model, NAME, FOLDER / "hf")
    assert panel.wait(60)
    harness.add(panel)
    table = page.locator(".gl-types")
    assert table.locator("tbody tr").count() == 2
    assert "stored" in table.inner_text()
    assert "The next larger type, Q8_0" in page.locator(".gl-worst-verdict").inner_text()
    panel.close()


def test_tabs_by_keyboard(harness: Harness) -> None:
    page = harness.page
    panel = Tabs([("a", "First"), ("b", "Second"), ("c", "Third")])
    harness.add(panel)
    page.get_by_role("tab", name="First").focus()
    for key, name in (("ArrowRight", "b"), ("End", "c"), ("ArrowRight", "a"), ("ArrowLeft", "c")):
        page.keyboard.press(key)
        page.locator(f"[role=tab][aria-selected=true][data-name={name}]").wait_for()
        until(page, panel, active=name)
    assert page.evaluate("document.activeElement.textContent") == "Third"


def test_what_a_tab_hides_gives_the_focus_to_the_tab(harness: Harness) -> None:
    page = harness.page
    page.evaluate(
        "() => { document.querySelector('#root').innerHTML = '<div class=\"gl-workbench\">"
        '<div class="gl-stage"><button>show</button></div></div>\'; }'
    )
    panel = Tabs([("a", "First"), ("b", "Second")])
    harness.add(panel, parent=".gl-workbench")
    page.get_by_role("button", name="show").focus()
    panel.active = "b"
    harness.push()
    expect(page.get_by_role("tab", name="Second")).to_be_focused()
    # Who is elsewhere stays there.
    page.evaluate("document.activeElement.blur()")
    panel.active = "a"
    harness.push()
    assert page.evaluate("document.activeElement === document.body")


def test_the_browser_writes_sizes_as_python_does(harness: Harness) -> None:
    random = np.random.default_rng(0)
    sizes = [*range(2_000), *(10 ** random.uniform(3, 17, 2_000)).astype(np.int64).tolist()]
    sizes += [k * 250 for k in range(5_000)]  # halves of the last digit
    sizes += [int(99.95e3), 99_949, 999_499, 999_500, 999_499_999, 2**40]
    shared = (files("gguf_lab.panels") / "static" / "shared.js").read_text("utf-8")
    written = harness.page.evaluate(
        "([source, sizes]) => sizes.map(new Function(`${source}; return bytes;`)())",
        [shared, sizes],
    )
    assert written == [bytes_in_words(n) for n in sizes]


def test_numbers_have_no_powers_of_ten_where_they_can_be_read(harness: Harness) -> None:
    numbers = [0, 0.00123, 0.5, 999.4, 1234.6, 99_940, -1234.6, 123_456, 1e30, -1.5e-7]
    static = files("gguf_lab.panels") / "static"
    source = "".join((static / f"{name}.js").read_text("utf-8") for name in ("shared", "places"))
    written = {
        name: harness.page.evaluate(
            f"([source, numbers]) => numbers.map(new Function(`${{source}}; return {name};`)())",
            [source, numbers],
        )
        for name in ("figure", "brief")
    }
    assert written == {
        "figure": [
            *("0", "0.00123", "0.5", "999", "1230", "99900", "−1230"),
            *("1.23e5", "1e30", "−1.5e−7"),
        ],
        "brief": [
            *("0", "0.00123", "0.5", "999.4", "1235", "99940", "−1235"),
            *("1.23e5", "1.00e30", "−1.50e−7"),
        ],
    }
    assert [number(x) for x in numbers] == [
        *("0", "0.001230", "0.5000", "999.4", "1235", "99940", "−1235"),
        *("1.235e5", "1.000e30", "−1.500e−7"),
    ]
    assert percent(12.345) == "1230 %"
    assert exact(1e-7) == "1e−7"


def test_weights_of_a_block_are_written_without_powers_of_ten(
    tmp_path: Path, harness: Harness
) -> None:
    values = np.linspace(-2540, 2540, 32, dtype=np.float32)[None]
    path = write_gguf(tmp_path / "large.gguf", {"blk.0.ffn_up.weight": (values, "Q8_0")})
    harness.page.set_viewport_size({"width": 1500, "height": 900})
    block = BlockView(path)
    view = harness.add(block)
    harness.listen()
    view.locator(".gl-weight").last.wait_for()
    texts = view.locator(".gl-weight").all_inner_texts()
    shown = [float(text.replace("−", "-")) for text in texts]
    assert np.allclose(shown, values[0], atol=11)  # half a step of the block, and of a digit
    assert not [text for text in texts if "e" in text]
    block.close()


# what JupyterLab's models do once their kernel was restarted
NO_KERNEL = """() => { for (const model of Object.values(window.models)) {
  model.send = () => { throw new Error('Cannot send'); };
  model.save_changes = () => {}; } }"""


def test_a_panel_whose_kernel_is_gone_says_so(harness: Harness) -> None:
    view = harness.add(ErrorMap(StubComparison(rows_of(StubModel()))))
    harness.page.evaluate(NO_KERNEL)
    view.get_by_role("button", name="Copy CSV").click()
    expect(view.locator(".gl-error-text")).to_have_text(GONE)


@pytest.mark.parametrize("kind", [WillItRun, ErrorMap, TensorView])
def test_what_is_saved_where_no_kernel_runs_is_no_silent_nothing(
    harness: Harness, model: Any, kind: Any
) -> None:
    page = harness.page
    panel = ErrorMap(StubComparison(rows_of(StubModel()))) if kind is ErrorMap else kind(model)
    view = harness.add(panel)
    harness.listen()
    if kind is TensorView:
        page.wait_for_selector(".gl-heat[data-painted^=whole]")
    page.evaluate(NO_KERNEL)
    if kind is WillItRun:
        view.get_by_label("Tokens of context").fill("123456")
        page.keyboard.press("Enter")
    elif kind is ErrorMap:
        view.get_by_role("gridcell", name="blk.1.attn_q.weight").click()
    else:
        view.locator(".gl-heat").focus()
        page.keyboard.press("+")  # its questions end in no error of the page
    expect(view.locator(".gl-error-text")).to_have_text(GONE)
    expect(view).to_have_class(re.compile("gl-stale"))
    opacity = "nodes => nodes.map((n) => getComputedStyle(n).opacity)"
    shown = view.locator("xpath=*[not(contains(@class, 'gl-live'))]")
    assert shown.evaluate_all(opacity) == ["1", *["0.55"] * (shown.count() - 1)]
    panel.close()


def test_a_kernel_that_goes_and_comes_is_seen_at_once(harness: Harness, model: Any) -> None:
    page = harness.page
    view = harness.add(WillItRun(model))
    news = "() => { window.models.panel.emit('comm_live_update'); }"
    page.evaluate("() => { window.kept = window.models.panel.send; }")
    page.evaluate(NO_KERNEL)
    page.evaluate(news)
    expect(view).to_have_class(re.compile("gl-stale"))
    expect(view.locator(".gl-error")).to_be_hidden()  # nobody has asked for anything yet
    page.evaluate("() => { window.models.panel.send = window.kept; }")
    page.evaluate(news)
    expect(view).not_to_have_class(re.compile("gl-stale"))


def test_what_strangers_write_is_text(harness: Harness) -> None:
    tensors = [StubTensor(f"blk.0.{HOSTILE}", 0, HOSTILE, HOSTILE, (4, 4), 4.5)]
    model = StubModel(tensors=tensors)
    overview = Overview(model, check=False)
    overview.findings = [["error", HOSTILE, HOSTILE, HOSTILE, HOSTILE, None]]
    rows = [replace(row, kind=HOSTILE, reason=HOSTILE) for row in rows_of(model)]
    errors = ErrorMap(StubComparison(rows))
    model.architecture = HOSTILE
    for k, panel in enumerate((overview, errors, WillItRun(model))):
        harness.add(panel, f"panel{k}")
    assert "<script>alert(2)" in harness.page.locator("body").inner_text()
    clean(harness.page)
