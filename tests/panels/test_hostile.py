"""Files of strangers in the real browser: only text is seen, and nothing runs."""

from __future__ import annotations

import csv
import inspect
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
import gguf_lab.panels
from gguf_lab.panels.base import Panel

from ..hostile import ATTACK, is_text, write_all, write_model
from .tensors import write_gguf

if TYPE_CHECKING:
    from .browser import Harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LARGEST = 3_000_000
"""Characters of a panel's state: a value of 10 MB is shown in part."""

PANELS = [
    name
    for name in gguf_lab.panels.__all__
    if inspect.isclass(getattr(gguf_lab.panels, name))
    and issubclass(getattr(gguf_lab.panels, name), Panel)
]

# What a page has after an attack: elements and attributes that no panel makes.
ATTACKED = """() => {
  const found = [];
  for (const node of document.querySelectorAll('#root *')) {
    const name = node.localName;
    if (['script', 'iframe', 'object', 'embed', 'base', 'form'].includes(name)) found.push(name);
    for (const { name: key, value } of node.attributes) {
      if (key.startsWith('on')) found.push(`${name} ${key}=${value}`);
      if (/^\\s*javascript:/i.test(value)) found.push(`${name} ${key}=${value}`);
      if (key === 'src' && !/^(data|blob):/.test(value)) found.push(`${name} ${key}=${value}`);
    }
  }
  if (window.attacked) found.push('a script ran');
  return found;
}"""
# A click on the first rows of everything; lists redraw what they show, so each is looked up anew.
CLICKED = """() => {
  for (const kinds of ['[role=row], [role=treeitem], [role=option], summary', '[role=gridcell]']) {
    const nodes = () => document.querySelectorAll(`#root :is(${kinds})`);
    for (let i = 0; i < Math.min(nodes().length, 8); i += 1) nodes()[i].click();
  }
}"""
# All that is seen or read aloud.
SHOWN = """() => {
  const texts = [document.querySelector('#root').innerText];
  for (const node of document.querySelectorAll('#root *')) {
    for (const key of ['title', 'aria-label', 'aria-description', 'alt', 'placeholder']) {
      if (node.hasAttribute(key)) texts.push(node.getAttribute(key));
    }
    if (node.localName === 'input') texts.push(node.value);
  }
  return texts;
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(params=["every text", "a llama"])
def model(request, files):
    with gl.open(files[request.param]) as opened:
        yield opened


@pytest.fixture
def reference(files):
    with gl.open_checkpoint(files["original"]) as opened:
        yield opened


@pytest.fixture
def result(model, reference):
    return gl.compare(model, reference, progress=False)


def make(name: str, model: Any, reference: Any, result: Any) -> list[Panel]:
    """Make a panel in every way in which a file comes into it."""
    kind = getattr(gguf_lab.panels, name)
    known = {"model": model, "reference": reference, "comparison": result}
    parameters = inspect.signature(kind).parameters
    if kind is gguf_lab.panels.Headline:
        return [kind(model, reference=ATTACK)]
    if kind is gguf_lab.panels.Progress:
        panel = kind(lambda: None)
        panel.report("running", done=1, total=2, seconds=9.0, tensor=ATTACK)
        return [panel]
    if "source" in parameters:
        return [kind(model), kind(result)]
    panel = kind(**{key: value for key, value in known.items() if key in parameters})
    if isinstance(panel, gguf_lab.panels.ErrorHistograms):
        panel.expect(model)
        panel.extend(list(result))
    return [panel]


def look(harness: Harness, panels: list[Panel]) -> None:
    """Show panels, and walk through them as one does: by click and by key."""
    page = harness.page
    page.evaluate("() => { window.attack = () => { window.attacked = true; }; }")
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    for number, panel in enumerate(panels):
        assert len(json.dumps(panel.get_state(), default=len, allow_nan=False)) < LARGEST
        harness.add(panel, f"panel{number}")
    page.wait_for_timeout(300)
    seen = 0
    for _ in range(3):
        check(page)
        seen += len(page.locator("#root").inner_text())
        page.evaluate(CLICKED)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        harness.push()
        page.wait_for_timeout(100)
    check(page)
    assert seen > 0


def check(page: Any) -> None:
    assert page.evaluate(ATTACKED) == []
    wrong = [text for text in page.evaluate(SHOWN) if not is_text(text)]
    assert wrong == []


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_shows_only_text(name, model, reference, result, harness):
    look(harness, make(name, model, reference, result))


def test_side_by_side_shows_only_text(model, reference, files, harness):
    with gl.open(files["a llama"]) as other:
        for against in (reference, None):
            if against is None and model.architecture != other.architecture:
                continue  # refused: they are no two files of one model
            both = gl.SideBySide(model, other, against)
            try:
                both.wait(60)
                assert is_text(repr(both))
                look(harness, both.children)
            finally:
                both.close()


def test_the_workbench_shows_only_text(model, reference, files, harness):
    workbench = gl.explore(model, reference=reference, other=files["a llama"])
    workbench.wait(60)
    try:
        assert is_text(repr(workbench))
        for tab in workbench.tabs.tabs:
            workbench.tab = tab[0]
        for tensor in [*model.tensors][:2] + [*model.tensors][-2:]:
            workbench.selected = [tensor]
        made = [workbench.headline, workbench.progress, workbench.tabs, *workbench._made.values()]
        assert len(made) > 12
        for panel in made:
            if isinstance(panel, gl.SideBySide):
                panel.wait(60)
        look(harness, [p for panel in made for p in getattr(panel, "children", [panel])])
    finally:
        workbench.close()


@pytest.mark.parametrize("what", ["shrinks", "changes", "vanishes and comes back as another"])
def test_a_file_that_changes_under_a_panel_is_an_error_in_it(what, tmp_path, harness):
    path = write_model(tmp_path / "model.gguf")
    with gl.open(path) as model:
        harness.add(gl.TensorView(model, "token_embd.weight"))
        harness.listen()
        page = harness.page
        page.wait_for_selector(".gl-heat[data-painted^=whole]")
        if what == "shrinks":
            os.truncate(path, path.stat().st_size // 2)
        elif what == "changes":
            with path.open("r+b") as file:
                file.seek(-8, os.SEEK_END)
                file.write(b"\xff" * 8)
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
        else:
            path.unlink()
            path.write_bytes(b"another")
        page.get_by_label("Tensor", exact=True).select_option("output.weight")
        if what.startswith("vanishes"):  # what was opened is still there for who holds it
            page.wait_for_selector(".gl-heat[data-painted^=whole]")
        else:
            page.get_by_text("was changed while it was open").first.wait_for()


def test_no_cell_of_a_saved_table_is_a_formula(tmp_path, harness):
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "a;=1", "b-1;c", 'a,"b"']
    values = np.ones((1, 32), np.float32)
    path = write_gguf(tmp_path / "a.gguf", dict.fromkeys(names, (values, "F32")))
    with gl.open(path) as model:
        harness.add(gl.TensorTable(model))
        with harness.page.expect_download() as download:
            harness.page.get_by_role("button", name="CSV").click()
        download.value.save_as(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        [row["name"] for row in rows]
        == [
            *(f"'{name}" for name in names[:4]),
            "a;'=1",  # a comma is no separator where it is the decimal sign
            *names[5:],
        ]
    )
    assert [row["bits/weight"] for row in rows] == ["32"] * 7
