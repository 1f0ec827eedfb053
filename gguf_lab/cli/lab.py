"""``gguf-lab lab``: JupyterLab, clean."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

__all__ = ["add_lab"]


def add_lab(commands: Any) -> None:
    """Add ``lab``, which hands all its arguments on."""
    command = commands.add_parser(
        "lab",
        help="open JupyterLab",
        usage="%(prog)s [NOTEBOOK] [JUPYTERLAB OPTION ...]",
        description="Open JupyterLab. All arguments are JupyterLab's own.",
    )
    command.set_defaults(run=_lab, takes_rest=True)


def _lab(arguments: argparse.Namespace) -> int:
    """Become a clean JupyterLab: no pop-up asks about news, and the kernel is of this environment.

    The defaults in `jupyter_config` are layered under what the user has set in his own JupyterLab.
    """
    command = [sys.executable, "-m", "jupyterlab"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    config = [str(Path(__file__).parents[1] / "jupyter_config")]
    if "JUPYTER_CONFIG_PATH" in os.environ:
        config.append(os.environ["JUPYTER_CONFIG_PATH"])
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(config),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    return os.execve(sys.executable, command + arguments.rest, environment)  # noqa: S606
