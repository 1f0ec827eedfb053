"""The picture of a tensor and the block of a weight, seen from Python."""

from __future__ import annotations

import base64
import gc
import re
import tracemalloc
import zlib
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.errors import ComparisonError, GGUFLabError
from gguf_lab.panels import BlockView, TensorView, tensor_view
from gguf_lab.panels.jobs import Jobs
from gguf_lab.panels.numbers import exact, number
from gguf_lab.panels.sides import Sides
from gguf_lab.panels.survey import survey
from gguf_lab.panels.worst import find_worst

from ..models import MODELS
from .support import HOSTILE
from .tensors import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LLAMA = MODELS / "llama-256"
Q = "blk.0.attn_q.weight"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Any]:
    """Matrices of Q4_K's kin and F32, a vector, one tensor without weights to show."""
    random = np.random.default_rng(5)
    tensors: dict[str, tuple[Any, str]] = {
        "norm.weight": (np.ones(64, np.float32), "F32"),
        Q: (random.normal(size=(40, 64)).astype(np.float32), "Q5_1"),
        HOSTILE[:60]: (random.normal(size=(3, 32)).astype(np.float32), "Q8_0"),
    }
    with gl.open(write_gguf(tmp_path / "m.gguf", tensors)) as opened:
        yield opened


@pytest.fixture
def view(model: Any) -> Iterator[TensorView]:
    panel = TensorView(model)
    yield panel
    panel.close()


def heard(panel: Any) -> list[tuple[dict[str, Any], list[bytes]]]:
    """Messages of a panel, from now on."""
    messages: list[Any] = []
    panel.send = lambda content, buffers=None: messages.append((content, buffers or []))
    return messages


def ask(panel: Any, **question: Any) -> None:
    panel._handle_custom_msg({"id": 1, **question}, [])
    assert panel.wait(20)


# -- where one is


def test_it_begins_with_the_first_matrix(view: TensorView) -> None:
    assert view.selected == [Q]
    assert view.facts["shape"] == "40 × 64"
    assert view.facts["problem"] == ""
    assert not view.facts["compared"]
    assert len(view.choices) == 3
    assert repr(view) == f"<TensorView: {Q}, 40 × 64, Q5_1>"


def test_places_are_checked(view: TensorView) -> None:
    view.cell = [39, 63]
    with pytest.raises(ComparisonError, match="rows 0 to 39 and columns 0 to 63"):
        view.cell = [40, 0]
    with pytest.raises(ComparisonError, match="no tensor named 'nowhere'"):
        view.selected = "nowhere"
    assert (view.selected, view.cell) == ([Q], [39, 63])
    view.selected = "norm.weight"
    assert view.cell == [0, 0]


def test_panels_share_a_place(model: Any, view: TensorView) -> None:
    view.cell = [3, 5]
    block = BlockView(model, selection=view)
    assert (block.selected, block.cell) == ([Q], [3, 5])
    block.cell = [7, 40]
    assert view.cell == [7, 40]
    view.selected = "norm.weight"
    assert (block.selected, block.cell) == (["norm.weight"], [0, 0])
    block.selected = Q
    assert (view.selected, view.cell) == ([Q], [0, 0])
    block.close()
    view.cell = [1, 1]
    assert block.cell == [0, 0]


def test_a_panel_nobody_sees_reads_no_rows(view: TensorView) -> None:
    assert super(TensorView, view).wait(10)
    assert view.row_norms is None
    assert view.wait(10)
    assert view.row_norms is not None


def test_the_numbers_around_a_weight(model: Any, view: TensorView) -> None:
    view.cell = [38, 2]
    assert view.wait(10)
    values = model.tensors[Q].to_numpy()
    corner = view.corner
    assert (corner["top"], corner["left"], corner["shape"]) == (34, 0, [6, 8])
    shown = np.frombuffer(view.corner_values, np.float32).reshape(6, 8)
    np.testing.assert_array_equal(shown, values[34:40, :8])
    assert corner["words"] == f"row 38, column 2: quantized {exact(values[38, 2])}"


def test_what_all_rows_tell(model: Any, view: TensorView) -> None:
    assert view.wait(10)
    values = model.tensors[Q].to_numpy().astype(np.float64)
    norms = np.linalg.norm(values, axis=1)
    assert view.row_norms is not None
    np.testing.assert_allclose(view.row_norms, norms)
    assert view.row_errors is None
    np.testing.assert_allclose(np.frombuffer(view.row_curves, np.float32), norms, rtol=1e-6)
    bins = np.frombuffer(view.value_bins)
    n = (bins.size - 1) // 2
    # A bin holds magnitudes from its smaller edge on, so negative values are counted mirrored.
    edges = bins[: n + 1]
    np.testing.assert_array_equal(edges, -edges[::-1])
    positive, _ = np.histogram(np.abs(values[values > 0]), edges)
    counts = bins[n + 1 :]
    assert counts[n // 2 + 1 :].tolist() == positive[n // 2 + 1 :].tolist()
    negative, _ = np.histogram(np.abs(values[values < 0]), edges)
    assert counts[: n // 2].tolist() == negative[n // 2 + 1 :][::-1].tolist()
    assert bins[n + 1 :].sum() + view.summary["beyond"] == view.summary["total"] == values.size


def test_values_that_are_not_finite_are_told_and_left_out_of_the_rms(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    values[2, 3], values[4, 5] = np.nan, np.inf
    tensors = {
        "some": (values, "F32"),
        "none": (np.full((2, 32), np.nan, np.float32), "F32"),
        "one row": (np.where(np.arange(8)[:, None] == 1, np.nan, values), "F32"),
    }
    with gl.open(write_gguf(tmp_path / "odd.gguf", tensors)) as model:
        view = TensorView(model)
        for name, (stored, _) in tensors.items():
            view.selected = [name]
            assert view.wait(10)
            good = stored[np.isfinite(stored)].astype(np.float64)
            rms = number(np.sqrt(np.mean(good**2)) if good.size else None)
            odd = (view.summary["n_nan"], view.summary["n_inf"])
            assert (view.summary["rms"], *odd) == (
                rms,
                np.isnan(stored).sum(),
                np.isinf(stored).sum(),
            )
            bins = np.frombuffer(view.value_bins)
            counted = bins[(bins.size + 1) // 2 :].sum() + view.summary["beyond"]
            assert counted == (stored.size - odd[0] if good.size else 0)
        view.close()


# -- pictures


def picture(view: TensorView, region: list[int], **more: Any) -> list[Any]:
    messages = heard(view)
    question = {"name": view.name, "region": region, "how": "extreme", "sides": ["quantized"]}
    ask(view, ask="picture", **{**question, "ticket": 7, **more})
    return [(content, buffers) for content, buffers in messages if "picture" in content]


def test_a_picture_is_what_was_asked_for(model: Any, view: TensorView) -> None:
    ((content, buffers),) = picture(view, [3, 99, 5, 99, 2, 4])
    assert content["picture"] == 7
    assert content["region"] == [2, 40, 4, 64, 2, 4]  # on the grid of cells, and in the tensor
    assert (content["shape"], content["sampled"]) == ([19, 15], False)
    cells = np.frombuffer(buffers[0], np.float32).reshape(1, 19, 15)
    values = model.tensors[Q].to_numpy()[2:, 4:].reshape(19, 2, 15, 4)
    high, low = values.max((1, 3)), values.min((1, 3))
    np.testing.assert_array_equal(cells[0], np.where(high >= -low, high, low))
    assert not any(buffers[1])


def test_a_large_picture_comes_coarse_first_and_says_so(
    model: Any, view: TensorView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_view, "_SMALL", 1000)
    coarse, whole = picture(view, [0, 40, 0, 64, 4, 64], how="mean")
    assert (coarse[0]["sampled"], whole[0]["sampled"]) == (True, False)
    values = model.tensors[Q].to_numpy().astype(np.float64)
    means = [np.frombuffer(buffers[0], np.float32) for _, buffers in (coarse, whole)]
    np.testing.assert_allclose(means[0], values[2::4].mean(1), rtol=1e-6)
    np.testing.assert_allclose(means[1], values.reshape(10, -1).mean(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"region": [50, 60, 0, 64, 1, 1]}, "cells inside the tensor"),
        ({"how": "median"}, "pooled by 'median'"),
        ({"sides": ["weights"]}, "no picture of"),
    ],
)
def test_a_wrong_question_is_an_error_that_is_seen(
    view: TensorView, wrong: dict[str, Any], words: str
) -> None:
    assert picture(view, **{"region": [0, 40, 0, 64, 1, 1], **wrong}) == []
    assert words in view.error


def test_a_cell_is_told_and_its_strongest_weight_found(model: Any, view: TensorView) -> None:
    messages = heard(view)
    question = {"name": Q, "region": [8, 16, 0, 32, 8, 32], "how": "extreme", "ticket": 3}
    question["view"] = "one of many"
    ask(view, ask="peek", **question)
    values = model.tensors[Q].to_numpy()[8:16, :32]
    strongest = values.ravel()[np.abs(values).argmax()]
    told = [content for content, _ in messages if "peek" in content]
    assert told == [
        {
            "peek": 3,
            "view": "one of many",
            "words": "rows 8 to 15, columns 0 to 31, largest magnitude of 256 weights: "
            f"quantized {exact(strongest)}",
        }
    ]
    ask(view, ask="pick", **question)
    assert model.tensors[Q].to_numpy()[tuple(view.cell)] == strongest


def test_a_question_about_another_tensor_is_left_alone(view: TensorView) -> None:
    assert picture(view, [0, 1, 0, 1, 1, 1], name="norm.weight") == []
    assert view.error == ""


def test_a_closed_model_is_an_error_that_is_seen(model: Any, view: TensorView) -> None:
    model.close()
    picture(view, [0, 40, 0, 64, 1, 1])
    assert "closed" in view.error


def test_rows_are_aligned_with_the_original() -> None:
    with gl.open(LLAMA / "llama-Q4_K_M.gguf") as model:
        view = TensorView(model, Q, reference=LLAMA / "hf")
        assert view.facts["compared"]
        assert view.facts["transform"]  # the converter permutes the rows of q
        assert view.wait(20)
        with gl.open_checkpoint(LLAMA / "hf") as checkpoint:
            raw = checkpoint.tensors["model.layers.0.self_attn.q_proj.weight"].read(0, 256)
        stored = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        # What the converter does to 4 heads of 64, so that pairs of rows are rotated together.
        original = stored.reshape(4, 2, 32, 256).swapaxes(1, 2).reshape(256, 256).astype(np.float64)
        error = model.tensors[Q].to_numpy() - original
        ratio = np.linalg.norm(error, axis=1) / np.linalg.norm(original, axis=1)
        assert view.row_errors is not None
        np.testing.assert_allclose(view.row_errors, ratio, rtol=1e-5)
        view.close()


# -- static form


def pixels(svg: str) -> np.ndarray:
    """The picture inside an SVG, decoded as PNG says (no filter)."""
    png = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", svg)[1])  # type: ignore[index]
    wide, tall = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
    at = png.index(b"IDAT")
    size = int.from_bytes(png[at - 4 : at])
    lines = np.frombuffer(zlib.decompress(png[at + 4 : at + 4 + size]), np.uint8)
    return lines.reshape(tall, 1 + 3 * wide)[:, 1:].reshape(tall, wide, 3)


def test_the_static_form_is_the_picture(tmp_path: Path) -> None:
    values = np.zeros((4, 32), np.float32)
    values[0, 0], values[1, 1], values[2, 2] = 1, -1, np.nan
    with gl.open(write_gguf(tmp_path / "a.gguf", {"t.weight": (values, "F32")})) as model:
        view = TensorView(model)
        html = view.snapshot().html
        view.close()
    svg = base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", html)[1]).decode()  # type: ignore[index]
    picture = pixels(svg)
    assert picture.shape == (4, 32, 3)
    assert picture[0, 0].tolist() == [178, 24, 43]
    assert picture[1, 1].tolist() == [33, 102, 172]
    assert picture[2, 2].tolist() == [0, 0, 0]
    assert picture[3, 3].tolist() == [247, 247, 247]
    assert "one cell is 1 × 1 weights" in html


def test_hostile_names_are_text(model: Any) -> None:
    name = HOSTILE[:60]
    for kind in (TensorView, BlockView):
        panel = kind(model, name)
        assert panel.wait(10)
        for text in (panel.snapshot().html, panel.facts["label"], repr(panel)):
            assert "<script" not in text.replace(panel.facts["label"], "")
            assert "\x1b" not in text
        assert "<img src=x" not in panel.snapshot().html
        panel.close()


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    tensors = {"t.weight": (np.ones((4, 32), np.float32), "F32")}
    path = write_gguf(tmp_path / "short.gguf", tensors)
    path.write_bytes(path.read_bytes()[:-64])
    with gl.open(path) as model:
        view, block = TensorView(model), BlockView(model, "t.weight")
        assert view.selected == []
        assert view.facts["problem"] == "No tensor is selected."
        assert "truncated" in block.facts["problem"]
        assert "truncated" in block.snapshot().html
        with pytest.raises(GGUFLabError, match="truncated"):
            block.anatomy()
        assert view.wait(5)
        assert block.wait(5)


# -- blocks


def test_a_block_is_taken_apart_as_the_codec_does(model: Any) -> None:
    block = BlockView(model, Q)
    block.cell = [9, 45]
    assert block.wait(20)
    tensor = model.tensors[Q]
    raw = tensor.blocks(slice(9, 10))[0, 24:48]
    anatomy = gl.dissect(raw, "Q5_1")
    assert block.block_bytes == raw.tobytes() == block.anatomy().block.tobytes()
    np.testing.assert_array_equal(np.frombuffer(block.block_values, np.float32), anatomy.weights)
    explanation = anatomy.explain(13)
    assert block.arithmetic == {
        "weight": 13,
        "bits": list(explanation.bits),
        "words": str(explanation),
    }
    reach = np.unpackbits(
        np.frombuffer(block.drives, np.uint8).reshape(24, -1), axis=1, bitorder="little"
    )
    np.testing.assert_array_equal(reach, anatomy.influence.matrix.reshape(24, 8, 32).any(axis=1))
    assert [f["name"] for f in block.block["fields"]] == ["d", "m", "qh", "qs"]
    assert block.block["index"] == 1
    assert float(block.block["fields"][0]["values"][0]) == pytest.approx(
        float(anatomy["d"].values[0])
    )
    assert "block.qs[13]" in block.snapshot().html
    assert repr(block) == f"<BlockView: {Q}, row 9, column 45>"
    block.close()


# -- work in a thread


def steps(
    log: list[str], name: str, gate: Event | None = None, begun: Event | None = None
) -> Iterator[float]:
    for k in range(3):
        if begun is not None:
            begun.set()
        if gate is not None:
            assert gate.wait(5)
        log.append(f"{name}{k}")
        yield k / 3


def test_what_is_urgent_goes_first_and_replaces_its_like() -> None:
    log: list[str] = []
    gate, begun = Event(), Event()
    jobs = Jobs(lambda error: log.append(repr(error)), lambda words, share: None)
    jobs.put("slow", steps(log, "s", gate, begun), "Slow", rank=2)
    assert begun.wait(5)
    jobs.put("quick", steps(log, "old"), "Quick", rank=0)
    jobs.put("quick", steps(log, "new"), "Quick", rank=0)
    gate.set()
    assert jobs.wait(5)
    assert [entry for entry in log if entry.startswith("new")] == ["new0", "new1", "new2"]
    assert "old1" not in log
    assert log[-1] == "s2"


def test_a_job_that_fails_is_told_and_the_next_one_runs() -> None:
    def fail() -> Iterator[float]:
        yield 0.5
        raise GGUFLabError("broken")

    log: list[str] = []
    jobs = Jobs(lambda error: log.append(str(error)), lambda words, share: None)
    jobs.put("a", fail(), "A")
    jobs.put("b", steps(log, "b"), "B", rank=1)
    assert jobs.wait(5)
    assert log == ["broken", "b0", "b1", "b2"]


def test_what_lasts_is_told_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[float]:
        while True:
            yield 0.25

    monkeypatch.setattr("gguf_lab.panels.jobs._PATIENCE", 0.01)
    told: list[tuple[str, float]] = []
    heard = Event()

    def tell(words: str, share: float) -> None:
        told.append((words, share))
        heard.set()

    jobs = Jobs(lambda error: None, tell)
    jobs.put("a", endless(), "Reading")
    assert heard.wait(5)
    assert told[0] == ("Reading", 0.25)
    assert jobs.cancel()
    assert jobs.wait(5)
    assert told[-1] == ("", 0.0)


def test_rows_of_another_tensor_are_not_published(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, publish = Event(), Event(), TensorView._publish

    def late(*found: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        publish(*found)

    monkeypatch.setattr(TensorView, "_publish", late)
    view = TensorView(model)
    view._begin_survey()
    assert begun.wait(60)
    view.selected = ["norm.weight"]
    go_on.set()
    assert view._jobs.wait(60)
    assert (view.row_norms, view.summary, view.error) == (None, {}, "")
    assert view.wait(60)
    np.testing.assert_allclose(view.row_norms, [8.0])
    view.close()


@pytest.mark.parametrize("begun", [False, True])
def test_reading_that_was_cancelled_begins_anew_when_asked_for(
    view: TensorView, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    started, go_on = Event(), Event()

    def endless(*_: Any, **__: Any) -> Iterator[float]:
        started.set()
        assert go_on.wait(60)
        while True:
            yield 0.25

    region = {"name": Q, "region": [0, 4, 0, 4, 1, 1], "how": "extreme"}
    with monkeypatch.context() as patched:
        # Either all rows are under way, or wait until the picture is there.
        patched.setattr(tensor_view, "survey" if begun else "picture", endless)
        view._handle_custom_msg({"id": 1, "ask": "picture", **region}, [])
        assert started.wait(60)
        view._handle_custom_msg({"id": 1, "ask": "cancel"}, [])
        go_on.set()
        assert view._jobs.wait(60)
    assert view.summary == {"stopped": True}
    view._handle_custom_msg({"id": 1, "ask": "picture", **region}, [])
    assert view._jobs.wait(60)
    assert view.row_norms is None  # a cancel holds while the picture is moved
    assert view.wait(60)
    assert view.row_norms is not None
    assert "stopped" not in view.summary


def test_a_job_that_gets_no_thread_is_waited_for_by_nobody(
    allow_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    jobs = Jobs(lambda error: log.append(repr(error)), lambda words, share: None)
    allow_threads(0)
    with pytest.raises(GGUFLabError, match="no thread can be started"):
        jobs.put("a", steps(log, "a"), "A")
    assert jobs.wait(0)
    monkeypatch.undo()
    jobs.put("b", steps(log, "b"), "B")
    assert jobs.wait(5)
    assert log == ["b0", "b1", "b2"]


@pytest.mark.parametrize("walk", ["survey", "worst"])
def test_a_walk_keeps_nothing_of_what_it_has_read(tmp_path: Path, walk: str) -> None:
    """A cycle of references would, until a collection that seldom comes."""
    values = np.random.default_rng(0).normal(size=(1024, 4096)).astype(np.float32)
    paths = [
        write_gguf(tmp_path / f"{qtype}.gguf", {"t.weight": (values, qtype)})
        for qtype in ("Q8_0", "F32")
    ]
    with gl.open(paths[0]) as model, gl.open(paths[1]) as original:
        sides = Sides(model, original)
        gc.disable()
        tracemalloc.start()
        try:
            steps = survey(sides, "t.weight") if walk == "survey" else find_worst(sides, "t.weight")
            held = [tracemalloc.get_traced_memory()[0] for _ in steps]
        finally:
            tracemalloc.stop()
            gc.enable()
        assert len(held) >= 4
        assert held[-1] < held[0] + values.nbytes / 4


def test_a_scale_beside_a_tensor_multiplies_what_is_shown() -> None:
    """NVFP4 alone is thousands of times what it stands for."""
    folder = MODELS / "llama-nvfp4"
    name = "blk.0.ffn_up.weight"
    with gl.open(folder / "llama-nvfp4.gguf") as model:
        scale = model.tensor("blk.0.ffn_up.scale").to_numpy()
        due = model.tensor(name).to_numpy()[2, 5] * scale[0]
        for reference in (None, folder / "hf"):
            block = BlockView(model, name, reference)
            block.cell = [2, 5]
            block.wait()
            shown = np.frombuffer(block.block_values, np.float32).reshape(-1, 64)
            assert shown[0, 5] == due
            words = f"times blk.0.ffn_up.scale = {due}"
            assert words in block.arithmetic["words"]
            assert words in block._static(None)
            told = block.facts["transform"] + block.facts["remark"]
            assert "the file's weights times blk.0.ffn_up.scale" in told
            if reference is not None:
                assert not shown[2].any(), "the difference"
            block.close()
