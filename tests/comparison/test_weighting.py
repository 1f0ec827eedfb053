from __future__ import annotations

import math
from itertools import pairwise

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import dequantize
from gguf_lab.comparison import measuring
from gguf_lab.comparison.weighting import weigh
from gguf_lab.errors import ComparisonError, GGUFError, QuantizationError

from ..models import MODELS

FOLDER = MODELS / "llama-256"
MODEL, REFERENCE = FOLDER / "llama-Q4_K_M.gguf", FOLDER / "hf"
NAMES = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight")


@pytest.fixture(scope="module")
def importance():
    rng = np.random.default_rng(0)
    with gl.open(MODEL) as model:
        return {name: rng.gamma(1, 1, model.tensor(name).row_values) for name in NAMES}


def compare(importance, **options):
    return gl.compare(MODEL, REFERENCE, importance=importance, progress=False, **options)


def by_hand(name, weights):
    """Whole tensors in float64; the reference as it lines up with the file."""
    from gguf_lab.reference import align, open_reference

    with gl.open(MODEL) as model:
        reference = open_reference(REFERENCE)
        (pair,) = [p for p in align(model, reference).pairs if p.name == name]
        tensor = model.tensor(name)
        r = dequantize(pair.read(0, tensor.n_rows), pair.dtype).reshape(tensor.n_rows, -1)
        e = (tensor.to_numpy().reshape(r.shape) - r).astype(np.float64)
        reference.close()
    return math.sqrt((e**2 * weights).sum() / (r.astype(np.float64) ** 2 * weights).sum())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [measuring._CHUNK, 5000])
def test_the_weighted_error_is_that_of_the_whole_tensor(importance, threads, chunk, monkeypatch):
    monkeypatch.setattr(measuring, "_CHUNK", chunk)
    result = compare(importance, threads=threads)
    for name in NAMES:
        want = by_hand(name, importance[name])
        assert result[name].weighted_relative_rmse == pytest.approx(want, rel=1e-12)
    assert result["blk.0.attn_k.weight"].weighted_relative_rmse is None


def test_equal_weights_change_nothing(importance):
    ones = {name: np.full(len(values), 3.0) for name, values in importance.items()}
    result = compare(ones, tensors=NAMES)
    assert result.to_frame()["weighted_relative_rmse"].notna().all()
    plain = gl.compare(MODEL, REFERENCE, tensors=NAMES, progress=False)
    assert "weighted_relative_rmse" not in plain.to_frame()
    for name in NAMES:
        assert result[name].weighted_relative_rmse == pytest.approx(plain[name].relative_rmse)
        assert result[name].rmse == plain[name].rmse
        assert plain[name].weighted_relative_rmse is None


def test_experts_have_weights_of_their_own():
    rng = np.random.default_rng(1)
    x, r = rng.normal(size=(2, 12, 32)).astype(np.float32)
    weights = rng.gamma(1, 1, (3, 32))  # three experts of four rows
    want = ((x - r).astype(np.float64) ** 2 * np.repeat(weights, 4, axis=0)).sum()
    for cuts in ([0, 12], [0, 3, 9, 12], [0, 4, 5, 12]):
        found = 0.0
        for a, b in pairwise(cuts):
            sides = (("F32", x[a:b].view(np.uint8)), ("F32", r[a:b].view(np.uint8)))
            found += weigh(sides, weights, a, 12)[0]
        assert found == pytest.approx(want)


def test_a_file_of_llama_imatrix(tmp_path, importance):
    path = tmp_path / "imatrix.gguf"
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    for name, values in importance.items():
        writer.add_tensor(f"{name}.in_sum2", (4 * values).astype(np.float32))
        writer.add_tensor(f"{name}.counts", np.array([4], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found, want = compare(path, tensors=NAMES), compare(importance, tensors=NAMES)
    for name in NAMES:
        told = want[name].weighted_relative_rmse
        assert found[name].weighted_relative_rmse == pytest.approx(told, rel=1e-6)


def test_the_cache_keeps_it_and_knows_other_weights(tmp_path, importance):
    first = compare(importance, tensors=NAMES, cache=tmp_path)
    again = compare(importance, tensors=NAMES, cache=tmp_path)
    assert (first.cached, again.cached) == (0, len(NAMES))
    other = compare({name: v**2 for name, v in importance.items()}, tensors=NAMES, cache=tmp_path)
    without = gl.compare(MODEL, REFERENCE, tensors=NAMES, cache=tmp_path, progress=False)
    assert (other.cached, without.cached) == (0, 0)
    for name in NAMES:
        kept = again[name].weighted_relative_rmse
        assert kept == first[name].weighted_relative_rmse != other[name].weighted_relative_rmse
        assert without[name].weighted_relative_rmse is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nowhere": np.ones(256)}, "none of the 1 entries .* is a tensor of"),
        ({NAMES[0]: np.ones(255)}, "has 256 columns, but the importance matrix 255 values"),
        ({NAMES[0]: -np.ones(256)}, "negative or not finite"),
        ({NAMES[0]: np.full(256, np.nan)}, "negative or not finite"),
    ],
)
def test_importance_that_does_not_fit_is_refused(given, words):
    with pytest.raises(QuantizationError, match=words):
        compare(given)


def test_importance_in_tensors_and_at_home(tmp_path, importance, monkeypatch):
    import torch

    due = compare({NAMES[0]: np.ones(256)}, tensors=NAMES[:1])
    given = {NAMES[0]: torch.ones(256, dtype=torch.bfloat16, requires_grad=True)}
    found = compare(given, tensors=NAMES[:1], cache=tmp_path)
    assert found[NAMES[0]].weighted_relative_rmse == due[NAMES[0]].weighted_relative_rmse
    with pytest.raises(QuantizationError, match="the importance is no array of numbers"):
        compare({NAMES[0]: [[1], [1, 2]]})
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(GGUFError, match=f"{tmp_path}/none.gguf does not exist"):
        compare("~/none.gguf")


@pytest.mark.parametrize("given", [3, np.ones(256)])
def test_what_is_no_importance_matrix_is_refused(given):
    with pytest.raises(QuantizationError, match="Expected its file, or a mapping"):
        compare(given)


@pytest.mark.parametrize(
    ("name", "values"),
    [("token_embd.weight", np.ones(32)), (NAMES[1], np.zeros(512))],
)
def test_an_entry_that_no_quantizer_uses_weighs_nothing(importance, name, values):
    """Embeddings that serve as output too have one of another size; zeros count nothing."""
    result = compare({**importance, name: values})
    assert result[name].weighted_relative_rmse is None
    plain = gl.compare(MODEL, REFERENCE, tensors=[name], progress=False)
    assert result[name].rmse == plain[name].rmse
    n = len({*NAMES} - {name})
    assert f"{n} of them weighted by importance" in result.summary
    assert "importance" not in plain.summary


def test_a_cluster_does_not_know_it(importance):
    with pytest.raises(ComparisonError, match="leave out client"):
        compare(importance, client=object())
