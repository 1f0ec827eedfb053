"""Two GGUF files: tensor by tensor, and what differs in metadata, tokenizer and chat template."""

from __future__ import annotations

import json
import os
from functools import partial

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab import cli
from gguf_lab.comparison.statistics import measure

from ..models import MODELS
from .llama import compare
from .rewriting import rewrite

Q4_K_M = MODELS / "llama-256" / "llama-Q4_K_M.gguf"
FIGURES = ["rmse", "relative_rmse", "sqnr_db", "cosine", "max_abs_error", "mean_abs_error"]
TEMPLATE = "{% for m in messages %}\n" * 20


def matrix_types(matrix):
    """Types by name: norms stay as they are."""
    return lambda name: None if "norm" in name else matrix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def half(folder):
    return rewrite(Q4_K_M, folder / "half.gguf", qtype=matrix_types("F16"))


@pytest.fixture(scope="module")
def other(folder):
    """Another uploader's: other types, another tokenizer and template, one tensor less."""
    with gl.open(Q4_K_M) as model:
        tokens = model.metadata["tokenizer.ggml.tokens"][:]
    tokens[7], tokens[300] = "seven", "<b>\x1b[31m"
    return rewrite(
        Q4_K_M,
        folder / "other.gguf",
        qtype=lambda name: "Q8_0" if "attn" in name else matrix_types("Q5_1")(name),
        metadata={
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.chat_template": TEMPLATE + "<b>\x1b[31m",
            "general.size_label": None,
            "general.organization": "another",
        },
        leave_out=("output.weight",),
        shapes={"blk.0.ffn_up.weight": (100, 256)},
    )


def test_a_file_is_itself_exactly():
    with gl.open(Q4_K_M) as model:
        for reference in (Q4_K_M, str(Q4_K_M), model):
            result = compare(model, reference)
            frame = result.to_frame()
            assert (frame["status"] == "compared").all()
            assert (frame[["rmse", "relative_rmse", "max_abs_error"]] == 0).all(axis=None)
            assert (frame["qtype"] == frame["reference_qtype"]).all()
            assert result.metadata_differences.empty
        assert model.tensor("output.weight").to_numpy(slice(0, 1)).shape == (1, 256)


@pytest.mark.slow
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("backend", ["numba", "numpy", "torch"])
def test_figures_are_those_of_the_plain_path(other, half, direction, backend, monkeypatch):
    from gguf_lab.comparison import measuring

    monkeypatch.setattr(measuring, "_CHUNK", 5000)
    monkeypatch.setattr(measuring, "choose_backend", lambda device: backend)
    for file in (other, half):
        pair = (Q4_K_M, file)[::direction]
        result = compare(*pair)
        assert result.backend == backend
        with gl.open(pair[0]) as model, gl.open(pair[1]) as reference:
            for row in result.compared:
                ours, theirs = model.tensor(row.name), reference.tensor(row.name)
                assert (row.qtype, row.reference_qtype) == (ours.qtype, theirs.qtype)
                want = measure(
                    *(gl.dequantize(t.blocks(), t.qtype, backend="numpy") for t in (ours, theirs))
                )
                got = [getattr(row, figure) for figure in FIGURES]
                expected = [
                    getattr(want, "peak" if figure == "max_abs_error" else figure)
                    for figure in FIGURES
                ]
                np.testing.assert_allclose(got, expected, rtol=1e-6, err_msg=row.name)
                assert (row.histogram.counts == want.counts).all()
    types = {(row.qtype, row.reference_qtype) for row in compare(Q4_K_M, other).compared}
    assert {("Q4_K", "Q8_0"), ("Q6_K", "Q5_1"), ("Q4_K", "Q5_1"), ("F32", "F32")} <= types


def test_what_does_not_pair_has_a_reason(other):
    result = compare(Q4_K_M, other)
    assert result["output.weight"].reason == "the reference has no tensor of this name"
    shapes = "shape (512, 256) in the file, (100, 256) in the reference"
    assert result["blk.0.ffn_up.weight"].reason == shapes
    turned = compare(other, Q4_K_M)
    assert "1 only in the reference" in turned.summary
    only = turned.rows[-1]
    assert (only.name, only.reference_name) == (None, "output.weight")
    assert only.reason == "the file has no output.weight"
    assert only.reference_qtype == "Q6_K"
    assert turned.summary.endswith("4 metadata keys differ")


def test_another_model_is_one_clear_error():
    with pytest.raises(gl.ComparisonError, match="are not the same model: only 0 of") as caught:
        compare(Q4_K_M, MODELS / "bert" / "bert-bf16.gguf")
    assert "architecture 'bert'" in str(caught.value)
    with pytest.raises(gl.ComparisonError, match=r"shape \(512, 256\) in the file, \(512, 96\)"):
        compare(Q4_K_M, MODELS / "llama" / "llama-bf16.gguf")


def test_a_truncated_reference_is_unsupported(tmp_path):
    (tmp_path / "cut.gguf").write_bytes(Q4_K_M.read_bytes()[:-1000])
    frame = compare(Q4_K_M, tmp_path / "cut.gguf").to_frame().set_index("name")
    bad = frame[frame["status"] != "compared"]
    assert list(bad["status"]) == ["unsupported"]
    assert bad["reason"].iloc[0] == "the tensor in the reference is truncated"


def test_a_file_is_known_by_its_first_bytes(tmp_path):
    (tmp_path / "blob").write_bytes(Q4_K_M.read_bytes())
    assert compare(Q4_K_M, tmp_path / "blob").compared
    (tmp_path / "broken.gguf").write_bytes(b"")
    with pytest.raises(gl.GGUFError):
        compare(Q4_K_M, tmp_path / "broken.gguf")
    with pytest.raises(gl.CheckpointError):
        compare(Q4_K_M, tmp_path)


def test_metadata_tokenizer_and_template(other):
    frame = compare(Q4_K_M, other).metadata_differences.set_index("key")
    assert list(frame.columns) == ["ours", "theirs", "kind"]
    tokens = frame.loc["tokenizer.ggml.tokens"]
    assert tokens["kind"] == "2 of 512 items differ"
    assert tokens["theirs"] == r'[7] "seven", [300] "<b>\x1b[31m"'
    assert frame.loc["general.size_label", "kind"] == "only in the file"
    assert frame.loc["general.organization", "kind"] == "only in the reference"
    assert frame.loc["general.organization", "theirs"] == '"another"'
    template = frame.loc["tokenizer.chat_template"]
    assert "differ from line" in template["kind"]
    assert set(frame.index) == {
        "tokenizer.ggml.tokens",
        "general.size_label",
        "general.organization",
        "tokenizer.chat_template",
    }


def test_what_is_shown_of_metadata_is_escaped(other):
    result = compare(Q4_K_M, other)
    html = result._repr_html_()
    assert "What differs in metadata" in html
    assert "<b>\\x1b" not in html
    for text in (html, *result.metadata_differences.to_numpy().ravel()):
        assert "\x1b" not in text


def test_a_checkpoint_has_no_metadata_to_compare():
    result = compare(Q4_K_M, MODELS / "llama-256" / "hf")
    assert result.metadata_differences.empty
    assert list(result.metadata_differences.columns) == ["key", "ours", "theirs", "kind"]


def test_the_command_line_compares_two_files(other, capsys):
    assert cli.main(["compare", str(Q4_K_M), str(other)]) == 0
    out = capsys.readouterr().out
    assert "Q8_0" in out
    assert "metadata tokenizer.ggml.tokens: 2 of 512 items differ: [7] " in out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert cli.main(["compare", str(Q4_K_M), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["tensors"]}
    (differing,) = (d for d in found["metadata_differences"] if d["key"].endswith(".tokens"))
    assert differing["kind"] == "2 of 512 items differ"
    assert rows["blk.0.attn_q.weight"]["reference_qtype"] == "Q8_0"


def test_the_workbench_takes_two_files(other):
    workbench = gl.explore(Q4_K_M, other)
    result = workbench.wait(60)
    assert workbench.progress.error == ""
    assert result["blk.0.attn_q.weight"].rmse > 0
    workbench.selected = "blk.0.attn_q.weight"
    assert ["reference type", "Q8_0"] in workbench.detail.facts
    workbench.close()
    with pytest.raises(gl.GGUFError, match="closed"):
        workbench.reference.tensor("blk.0.attn_q.weight").blocks()


@pytest.mark.parametrize("ending", ["", ".gguf"])
@pytest.mark.parametrize("use", [gl.open, gl.open_checkpoint, gl.check, None])
def test_what_the_system_refuses_to_look_at_is_an_error_of_ours(tmp_path, use, ending):
    use = use or partial(compare, Q4_K_M)
    with pytest.raises(gl.GGUFLabError, match=r"cannot be read: .*too long"):
        use(tmp_path / ("x" * 300 + ending))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("ending", ["", ".gguf", ".safetensors"])
def test_a_pipe_is_not_waited_for_and_said_to_be_there(tmp_path, ending):
    pipe = tmp_path / f"pipe{ending}"
    os.mkfifo(pipe)
    with pytest.raises(gl.GGUFLabError, match=r"is (neither a file nor a folder|not a regular)"):
        compare(Q4_K_M, pipe)
