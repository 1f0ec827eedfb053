"""Every notebook runs from top to bottom, in its time and memory, and explains its pictures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from .telling import AFTER, BEFORE, problems, told

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [*sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "binder" / "workbench.ipynb"]
MEBIBYTES, SECONDS = 1500, 120  # of a kernel; CPU time, so that other tests beside do not count
CUDA_MEBIBYTES = 300  # what torch's own libraries take in its build for CUDA, which Binder has not
PICTURE, TABLE, PANEL = "image/png", "text/html", "application/vnd.jupyter.widget-view+json"
LEFT_OUT = {"05_exercises": {PANEL}, "workbench": {PICTURE}}  # a notebook shows one of each


def run(path, folder):
    """Execute a notebook between two cells of ours. Returns it, and what its kernel took."""
    shutil.copy(path, folder)
    notebook = nbformat.read(folder / path.name, as_version=4)
    before, after = map(nbformat.v4.new_code_cell, (BEFORE, AFTER))
    notebook.cells = [before, *notebook.cells, after]
    NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.cells = notebook.cells[1:-1]
    return notebook, json.loads(after.outputs[0].text)


@pytest.mark.notebook
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the client's own machinery, not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path, tmp_path):
    notebook, took = run(path, tmp_path)
    print(f"{path.name}: {took['mebibytes']:,} MiB at most, {took['seconds']} s of CPU time")
    assert took["mebibytes"] < MEBIBYTES + CUDA_MEBIBYTES * (torch.version.cuda is not None)
    assert took["seconds"] < SECONDS
    shown = set()
    for k, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            shown |= {*output.get("data", {})}
            if PICTURE in output.get("data", {}):
                assert problems(told(output.data[PICTURE])) == []
                assert takeaway(notebook.cells[k + 1 :]), f"no word on the figure of\n{cell.source}"
    assert {PICTURE, TABLE, PANEL} - LEFT_OUT.get(path.stem, set()) <= shown


def takeaway(following):
    """Whether the next cell of text begins with a sentence on what was shown."""
    text = next((cell.source for cell in following if cell.cell_type == "markdown"), "")
    return bool(re.match(r"[^#|`\s-][^.]{20,}\.", text))


def test_a_figure_without_words_is_found():
    bare = {"title": "", "axes": [{"title": "", "x": "", "y": ""}]}
    assert problems(bare) == ["no title", "axes 0 have no label"]
    fine = {"title": "Error by layer", "axes": [{"title": "", "x": "layer", "y": ""}]}
    assert problems(fine) == []
    cell = nbformat.v4.new_markdown_cell
    assert takeaway([cell("The error of ffn_down is twice that of the others.")])
    assert not takeaway([cell("## The next section")])
    assert not takeaway([])
