"""Files whose architecture has no table: what is offered, how it is marked, what is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab import cli
from gguf_lab.comparison import Run

from ..models import MODELS
from ..tables import without_table
from .llama import compare
from .rewriting import rewrite

LLAMA, CHECKPOINT = MODELS / "llama" / "llama-bf16.gguf", MODELS / "llama" / "hf"


@pytest.fixture(scope="module", autouse=True)
def no_table():
    with without_table("orion"):
        yield


@pytest.fixture(scope="module")
def orion(tmp_path_factory):
    """A llama that calls itself orion: gguf has names for it."""
    path = tmp_path_factory.mktemp("orion") / "orion.gguf"
    return rewrite(LLAMA, path, architecture="orion")


@pytest.fixture(scope="module")
def result(orion):
    return compare(orion, CHECKPOINT)


def test_names_and_shapes_that_agree_are_measured_and_marked(result):
    frame = result.to_frame().set_index("name")
    assert (frame["status"] == "unverified").all()
    assert frame["reason"].str.contains("no table for architecture 'orion'").all()
    assert frame["rmse"].notna().all()
    # What the converter copies is exact, what it permutes is not: nobody has undone it.
    assert frame.loc["blk.0.ffn_up.weight", "max_abs_error"] == 0
    assert frame.loc["blk.0.attn_q.weight", "relative_rmse"] > 0.5
    assert (frame["reference_qtype"] == "BF16").sum() > 20
    row = result["blk.0.attn_q.weight"]
    assert row.measured
    assert row.histogram.total == row.n_elements


def test_progress_counts_what_is_measured(orion):
    run = Run(orion, CHECKPOINT)
    assert run.total == sum(row.n_elements for row in run)
    assert run.done == run.total


def test_no_summary_counts_them(result):
    assert result.compared == []
    assert result.layers().empty
    assert "0 of 30 tensors compared, 30 unverified" in result.summary
    for draw in (result.plot_layers, result.plot_heatmap):
        with pytest.raises(gl.GGUFLabError, match="no tensor of a layer was compared"):
            draw()


def test_every_output_marks_them(result):
    assert "30 unverified" in repr(result)
    html = result._repr_html_()
    assert "30 unverified" in html
    assert "Unverified: only name and shape" in html
    assert "blk.0.attn_q.weight" in html.partition("Unverified: only")[2]
    title = result.plot_histogram("blk.0.attn_q.weight").axes[0].get_title(loc="left")
    assert "(unverified)" in title


def test_the_command_line_marks_them(orion, capsys):
    assert cli.main(["compare", str(orion), str(CHECKPOINT)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert sum(" unverified " in line for line in out[1:31]) == 30
    assert out[31].startswith("30 tensors are unverified: no table for architecture 'orion'")
    assert cli.main(["compare", str(orion), str(CHECKPOINT), "--json", "--sort", "rmse"]) == 0
    rows = json.loads(capsys.readouterr().out)["tensors"]
    assert {row["status"] for row in rows} == {"unverified"}
    assert rows[0]["rmse"] > 0


def test_an_architecture_without_names_is_unmatched(tmp_path):
    path = rewrite(LLAMA, tmp_path / "new.gguf", architecture="newarch")
    frame = compare(path, CHECKPOINT).to_frame()
    assert (frame["status"] == "unmatched").all()
    assert (frame["reason"] == "no table for architecture 'newarch' yet").all()
    assert frame["rmse"].isna().all()


def test_a_shape_that_disagrees_is_unmatched(tmp_path):
    shapes = {"blk.1.ffn_up.weight": (150, 96)}
    path = rewrite(LLAMA, tmp_path / "o.gguf", architecture="orion", shapes=shapes)
    result = compare(path, CHECKPOINT)
    row = result["blk.1.ffn_up.weight"]
    assert row.status == "unmatched"
    assert not row.measured
    assert "shape (150, 96) in the file, (160, 96) in the checkpoint" in row.reason
    assert "29 unverified (only name and shape agree), 1 unmatched" in result.summary


def test_a_wrong_checkpoint_is_one_clear_error(tmp_path, orion):
    with pytest.raises(gl.ComparisonError, match="hidden size 96 in the file against 256"):
        compare(orion, MODELS / "llama-256" / "hf")
    silent = dict.fromkeys(["orion.embedding_length", "orion.block_count"])
    path = rewrite(LLAMA, tmp_path / "o.gguf", architecture="orion", metadata=silent)
    with pytest.raises(gl.ComparisonError, match=r"matrices have another shape, such as '.*, 96"):
        compare(path, MODELS / "llama-256" / "hf")


def test_figures_are_those_of_the_obvious_script(orion, result):
    from gguf_lab.comparison.statistics import measure

    with gl.open(orion) as model, gl.open_checkpoint(CHECKPOINT) as checkpoint:
        theirs = checkpoint.tensors["model.layers.1.self_attn.k_proj.weight"]
        x = model.tensor("blk.1.attn_k.weight").to_numpy()
        r = gl.dequantize(np.array(theirs.read(0, theirs.n_rows)), theirs.dtype, backend="numpy")
        want = measure(x, r)
    assert result["blk.1.attn_k.weight"].rmse == pytest.approx(want.rmse, rel=1e-6)
