"""``gguf-lab lab``: JupyterLab, clean."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .terminal import print_json

if TYPE_CHECKING:
    import argparse

__all__ = ["add_lab"]

_PAUSE: Final = 0.1  # seconds between looks


def add_lab(commands: Any) -> None:
    """Add ``lab``, which hands all its arguments on."""
    command = commands.add_parser(
        "lab",
        help="open JupyterLab",
        usage="%(prog)s [--json] [NOTEBOOK] [JUPYTERLAB OPTION ...]",
        description="Open JupyterLab. All other arguments are JupyterLab's own.",
    )
    command.add_argument(
        "--json", action="store_true", help="print where it is, as JSON, once it is there"
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
    command += arguments.rest
    # Windows has no exec: its imitation gives the terminal back at once, and parts paths at spaces.
    if arguments.json or os.name == "nt":
        return _attend(command, environment, tell=arguments.json)
    return os.execve(sys.executable, command, environment)  # noqa: S606


def _attend(command: list[str], environment: dict[str, str], *, tell: bool) -> int:
    """Start JupyterLab, print its address if that is asked for, and stay until it ends."""
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603
        try:
            if tell:
                _tell(server)
            while True:
                try:
                    return server.wait()
                except KeyboardInterrupt:  # it has got the same signal, and may ask whether to end
                    continue
        except SystemExit:  # told to end, see `main`
            server.terminate()
            return server.wait()


def _tell(server: subprocess.Popen[bytes]) -> None:
    """Print the address of a server as soon as it answers."""
    from jupyter_server.serverapp import list_running_servers

    found = None
    while found is None and server.poll() is None:
        time.sleep(_PAUSE)
        ours = (s for s in list_running_servers() if s["pid"] == server.pid)
        found = next(filter(_answers, ours), None)
    if found is not None:
        print_json({key: found[key] for key in ("url", "token", "port", "root_dir", "pid")})
        sys.stdout.flush()


def _answers(found: dict[str, Any]) -> bool:
    """Whether a server takes connections: it writes the file about itself a moment before."""
    if found.get("sock"):
        return True
    everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 -- what it listens on, not we
    host = "localhost" if found["hostname"] in everywhere else found["hostname"]
    try:
        socket.create_connection((host, found["port"]), timeout=1).close()
    except OSError:
        return False
    return True
