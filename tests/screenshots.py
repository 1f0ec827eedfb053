"""Pictures of a notebook's panels in a real JupyterLab, light and dark.

    python -m tests.screenshots NOTEBOOK OUTPUT_FOLDER [--width 1400] [--click TENSOR]

runs the notebook, waits for the panels and writes one picture of each widget output and theme:
``NAME-light.png``, ``NAME-dark.png`` (``NAME-2-light.png`` for the second output, and so on).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from .panels.browser import launch
from .panels.lab import jupyterlab, run_all


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=1400, help="of the browser window, in pixels")
    parser.add_argument(
        "--click", default="", help="a tensor to select before the picture is taken"
    )
    parser.add_argument("--seconds", type=int, default=120, help="to wait for the notebook")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        take(given.notebook, given.output, given.width, given.click, given.seconds, dark=dark)


def take(
    notebook: Path, output: Path, width: int, click: str, seconds: int, *, dark: bool
) -> list[Path]:
    """Take the pictures of one theme.

    Parameters
    ----------
    notebook : Path
        It is copied: nothing is written beside it.
    output : Path
        Folder of the pictures.
    width : int
        Of the window, in CSS pixels.
    click : str
        Name of a tensor to select; empty for none.
    seconds : int
        Longest time that the notebook may run.
    dark : bool
        Which theme.

    Returns
    -------
    list of Path
        The pictures.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        root, home = Path(scratch, "notebooks"), Path(scratch, "home")
        root.mkdir()
        shutil.copy(notebook, root)
        with jupyterlab(root, home, dark=dark) as address, sync_playwright() as playwright:
            browser = launch(playwright)
            # Tall enough that a whole workbench is in view: JupyterLab draws what is seen.
            page = browser.new_page(viewport={"width": width, "height": 2600})
            page.goto(f"{address}/doc/tree/{notebook.name}")
            run_all(page)
            _settle(page, seconds)
            if click:
                page.locator(".gl-table [role=gridcell]", has_text=click).first.click()
                page.wait_for_timeout(1000)
            pictures = _pictures(page, output / notebook.stem, "dark" if dark else "light")
            browser.close()
    return pictures


def _settle(page: Any, seconds: int) -> None:
    """Wait until all cells have run and no comparison is under way."""
    page.locator(".gl-panel").first.wait_for(timeout=seconds * 1000)
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.jp-InputPrompt')]"
        ".some(node => node.textContent.includes('*'))"
        " && !document.querySelector('.gl-progress[data-state=running]')"
        " && !document.querySelector('.gl-cell-pending')",
        timeout=seconds * 1000,
    )
    page.wait_for_timeout(1500)


def _pictures(page: Any, stem: Path, theme: str) -> list[Path]:
    pictures = []
    outputs = page.locator(".jp-OutputArea-output").filter(has=page.locator(".gl-panel"))
    for i in range(outputs.count()):
        number = "" if i == 0 else f"-{i + 1}"
        path = stem.with_name(f"{stem.name}{number}-{theme}.png")
        outputs.nth(i).screenshot(path=path)
        pictures.append(path)
    return pictures


if __name__ == "__main__":
    main()
