"""Take the pictures of the README from a real JupyterLab: the workbench, light and dark.

Run by ``make screenshots``. The workbench compares MiniLM, quantized to Q4_0, with its original.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Playwright, sync_playwright  # noqa: E402

from tests.panels.browser import launch  # noqa: E402
from tests.panels.lab import jupyterlab, run_all, write_notebook  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1440, "height": 1120}
SELECTED = "blk.2.ffn_down.weight"
COMPARED = "101 compared"
OPEN = """\
import gguf_lab as gl

file = gl.demo.write_minilm_gguf(".", "Q4_0")
workbench = gl.explore(file, reference=gl.demo.minilm())
workbench"""
SELECT = f'workbench.selected = ["{SELECTED}"]'


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        for theme in ("light", "dark"):
            with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
                take(playwright, Path(folder), Path(home), theme)


def take(playwright: Playwright, folder: Path, home: Path, theme: str) -> None:
    """Run the notebook in a JupyterLab of its own, and take one picture of it."""
    write_notebook(folder / "workbench.ipynb", OPEN, SELECT)
    with jupyterlab(folder, home, dark=theme == "dark") as address:
        browser = launch(playwright)
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
        page.goto(f"{address}/lab/tree/workbench.ipynb")
        run_all(page)
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        page.wait_for_selector(".gl-workbench", timeout=60_000)
        page.wait_for_function(
            f"() => document.querySelector('.gl-workbench').innerText.includes('{SELECTED}')"
        )
        # The comparison ends (or the picture would show why not), its pictures are drawn.
        page.get_by_text(COMPARED, exact=True).wait_for(timeout=60_000)
        page.wait_for_timeout(1000)
        page.locator(".gl-workbench").scroll_into_view_if_needed()
        path = IMAGES / f"workbench-{theme}.png"
        page.screenshot(path=path)
        browser.close()
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
