from __future__ import annotations

from gguf_lab.panels import Progress


def test_short_runs_show_nothing() -> None:
    progress = Progress()
    progress.report("running", done=1, total=10, seconds=0.3)
    assert not progress.shown
    progress.report("done", done=10, total=10, seconds=0.4)
    assert not progress.shown


def test_long_runs_show_how_far_they_are() -> None:
    progress = Progress()
    progress.report("running", done=3, total=10, seconds=0.8, tensor="blk.0\x1b")
    assert progress.shown
    assert (progress.state, progress.done, progress.total) == ("running", 3, 10)
    assert progress.tensor == "blk.0\\x1b"
    progress.report("done", done=10, total=10, seconds=2)
    assert not progress.shown
    assert repr(progress) == "<Progress: done, 10 of 10 weights>"


def test_cancel_reaches_the_run_and_stays_in_view() -> None:
    asked = []
    progress = Progress(cancel=lambda: asked.append(True))
    progress._handle_custom_msg({"ask": "cancel", "id": "1"}, [])
    assert asked == [True]
    progress.report("cancelled", done=3, total=10, seconds=0.2)
    assert progress.shown
    assert "cancelled: 3 of 10" in progress.snapshot().html


def test_a_cancel_that_fails_is_seen() -> None:
    def fails() -> None:
        raise OSError("no")

    progress = Progress(cancel=fails)
    progress._handle_custom_msg({"ask": "cancel", "id": "1"}, [])
    assert progress.error.startswith("OSError: no (test_progress.py, line ")
