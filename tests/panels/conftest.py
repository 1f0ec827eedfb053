"""A browser for all tests of the panels: started once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .browser import CHROMIUM, Harness, launch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The distribution's Chromium; its absence is an error where tests are to be complete."""
    if not Path(CHROMIUM).exists():
        message = f"{CHROMIUM} is missing: install Chromium to run the browser tests"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def harness(chromium: Any) -> Iterator[Harness]:
    """An empty page for panels; an error in the browser fails the test."""
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(5000)
    harness = Harness(page)
    yield harness
    page.close()
    assert harness.errors == []
