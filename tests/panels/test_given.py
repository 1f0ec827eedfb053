"""What a panel is given: a model, or a path that it opens and closes itself."""

from __future__ import annotations

import gc
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from traitlets import TraitError

import gguf_lab as gl
import gguf_lab.panels
from gguf_lab.errors import ComparisonError, GGUFError
from gguf_lab.panels.base import Panel

from ..models import MODELS

if TYPE_CHECKING:
    from pathlib import Path

FILE = MODELS / "llama-256" / "llama-Q4_K_M.gguf"
PANELS = [
    kind
    for kind in (getattr(gguf_lab.panels, name) for name in gguf_lab.panels.__all__)
    if inspect.isclass(kind)
    and issubclass(kind, Panel)
    and {"model", "source"} & {*inspect.signature(kind).parameters}
]


def test_there_are_panels_of_one_model() -> None:
    assert len(PANELS) >= 11


@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize("path", [FILE, str(FILE)])
def test_a_path_is_opened_and_closed_with_the_panel(kind: Any, path: Any) -> None:
    panel = kind(path)
    (model,) = panel._owned
    assert model.tensor("blk.0.attn_q.weight").n_elements
    assert panel._static(5)
    panel.close()
    assert panel._owned == ()
    with pytest.raises(ValueError, match="closed"):
        model.tensor("blk.0.attn_q.weight").dequantize()


@pytest.mark.parametrize("kind", PANELS)
def test_a_model_stays_open(kind: Any) -> None:
    with gl.open(FILE) as model:
        kind(model).close()
        assert model.tensor("blk.0.attn_q.weight").dequantize().size


@pytest.mark.parametrize("kind", [gl.ErrorMap, gl.ErrorHistograms])
def test_what_is_no_comparison_is_said(kind: Any) -> None:
    with pytest.raises(TypeError, match=rf"{kind.__name__} takes a comparison.* not \w*Path"):
        kind(FILE)


@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize("options", [{"nothing": 1}, {"height": -1}])
def test_a_panel_that_cannot_be_made_leaves_one_error(kind: Any, options: Any) -> None:
    """And not a second one, of what its destructor misses."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", seen.append)
        with pytest.raises((TypeError, TraitError)):
            kind(FILE, **options)
        gc.collect()
    assert [str(lost.exc_value) for lost in seen] == []


@pytest.mark.parametrize("kind", PANELS)
def test_what_is_no_model_is_said(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} takes a model, a path or an .* not int"):
        kind(3)
    with pytest.raises(GGUFError, match="nowhere"):
        kind("nowhere.gguf")


def test_the_headline_says_that_a_file_is_cut_short(tmp_path: Path) -> None:
    with gl.open(FILE) as model:
        panel = gl.panels.Headline(model)
        assert "state" not in [fact[0] for fact in panel.facts]
    path = tmp_path / "short.gguf"
    path.write_bytes(FILE.read_bytes()[:-300_000])
    panel = gl.panels.Headline(path)
    state = next(text for name, text, _ in panel.facts if name == "state")
    assert state.startswith("⚠ cut short: ")
    assert state.endswith(" tensors incomplete")
    panel.close()


def test_the_headline_rounds_weights_up_to_the_next_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl.Model, "n_parameters", 999_999_999)
    assert ["parameters", "1.0 B", "999,999,999 weights"] in gl.panels.Headline(FILE).facts


def test_a_wrong_name_is_answered_with_close_ones() -> None:
    with pytest.raises(ComparisonError) as caught:
        gl.BlockView(FILE, "blk.0.atn_q.weight")
    words = str(caught.value)
    assert "blk.0.attn_q.weight" in words
    assert ".names" not in words  # of a panel that was never made
