"""Figures against others that are computed here, in NumPy and float64, from the whole tensor."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

import gguf_lab as gl
from gguf_lab.errors import GGUFLabError, QuantizationError, UnsupportedError
from gguf_lab.file import QTYPES
from gguf_lab.file.writer import Payload, write_file
from gguf_lab.quantization import measuring, rate_distortion
from gguf_lab.quantization.methods import default_types
from gguf_lab.quantization.rates import COLUMNS, DB_PER_BIT

TYPES = ("Q4_0", "Q4_K", "IQ4_XS", "Q8_0")


def gaussian(*shape: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return independent normal numbers of variance 1."""
    return np.random.default_rng(seed).normal(mean, 1, shape).astype(np.float32)


def quiet(values, *arguments, **options):
    """Measure ggml's types alone, without a bar."""
    return rate_distortion(values, *arguments, **{"others": False, "progress": False} | options)


def by_method(result) -> dict:
    return {rate.method: rate for rate in result.rates}


@cache
def everything():
    """All methods on a tensor that is no multiple of a chunk, with an importance."""
    weights, importance = gaussian(40, 512) ** 3, np.linspace(0.1, 3, 512, dtype=np.float32)
    return weights, importance, rate_distortion(weights, None, importance, progress=False)


# bits


@pytest.mark.parametrize("name", default_types())
def test_bits_are_those_of_the_blocks(name):
    weights, importance, result = everything()
    stored = gl.quantize(weights, name, importance=importance).nbytes
    rate = by_method(result)[name]
    assert rate.bits_per_weight == 8 * stored / weights.size
    assert (rate.family, rate.qtype, rate.status) == ("ggml", name, "measured")


def test_all_types_of_ggml_that_can_be_written_are_measured():
    *_, result = everything()
    measured = {r.qtype for r in result.rates if r.family == "ggml" and r.status == "measured"}
    assert measured == {t.name for t in QTYPES.values() if t.bits_per_weight <= 16} & {
        *default_types()
    }
    assert len(measured) >= 25


def test_bits_of_the_baselines_have_their_scales():
    weights, _, result = everything()
    rates = by_method(result)
    for bits in (8, 4):
        per_tensor, per_row = rates[f"int{bits} per tensor"], rates[f"int{bits} per channel"]
        assert per_tensor.bits_per_weight == bits + 32 / weights.size
        assert per_row.bits_per_weight == bits + 32 * 40 / weights.size


# errors


@pytest.mark.parametrize("name", default_types())
def test_errors_are_those_of_the_values_read_back(name):
    weights, importance, result = everything()
    back = gl.dequantize(gl.quantize(weights, name, importance=importance), name)
    exact = weights.astype(np.float64)
    error = back.reshape(weights.shape) - exact
    rate = by_method(result)[name]
    expected = math.sqrt((error**2).sum() / (exact**2).sum())
    assert rate.relative_rmse == pytest.approx(expected, rel=1e-9)
    assert rate.sqnr_db == pytest.approx(-20 * math.log10(expected), rel=1e-9)
    expected = math.sqrt((importance * error**2).sum() / (importance * exact**2).sum())
    assert rate.weighted_relative_rmse == pytest.approx(expected, rel=1e-6)
    assert rate.weighted_sqnr_db == pytest.approx(-20 * math.log10(expected), rel=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("what", ["tensor", "channel"])
def test_baselines_are_three_lines_of_numpy(bits, what):
    weights, _, result = everything()
    top = 2 ** (bits - 1) - 1
    scale = np.abs(weights).max(axis=None if what == "tensor" else 1, keepdims=True) / top
    back = np.clip(np.round(weights / scale), -top, top) * scale
    expected = np.linalg.norm(back - weights) / np.linalg.norm(weights)
    assert by_method(result)[f"int{bits} per {what}"].relative_rmse == pytest.approx(expected, 1e-5)


# the bound


def test_a_bit_is_6_dB():
    assert round(DB_PER_BIT, 4) == 6.0206


def test_the_gap_of_one_bit_is_that_of_the_textbook():
    """The best one-bit quantizer of a Gaussian leaves 1 - 2/pi of its variance."""
    rate = by_method(quiet(gaussian(512, 1024), ["Q1_0"]))["Q1_0"]
    left = 10 * math.log10(1 - 2 / math.pi)
    assert rate.sqnr_db == pytest.approx(-left, abs=0.05)
    assert rate.gap_db == pytest.approx(left + 6.0206 * 1.125, abs=0.05)
    assert rate.gap_bits == pytest.approx(rate.gap_db / 6.0206, rel=1e-5)


def test_the_gap_of_eight_bits_is_that_of_uniform_rounding():
    """Q8_0: steps of 1/127 of the largest of 32, which is hit; the others spread over a step."""
    weights = gaussian(512, 1024)
    steps = np.abs(weights.reshape(-1, 32)).max(axis=1).astype(np.float64) / 127
    rate = by_method(quiet(weights, ["Q8_0"]))["Q8_0"]
    left = 31 / 32 * (steps**2).mean() / 12 / weights.var()
    expected = 10 * math.log10(left) + 6.0206 * 8.5
    assert rate.gap_db == pytest.approx(expected, abs=0.02)


def test_nothing_is_better_than_the_bound_with_gaussian_weights():
    result = rate_distortion(gaussian(256, 512), others=True, progress=False)
    measured = [r for r in result.rates if r.status == "measured" and r.bits_per_weight < 16]
    assert len(measured) >= 24
    assert min(r.gap_db for r in measured) > 0
    assert result.bound_at_0_bits == pytest.approx(0, abs=0.01)


def test_weights_of_several_scales_can_be_beyond_it():
    """Half of the blocks a thousandth: Gaussian weights of this variance are harder."""
    weights = gaussian(64, 512)
    weights[::2] /= 1000
    weights[1::2, 256:] /= 1000
    weights[1::2, :128] /= 1000
    rate = by_method(quiet(weights, ["Q8_0"]))["Q8_0"]
    assert rate.gap_db < by_method(quiet(gaussian(64, 512), ["Q8_0"]))["Q8_0"].gap_db


def test_the_bound_is_of_the_variance_not_of_the_power():
    weights = gaussian(64, 512, mean=3)
    result = quiet(weights, ["Q8_0"])
    assert result.mean == pytest.approx(weights.mean(dtype=np.float64), rel=1e-9)
    assert result.variance == pytest.approx(weights.var(dtype=np.float64), rel=1e-9)
    power = (weights.astype(np.float64) ** 2).mean() / weights.var(dtype=np.float64)
    assert result.bound_at_0_bits == pytest.approx(10 * math.log10(power), rel=1e-9)
    rate = result.rates[0]
    bound = result.bound_at_0_bits + DB_PER_BIT * rate.bits_per_weight
    assert bound - rate.sqnr_db == pytest.approx(rate.gap_db, rel=1e-9)


# chunks, rows, experts


@pytest.mark.parametrize("experts", [1, 3])
def test_chunks_change_nothing(experts, monkeypatch):
    weights = gaussian(experts, 10, 256)
    importance = np.abs(gaussian(experts, 256, seed=1)) + np.float32(0.01)
    options = {"qtypes": (*TYPES, "IQ2_XXS"), "importance": importance, "others": True}
    whole = quiet(weights, **options)
    monkeypatch.setattr(measuring, "_CHUNK", 3 * 256)
    parts = quiet(weights, **options)
    assert [r.status for r in whole.rates] == [r.status for r in parts.rates]
    for one, other in zip(whole.rates, parts.rates, strict=True):
        assert one.bits_per_weight == pytest.approx(other.bits_per_weight, nan_ok=True)
        assert one.relative_rmse == pytest.approx(other.relative_rmse, rel=1e-9, nan_ok=True)
        assert one.weighted_relative_rmse == pytest.approx(
            other.weighted_relative_rmse, rel=1e-9, nan_ok=True
        )


def test_each_expert_has_its_importance():
    weights, importance = gaussian(2, 8, 256), np.abs(gaussian(2, 256, seed=2)) + np.float32(0.1)
    error = signal = 0.0
    for part, weight in zip(weights, importance, strict=True):
        back = gl.dequantize(gl.quantize(part, "Q4_K", importance=weight), "Q4_K").reshape(8, 256)
        error += (weight * (back - part.astype(np.float64)) ** 2).sum()
        signal += (weight * part.astype(np.float64) ** 2).sum()
    rate = quiet(weights, ["Q4_K"], importance).rates[0]
    assert rate.weighted_relative_rmse == pytest.approx(math.sqrt(error / signal), rel=1e-6)


def test_a_sample_is_of_evenly_spaced_rows():
    weights = gaussian(100, 64)
    result = quiet(weights, ["Q8_0"], rows=4)
    alone = quiet(weights[[12, 37, 62, 87]], ["Q8_0"])
    assert (result.n_rows, result.sampled, alone.sampled) == (4, True, False)
    assert result.rates[0].relative_rmse == alone.rates[0].relative_rmse
    assert "4 of its 100 rows, evenly spaced" in repr(result)
    assert not quiet(weights, ["Q8_0"], rows=100).sampled


def test_no_more_than_a_chunk_is_read_at_once(monkeypatch, tmp_path):
    weights, read = gaussian(64, 256), []
    path = model_of(tmp_path, "Q8_0", weights)
    monkeypatch.setattr(measuring, "_CHUNK", 4 * 256)
    original = gl.Tensor.to_numpy

    def noted(self, rows):
        read.append(rows.stop - rows.start)
        return original(self, rows)

    monkeypatch.setattr(gl.Tensor, "to_numpy", noted)
    with gl.open(path) as model:
        quiet(model.tensors["w.weight"], ["Q4_0", "Q4_1"])
    assert read == [4] * 32  # once for what is known of the weights, once for all methods


# what comes in


def model_of(folder, name: str, weights: np.ndarray):
    """Write a model of one tensor."""
    path = folder / "model.gguf"
    kind = next(t for t in QTYPES.values() if t.name == name)
    payload = Payload("w.weight", weights.shape, kind, lambda: [gl.quantize(weights, name)])
    write_file(path, {"general.architecture": "llama"}, [payload])
    return path


def test_a_tensor_that_was_quantized_before_says_so(tmp_path):
    weights = gaussian(8, 256)
    with gl.open(model_of(tmp_path, "Q4_0", weights)) as model:
        result = quiet(model.tensors["w.weight"], ["Q8_0", "Q4_0"])
        back = model.tensors["w.weight"].to_numpy()
    assert (result.name, result.source_qtype, result.shape) == ("w.weight", "Q4_0", (8, 256))
    assert "quantized to Q4_0 before" in result.warning
    assert result.warning in repr(result)
    assert "quantized to Q4_0 before" in result._repr_html_()
    assert result.rates[0].relative_rmse == quiet(back, ["Q4_0"]).rates[0].relative_rmse
    assert quiet(back, ["Q4_0"]).warning == ""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_torch_tensors_are_what_they_hold(dtype):
    values = torch.from_numpy(gaussian(4, 64)).to(dtype)
    result, plain = quiet(values, ["Q8_0"]), quiet(values.float().numpy(), ["Q8_0"])
    assert result.rates[0].relative_rmse == plain.rates[0].relative_rmse
    assert result.source_qtype == {torch.bfloat16: "BF16", torch.float16: "F16"}.get(
        dtype, f"F{8 * dtype.itemsize}"
    )


def test_a_row_is_enough():
    assert quiet(gaussian(64), ["Q8_0"]).n_rows == 1


def test_a_type_is_measured_once_however_often_it_is_named():
    weights = gaussian(4, 64)
    twice, once = quiet(weights, ["q8_0", "Q8_0"]), quiet(weights, "Q8_0")
    assert [rate.bits_per_weight for rate in twice.rates] == [8.5]
    assert twice.rates[0].relative_rmse == once.rates[0].relative_rmse


def test_what_cannot_be_is_a_row_with_its_reason():
    rates = by_method(quiet(gaussian(4, 96), ["Q4_K", "IQ1_S", "Q8_0", "Q8_K"]))
    assert rates["Q4_K"].status == "rows of 96 are no multiple of 256, its block"
    assert rates["IQ1_S"].status == "needs importance=..."
    assert rates["Q8_0"].status == "measured"
    assert rates["Q8_K"].status == "no quantizer"
    assert math.isnan(rates["Q4_K"].bits_per_weight)
    assert math.isnan(rates["Q4_K"].sqnr_db)


def test_weights_that_are_zero_have_no_relative_error():
    result = rate_distortion(np.zeros((4, 256), np.float32), ["Q8_0"], progress=False)
    for rate in result.rates:
        if rate.status == "measured":
            assert math.isnan(rate.relative_rmse)
            assert math.isnan(rate.gap_db)
    assert result.on_front() == set()
    assert result._repr_html_()


def test_weights_that_come_back_exactly():
    result = quiet(np.ones((4, 256), np.float32), ["F16"])
    assert result.rates[0].sqnr_db == math.inf
    assert math.isnan(result.bound_at_0_bits)
    varied = quiet(np.tile(np.float32([1, 2]), (4, 128)), ["F16"])
    assert varied.rates[0].gap_db == -math.inf


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"qtypes": ["Q4_N"]}, UnsupportedError, r"'Q4_N' is unknown.*Did you mean"),
        ({"effort": "lazy"}, GGUFLabError, "'lazy' is unknown: choose one of ggml, best"),
        ({"rows": 0}, GGUFLabError, "rows is 0"),
        ({"rows": "all"}, GGUFLabError, "rows is 'all'"),
        ({"qtypes": [], "others": False}, GGUFLabError, "nothing is measured"),
        ({"qtypes": [999]}, UnsupportedError, "type 999 is unknown"),
        ({"importance": "imatrix.gguf"}, QuantizationError, "no array of numbers"),
        (
            {"importance": np.ones(3)},
            QuantizationError,
            "has 64 columns, but the importance matrix 3 values",
        ),
        ({"importance": -np.ones(64)}, QuantizationError, "negative"),
        ({"values": np.ones((2, 64), int)}, GGUFLabError, "given as int64. Expected floats"),
        ({"values": np.ones((0, 64))}, GGUFLabError, "nothing to measure"),
    ],
)
def test_bad_input_is_a_clear_error(change, error, words):
    arguments = {"values": gaussian(2, 64), "qtypes": ["Q8_0"]} | change
    with pytest.raises(error, match=words):
        quiet(**arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_says_where(bad):
    weights = gaussian(8, 64)
    weights[5, 7] = bad
    with pytest.raises(QuantizationError, match=f"'weights', row 5, column 7: the value is {bad}"):
        quiet(weights, ["Q8_0"])


def test_progress_is_counted_and_can_stop_it():
    seen = []
    options = {"others": False, "progress": lambda *now: seen.append(now)}
    rate_distortion(gaussian(4, 64), ["Q8_0", "Q4_0", "Q5_1"], **options)
    assert seen == [(256, 768), (512, 768), (768, 768)]

    def stop(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rate_distortion(gaussian(4, 64), ["Q8_0"], others=False, progress=stop)


# what comes out


def test_the_frame_has_a_row_per_method():
    _, _, result = everything()
    frame = result.to_frame()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == len(result.rates)
    measured = frame[frame["status"] == "measured"]
    assert measured["bits_per_weight"].is_monotonic_increasing
    front = measured[measured["on_front"]]
    assert front["weighted_relative_rmse"].is_monotonic_decreasing
    for row in measured[~measured["on_front"]].itertuples():  # another is as good in both
        beats = (front["bits_per_weight"] <= row.bits_per_weight) & (
            front["weighted_relative_rmse"] <= row.weighted_relative_rmse
        )
        assert beats.any()


def test_best_effort_is_never_worse():
    weights = gaussian(16, 256)
    plain, best = (quiet(weights, "IQ1_M", effort=e).rates[0] for e in ("ggml", "best"))
    assert best.bits_per_weight == plain.bits_per_weight
    assert best.relative_rmse < plain.relative_rmse


def test_html_escapes_the_name(tmp_path):
    result = quiet(gaussian(2, 64), ["Q8_0"])
    from dataclasses import replace

    html = replace(result, name="<script>")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "6.02 dB per bit" in html
