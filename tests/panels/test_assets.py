from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

import anywidget
import pytest

from gguf_lab import panels
from gguf_lab.panels.assets import _read
from gguf_lab.panels.base import Panel
from gguf_lab.panels.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator


def kinds(panel: type[Panel]) -> Iterator[type[Panel]]:
    for kind in panel.__subclasses__():
        yield from kinds(kind)
        if hasattr(kind, "_esm") and kind.__module__.startswith("gguf_lab."):
            yield kind


PANELS = sorted({*kinds(Panel)}, key=lambda kind: kind.__name__)


def test_there_are_panels() -> None:
    assert len(PANELS) >= 18


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.__name__)
def test_a_script_is_small_and_writes_text_only(panel: type[Panel]) -> None:
    source = panel._esm
    # Pictures with their own mouse, keyboard and axes are the largest.
    assert len(source.encode()) < (44_000 if issubclass(panel, Place) else 30_000)
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
    inherited = {*anywidget.AnyWidget.class_trait_names()}
    for name, trait in panel.class_traits(sync=True).items():
        if name not in inherited and not name.startswith("_"):
            assert trait.help, f"{panel.__name__}.{name}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.__name__)
def test_no_panel_styles_another(panel: type[Panel]) -> None:
    shared = _read("shared.css")
    assert panel._css.startswith(shared)
    own = panel._css[len(shared) :].strip()
    name = re.search(r'export default panel\("([a-z-]+)"', panel._esm)
    assert name is not None
    assert own.startswith(f".gl-{name[1]} {{")
    depth = accumulate({"{": 1, "}": -1}.get(sign, 0) for sign in own)
    end = next(at for at, level in enumerate(depth) if level == 0 and own[at] == "}")
    inside, rest = own[:end], own[end + 1 :].strip()
    # what is outside the panel are the boxes of the workbench, in the sheet of its tabs
    assert not rest or (panel.__name__ == "Tabs" and rest == _read("workbench.css").strip())
    assert ".gl-panel" not in re.sub(r"&(\.gl-[a-z-]+)*\.gl-panel", "", inside)


def test_shortcuts_of_the_notebook_are_off_inside() -> None:
    assert "data-lm-suppress-shortcuts" in panels.TensorTable._esm
