"""Plans against all choices tried one by one, against the file written, and against the mixes."""

from __future__ import annotations

import io
import math
import pickle
import re
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.errors import GGUFLabError, QuantizationError, UnsupportedError
from gguf_lab.file import qtype
from gguf_lab.planning import basis, plan
from gguf_lab.planning.plan import ALLOWED, MIXES
from gguf_lab.planning.result import COLUMNS, PROXY
from gguf_lab.quantization import measuring

from ..bridge.checkpoints import with_scales
from ..models import MODELS
from ..quantization.record_files import importance, weights
from ..quantization.record_mixes import Sketch, describe, write
from ..reference.support import write_model

if TYPE_CHECKING:
    from pathlib import Path

HF = MODELS / "llama-256" / "hf"
FEW = ("Q4_0", "Q5_1", "Q8_0")


def made(sketch: Sketch, folder: Path) -> Path:
    return write(describe(sketch), folder / f"{sketch.source}-{sketch.row}.gguf", weights)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One layer, nine matrices: few enough for all choices of three types."""
    return made(Sketch("llama", 1, n_rows=2), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    sketch = Sketch("llama", 8, n_rows=4, keys={"attention.head_count": 8})
    return made(sketch, tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def full(large):
    """Everything that the mixes use is allowed."""
    return quiet(large, target_bits_per_weight=5, allowed=[*ALLOWED, "Q4_1"])


def quiet(reference, **options):
    return plan(reference, **{"progress": False, "mixes": MIXES} | options)


def errors_of(path: Path, name: str, kind: str, weight: np.ndarray | None = None) -> float:
    """Return the squared error of a type, from the definition."""
    with gl.open(path) as model:
        values = model.tensors[name].to_numpy().astype(np.float64)
    columns = values.shape[-1]
    parts = values.reshape(-1, *values.shape[-2:])
    total = 0.0
    for number, part in enumerate(parts):
        one = None if weight is None else weight.reshape(-1, columns)[number]
        blocks = gl.quantize(part.astype(np.float32), kind, importance=one)
        error = gl.dequantize(blocks, kind).reshape(part.shape) - part
        total += float(((1 if one is None else one) * error**2).sum())
    return total if weight is None else total / weight.mean(dtype=np.float64)


# the best choice


@pytest.mark.parametrize("bits", [6.2, 6.8, 7.3, 8.4, 9.5])
def test_no_choice_is_better(small, bits):
    found = quiet(small, target_bits_per_weight=bits, allowed=FEW, mixes=())
    options = {
        t.name: [(qtype(k).row_bytes(t.n_elements), errors_of(small, t.name, k)) for k in FEW]
        for t in found.tensors
        if t.name in found.types
    }
    fixed = sum(t.nbytes for t in found.tensors if t.name not in found.types)
    sums = (tuple(map(sum, zip(*choice, strict=True))) for choice in product(*options.values()))
    budget = bits * sum(t.n_elements for t in found.tensors) / 8
    expected = min(error for size, error in sums if fixed + size <= budget)
    assert found.squared_error == pytest.approx(expected, rel=1e-8)
    assert found.optimal
    assert found.nbytes <= budget


def test_figures_are_those_of_the_file(full, large, tmp_path):
    path = tmp_path / "planned.gguf"
    result = full.export(path, progress=False)
    with gl.open(path) as model, gl.open(large) as original:
        assert {name: t.qtype for name, t in model.tensors.items()} == {
            t.name: t.qtype for t in full.tensors
        }
        assert sum(t.nbytes for t in model.tensors.values()) == full.nbytes
        assert full.bits_per_weight == 8 * full.nbytes / sum(
            t.n_elements for t in model.tensors.values()
        )
        errors = signal = 0.0
        for planned in full.tensors:
            now, before = (m.tensors[planned.name].to_numpy() for m in (model, original))
            error = float(((now - before.astype(np.float64)) ** 2).sum())
            if planned.name not in full.types:
                assert error == 0
                assert planned.reason
                continue
            assert planned.squared_error == pytest.approx(error, rel=1e-9)
            errors, signal = errors + error, signal + float((before.astype(np.float64) ** 2).sum())
        assert full.relative_rmse == pytest.approx(math.sqrt(errors / signal), rel=1e-9)
        assert full.squared_error == pytest.approx(errors, rel=1e-9)
    assert {t.name: t.qtype for t in result.tensors} == {t.name: t.qtype for t in full.tensors}
    assert full.to_frame()["share_of_error"].sum() == pytest.approx(1)


@pytest.mark.parametrize("bits", [4.5, 5.0, 6.6, 8.0, 12.0])
def test_it_is_within_the_budget_and_better_with_more(full, bits):
    one, more = full.at(target_bits_per_weight=bits), full.at(target_bits_per_weight=bits + 0.5)
    assert one.bits_per_weight <= bits
    assert one.nbytes <= one.budget
    assert more.squared_error <= one.squared_error
    in_bytes = full.at(target_bytes=math.floor(bits * full.basis.n_elements / 8))
    assert in_bytes.types == one.types


# beside the mixes


def test_it_is_never_worse_than_a_mix_of_the_same_size(full):
    mixes = full.mixes
    assert list(mixes["mix"]) == list(MIXES)
    assert (mixes["note"] == "").all()
    assert (mixes["plan_relative_rmse"] <= mixes["relative_rmse"] * (1 + 1e-9)).all()
    assert (mixes["plan_relative_rmse"] < 0.99 * mixes["relative_rmse"]).any()
    for mix in full.basis.mixes:
        same = full.at(target_bytes=mix.nbytes)
        assert same.nbytes <= mix.nbytes
        assert same.relative_rmse == mix.plan_relative_rmse


@pytest.mark.parametrize("mix", ["Q4_K_M", "Q2_K", "Q5_K_S"])
def test_a_mix_is_that_of_requantize(full, large, mix, tmp_path):
    gl.requantize(large, tmp_path / "mix.gguf", mix, progress=False)
    errors = signal = 0.0
    with gl.open(tmp_path / "mix.gguf") as model, gl.open(large) as original:
        found = next(m for m in full.basis.mixes if m.mix == mix)
        assert found.nbytes == sum(t.nbytes for t in model.tensors.values())
        for name in full.types:
            now, before = (m.tensors[name].to_numpy() for m in (model, original))
            errors += float(((now - before.astype(np.float64)) ** 2).sum())
            signal += float((before.astype(np.float64) ** 2).sum())
    assert found.relative_rmse == pytest.approx(math.sqrt(errors / signal), rel=1e-9)


def test_a_mix_that_cannot_be_had_says_why(small):
    found = quiet(small, target_bits_per_weight=7, allowed=FEW, mixes=("IQ2_XXS", "Q8_0"))
    first, second = found.basis.mixes
    assert "importance" in first.note
    assert first.nbytes is None
    assert second.note == ""
    assert first.note in found._repr_html_()


def test_the_curve_falls_and_has_the_plans(full):
    curve = full.curve
    assert curve["nbytes"].is_monotonic_increasing
    assert curve["relative_rmse"].is_monotonic_decreasing
    for row in curve.iloc[::7].itertuples():
        same = full.at(target_bytes=int(row.nbytes))
        assert same.relative_rmse == pytest.approx(row.relative_rmse, rel=1e-6)
    step = curve["nbytes"].diff().max() / (curve["nbytes"].max() - curve["nbytes"].min())
    assert step < 0.1


def test_another_budget_measures_nothing(full, monkeypatch):
    def forbidden(*_arguments):
        raise AssertionError

    monkeypatch.setattr("gguf_lab.planning.measuring.restored", forbidden)
    assert full.at(target_bits_per_weight=6).types != full.types


# budgets


def test_a_budget_that_is_too_small_says_what_is_possible(full):
    with pytest.raises(GGUFLabError, match="is too small for") as caught:
        full.at(target_bits_per_weight=1)
    low = re.search(r"with the allowed types ([\d,]+) to", str(caught.value))
    smallest = full.at(target_bytes=int(low[1].replace(",", "")))
    assert smallest.nbytes == full.basis.smallest
    with pytest.raises(GGUFLabError, match="too small"):
        full.at(target_bytes=smallest.nbytes - 1)


def test_a_budget_that_is_too_large_says_so(full):
    found = full.at(target_bits_per_weight=100)
    assert found.nbytes <= full.basis.largest
    assert "is more than can be used" in repr(found)
    assert "is more than can be used" not in repr(full)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({}, "give one budget"),
        ({"target_bits_per_weight": 5, "target_bytes": 1000}, "give one budget"),
        ({"target_bits_per_weight": math.nan}, "the budget is nan: expected a finite number"),
        ({"target_bits_per_weight": math.inf}, "the budget is inf"),
        ({"target_bits_per_weight": "4"}, "the budget is '4': expected a finite number"),
        ({"target_bytes": True}, "the budget is True"),
        ({"target_bytes": -1}, "is too small"),
    ],
)
def test_a_budget_must_be_one_number(full, budget, words):
    with pytest.raises(GGUFLabError, match=words):
        full.at(**budget)


def test_a_budget_is_looked_at_before_the_work(tmp_path):
    with pytest.raises(GGUFLabError, match="the budget is '4'"):
        quiet(tmp_path / "missing.gguf", target_bits_per_weight="4")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"allowed": ["Q4_N"]}, GGUFLabError, "'Q4_N' is unknown.*Did you mean"),
        ({"allowed": []}, GGUFLabError, "allowed is empty"),
        ({"allowed": ["IQ2_XXS"]}, UnsupportedError, "none of the allowed types.*importance"),
        ({"mixes": ["Q4_K_X"]}, GGUFLabError, "Q4_K_X"),
        ({"effort": "lazy"}, GGUFLabError, "'lazy' is unknown"),
        ({"rows": 0}, GGUFLabError, "rows is 0"),
        ({"rows": 1.5}, GGUFLabError, "rows is 1.5.*a whole number"),
        ({"rows": "all"}, GGUFLabError, "rows is 'all'"),
        ({"importance": {"nowhere": np.ones(3)}}, QuantizationError, "none of the 1 entries"),
        ({"importance": np.ones(3)}, QuantizationError, "Expected its file, or a mapping"),
        ({"importance": {"blk.0.attn_q.weight": np.ones(3)}}, QuantizationError, "3 values"),
        ({"importance": {"output.weight": np.zeros(256)}}, QuantizationError, "zero for every"),
    ],
)
def test_bad_input_is_a_clear_error(small, options, error, words):
    with pytest.raises(error, match=words):
        quiet(small, **{"target_bits_per_weight": 7, "mixes": ()} | options)


def test_types_are_numbers_and_one_mix_a_name_too(small):
    found = quiet(small, target_bits_per_weight=12, allowed=[8, "q4_0"], mixes="q8_0")
    assert {*found.types.values()} == {"Q8_0"}
    assert list(found.mixes["mix"]) == ["Q8_0"]


# importance, experts, samples, odd rows


def test_errors_are_weighted_by_importance(small):
    matrix = importance(describe(Sketch("llama", 1, n_rows=2)))
    allowed = ("IQ2_XXS", "Q4_0", "Q8_0")
    options = {"target_bits_per_weight": 7, "allowed": allowed, "mixes": ()}
    found, plain = quiet(small, importance=matrix, **options), quiet(small, **options)
    for name in found.types:
        if name == "token_embd.weight":  # has no entry: so it counts as it does without
            assert found.basis.types(name) == ["Q4_0", "Q8_0"]
            assert found.basis.measured[name].by_type == plain.basis.measured[name].by_type
            continue
        assert found.basis.types(name) == list(allowed)
        for kind in allowed:
            expected = errors_of(small, name, kind, matrix[name])
            assert found.basis.measured[name].by_type[kind] == pytest.approx(expected, rel=1e-5)
    assert "weighted by importance" in repr(found)


def test_an_importance_matrix_is_used_in_the_file_too(small, tmp_path):
    matrix = importance(describe(Sketch("llama", 1, n_rows=2)))
    allowed = ("IQ2_XXS", "IQ3_XXS", "Q4_0", "Q8_0")
    found = quiet(
        small, target_bits_per_weight=4.4, allowed=allowed, importance=matrix, mixes=("Q4_K_M",)
    )
    assert {"IQ2_XXS", "IQ3_XXS"} & {*found.types.values()}
    result = found.export(tmp_path / "planned.gguf", progress=False)
    assert {t.name: t.qtype for t in result.tensors if t.name in found.types} == found.types
    with gl.open(small) as old, gl.open(tmp_path / "planned.gguf") as new:
        for tensor in found.tensors:
            if tensor.name not in matrix:
                continue
            weight = matrix[tensor.name]
            error = new.tensors[tensor.name].to_numpy() - old.tensors[tensor.name].to_numpy()
            expected = (weight * error.astype(np.float64) ** 2).sum() / weight.mean()
            assert tensor.squared_error == pytest.approx(expected, rel=1e-5)


def test_experts_have_their_own_importance(tmp_path):
    sketch = Sketch("mixtral", 1, n_rows=2, keys={"expert_count": 3})
    path, matrix = made(sketch, tmp_path), importance(describe(sketch))
    found = quiet(path, target_bits_per_weight=9, allowed=FEW, importance=matrix, mixes=())
    name = "blk.0.ffn_down_exps.weight"
    assert matrix[name].shape == (3, 256)
    for kind in FEW:
        expected = errors_of(path, name, kind, matrix[name])
        assert found.basis.measured[name].by_type[kind] == pytest.approx(expected, rel=1e-5)


def test_a_sample_of_rows_is_scaled_to_all(tmp_path):
    path = made(Sketch("llama", 1, n_rows=64), tmp_path)
    whole = quiet(path, target_bits_per_weight=6, allowed=FEW, mixes=())
    sample = quiet(path, target_bits_per_weight=6, allowed=FEW, mixes=(), rows=16)
    assert sample.basis.signal == pytest.approx(whole.basis.signal, rel=0.1)
    assert sample.relative_rmse == pytest.approx(whole.relative_rmse, rel=0.1)
    assert sample.relative_rmse != whole.relative_rmse
    assert "a sample of 16 rows each" in repr(sample)
    assert "all rows" in repr(whole)


def test_rows_that_no_allowed_type_fits_get_what_llama_quantize_takes(tmp_path):
    path = made(Sketch("llama", 1, row=96, n_rows=2), tmp_path)
    found = quiet(path, target_bits_per_weight=16, allowed=("Q4_K", "Q6_K"), mixes=())
    assert {*found.types.values()} <= {"Q5_0", "Q8_0"}
    assert "9 with rows that no allowed type fits" in repr(found)
    assert found.to_frame()["reason"].str.contains("no allowed type fits rows of 96").any()


def test_what_was_quantized_before_keeps_its_errors(large, tmp_path):
    gl.requantize(large, tmp_path / "q8.gguf", "Q8_0", progress=False)
    found = quiet(tmp_path / "q8.gguf", target_bits_per_weight=9, allowed=FEW, mixes=())
    assert {*found.types.values()} == {"Q8_0"}
    assert found.squared_error == 0
    assert "tensors were quantized before: only errors added are counted" in repr(found)
    found.export(tmp_path / "same.gguf", progress=False)
    with gl.open(tmp_path / "q8.gguf") as one, gl.open(tmp_path / "same.gguf") as other:
        for name in one.tensors:
            assert one.tensors[name].blocks().tobytes() == other.tensors[name].blocks().tobytes()


# checkpoints


@pytest.mark.parametrize("weighted", [False, True])
def test_a_checkpoint_is_planned_as_the_file_that_it_becomes(weighted, tmp_path):
    plain = gl.export(HF, tmp_path / "f32.gguf", qtype="F32", tokenizer=False, progress=False)
    with gl.open(plain) as model:
        shapes = {name: t.shape for name, t in model.tensors.items() if len(t.shape) > 1}
    matrix = {
        name: np.abs(weights(name, shape[-1:])).astype(np.float32) + np.float32(0.01)
        for name, shape in shapes.items()
    }
    options = {
        "target_bits_per_weight": 5.5,
        "allowed": ("Q4_K", "Q5_K", "Q8_0"),
        "mixes": ("Q4_K_M",),
        "importance": matrix if weighted else None,
    }
    found, of_file = quiet(HF, **options), quiet(plain, **options)
    assert found.types == of_file.types
    assert found.nbytes == of_file.nbytes
    assert found.squared_error == pytest.approx(of_file.squared_error, rel=1e-9)
    assert found.mixes.equals(of_file.mixes)
    path = found.export(tmp_path / "planned.gguf", tokenizer=False, progress=False)
    of_file.export(tmp_path / "planned2.gguf", progress=False)
    with gl.open(path) as one, gl.open(tmp_path / "planned2.gguf") as other:
        assert {name: t.qtype for name, t in one.tensors.items()} == {
            t.name: t.qtype for t in found.tensors
        }
        assert sum(t.nbytes for t in one.tensors.values()) == found.nbytes
        for name, tensor in one.tensors.items():
            assert tensor.blocks().tobytes() == other.tensors[name].blocks().tobytes()


# the work, and what is shown of it


def test_progress_is_counted_and_can_stop_it(small):
    seen = []
    quiet(small, target_bits_per_weight=7, progress=lambda *now: seen.append(now))
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert {*totals} == {done[-1]}

    def stop(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet(small, target_bits_per_weight=7, progress=stop)


def test_no_more_than_a_chunk_is_held(large, monkeypatch):
    monkeypatch.setattr(measuring, "_CHUNK", 256)
    read = []
    original = measuring.Chunk.__init__

    def noted(self, weights, importance=None):
        read.append(weights.size)
        original(self, weights, importance)

    monkeypatch.setattr(measuring.Chunk, "__init__", noted)
    quiet(large, target_bits_per_weight=6, allowed=FEW, mixes=())
    assert {*read} == {256}


def test_the_text_says_that_weight_error_is_a_proxy(full):
    assert PROXY in repr(full)
    assert "is a proxy" in full._repr_html_()
    assert "not how well the model answers" in PROXY


def test_the_frame_has_a_row_per_tensor(full, large):
    frame = full.to_frame()
    assert tuple(frame.columns) == COLUMNS
    with gl.open(large) as model:
        assert list(frame["name"]) == list(model.tensors)
    assert frame["nbytes"].sum() == full.nbytes
    fixed = frame[frame["squared_error"].isna()]
    assert (fixed["qtype"] == "F32").all()
    assert (fixed["reason"] != "").all()


def test_the_picture_has_plan_mixes_and_curve(full):
    axes = full.plot().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["this plan"].get_xdata() == [full.bits_per_weight]
    assert lines["this plan"].get_ydata() == [full.relative_rmse]
    mixes = lines["named mixes of llama-quantize"]
    assert mixes.get_xdata().tolist() == full.mixes["bits_per_weight"].tolist()
    assert lines["best plans of each size"].get_drawstyle() == "steps-post"
    assert "all rows" in axes.get_title(loc="left")


def test_pictures_of_little(small):
    """Without mixes to compare with, and of a plan that loses nothing."""
    quiet(small, target_bits_per_weight=7, allowed=FEW, mixes=()).plot().savefig(io.BytesIO())
    exact = quiet(small, target_bits_per_weight=33, mixes=["F16"], allowed=["F32"])
    assert exact.relative_rmse == 0
    exact.plot().savefig(io.BytesIO())


def test_a_file_without_weights(tmp_path):
    path = write_model(tmp_path / "vocabulary.gguf", {})
    with pytest.raises(GGUFLabError, match=r"vocabulary\.gguf has no weights: there is nothing"):
        quiet(path, target_bits_per_weight=5)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_plan_can_be_kept(small, tmp_path, checkpoint):
    reference = HF if checkpoint else small
    found = quiet(reference, target_bits_per_weight=7, allowed=FEW, mixes=(), rows=2)
    again = pickle.loads(pickle.dumps(found))
    assert again.to_frame().equals(found.to_frame())
    options = {"tokenizer": False} if checkpoint else {}
    for name, one in (("a", found), ("b", again)):
        one.export(tmp_path / f"{name}.gguf", progress=False, **options)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_html_escapes_names(small, tmp_path):
    from dataclasses import replace

    found = quiet(small, target_bits_per_weight=7, allowed=FEW, mixes=())
    evil = replace(found.basis, words="<script>")
    assert isinstance(evil, basis.Basis)
    html = replace(found, basis=evil)._repr_html_()
    assert "<script>" not in html


def test_an_original_on_a_server_is_no_gguf_file(hub):
    hub.add_repository("org/llama", HF)
    wanted = {"target_bits_per_weight": 6, "allowed": FEW, "rows": 8, "progress": False}
    there, here = gl.plan("hf://org/llama", **wanted), gl.plan(HF, **wanted)
    assert there.to_frame().equals(here.to_frame())


def test_a_scale_beside_a_matrix_counts(tmp_path):
    """Errors of tensors are added up: a factor of a thousand would decide everything."""
    options = {"target_bits_per_weight": 5.0, "progress": False}
    with gl.open(MODELS / "llama-256" / "llama-Q4_K_M.gguf") as model:
        whole = with_scales(model, tmp_path / "whole.gguf", scaled=False)
        scaled = with_scales(model, tmp_path / "scaled.gguf")
    due, found = (gl.plan(path, **options).to_frame().set_index("name") for path in (whole, scaled))
    assert len(found) > len(due) > 10
    found = found.loc[due.index]
    assert dict(found["qtype"]) == dict(due["qtype"])
    np.testing.assert_allclose(found["squared_error"], due["squared_error"], rtol=1e-6)
