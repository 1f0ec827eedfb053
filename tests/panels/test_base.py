from __future__ import annotations

from threading import Event, Thread

from gguf_lab.panels import Progress


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
