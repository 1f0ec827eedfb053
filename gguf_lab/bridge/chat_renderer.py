"""Renders one chat template, in a process of its own that needs only jinja2 (see `chat.py`).

Run as ``python -I chat_renderer.py [FOLDER ...]`` (the folders are those of jinja2) with a request
on standard input; the answer is one JSON object on standard output. The template may be hostile.
What keeps it in: jinja2's sandbox, limits of the operating system on memory, time, files and
processes, and whoever started this, who ends it.

The environment is the one that Transformers renders chat templates in
(`transformers.utils.chat_template_utils`).
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[1:]  # last: where jinja2 is if it is not installed for all users

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Scope
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


def limit(memory: int, seconds: float) -> None:
    """Lower what this process may use, on systems that can."""
    with suppress(ImportError):
        import resource

        for name, most in (
            ("RLIMIT_AS", memory),
            ("RLIMIT_CPU", int(seconds) + 1),
            ("RLIMIT_FSIZE", 0),
            ("RLIMIT_CORE", 0),
            ("RLIMIT_NPROC", 0),
        ):
            # A system may know the name and refuse the limit: the others still hold.
            with suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (most, most))


def raise_exception(message: object) -> None:
    """End with a message: how a template refuses a conversation."""
    raise TemplateError(str(message))


def strftime_now(form: str) -> str:
    """Return the time of day, formatted."""
    return datetime.now().strftime(form)  # noqa: DTZ005 - as Transformers does


def tojson(
    x: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON, not escaped for HTML as jinja2's own filter does."""
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


class Dict:
    """Python's dict to call, without what else a type can do."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Make a dict."""
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """Make a dict of keys with one value."""
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """Jinja2's own without underscores: no way to reach into Python's objects."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            TemplateNamespace._check(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: Any, value: Any) -> None:
        TemplateNamespace._check(name)
        Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"an attribute of a namespace is {name!r}")


class Generation(Extension):
    """`{% generation %}` marks what the assistant says; here it marks nothing."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 wants it

    def parse(self, parser: Any) -> Any:
        """Keep what stands inside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return Scope(body).set_lineno(line)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's, which an attempt to get out of ends at once, also one that would print nothing."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        """Refuse an attribute."""
        raise SecurityError(f"access to {attribute!r} of {type(obj).__name__!r} is unsafe")


def environment() -> Sandbox:
    """Return the sandbox with what chat templates expect to find in it."""
    made = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": Dict(),
        "namespace": TemplateNamespace,
    }
    return made


def render(request: dict[str, Any]) -> str:
    """Render, but no more than what is asked for."""
    pieces = []
    left = request["longest"]
    template = environment().from_string(request["template"])
    for piece in template.generate(**request["variables"]):
        left -= len(piece)
        if left < 0:
            raise OverflowError(f"it writes more than {request['longest']:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    limit(request["memory"], request["seconds"])
    try:
        answer = {"text": render(request)}
    except MemoryError:
        answer = {"error": "MemoryError", "message": "it needs more memory than it is given"}
    except RecursionError:
        answer = {"error": "RecursionError", "message": "it calls itself without end"}
    except Exception as error:  # noqa: BLE001 - whatever a template can raise
        answer = {"error": type(error).__name__, "message": str(error)[:2000]}
        line = getattr(error, "lineno", None)
        if isinstance(line, int):
            answer["line"] = str(line)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
