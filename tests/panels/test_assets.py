from __future__ import annotations

import re

import pytest

from gguf_lab import panels
from gguf_lab.panels.base import Panel
from gguf_lab.panels.places import Place

PANELS = [
    getattr(panels, name)
    for name in panels.__all__
    if isinstance(getattr(panels, name), type) and issubclass(getattr(panels, name), Panel)
]


def test_there_are_panels() -> None:
    assert len(PANELS) >= 6


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.__name__)
def test_a_script_is_small_and_writes_text_only(panel: type[Panel]) -> None:
    source = panel._esm
    # Pictures with their own mouse, keyboard and axes are the largest.
    assert len(source.encode()) < (40_000 if issubclass(panel, Place) else 30_000)
    assert source.count("export default") == 1
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in source
    assert not re.search(r"\bimport\b", source)


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.__name__)
def test_nothing_comes_from_the_network(panel: type[Panel]) -> None:
    for text in (panel._esm, panel._css):
        addresses = set(re.findall(r"https?://[^\s\"')]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}
        assert "@import" not in text
        assert "url(" not in text


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.__name__)
def test_every_own_trait_is_documented(panel: type[Panel]) -> None:
    inherited = {*Panel.__mro__[1].class_trait_names()}
    for name, trait in panel.class_traits(sync=True).items():
        if name not in inherited and not name.startswith("_"):
            assert trait.help, f"{panel.__name__}.{name}"


def test_shortcuts_of_the_notebook_are_off_inside() -> None:
    assert "data-lm-suppress-shortcuts" in panels.TensorTable._esm
