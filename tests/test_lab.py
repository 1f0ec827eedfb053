"""The JupyterLab that `make lab` opens, in a real browser: clean, the notebook in front."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from .panels.lab import stop, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def make_lab(folder, home):
    """Start JupyterLab as the Makefile does, for a user who has never had one; give its address."""
    write_notebook(folder / "tour.ipynb", "import sys; print('kernel of', sys.prefix)")
    command = [
        *(sys.executable, "-m", "gguf_lab", "lab", "--no-browser", "--port-retries=50"),
        *("--LabApp.default_url=/lab/tree/tour.ipynb", f"--LabApp.workspaces_dir={home}/spaces"),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    environment |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            found = (re.search(r"http://127\.0\.0\.1:\S+token=\S+", s) for s in server.stderr)
            address = next(match[0] for match in found if match)
            # Nobody reads on: a full pipe would stop the server.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield address
        finally:
            stop(server)


def test_no_pop_up_and_the_tour_in_front_with_our_kernel(tmp_path, chromium):
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    with make_lab(folder, home) as address:
        page = chromium.new_page()
        page.goto(address)
        page.locator(".jp-Notebook .cm-content").click(timeout=60_000)
        # What is run before the kernel is there is dropped by JupyterLab without a word.
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
        current = page.locator(".lm-DockPanel-tabBar .lm-mod-current .lm-TabBar-tabLabel")
        assert current.all_inner_texts() == ["tour.ipynb"]
        page.locator(".jp-Notebook .cm-content").press("Control+Enter")
        output = page.locator(".jp-OutputArea-output").first
        output.wait_for(timeout=60_000)
        assert output.inner_text().strip() == f"kernel of {sys.prefix}"
        page.wait_for_timeout(5000)  # JupyterLab asks about news a moment after it has started
        assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
        page.close()
