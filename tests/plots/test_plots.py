from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.colors import to_hex
from matplotlib.image import imread

from gguf_lab import GGUFLabError
from gguf_lab.plots import plot_heatmap, plot_histogram, plot_layers


def rows(**changes):
    frame = pd.DataFrame(
        {
            "status": ["compared"] * 4,
            "layer": pd.array([0, 0, 1, 1], "Int64"),
            "kind": ["attn_q", "ffn_up", "attn_q", "ffn_up"],
            "shape": [(4, 4)] * 4,
            "rmse": [0.1, 0.2, 0.3, np.nan],
        }
    )
    return frame.assign(**changes)


LAYERS = pd.DataFrame({"layer": [0, 1], "rmse": [0.15, 0.3]})


def test_each_kind_is_a_line_with_its_own_marker():
    axes = plot_layers(rows(), LAYERS, "rmse").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["attn_q"].get_ydata().tolist() == [0.1, 0.3]
    assert lines["attn_q"].get_marker() != lines["ffn_up"].get_marker()
    assert axes.get_ylabel() == "RMSE (units of the weights)"


def test_the_matrices_of_a_llama_have_a_colour_each():
    kinds = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    frame = pd.concat([rows().iloc[[0]].assign(kind=kind) for kind in kinds])
    colours = {
        to_hex(line.get_color()) for line in plot_layers(frame, LAYERS, "rmse").axes[0].lines
    }
    assert len(colours) == len(kinds) + 1


def test_what_was_not_compared_is_not_drawn():
    status = ["compared", "compared", "compared", "unmatched"]
    image = plot_heatmap(rows(status=status, rmse=[0.1, 0.2, 0.3, 9.0]), "rmse").axes[0].images[0]
    assert np.ma.getmaskarray(image.get_array()).tolist() == [[False, False], [False, True]]


def test_names_are_no_formulas():
    """Two dollars in the name of a tensor, or of a file."""
    kinds = ["price_$5_and_$6", "a$\\frac{", "price_$5_and_$6", "$x_{$"]
    for figure in (
        plot_layers(rows(kind=kinds), LAYERS, "rmse", title="we$ird_{$.gguf"),
        plot_heatmap(rows(kind=kinds), "rmse", title="we$ird_{$.gguf"),
    ):
        figure.savefig(io.BytesIO())


@pytest.mark.parametrize("draw", [plot_heatmap, lambda *a, **k: plot_layers(a[0], LAYERS, *a[1:])])
def test_nothing_to_draw_is_an_error_that_says_so(draw):
    with pytest.raises(GGUFLabError, match="no tensor of a layer"):
        draw(rows(status=["unmatched"] * 4), "rmse")
    with pytest.raises(GGUFLabError, match=r"'perplexity'.*rmse"):
        draw(rows(), "perplexity")


@pytest.mark.parametrize("name", ["kind", "layer"])
def test_what_is_no_figure_is_not_drawn(name):
    with pytest.raises(GGUFLabError, match=rf"'{name}': known are rmse$"):
        plot_heatmap(rows(), name)


def test_cells_without_a_colour_say_why():
    status = ["compared", "unmatched", "compared", "compared"]
    table = rows(status=status, rmse=[np.inf, 9.0, -np.inf, np.nan])
    texts = {t.get_position(): t.get_text() for t in plot_heatmap(table, "rmse").axes[0].texts}
    assert texts == {(0, 0): "\u221e", (1, 0): "-", (0, 1): "-\u221e", (1, 1): "NaN"}


def test_endless_bins_are_left_out():
    edges, density = np.array([-np.inf, -1, 0, 1, np.inf]), np.array([0, 0.4, 0.6, 0])
    values, drawn, _ = plot_histogram(edges, density).axes[0].patches[0].get_data()
    assert drawn.tolist() == [-1, 0, 1]
    assert values.tolist() == [0.4, 0.6]


def test_a_dark_style_of_the_user_changes_no_colour():
    with style.context("dark_background"), mpl.rc_context({"text.usetex": True}):
        figure = plot_layers(rows(), LAYERS, "rmse")
        axes = figure.axes[0]
        seen = [*axes.get_xticklabels(), axes.xaxis.label, axes.title]
        assert {to_hex(text.get_color()) for text in seen} == {"#000000"}
        assert to_hex(figure.get_facecolor()) == to_hex(axes.get_facecolor()) == "#ffffff"
        figure.savefig(io.BytesIO())  # no LaTeX is looked for
    assert mpl.rcParams["text.color"] == "black"


@pytest.mark.parametrize(
    "settings",
    [{"savefig.transparent": True}, {"savefig.facecolor": "black"}, {"savefig.facecolor": "none"}],
)
def test_a_figure_shows_itself_on_white(settings: dict[Any, Any]):
    """Not on what a user saves figures on: black letters on nothing are not seen on a dark page."""
    with mpl.rc_context(settings):
        shown = io.BytesIO(plot_layers(rows(), LAYERS, "rmse")._repr_png_())
        image = imread(shown)
        assert all(mpl.rcParams[key] == value for key, value in settings.items())
    assert image[0, 0].tolist() == [1, 1, 1, 1]


def test_large_letters_of_the_user_cut_no_label():
    with style.context(["fivethirtyeight", {"font.size": 24}]):
        for figure in (plot_layers(rows(), LAYERS, "rmse"), plot_heatmap(rows(), "rmse")):
            figure._repr_png_()
            for axes in figure.axes:
                box = axes.yaxis.label.get_window_extent()
                assert (box.y0 >= 0, box.y1 <= figure.bbox.y1) == (True, True)


def test_a_grid_of_the_user_strikes_out_no_cell():
    """A minus under a line would not be seen."""
    with style.context("ggplot"):
        axes = plot_heatmap(rows(), "rmse").axes[0]
    assert not [
        line for line in axes.get_xgridlines() + axes.get_ygridlines() if line.get_visible()
    ]


def test_pictures_need_no_pyplot():
    code = (
        "import sys, numpy as np; from gguf_lab.plots import plot_histogram;"
        "plot_histogram(np.array([-1., 0, 1]), np.array([.5, .5]))._repr_png_();"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
