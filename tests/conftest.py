"""What holds for all tests: those that need a browser say so where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .panels.browser import CHROMIUM


def pytest_collection_modifyitems(items):
    """Skip browser tests without Chromium, visibly; in continuous integration they must run."""
    if Path(CHROMIUM).exists() or os.environ.get("CI"):
        return
    missing = pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}: install the package chromium")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(missing)
