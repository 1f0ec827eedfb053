from __future__ import annotations

from threading import Event, Thread, current_thread
from typing import TYPE_CHECKING, Any

from gguf_lab.panels import Progress

if TYPE_CHECKING:
    import pytest


def test_a_page_that_is_opened_meanwhile_gets_no_state_half_way() -> None:
    """A thread of a run sets traits that belong together; the browser asks for all in between."""
    panel, begun, go_on = Progress(), Event(), Event()

    def work() -> None:
        with panel.hold_sync():
            panel.label = "begun"
            begun.set()
            go_on.wait(0.2)
            panel.error = "done"

    thread = Thread(target=work)
    thread.start()
    assert begun.wait(10)
    state = panel.get_state()
    assert (state["label"], state["error"]) == ("begun", "done")
    thread.join()
    panel.close()


def test_what_is_sent_last_is_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is about to send a value must not send it behind a newer one."""
    panel, sent, begun, go_on = Progress(), [], Event(), Event()

    def send(message: dict[str, Any], **_: Any) -> None:
        if current_thread() is thread:
            begun.set()
            go_on.wait(0.2)
        sent.append(message["state"]["tensor"])

    monkeypatch.setattr(panel, "_send", send)
    thread = Thread(target=lambda: panel.set_trait("tensor", "old"))
    thread.start()
    assert begun.wait(10)
    panel.tensor = ""
    thread.join()
    assert sent == ["old", ""]
    panel.close()
