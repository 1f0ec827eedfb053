"""The process that renders a chat template: started, given little, and ended.

The template is a program that came with the file. It runs in a process of its own (see
`chat_renderer.py`), with little memory and time, and all that comes back is a text.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import ChatTemplateError, GGUFLabError, starting_threads
from ..file.text import printable
from .requirement import INSTALL

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST", "MEMORY", "UnreadyTemplateError", "render"]

MEMORY = 512 << 20
"""Bytes of address space that a template gets, where the system can hold it to that."""

LONGEST = 4 << 20
"""Characters that a template may write."""


class UnreadyTemplateError(ChatTemplateError):
    """The template can't be rendered with these messages, though it does not refuse them."""


def render(template: str, variables: Mapping[str, object], timeout: float) -> str:
    """Render a template in a process of its own.

    Raises
    ------
    ChatTemplateError
        If it is malformed, refuses, tries to get out, or asks for too much; if the variables are
        not what JSON can say.
    """
    if find_spec("jinja2") is None:
        raise ChatTemplateError(f"Chat templates need jinja2: {INSTALL}.")
    try:
        request = json.dumps(
            {
                "template": template,
                "variables": variables,
                "longest": LONGEST,
                "memory": MEMORY,
                "seconds": timeout,
            }
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ChatTemplateError(
            f"Messages, tools and variables must be what JSON can say: {error}."
        ) from None
    answer = _answer(_ask(request, timeout), timeout)
    if isinstance(answer.get("text"), str):
        text: str = answer["text"]
        return text
    kind, message = str(answer.get("error")), printable(str(answer.get("message")), 500)
    line = f" (line {printable(str(answer['line']), 20)})" if "line" in answer else ""
    if kind == "TemplateError":
        raise ChatTemplateError(f"The chat template refuses these messages: {message}")
    if kind == "SecurityError":
        raise ChatTemplateError(f"The chat template tried what a template must not do: {message}.")
    raise UnreadyTemplateError(
        f"The chat template cannot be rendered{line}: {printable(kind, 80)}: {message}"
    )


def _ask(request: str, timeout: float) -> tuple[bytes | None, int]:
    """Run the renderer; return what it wrote, None if its time was up, and how it ended."""
    renderer = Path(__file__).with_name("chat_renderer.py")
    most = 12 * LONGEST + 10_000  # an escape of JSON is twelve bytes at most
    written: list[bytes] = []

    def talk(stdin: IO[bytes], stdout: IO[bytes]) -> None:
        with suppress(OSError), stdin:  # if it has ended, its status says so
            stdin.write(request.encode())
        written.append(stdout.read(most))

    try:
        # -I: neither the folder nor the environment of whoever runs this can change what it loads.
        process = subprocess.Popen(  # noqa: S603 - a program of ours; the template is its input
            [sys.executable, "-I", str(renderer), *_folders("jinja2", "markupsafe")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as problem:
        raise GGUFLabError(
            f"no process can be started that renders the chat template ({problem}): a user or a "
            "container may have only so many, or memory is full."
        ) from None
    with process:
        reader = threading.Thread(target=talk, args=(process.stdin, process.stdout), daemon=True)
        try:
            with starting_threads():
                reader.start()
            reader.join(timeout)
            in_time = not reader.is_alive()
            if in_time:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        finally:
            process.kill()  # after Ctrl-C too; nothing is done to one that has ended
        reader.join()
        status = process.wait()
    return (written[0] if in_time else None), status


def _folders(*packages: str) -> list[str]:
    """Return where packages are: -I leaves out those of a user alone, and PYTHONPATH."""
    found = [spec.origin for spec in map(find_spec, packages) if spec and spec.origin]
    return list(dict.fromkeys(str(Path(origin).parents[1]) for origin in found))


def _answer(written: tuple[bytes | None, int], timeout: float) -> dict[str, Any]:
    raw, status = written
    if raw is None:
        raise ChatTemplateError(
            f"The chat template did not end within {timeout:g} seconds (`timeout`); it was stopped."
        )
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ChatTemplateError(
            "The chat template broke the process that rendered it (it ended with status"
            f" {status}): it asked for more memory, time or depth than there is."
        )
    return answer
