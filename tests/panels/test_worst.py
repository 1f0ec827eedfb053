from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import dequantize
from gguf_lab.errors import GGUFLabError
from gguf_lab.panels import OtherTypes, WorstPlaces
from gguf_lab.panels.numbers import percent
from gguf_lab.panels.other_types import neighbours
from gguf_lab.panels.pictures import finish
from gguf_lab.panels.sides import Sides
from gguf_lab.panels.worst import find_worst

from ..models import MODELS
from .tensors import with_scales, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = MODELS / "llama-256"
NAME = "blk.0.ffn_up.weight"


@pytest.fixture(scope="module")
def sides() -> Any:
    with gl.open(FOLDER / "llama-Q4_K_M.gguf") as model:
        found = Sides(model, FOLDER / "hf")
        yield found
        found.close()


def both(sides: Any, name: str = NAME) -> tuple[np.ndarray, np.ndarray]:
    """The error and the original, whole and in float64."""
    tensor, pair = sides.model.tensors[name], sides.pair(name)
    r = dequantize(pair.read(0, tensor.n_rows), pair.dtype).reshape(tensor.n_rows, -1)
    e = tensor.to_numpy().reshape(r.shape) - r
    return e.astype(np.float64), r.astype(np.float64)


def found(sides: Any, name: str = NAME, importance: Any = None) -> Any:
    return finish(find_worst(sides, name, importance))


@pytest.mark.parametrize("chunk", [1 << 20, 3000])
def test_rows_and_blocks_are_those_of_the_whole_tensor(
    sides: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gguf_lab.panels.worst.CHUNK", chunk)
    e, r = both(sides)
    worst = found(sides)
    assert worst.squared == pytest.approx((e**2).sum())
    rows = np.argsort(-(e**2).sum(axis=1), kind="stable")[:12]
    assert [span.row for span in worst.rows] == rows.tolist()
    blocks = (e**2).reshape(len(e), -1, 256).sum(axis=2)
    order = np.argsort(-blocks, axis=None, kind="stable")[:12]
    want = [(int(k) // blocks.shape[1], int(k) % blocks.shape[1] * 256) for k in order]
    assert [(span.row, span.left) for span in worst.blocks] == want
    for span in (*worst.rows, *worst.blocks):
        mine, original = e[span.row, span.left : span.right], r[span.row, span.left : span.right]
        assert span.squared == pytest.approx((mine**2).sum())
        assert span.relative == pytest.approx(np.sqrt((mine**2).sum() / (original**2).sum()))
        rms = np.sqrt(np.mean(original**2))
        assert span.crest == pytest.approx(np.abs(original).max() / rms)
        assert span.peak == span.left + np.abs(mine).argmax()
    assert worst.relative == pytest.approx(
        np.median(np.sqrt((e**2).sum(axis=1) / (r**2).sum(axis=1)))
    )


def test_importance_decides_what_is_worst(sides: Any) -> None:
    e, _ = both(sides)
    importance = np.zeros(e.shape[1])
    importance[7] = 2.0
    worst = found(sides, importance=importance[None])
    assert worst.squared == pytest.approx(2 * (e[:, 7] ** 2).sum())
    rows = np.argsort(-(e[:, 7] ** 2), kind="stable")[:12]
    assert [span.row for span in worst.rows] == rows.tolist()
    assert {span.left for span in worst.blocks} == {0}
    panel = WorstPlaces(sides.model, NAME, FOLDER / "hf", importance={NAME: np.ones(3)})
    panel.wait(60)
    assert f"'{NAME}' has 256 columns, but the importance matrix 3 values" in panel.error


def test_the_panel_says_where_and_why(sides: Any) -> None:
    panel = WorstPlaces(sides.model, NAME, FOLDER / "hf")
    assert panel.wait(60)
    assert panel.error == ""
    first = panel.worst.rows[0]
    assert panel.verdict.startswith(f"Row {first.row:,} has the largest share of the squared error")
    assert panel.rows[0][5:7] == [first.row, first.peak]
    html = panel.snapshot().html
    assert f"Worst rows and blocks of {NAME}" in html
    panel.selected = "output_norm.weight"  # exact: nothing is bad there
    assert panel.wait(60)
    assert panel.verdict == "No row has an error."
    assert panel.rows == panel.blocks == []
    panel.close()


@pytest.mark.slow
def test_what_is_not_finite_is_told_and_not_drawn(tmp_path: Path) -> None:
    source = FOLDER / "llama-Q4_K_M.gguf"
    path = with_scales(source, tmp_path / "nan.gguf", {NAME: np.nan})
    panel = OtherTypes(path, NAME, FOLDER / "hf")
    assert panel.wait(120)
    assert panel.verdict.startswith("Stored weights are not finite, so that there is no error to ")
    assert "Quantized anew, Q4_K has a relative RMSE of " in panel.verdict
    assert "NaN" not in panel.verdict
    errors = {row[0]: (row[5], row[7]) for row in panel.rows}
    assert errors["stored"] == ("not finite", 0.0)
    assert max(bar for _, bar in errors.values()) == 1.0
    panel.close()
    worst = WorstPlaces(path, NAME, FOLDER / "hf")
    assert worst.wait(60)
    words = "256 weights are not finite, here or in the reference, and left out. Row "
    assert worst.verdict.startswith(words)
    worst.close()


def test_one_weight_that_is_not_finite_among_exact_ones(tmp_path: Path) -> None:
    values = np.ones((4, 32), np.float32)
    original = write_gguf(tmp_path / "original.gguf", {NAME: (values, "F32")})
    broken = values.copy()
    broken[2, 3] = np.inf
    path = write_gguf(tmp_path / "inf.gguf", {NAME: (broken, "F32")})
    panel = WorstPlaces(path, NAME, original)
    assert panel.wait(60)
    assert panel.verdict == (
        "1 weight is not finite, here or in the reference, and left out. All others are exact."
    )
    panel.close()


def test_without_an_original_it_says_so(sides: Any) -> None:
    for make in (WorstPlaces, OtherTypes):
        panel = make(sides.model, NAME)
        assert panel.wait(10)
        assert "There is no original" in panel.verdict
        assert "no reference was given" in panel.verdict
        panel.close()


def test_neighbours_are_next_in_bits_and_fit_the_rows() -> None:
    assert neighbours("Q4_0", 384) == [
        ("IQ4_NL", "as large"),
        ("Q4_0", "anew"),
        ("Q4_1", "larger"),
        ("Q5_0", "larger"),
    ]
    types = dict(neighbours("Q6_K", 256))
    assert types["Q6_K"] == "anew"
    assert types["Q8_0"] == "larger"
    assert {t for t, role in types.items() if role == "smaller"} == {"Q5_1"}
    assert [role for _, role in neighbours("F16", 256)] == ["smaller", "anew"]
    assert neighbours("Q2_K", 33) == [("F16", "larger")]


@pytest.mark.slow
def test_another_type_is_measured_on_the_original(sides: Any) -> None:
    panel = OtherTypes(sides.model, NAME, FOLDER / "hf")
    assert panel.wait(120)
    assert panel.error == ""
    e, r = both(sides)
    stored = next(change for change in panel.changes if change.role == "stored")
    assert stored.relative_rmse == pytest.approx(np.sqrt((e**2).sum() / (r**2).sum()))
    assert [c.qtype for c in panel.changes if c.role == "anew"] == ["Q4_K"]
    for change in panel.changes:
        if change.role != "stored":
            values = dequantize(gl.quantize(r.astype(np.float32), change.qtype), change.qtype)
            error = values.reshape(r.shape).astype(np.float64) - r
            want = np.sqrt((error**2).sum() / (r**2).sum())
            assert change.relative_rmse == pytest.approx(want, rel=1e-5)
            assert change.nbytes == change.bits_per_weight * r.size / 8
    assert "The next larger type, Q" in panel.verdict
    assert "Measured on all 512 rows." in panel.verdict
    assert panel.error_head == "relative RMSE"
    assert "quantized anew" not in panel.snapshot().html
    panel.close()


@pytest.mark.parametrize("kind", [OtherTypes, WorstPlaces])
def test_what_does_not_come_to_its_end_says_so(
    sides: Any, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    begun, go_on, problem = Event(), Event(), []

    def ask(self: Any, _name: str) -> Iterator[float]:
        self.verdict = "under way"
        begun.set()
        go_on.wait(60)
        if problem:
            raise GGUFLabError(problem[0])
        yield 0.5

    monkeypatch.setattr(kind, "_ask", ask)
    panel = kind(sides.model, NAME, FOLDER / "hf")
    assert begun.wait(60)
    panel._handle_custom_msg({"ask": "cancel", "id": "1"}, [])
    go_on.set()
    assert panel.wait(60)
    assert panel.verdict == "Cancelled before the end."
    problem.append("the disk is gone")
    panel.selected = []
    assert panel.verdict == "No tensor is selected."
    panel.selected = [NAME]
    assert panel.wait(60)
    assert (panel.verdict, panel.error) == ("This failed.", "the disk is gone")
    panel.close()


@pytest.mark.parametrize("kind", [OtherTypes, WorstPlaces])
def test_what_is_found_late_is_not_shown_of_another_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    values = np.random.default_rng(3).normal(size=(8, 256)).astype(np.float32)
    stored = dict.fromkeys(("a.weight", "b.weight"), (values, "Q4_0"))
    path = write_gguf(tmp_path / "a.gguf", stored)
    original = write_gguf(tmp_path / "b.gguf", {"a.weight": (values, "F32")})
    begun, go_on, publish = Event(), Event(), kind._publish

    def late(*found: Any, **options: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        publish(*found, **options)

    monkeypatch.setattr(kind, "_publish", late)
    panel = kind(path, "a.weight", original)
    assert begun.wait(60)
    panel.selected = ["b.weight"]
    go_on.set()
    assert panel.wait(60)
    assert panel.verdict.startswith("There is no original")
    assert (panel.rows, panel.error) == ([], "")
    panel.selected = ["a.weight"]
    assert panel.wait(60)
    assert panel.rows
    panel.close()


def test_of_a_large_tensor_a_sample_is_measured(
    sides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gguf_lab.panels.other_types._MOST", 1 << 14)
    monkeypatch.setattr("gguf_lab.panels.other_types._LADDER", ("Q8_0",))
    panel = OtherTypes(sides.model, NAME, FOLDER / "hf")
    assert panel.wait(60)
    assert "Measured on a sample: 64 of 512 rows, evenly spread." in panel.verdict
    e, r = both(sides)
    starts = [(2 * k + 1) * 512 // 16 for k in range(8)]
    rows = np.concatenate([np.arange(min(a, 504), min(a, 504) + 8) for a in starts])
    stored = panel.changes[0].relative_rmse
    assert stored == pytest.approx(np.sqrt((e[rows] ** 2).sum() / (r[rows] ** 2).sum()))
    assert [row[5] for row in panel.rows if row[0] == "stored"] == [percent(stored)]
    assert panel.error_head == "relative RMSE of the sample"
    assert "relative RMSE of the sample" in panel.snapshot().html
    panel.close()
