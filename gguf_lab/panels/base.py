"""What every panel has: an error area, questions from the browser, a static form."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..errors import GGUFLabError
from ..file.text import printable
from .owner import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Panel", "Snapshot", "Static", "explain"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A panel as an ordinary output: it needs no kernel and no script, and survives reopening.

    Attributes
    ----------
    html : str
        Static HTML, everything untrusted in it escaped.
    text : str
        The same for a terminal, short.
    """

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def explain(error: BaseException) -> str:
    """Put an exception in words for the error area.

    Our own errors say all that is needed; of others, which nobody expected, type and place are
    named.
    """
    words = printable(str(error), 2000, lines=True)
    if isinstance(error, GGUFLabError):
        return words
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {words}{where}"


class Static:
    """What can be shown without a kernel: a widget with a static form."""

    def _static(self, limit: int | None) -> str:
        """Return it as static HTML with at most about `limit` rows."""
        raise NotImplementedError

    def snapshot(self, rows: int | None = 1000) -> Snapshot:
        """Return what is shown as an ordinary static output.

        Parameters
        ----------
        rows : int, optional
            Longest table that is written out; None for all rows.

        Returns
        -------
        Snapshot
            Show it as the last line of a cell: it is stored in the notebook like any other output.
        """
        return Snapshot(self._static(rows), repr(self))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # Whoever cannot show widgets shows this; it is kept short because every run stores it.
        return {**data, "text/html": self._static(50), "text/plain": repr(self)}, metadata


class Panel(Static, Owner, anywidget.AnyWidget):
    """Base of all panels: a widget whose errors are seen and that has a static form.

    Jupyter swallows exceptions that are raised while a message from the browser is handled. Here
    they become text in the panel's own error area (and are logged), be they raised by the panel or
    by a function that a user has attached with ``observe``.
    """

    error = traitlets.Unicode("", help="What went wrong last, shown in the panel").tag(sync=True)
    label = traitlets.Unicode("", help="The name of the panel for screen readers").tag(sync=True)
    height = traitlets.Int(0, min=0, help="Height in CSS pixels; 0 leaves it to the content").tag(
        sync=True
    )

    def __init__(self, **traits: Any) -> None:
        # A run changes panels from its thread while the kernel's own changes them for the user.
        self._lock = RLock()
        super().__init__(**traits)
        self.add_class("gl-host")

    # -- to the browser

    @contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Send what is set inside as one message; other threads wait until it has gone.

        ipywidgets keeps one list of what is held back and would lose what another thread adds.
        """
        with self._lock, super().hold_sync():
            yield

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Return traits for a page that has just been opened: none half-way, see `hold_sync`."""
        with self._lock:
            return super().get_state(key, drop_defaults)

    def send_state(self, key: Any = None) -> None:
        """Send traits as they are now; what another thread changes meanwhile is sent after them."""
        with self._lock:
            super().send_state(key)

    def _should_send_property(self, key: str, value: Any) -> bool:
        with self._lock:
            return bool(super()._should_send_property(key, value))

    # -- from the browser

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what the browser has set; an exception of an observer is shown."""
        try:
            super().set_state(sync_data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user must see it
            self._fail(error)

    def _handle_custom_msg(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Answer a question of the browser: ``{"ask": name, "id": ..., ...}``."""
        if not isinstance(content, dict) or "ask" not in content:
            super()._handle_custom_msg(content, buffers)
            return
        answer: dict[str, Any] = {}
        try:
            answer = self._answer(content)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user must see it
            self._fail(error)
        self.send({"id": content.get("id"), **answer})

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        raise LookupError(f"{type(self).__name__} knows no question {question.get('ask')!r}")

    def _fail(self, error: BaseException) -> None:
        """Show an exception in the error area."""
        _log.debug("in %s", type(self).__name__, exc_info=error)
        self.error = explain(error)

    def __del__(self) -> None:
        # Of a panel that could not be made some attributes are missing: its own error is enough.
        with suppress(AttributeError):
            super().__del__()

    def close(self) -> None:
        """Close the panel, and what it has opened itself."""
        super().close()
        # ipywidgets keeps every widget until it is closed: the layout is one, too.
        self.layout.close()
        self._close_owned()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
