"""The picture of a tensor and the block of a weight in a real browser, on real models."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

import gguf_lab as gl
from gguf_lab.panels import BlockView, TensorView, tensor_view
from gguf_lab.panels.numbers import exact

from .browser import keys, until
from .support import HOSTILE
from .tensors import with_scales, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Q = "blk.0.attn_q.weight"
DOWN = "blk.2.ffn_down.weight"
PAINTED = ".gl-heat[data-painted^={}]"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MiniLM in Q4_0; its original is `gl.demo.minilm()`."""
    with gl.open(gl.demo.write_minilm_gguf(tmp_path_factory.mktemp("minilm"))) as model:
        yield model


def shown(harness: Harness, panel: Any, name: str = "panel") -> Any:
    """Show a panel and wait for its first picture."""
    harness.add(panel, name)
    harness.listen()
    if isinstance(panel, TensorView):
        harness.page.wait_for_selector(PAINTED.format("whole"))
    else:
        harness.page.wait_for_selector("[data-shown]")
    return harness.page


def readout(page: Any, pattern: str) -> str:
    """What is told of the cell under the cursor, once it reads like this."""
    found = page.locator(".gl-readout").filter(has_text=re.compile(pattern))
    found.wait_for()
    return str(found.inner_text())


COLOUR = """([x, y]) => {
  const c = document.querySelector('.gl-heat'), r = devicePixelRatio;
  return [...c.getContext('2d').getImageData(x * r, y * r, 1, 1).data].slice(0, 3);
}"""


def colour(page: Any, x: float, y: float) -> list[int]:
    """The colour of a place of the canvas, in CSS pixels."""
    return list(page.evaluate(COLOUR, [x, y]))


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_a_picture_by_keyboard_alone(harness: Harness, minilm: Any, light: bool) -> None:
    harness.theme(light)
    view = TensorView(minilm, Q, reference=gl.demo.minilm())
    page = shown(harness, view)
    values = minilm.tensors[Q].to_numpy()
    page.get_by_role("application").focus()
    keys(page, *["+"] * 8)  # until a cell is a weight
    page.get_by_text("one cell is one weight").wait_for()
    keys(page, "Home")
    page.get_by_text("one cell is 4 × 1 weights").wait_for()
    keys(page, *["+"] * 8, "ArrowRight", "ArrowRight", "ArrowDown")
    told = readout(page, r"^row 1, column \d")
    column = int(re.search(r"column (\d+)", told)[1])  # type: ignore[index]
    assert f"quantized {exact(values[1, column])}, original" in told
    assert ", difference " in told
    keys(page, "Enter")
    page.locator(".gl-here").filter(has_text="").wait_for()
    until(page, view, cell=[1, column])
    expect(page.locator(".gl-live[role=status]").first).to_have_text(told)
    page.get_by_role("button", name="side by side").focus()
    keys(page, "Enter")
    page.locator(".gl-state", has_text="difference −").wait_for()  # a scale of its own
    until(page, view, show="all")
    view.close()


def test_a_picture_by_mouse(harness: Harness, minilm: Any) -> None:
    view = TensorView(minilm, Q, reference=gl.demo.minilm())
    page = shown(harness, view)
    values = minilm.tensors[Q].to_numpy()
    box = page.locator(".gl-heat").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    told = readout(page, "^rows .* largest magnitude of")
    first, last, left = map(int, re.match(r"rows (\d+) to (\d+), column (\d+)", told).groups())  # type: ignore[union-attr]
    part = values[first : last + 1, left]
    assert f"quantized {exact(part[np.abs(part).argmax()])}" in told
    page.mouse.down()
    page.mouse.up()
    # A click on a cell of several weights selects the strongest of them.
    until(page, view, cell=[first + int(np.abs(part).argmax()), left])
    page.locator(".gl-here").wait_for()
    page.get_by_role("button", name="Zoom to the selected weight").click()
    page.get_by_text("one cell is one weight").wait_for()
    page.wait_for_selector(PAINTED.format("whole"))
    before = page.locator(".gl-heat").screenshot()
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_selector(PAINTED.format("whole"))
    assert page.locator(".gl-heat").screenshot() != before
    for _ in range(8):
        page.mouse.wheel(0, 300)
    page.get_by_text("4 × 1 weights").wait_for()
    assert view.wait(60)
    worst = int(np.argmax(view.row_errors))
    page.locator(".gl-worst button").first.click()
    page.locator(".gl-corner-words").filter(has_text=f"row {worst},").wait_for()
    assert view.cell[0] == worst  # the words above are the kernel's answer
    view.close()


def test_colours_mean_values(harness: Harness, tmp_path: Path) -> None:
    values = np.zeros((2, 4), np.float32)
    values[0], values[1] = [1, -1, np.nan, np.inf], [2, 0, 0, 0]
    with gl.open(write_gguf(tmp_path / "a.gguf", {"t.weight": (values, "F32")})) as model:
        view = TensorView(model)
        view.limit = 1.0
        page = shown(harness, view)
        # A weight is 56 x 22 pixels at most; the picture begins at (58, 36).
        at = [[colour(page, 58 + 56 * c + 6, 36 + 22 * r + 6) for c in range(4)] for r in range(2)]
        assert at[0] == [[178, 20, 40], [20, 88, 166], [214, 0, 214], [0, 140, 60]]
        assert at[1] == [[178, 20, 40], *[[252, 252, 252]] * 3]
        for words in ("magenta: NaN", "green: inf", "−1 … 0 … +1, 12.5 % of the cells beyond"):
            page.get_by_text(words).wait_for()
        page.get_by_text("1 NaN, 1 inf").wait_for()
        harness.theme(light=False)
        page.wait_for_function(f"(at) => ({COLOUR})(at).join() === '24,24,26'", arg=[176, 64])
        view.close()


def test_a_contrast_theme_of_the_system_is_followed(harness: Harness, tmp_path: Path) -> None:
    """Else black letters stay on its black ground."""
    path = write_gguf(tmp_path / "a.gguf", {"t.weight": (np.zeros((2, 4), np.float32), "F32")})
    view, block = TensorView(path), BlockView(path)
    page = shown(harness, view, "view")
    shown(harness, block, "block")
    ground = page.locator(".gl-weight").first
    for scheme, least in (("dark", "24, 24, 26"), ("light", "252, 252, 252")):
        page.emulate_media(forced_colors="active", color_scheme=scheme)
        page.wait_for_function(f"(at) => ({COLOUR})(at).join(', ') === '{least}'", arg=[176, 64])
        expect(ground).to_have_css("background-color", f"rgb({least})")
    view.close()
    block.close()


def test_a_click_shows_the_block(harness: Harness, minilm: Any) -> None:
    view = TensorView(minilm, Q, reference=gl.demo.minilm())
    block = BlockView(minilm, selection=view)
    shown(harness, view, "view")
    page = shown(harness, block, "block")
    box = page.locator(".gl-heat").bounding_box()
    page.mouse.click(box["x"] + 300, box["y"] + 150)
    page.wait_for_function("() => window.models.block.get('cell')[0] > 0")
    row, column = view.cell
    page.wait_for_selector(f"[data-shown='{row} {column}']")
    expect(page.locator(".gl-sums")).to_contain_text(f"weight {column % 32} ")
    assert block.wait(10)
    raw = minilm.tensors[Q].blocks(slice(row, row + 1))[0]
    first = column // 32 * 18
    bytes_shown = page.locator(".gl-byte").all_inner_texts()
    assert [int(text, 16) for text in bytes_shown] == raw[first : first + 18].tolist()
    # The scale's 16 bits and one nibble.
    expect(page.locator(".gl-own")).to_have_count(20)
    view.close()
    block.close()


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_a_block_by_keyboard_alone(harness: Harness, minilm: Any, light: bool) -> None:
    harness.theme(light)
    block = BlockView(minilm, DOWN, reference=gl.demo.minilm())
    page = shown(harness, block)
    weights = page.get_by_role("grid", name="Weights of the block")
    weights.focus()
    for key, row, column in (
        ("ArrowRight", 0, 1),
        ("ArrowDown", 0, 17),
        ("ArrowDown", 0, 33),
        ("PageDown", 0, 65),
        ("Home", 0, 64),
        ("ArrowLeft", 0, 63),
        ("Shift+ArrowDown", 1, 63),
        ("End", 1, 63),
        ("PageUp", 1, 31),
        ("PageUp", 0, 1535),
    ):
        keys(page, key)
        page.wait_for_selector(f"[data-shown='{row} {column}']")
        until(page, block, cell=[row, column])
    at = weights.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{at}")).to_have_attribute("aria-selected", "true")
    value = minilm.tensors[DOWN].to_numpy()[0, 1535]
    assert page.locator(".gl-sums").inner_text().splitlines()[-1].endswith(f"= {value!s}")
    # The map of bytes: what a byte drives, and on to it.
    page.get_by_role("grid", name="Bytes of the block").focus()
    keys(page, "End")
    words = page.locator(".gl-byte-words")
    words.filter(has_text=re.compile(r"byte 17: .*qs\[15\] = .*drives weights 15, 31")).wait_for()
    keys(page, "Enter")
    page.wait_for_selector("[data-shown='0 1519']")
    keys(page, "Home")
    words.filter(has_text=re.compile("byte 0: .*part of d = .*drives every weight")).wait_for()
    expect(page.locator(".gl-driven")).to_have_count(32)
    block.close()


def test_hostile_names_stay_text(harness: Harness, tmp_path: Path) -> None:
    harness.page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    name = HOSTILE[:60]
    path = write_gguf(tmp_path / "a.gguf", {name: (np.ones((4, 32), np.float32), "Q8_0")})
    with gl.open(path) as model:
        view, block = TensorView(model), BlockView(model)
        shown(harness, view, "view")
        page = shown(harness, block, "block")
        page.get_by_text("<script>").first.wait_for(state="attached")
        assert page.locator("img, #root script").count() == 0
        assert "\u202e" not in page.locator("#root").inner_text()
        view.close()
        block.close()


@pytest.mark.parametrize("wide", [900, 1800])
def test_nothing_sticks_out(harness: Harness, minilm: Any, wide: int) -> None:
    harness.page.set_viewport_size({"width": wide, "height": 1500})
    view = TensorView(minilm, DOWN, reference=gl.demo.minilm())
    block = BlockView(minilm, selection=view)
    shown(harness, view, "view")
    page = shown(harness, block, "block")
    page.locator(".gl-worst button").first.wait_for()
    out = page.evaluate(
        """() => [...document.querySelectorAll('.gl-panel')].flatMap((panel) => {
          const box = panel.getBoundingClientRect();
          return [...panel.querySelectorAll('.gl-bar *, .gl-part-title, canvas, .gl-sums')]
            .filter((node) => node.getClientRects().length)
            .filter((node) => node.getBoundingClientRect().right > box.right + 1)
            .map((node) => node.outerHTML.slice(0, 80));
        })"""
    )
    assert out == []
    view.close()
    block.close()


def test_what_cannot_be_shown_says_why(harness: Harness, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", {"t.weight": (np.ones((4, 32), np.float32), "F32")})
    path.write_bytes(path.read_bytes()[:-64])
    with gl.open(path) as model:
        for kind in (TensorView, BlockView):
            harness.add(kind(model, "t.weight"), kind.__name__)
        told = harness.page.get_by_text("is truncated: its values cannot be shown")
        expect(told).to_have_count(2)


def test_what_lasts_can_be_cancelled(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: Any) -> Iterator[float]:
        while True:
            time.sleep(0.01)
            yield 0.25

    monkeypatch.setattr(tensor_view, "survey", endless)
    path = write_gguf(tmp_path / "a.gguf", {"t.weight": (np.ones((4, 32), np.float32), "F32")})
    with gl.open(path) as model:
        view = TensorView(model)
        page = shown(harness, view)
        page.get_by_text("Reading all rows: 25 %").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Reading all rows: 25 %").wait_for(state="detached")
        assert view._jobs.wait(5)
        expect(page.locator(".gl-small-words")).to_have_text("known when all rows are read")
        monkeypatch.undo()
        page.get_by_role("button", name="Read all rows").click()
        expect(page.locator(".gl-small-words")).to_contain_text("all finite")
        expect(page.get_by_role("button", name="Read all rows")).to_have_count(0)
        view.close()


def test_a_picture_that_was_cancelled_is_not_being_read(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: Any, **__: Any) -> Iterator[float]:
        while True:
            time.sleep(0.01)
            yield 0.25

    path = write_gguf(tmp_path / "a.gguf", {"t.weight": (np.ones((4, 32), np.float32), "F32")})
    with gl.open(path) as model, monkeypatch.context() as patched:
        patched.setattr(tensor_view, "picture", endless)
        view = TensorView(model)
        harness.add(view)
        harness.listen()
        page = harness.page
        page.get_by_text("Reading the picture: 25 %").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("not read").wait_for()
        patched.undo()
        page.get_by_role("button", name="Read all rows").click()
        page.get_by_text("one cell is one weight").wait_for()
        expect(page.get_by_text("not read")).to_have_count(0)
        expect(page.locator(".gl-small-words")).to_contain_text("all finite")
        view.close()


# What is drawn on the canvas as text, and how wide it may be there.
WRITTEN = """() => {
  window.written = [];
  const pen = CanvasRenderingContext2D.prototype, write = pen.fillText;
  pen.fillText = function (text, x, y, room) {
    window.written.push([String(text), this.measureText(text).width, room ?? Infinity]);
    return write.call(this, text, x, y, room);
  };
}"""


def test_a_tensor_without_a_finite_value_says_so(harness: Harness, tmp_path: Path) -> None:
    original = write_gguf(tmp_path / "a.gguf", {Q: (np.ones((4, 32), np.float32), "F32")})
    nan = np.full((4, 32), np.nan, np.float32)
    path = write_gguf(tmp_path / "nan.gguf", {Q: (nan, "F32")})
    with gl.open(path) as model:
        harness.page.evaluate(WRITTEN)
        view = TensorView(model, Q, original)
        page = shown(harness, view)
        expect(page.locator(".gl-legend")).to_have_text("value: no finite value · magenta: NaN")
        expect(page.locator(".gl-values")).to_have_text("There is no finite value.")
        expect(page.locator(".gl-small-words")).to_have_text("128 NaN")
        expect(page.locator(".gl-worst b").first).to_have_text("not finite")
        written = [text for text, *_ in page.evaluate("written")]
        assert written.count("not finite") >= 2  # row norm, row error
        page.locator(".gl-heat").hover(position={"x": 900, "y": 60})
        readout(page, "norm NaN, relative error not finite")
        view.close()


@pytest.mark.parametrize("size", [2.7e37, 2.7e-30])
def test_values_beyond_the_bins_of_the_histogram(
    harness: Harness, tmp_path: Path, size: float
) -> None:
    values = np.linspace(-size, size, 128, dtype=np.float32).reshape(4, 32)
    with gl.open(write_gguf(tmp_path / "a.gguf", {Q: (values, "F32")})) as model:
        view = TensorView(model)
        page = shown(harness, view)
        assert view.wait(10)
        if size > 1:
            expect(page.locator(".gl-values")).to_have_text(
                "All values lie beyond the bins of the histogram."
            )
        limit = page.locator(".gl-limit")
        # the number, and the arrows that a browser puts beside it
        room = """(node) => { const pen = document.createElement('canvas').getContext('2d');
          pen.font = getComputedStyle(node).font;
          return node.clientWidth - 16 - 18 - pen.measureText(node.placeholder).width; }"""
        assert limit.get_attribute("placeholder").startswith("auto 2.")
        assert limit.evaluate(room) >= 0
        assert float(limit.get_attribute("title").split(": ")[1]) == pytest.approx(size, rel=0.02)
        view.close()


def test_an_end_of_the_scale_that_is_none_does_not_stay_in_its_field(
    harness: Harness, minilm: Any
) -> None:
    view = TensorView(minilm, Q, gl.demo.minilm())
    page = shown(harness, view)
    limit = page.locator(".gl-limit")
    for given, kept in (("0.25", "0.25"), ("-1", ""), ("0", "")):
        limit.fill(given)
        limit.press("Enter")
        expect(limit).to_have_value(kept)
        until(page, view, limit=float(kept or 0))
    view.close()


def test_headings_of_narrow_pictures_are_not_squeezed(harness: Harness, minilm: Any) -> None:
    page = harness.page
    page.evaluate(WRITTEN)
    view = TensorView(minilm, DOWN, gl.demo.minilm())
    view.show = "all"
    shown(harness, view)
    for wide, words in (
        (1400, {"quantized (Q4_0)", "difference (quantized − original)"}),
        (720, {"quantized (Q4_0)", "difference"}),
        (430, {"Q4_0", "original", "diff."}),
    ):
        page.set_viewport_size({"width": wide, "height": 900})
        page.wait_for_timeout(300)
        page.evaluate("() => { window.written = []; }")
        view.limit += 1.0  # drawn anew
        page.wait_for_function("window.written.length > 0")
        written = page.evaluate("written")
        assert words <= {text for text, *_ in written}
        squeezed = {text for text, needs, room in written if needs > room}
        assert squeezed <= {"row norm", "row error"}, wide  # by a pixel or two
    view.selected = ["blk.2.ffn_down.bias"]
    page.set_viewport_size({"width": 1400, "height": 900})
    page.wait_for_function("window.written.some(([text]) => text === 'stored (F32)')")
    view.close()


def test_a_gguf_file_that_is_the_reference_is_not_called_an_original(
    harness: Harness, tmp_path: Path
) -> None:
    values = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
    path, other = (
        write_gguf(tmp_path / f"{qtype}.gguf", {Q: (values, qtype)}) for qtype in ("Q4_0", "Q8_0")
    )
    page = harness.page
    page.evaluate(WRITTEN)
    view = TensorView(path, Q, other)
    view.show = "all"
    shown(harness, view)
    page.wait_for_function("window.written.some(([text]) => text === 'reference')")
    assert "difference (quantized − reference)" in {text for text, *_ in page.evaluate("written")}
    group = page.get_by_role("group", name="Which values")
    expect(group).to_have_text("quantizedreferencedifferenceside by side")
    expect(page.locator(".gl-remark")).to_have_text(re.compile(f"reference {re.escape(Q)}"))
    expect(page.locator(".gl-remark")).to_have_attribute("title", re.compile(re.escape(Q)))
    group = page.get_by_role("group", name="Values in the table")
    expect(group).to_have_text("quantizedreferencedifference")
    expect(page.locator(".gl-corner-words")).to_contain_text(
        ", reference \N{MINUS SIGN}0.99993896, "
    )
    page.locator(".gl-heat").focus()
    expect(page.locator(".gl-readout")).to_contain_text(", reference \N{MINUS SIGN}0.99993896, ")
    block = BlockView(path, Q, other)
    assert block.wait(10)
    below = harness.add(block, "block")
    expect(below.locator(".gl-half").last).to_contain_text("quantizedreferencedifference")
    for panel in (view, block):
        html = panel.snapshot().html
        assert "reference" in html
        assert "original" not in html
    assert "original" not in page.locator("#root").inner_text()
    view.close()
    block.close()


def test_weights_of_a_block_that_are_not_finite_have_their_marks(
    harness: Harness, tmp_path: Path
) -> None:
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    path = write_gguf(tmp_path / "a.gguf", {Q: (values, "Q8_0")})
    scaled = with_scales(path, tmp_path / "nan.gguf", {Q: np.nan})
    infinite = with_scales(path, tmp_path / "inf.gguf", {Q: np.inf})
    for k, (broken, ends, mark) in enumerate(
        (
            (scaled, "no finite weight · magenta: NaN", "rgb(214, 0, 214)"),
            (infinite, "no finite weight · green: inf", "rgb(0, 140, 60)"),
            (path, re.compile("^from −[.0-9]+ over 0 to [.0-9]+$"), None),
        )
    ):
        block = BlockView(broken, height=500)
        assert block.wait(10)
        panel = harness.add(block, f"panel{k}")
        expect(panel.locator(".gl-half").nth(1).locator(".gl-muted").first).to_have_text(ends)
        if mark is not None:
            colour_of = "node => getComputedStyle(node).backgroundColor"
            assert panel.locator(".gl-weight.gl-odd").first.evaluate(colour_of) == mark
        block.close()


def test_two_views_of_a_picture_have_each_its_own(harness: Harness, minilm: Any) -> None:
    panel = TensorView(minilm, DOWN)
    page = shown(harness, panel)
    harness.again().evaluate("node => { node.style.width = '300px'; }")
    first, second = page.locator(".gl-heat").all()
    painted = "([a, b]) => [a, b].every((n) => n.dataset.painted.startsWith('whole'))"
    page.wait_for_function(painted, arg=[first.element_handle(), second.element_handle()])
    states = page.locator(".gl-coarse")
    wide = states.nth(0).inner_text()
    expect(states.nth(1)).not_to_have_text(wide)  # drawn anew for its width: other cells
    second.focus()
    for _ in range(8):
        page.keyboard.press("+")
    expect(states.nth(1)).to_have_text("one cell is one weight")
    page.wait_for_function(painted, arg=[first.element_handle(), second.element_handle()])
    expect(states.nth(0)).to_have_text(wide)
    # what the pointer tells stays in its view, too
    page.keyboard.press("ArrowRight")
    expect(page.locator(".gl-readout").nth(1)).to_contain_text("quantized")
    expect(page.locator(".gl-readout").nth(0)).to_have_text(
        "Point at a cell, or walk with the arrow keys"
    )
    panel.selected = [Q]
    page.wait_for_function(painted, arg=[first.element_handle(), second.element_handle()])
    panel.close()
