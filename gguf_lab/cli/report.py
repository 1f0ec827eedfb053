"""``gguf-lab report``: what there is to say about a file, as one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import FILE, escape, print_json

if TYPE_CHECKING:
    import argparse

__all__ = ["add_report"]


def add_report(commands: Any) -> None:
    """Add ``report``."""
    command = commands.add_parser(
        "report", help="one HTML page about a file, to keep, send or print"
    )
    command.add_argument("file", help=FILE)
    command.add_argument(
        "--reference",
        metavar="REF",
        help="its original, for the errors: a checkpoint's folder, or another GGUF file; "
        "hf://owner/repo",
    )
    command.add_argument(
        "-o", "--out", metavar="HTML", help="the page (default: the file's name, with .html)"
    )
    command.add_argument("--overwrite", action="store_true", help="replace the page if it exists")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from ..model import open_model
    from ..reporting import report

    show = sys.stderr.isatty()
    with open_model(arguments.file) as model:
        out = Path(arguments.out or f"{Path(model.path.name).stem}.html")
        path = report(model, out, arguments.reference, overwrite=arguments.overwrite, progress=show)
    size = path.stat().st_size
    if arguments.json:
        print_json({"path": str(path), "nbytes": size})
    else:
        print(f"{escape(str(path))}: {size:,} bytes")
    return 0
