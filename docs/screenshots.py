"""Take the pictures of the documentation from a real JupyterLab: every panel, light and dark.

Run by ``make screenshots``; ``python docs/screenshots.py vocabulary block`` takes some of them.
SmolLM2 (Q4_1) is looked at; MiniLM, quantized to Q4_0, is compared with its original.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from tests.panels.browser import launch  # noqa: E402
from tests.panels.lab import jupyterlab, run_all, write_notebook  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SCALE = 1.5  # pixels of the picture per CSS pixel
PATIENCE = 1500  # seconds; a busy machine starts JupyterLab slowly
COLOURS = 256  # of a picture; the panels have few, and a palette makes it small
WORST = "blk.2.ffn_down.weight"
SETUP = """\
import gguf_lab as gl

smollm2 = gl.open(gl.demo.smollm2())
minilm = gl.open(gl.demo.write_minilm_gguf(".", "Q4_0"))
original = gl.demo.minilm()
result = gl.compare(minilm, original, progress=False)"""
KERNEL_IS_IDLE = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture to take.

    Attributes
    ----------
    code : str
        The cell; its last line is the panel.
    width, height : int
        The window, in CSS pixels.
    words : str
        A text that appears when the panel is ready; empty if it is so at once.
    clicks : tuple of str
        Selectors, clicked one after the other before the picture is taken.
    """

    code: str
    width: int = 1100
    height: int = 1000
    words: str = ""
    clicks: tuple[str, ...] = ()


SHOTS = {
    "overview": Shot("gl.Overview(smollm2)"),
    "metadata": Shot("gl.MetadataTree(smollm2)"),
    "vocabulary": Shot("gl.Vocabulary(smollm2)"),
    "chat-template": Shot("gl.ChatTemplate(smollm2)"),
    "tensors": Shot(f"table = gl.TensorTable(minilm)\ntable.selected = [{WORST!r}]\ntable"),
    "tensor": Shot(f"gl.TensorView(minilm, {WORST!r}, original)"),
    "block": Shot(f"gl.BlockView(minilm, {WORST!r}, original)"),
    "errors": Shot("gl.ErrorMap(result)"),
    "histograms": Shot("gl.ErrorHistograms(result)"),
    "worst-places": Shot(f"gl.WorstPlaces(minilm, {WORST!r}, original)"),
    "other-types": Shot(f"gl.OtherTypes(minilm, {WORST!r}, original)"),
    "side-by-side": Shot(
        'larger = gl.demo.write_minilm_gguf(".", "Q5_1")\ngl.SideBySide(minilm, larger, original)'
    ),
    "will-it-run": Shot("gl.WillItRun(smollm2, context=8192)"),
    "workbench": Shot(
        "workbench = gl.explore(minilm, reference=original)\n"
        f"workbench.selected = [{WORST!r}]\nworkbench",
        1440,
        1120,
        "101 compared",
    ),
}


def main(names: list[str]) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    shots = {name: SHOTS[name] for name in names or SHOTS}
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as home,
        sync_playwright() as playwright,
    ):
        write_notebook(Path(folder, "panels.ipynb"), SETUP, *(s.code for s in shots.values()))
        show_all_cells(Path(home))
        with jupyterlab(Path(folder), Path(home), seconds=PATIENCE) as address:
            browser = launch(playwright)
            page = browser.new_page(device_scale_factor=SCALE)
            page.set_default_timeout(1000 * PATIENCE)
            page.goto(f"{address}/lab/tree/panels.ipynb", wait_until="commit")
            page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
            run_all(page, seconds=PATIENCE)
            execute(page, "application:toggle-left-area")
            for theme in ("light", "dark"):
                execute(page, "apputils:change-theme", theme=f"JupyterLab {theme.title()}")
                for k, (name, shot) in enumerate(shots.items(), 1):
                    take(page, k, shot, IMAGES / f"{name}-{theme}.png")
            browser.close()
    total = sum(path.stat().st_size for path in IMAGES.glob("*.png"))
    print(f"{total / 1024:,.0f} KiB in {IMAGES.relative_to(ROOT)}")


def execute(page: Any, command: str, **arguments: str) -> None:
    """Execute a command of JupyterLab."""
    script = "([name, given]) => window.jupyterapp.commands.execute(name, given)"
    page.evaluate(script, [command, arguments])


def take(page: Any, cell: int, shot: Shot, path: Path) -> None:
    """Take a picture of the panel under a cell, when it is ready."""
    page.set_viewport_size({"width": shot.width, "height": shot.height})
    output = page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output")
    panel = output.locator(".gl-workbench, .gl-side-by-side, .gl-host").first
    panel.wait_for()
    if shot.words:
        panel.get_by_text(shot.words).first.wait_for()
    page.wait_for_function(KERNEL_IS_IDLE)
    for selector in shot.clicks:
        panel.locator(selector).first.click()
    # the whole panel in the window, under JupyterLab's own bars
    height = panel.bounding_box()["height"]
    page.set_viewport_size({"width": shot.width, "height": max(shot.height, int(height) + 160)})
    panel.scroll_into_view_if_needed()
    path.write_bytes(at_rest(page, panel))
    shrink(path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


def at_rest(page: Any, panel: Any) -> bytes:
    """Return the first picture that stays as it is: all that was asked for has come, is drawn."""
    stops = panel.locator("button:visible", has_text="Cancel").first
    last = b""
    for _ in range(40):
        page.wait_for_timeout(700)
        stops.wait_for(state="detached")
        page.wait_for_function(KERNEL_IS_IDLE)
        picture: bytes = panel.screenshot()
        if picture == last:
            return picture
        last = picture
    raise SystemExit("a panel does not come to rest")


def show_all_cells(home: Path) -> None:
    """Have JupyterLab keep all cells in the page, also those that are out of sight."""
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))


def shrink(path: Path) -> None:
    """Write a picture again with a palette."""
    with Image.open(path) as picture:
        # Means of what is alike: else a thin line takes the colour of another.
        small = picture.convert("RGB").quantize(COLOURS, kmeans=4, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
