from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.comparison import Comparison, Statistics, TensorComparison
from gguf_lab.comparison.histogram import BINS, CENTRE

from ..models import MODELS

FOLDER = MODELS / "llama-256"


@pytest.fixture(scope="module")
def result():
    return gl.compare(FOLDER / "llama-Q4_K_M.gguf", FOLDER / "hf", progress=False)


def row(name, layer, kind, statistics=None, status="compared", reason=""):
    return TensorComparison(
        name, "r", "", status, reason, layer, kind, "Q4_0", (2, 32), 64, 4.5, statistics
    )


def of(*rows):
    return Comparison(rows, Path("a.gguf"), Path("hf"), "numpy", "cpu", 0.1, complete=True)


def test_layers_pool_their_sums_and_leave_the_rest_out():
    a, b = Statistics(n=64, ee=1.0, rr=4.0, xx=4.0, xr=3.9), Statistics(n=64, ee=3.0, rr=4.0)
    layers = of(
        row("blk.0.x", 0, "x", a),
        row("blk.0.y", 0, "y", b),
        row("token_embd", None, "token_embd", Statistics(n=64, ee=100.0, rr=1.0)),
        row("blk.1.x", 1, "x", status="unmatched"),
    ).layers()
    assert layers["layer"].tolist() == [0]
    assert layers["n_tensors"].tolist() == [2]
    assert layers["relative_rmse"].tolist() == [np.sqrt(4 / 8)]
    assert layers["bits_per_weight"].tolist() == [4.5]


def test_what_is_unverified_is_in_no_summary():
    good, bad = Statistics(n=64, ee=1.0, rr=4.0), Statistics(n=64, ee=99.0, rr=4.0)
    comparison = of(
        row("blk.0.x", 0, "x", good),
        row("blk.0.y", 0, "y", bad, status="unverified", reason="no table"),
        row("blk.1.y", 1, "y", bad, status="unverified", reason="no table"),
    )
    layers = comparison.layers()
    assert layers["layer"].tolist() == [0]
    assert layers["relative_rmse"].tolist() == [0.5]
    assert [r.name for r in comparison.compared] == ["blk.0.x"]
    assert comparison.summary == (
        "1 of 3 tensors compared, 2 unverified (only name and shape agree)"
    )
    assert comparison["blk.1.y"].rmse == bad.rmse
    assert comparison.histogram("blk.1.y").total == 0
    labels = {line.get_label() for line in comparison.plot_layers().axes[0].lines}
    assert labels == {"x", "whole layer"}
    first, _, second = comparison._repr_html_().partition("Unverified")
    assert "blk.0.x" in first
    assert "blk.0.y" not in first
    assert "blk.0.y" in second


def test_a_broken_tensor_is_the_worst_of_a_card_and_zeros_are_the_last():
    broken, zeros = Statistics(n=64, ee=np.nan, rr=1.0, peak=np.nan), Statistics(n=64)
    rows = [row(f"blk.{i}.x", i, "x", Statistics(n=64, ee=1.0, rr=4.0, peak=1)) for i in range(8)]
    html = of(row("zero.x", 9, "x", zeros), *rows, row("nan.x", 8, "x", broken))._repr_html_()
    assert html.index("nan.x") < html.index("blk.0.x") < html.index("blk.7.x") < html.index("zero")


def test_pooling_leaves_the_rows_as_they_were():
    a = Statistics(n=64, ee=1.0, rr=4.0)
    comparison = of(row("blk.0.x", 0, "x", a), row("blk.0.y", 0, "y", Statistics(n=1, ee=9.0)))
    comparison.layers()
    assert (a.n, a.ee) == (64, 1.0)


def test_no_layer_gives_an_empty_frame_with_its_columns():
    assert list(of().layers().columns)[:2] == ["layer", "n_tensors"]


def test_only_compared_rows_carry_figures():
    bad = row("blk.0.x", 0, "x", status="unmatched", reason="no such tensor")
    comparison = of(bad)
    assert bad.rmse is bad.sqnr_db is bad.n_nan is bad.histogram is None
    with pytest.raises(gl.ComparisonError, match="no such tensor"):
        comparison.histogram("blk.0.x")
    assert "1 unmatched" in comparison.summary


def test_histograms_share_their_edges(result):
    a, b = result.histogram("blk.0.attn_q.weight"), result.histogram("output.weight")
    assert (a.edges == b.edges).all()
    assert a.total == result["blk.0.attn_q.weight"].n_elements


def test_an_unknown_name_suggests_close_ones(result):
    with pytest.raises(KeyError, match=r"blk\.0\.attn_q\.weight"):
        result["blk.0.attn_qq.weight"]
    assert "output.weight" in result._ipython_key_completions_()


def test_a_tensor_is_in_it_by_its_name_or_its_row(result):
    assert "output.weight" in result
    assert result["output.weight"] in result
    assert "output" not in result
    only = of(row(None, None, "", status="unmatched"))
    assert None not in only
    with pytest.raises(KeyError, match="None"):  # the row of the reference has no name in the file
        only[None]


def test_what_a_notebook_shows_is_escaped():
    html = of(row("<script>alert(1)</script>", 0, "x", Statistics(n=1, ee=1, rr=1)))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_text_and_html_say_the_same(result):
    assert result.summary in repr(result)
    assert result.summary in result._repr_html_()
    assert "weight-space error" in result._repr_html_()


@pytest.mark.parametrize("statistic", ["relative_rmse", "sqnr_db"])
def test_pictures_have_a_title_and_units(result, statistic):
    for figure in (result.plot_layers(statistic), result.plot_heatmap(statistic)):
        axes = figure.axes[0]
        assert "llama-Q4_K_M.gguf" in axes.get_title(loc="left")
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_layer_line_is_the_pooled_figure(result):
    axes = result.plot_layers().axes[0]
    line = next(line for line in axes.lines if line.get_label() == "whole layer")
    assert line.get_ydata().tolist() == result.layers()["relative_rmse"].tolist()
    labels = {line.get_label() for line in axes.lines}
    assert {"attn_q", "ffn_down"} < labels
    assert "attn_norm" not in labels  # vectors are stored exactly: a line at zero says nothing


def test_the_heatmap_shows_the_figures(result):
    image = result.plot_heatmap("sqnr_db").axes[0].images[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    table = result.to_frame().dropna(subset="layer")
    assert np.nanmin(shown) == table["sqnr_db"].min()


def test_a_histogram_is_drawn_from_the_real_bins(result):
    figure = result.plot_histogram("blk.1.ffn_down.weight")
    values, edges, _ = figure.axes[0].patches[0].get_data()
    drawn = result.histogram("blk.1.ffn_down.weight")
    assert set(edges) <= set(drawn.edges)
    inside = (drawn.edges[:-1] >= edges[0]) & (drawn.edges[1:] <= edges[-1])
    share = drawn.counts[inside].sum() / drawn.total
    assert np.isclose((values * np.diff(edges)).sum(), share)


def test_an_exact_tensor_can_be_drawn(result):
    assert result.plot_histogram("output_norm.weight").axes


def test_an_unknown_statistic_names_the_known_ones(result):
    with pytest.raises(gl.GGUFLabError, match="relative_rmse"):
        result.plot_layers("perplexity")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_tensor_whose_error_has_no_size_can_be_drawn_all_the_same(bad):
    counts = np.zeros(BINS, np.int64)
    counts[CENTRE + 100] = 7
    figure = of(row("x", 0, "x", Statistics(n=8, ee=bad, rr=1.0, counts=counts))).plot_histogram(
        "x"
    )
    values, edges, _ = figure.axes[0].patches[0].get_data()
    assert np.isclose((values * np.diff(edges)).sum(), 1)
