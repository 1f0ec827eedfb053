"""What holds for all tests: one browser, and a visible word where there is none."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from .file.server import serving
from .panels.browser import CHROMIUM, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .file.server import Server

# Others may be at work on the machine: how long an example takes says little.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> None:
    """Forget what a person or a service has set: the tests set what they need."""
    names = (
        *("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_HOME", "GGUF_LAB_CACHE"),
        *("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    )
    for name in names:
        os.environ.pop(name, None)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A hub on this machine, still empty, on which nobody is logged in."""
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "no-login"))
        yield server


@pytest.fixture
def allow_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many more threads be started, and then none: a user may have only so many."""
    start = threading.Thread.start

    def allow(most: int) -> None:
        left = [*range(most)]

        def start_one(thread: threading.Thread) -> None:
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_one)

    return allow


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Look for doctests in the package alone: helpers of tests may need what is not installed."""
    name = collection_path.name
    helper = collection_path.suffix == ".py" and not name.startswith(("test_", "conftest"))
    return True if helper else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests without Chromium, visibly; in continuous integration they must run."""
    if Path(CHROMIUM).exists() or os.environ.get("CI"):
        return
    missing = pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}: install the package chromium")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The distribution's Chromium, started once: Playwright runs only once in a process."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # others may be at work on the machine
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()
