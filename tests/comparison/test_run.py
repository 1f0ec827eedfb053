from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, quants
from safetensors import safe_open

import gguf_lab as gl
from gguf_lab.comparison import COLUMNS, Run
from gguf_lab.reference import open_checkpoint

from ..models import MODELS

if TYPE_CHECKING:
    from pathlib import Path

Q4_K_M = MODELS / "llama-256" / "llama-Q4_K_M.gguf", MODELS / "llama-256" / "hf"
FIGURES = ["rmse", "relative_rmse", "sqnr_db", "cosine", "max_abs_error"]


def compare(pair, **keywords):
    return gl.compare(*pair, progress=False, **keywords)


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_a_bf16_file_is_its_checkpoint_exactly(name):
    result = compare((MODELS / name / f"{name}-bf16.gguf", MODELS / name / "hf"))
    frame = result.to_frame()
    assert (frame["status"] == "compared").all()
    assert len(frame) == 30
    assert (frame[["rmse", "relative_rmse", "max_abs_error"]] == 0).all(axis=None)
    assert (frame["sqnr_db"] == np.inf).all()
    assert (frame["n_nan"] == 0).all()
    assert frame["transform"].str.contains("rotary").sum() == 6


def obvious_figures(path: Path, checkpoint: Path) -> dict[str, list[float]]:
    """What a person would write: gguf-py, safetensors and NumPy, whole tensors in float64."""
    n_head, n_kv = 4, 2
    found = {}
    with safe_open(checkpoint / "model.safetensors", framework="pt") as reference:
        for tensor in GGUFReader(path).tensors:
            name = _llama_name(tensor.name)
            x = quants.dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type))
            r = reference.get_tensor(name).float().numpy()
            heads = {"attn_q": n_head, "attn_k": n_kv}.get(tensor.name.split(".")[-2])
            if heads:
                r = r.reshape(heads, 2, len(r) // heads // 2, -1).swapaxes(1, 2)
            x, r = x.ravel().astype(np.float64), r.ravel().astype(np.float64)
            e = x - r
            found[tensor.name] = [
                np.sqrt((e**2).mean()),
                np.sqrt((e**2).sum() / (r**2).sum()),
                10 * np.log10((r**2).sum() / (e**2).sum()) if e.any() else np.inf,
                (x @ r) / np.sqrt((x @ x) * (r @ r)),
                np.abs(e).max(),
            ]
    return found


def _llama_name(name: str) -> str:
    fixed = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "output_norm.weight": "model.norm.weight",
    }
    if name in fixed:
        return fixed[name]
    _, layer, kind, _ = name.split(".")
    kinds = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    return f"model.layers.{layer}.{kinds[kind]}.weight"


def test_figures_are_those_of_the_obvious_script():
    result = compare(Q4_K_M)
    want = obvious_figures(*Q4_K_M)
    assert [row.name for row in result.compared] == list(want)
    for row in result.compared:
        got = [getattr(row, figure) for figure in FIGURES]
        np.testing.assert_allclose(got, want[row.name], rtol=1e-5, err_msg=row.name)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_figures_do_not_depend_on_threads(threads, monkeypatch):
    from gguf_lab.comparison import measuring

    monkeypatch.setattr(measuring, "_CHUNK", 5000)  # several chunks to a tensor
    first, second = compare(Q4_K_M, threads=1), compare(Q4_K_M, threads=threads)
    for a, b in zip(first, second, strict=True):
        assert [getattr(a, figure) for figure in FIGURES] == [
            getattr(b, figure) for figure in FIGURES
        ]
        assert (a.histogram.counts == b.histogram.counts).all()


def test_backends_agree(monkeypatch):
    fast = compare(Q4_K_M)
    assert (fast.backend, fast.device) == ("numba", "cpu")
    for backend in ("numpy", "torch"):
        room = "gguf_lab.comparison.measuring"
        monkeypatch.setattr(f"{room}.choose_backend", lambda device, b=backend: b)
        other = compare(Q4_K_M)
        assert other.backend == backend
        for a, b in zip(fast, other, strict=True):
            for figure in FIGURES:
                got, want = getattr(a, figure), getattr(b, figure)
                assert got == pytest.approx(want, rel=1e-6), (a.name, figure)
            assert (a.histogram.counts == b.histogram.counts).all()


def test_some_tensors_by_name_or_pattern():
    assert [r.name for r in compare(Q4_K_M, tensors="blk.1.ffn_*")] == [
        "blk.1.ffn_down.weight",
        "blk.1.ffn_gate.weight",
        "blk.1.ffn_norm.weight",
        "blk.1.ffn_up.weight",
    ]
    assert [r.name for r in compare(Q4_K_M, tensors=["output.weight"])] == ["output.weight"]
    with pytest.raises(gl.ComparisonError, match=r"blk\.0\.attn_k\.weight"):
        compare(Q4_K_M, tensors=["blk.0.attn_kk.weight"])
    with pytest.raises(gl.ComparisonError, match="no tensor"):
        compare(Q4_K_M, tensors="vision.*")


def test_a_run_reports_as_it_goes_and_can_be_cancelled():
    run = Run(*Q4_K_M, threads=2)
    seen = []
    for row in run:
        seen.append(row.name)
        assert 0 < run.done <= run.total
        if len(seen) == 4:
            run.cancel()
    result = run.result()
    assert not result.complete
    assert [row.name for row in result.rows if row.name] == seen
    assert len(seen) == 4
    assert "cancelled" in result.summary

    whole = Run(*Q4_K_M)
    assert len(list(whole)) == 21
    assert whole.done == whole.total
    assert whole.result().complete


def test_a_run_that_is_walked_again_counts_nothing_twice():
    with gl.open(Q4_K_M[0]) as model, open_checkpoint(Q4_K_M[1]) as checkpoint:
        run = Run(model, checkpoint)
        first = next(iter(run))
        assert [row.name for row in run.result() if row.name] == [first.name]
        names = [row.name for row in run]
        assert run.done == run.total
        assert [row.name for row in run.result() if row.name] == names == [*model.tensors]


def test_the_result_of_a_run_that_failed_at_once_is_why_it_did(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(Q4_K_M[0].read_bytes())
    run = Run(file, Q4_K_M[1])
    with file.open("ab") as opened:
        opened.write(b"more")
    for ask in (lambda: list(run), run.result, run.result):
        with pytest.raises(gl.GGUFError, match="was changed while it was open"):
            ask()


def test_the_result_of_a_run_that_was_interrupted_at_once_is_empty(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    run = Run(*Q4_K_M)
    monkeypatch.setattr(run, "_merged", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run)
    result = run.result()
    assert not result.complete
    assert result.rows == ()


def test_files_opened_by_the_run_are_closed_and_given_ones_are_not():
    with gl.open(Q4_K_M[0]) as model:
        compare((model, Q4_K_M[1]))
        assert model.tensor("output.weight").to_numpy(slice(0, 1)).shape == (1, 256)
    gc.collect()  # a file left open would warn, and warnings are errors here


def test_a_truncated_tensor_is_unsupported_and_the_rest_compares(tmp_path):
    data = Q4_K_M[0].read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[:-1000])
    frame = compare((tmp_path / "cut.gguf", Q4_K_M[1])).to_frame().set_index("name")
    bad = frame[frame["status"] != "compared"]
    assert list(bad["status"]) == ["unsupported"]
    assert "truncated" in bad["reason"].iloc[0] or "cut" in bad["reason"].iloc[0]
    assert bad[[*FIGURES, "n_nan"]].isna().all(axis=None)
    assert (frame["status"] == "compared").sum() == 20


def test_nan_in_the_file_is_reported(tmp_path):
    with gl.open(Q4_K_M[0]) as model:
        tensor = model.tensor("output_norm.weight")
        offset = next(i.offset for i in model.file.tensors if i.name == tensor.name)
    data = bytearray(Q4_K_M[0].read_bytes())
    data[offset : offset + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "nan.gguf").write_bytes(data)
    row = compare((tmp_path / "nan.gguf", Q4_K_M[1]))["output_norm.weight"]
    assert row.n_nan == 1
    assert np.isnan(row.rmse)


def test_frame_columns_are_stable():
    frame = compare(Q4_K_M).to_frame()
    assert tuple(frame.columns) == COLUMNS
    assert str(frame["layer"].dtype) == "Int64"
    assert frame["rmse"].dtype == "float64"


def test_a_wrong_checkpoint_is_one_clear_error():
    with pytest.raises(gl.ComparisonError):
        compare((Q4_K_M[0], MODELS / "llama" / "hf"))
