"""What runs around a notebook in the tests: figures tell their titles, the kernel its memory."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

BEFORE = """\
import functools, json
from matplotlib.backends.backend_agg import FigureCanvasAgg
_print = FigureCanvasAgg.print_png

@functools.wraps(_print)
def _told(canvas, *args, metadata=None, **options):
    figure = canvas.figure
    axes = [
        {
            "title": "".join(a.get_title(loc) for loc in ("left", "center", "right")),
            "x": a.get_xlabel(),
            "y": a.get_ylabel(),
        }
        for a in figure.axes
    ]
    told = {"title": figure.get_suptitle(), "axes": axes}
    return _print(canvas, *args, metadata={**(metadata or {}), "told": json.dumps(told)}, **options)

FigureCanvasAgg.print_png = _told
"""
"""A cell before the first: a PNG that matplotlib writes says what is written on it."""

AFTER = """\
import json, pathlib, time
_status = pathlib.Path("/proc/self/status")
_lines = _status.read_text().splitlines() if _status.exists() else ["VmHWM: 0 kB"]
_held = next(int(line.split()[1]) for line in _lines if line.startswith("VmHWM"))
print(json.dumps({"mebibytes": _held // 1024, "seconds": round(time.process_time(), 1)}))
"""
"""A cell after the last: the memory that the kernel held at most (on Linux), and its CPU time."""


def told(png: str) -> dict[str, Any]:
    """Return what a PNG (base64) says of its figure."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return json.loads(image.text["told"])


def problems(figure: dict[str, Any]) -> list[str]:
    """Return what a figure lacks: a title, and words and units at its axes."""
    axes = figure["axes"]
    found = []
    if not figure["title"] and not any(a["title"] for a in axes):
        found.append("no title")
    # A colour bar has one label, which is enough.
    found += [f"axes {k} have no label" for k, a in enumerate(axes) if not (a["x"] or a["y"])]
    return found
