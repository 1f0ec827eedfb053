"""The page in a real browser: light, dark, on paper, and a file that wants to run something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl

from ..checks.variants import MODELS, Q4_K_M
from .test_report import hostile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.browser

COLOURS = (
    "(() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; })()"
)


def opened(chromium: Any, path: Path, scheme: str) -> tuple[Any, list[str]]:
    """A page, and what it says or asks for while it loads."""
    page = chromium.new_page(color_scheme=scheme)
    page.set_default_timeout(180_000)  # what is tested is not how busy a machine is
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    said.remove(path.as_uri())
    return page, said


def test_it_is_read_in_light_and_dark_and_printed(chromium: Any, tmp_path: Path) -> None:
    out = gl.report(Q4_K_M, tmp_path / "r.html", MODELS / "llama-256" / "hf", progress=False)
    found = {}
    for scheme in ("light", "dark"):
        page, said = opened(chromium, out, scheme)
        assert said == []
        images = page.evaluate("[...document.images].map((i) => i.complete && i.naturalWidth)")
        assert len(images) == 4
        assert min(images) > 400
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found[scheme] = page.evaluate(COLOURS)
        if scheme == "dark":
            page.emulate_media(media="print")
            found["paper"] = page.evaluate(COLOURS)
            assert (
                page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
            )
            assert page.pdf(format="A4").startswith(b"%PDF")
        page.close()
    assert found["light"] == ["rgb(27, 27, 27)", "rgb(255, 255, 255)"]
    assert found["dark"] == ["rgb(230, 230, 230)", "rgb(23, 24, 26)"]
    assert found["paper"] == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


def test_nothing_of_a_hostile_file_runs(chromium: Any, tmp_path: Path) -> None:
    path = hostile(tmp_path / "hostile.gguf", 100, 20)
    out = gl.report(path, tmp_path / "r.html", path, progress=False)
    page, said = opened(chromium, out, "light")
    assert said == []
    assert page.evaluate("document.scripts.length") == 0
    page.close()
