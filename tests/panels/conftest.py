"""Panels on an empty page of the one browser that all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .browser import Harness

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness(chromium: Any) -> Iterator[Harness]:
    """An empty page for panels; an error in the browser fails the test."""
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(60_000)  # others may be at work on the machine
    harness = Harness(page)
    yield harness
    page.close()
    assert harness.errors == []
