"""What is drawn of rates and plans: points where the figures are, names that cover nothing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation

from gguf_lab import GGUFLabError
from gguf_lab.plots.labels import label_points
from gguf_lab.plots.rates import plot_plan, plot_rate_distortion
from gguf_lab.plots.style import new_figure


def rates(**changes):
    frame = pd.DataFrame(
        {
            "method": ["Q4_0", "Q8_0", "int8 per tensor", "F16", "HQQ 4-bit"],
            "family": ["ggml", "ggml", "baseline", "ggml", "HQQ"],
            "bits_per_weight": [4.5, 8.5, 8.01, 16.0, np.nan],
            "sqnr_db": [20.5, 44.4, 14.9, 73.7, np.nan],
            "on_front": [True, True, False, True, False],
        }
    )
    return frame.assign(**changes)


def points(axes):
    """Return the points that are drawn, without the lines and the entries of the legend."""
    return sorted(
        (x, y)
        for line in axes.lines
        if line.get_linestyle() == "None"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    )


def test_methods_are_where_their_figures_are():
    axes = plot_rate_distortion(rates(), title="a tensor").axes[0]
    assert points(axes) == [(4.5, 20.5), (8.01, 14.9), (8.5, 44.4)]
    assert "a tensor" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "bits per weight, scales included"
    assert "dB" in axes.get_ylabel()
    names = {text.get_text() for text in axes.texts}
    assert {"Q4_0", "Q8_0", "int8 per tensor"} <= names
    assert "HQQ 4-bit" not in names


def test_what_is_too_wide_is_said_below():
    figure = plot_rate_distortion(rates())
    assert figure.get_supxlabel() == "Not drawn: F16 (16 bits): 73.7 dB."


@pytest.mark.parametrize("at_0", [0.0, 3.0])
def test_the_bound_rises_by_6_dB_a_bit(at_0):
    axes = plot_rate_distortion(rates(), bound_db=at_0).axes[0]
    (bound,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    (x0, x1), (y0, y1) = bound.get_xdata(), bound.get_ydata()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(20 * math.log10(2))
    assert y0 - 20 * math.log10(2) * x0 == pytest.approx(at_0)


def test_without_a_bound_there_is_none():
    axes = plot_rate_distortion(rates(), bound_db=math.nan, weighted=True).axes[0]
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]
    assert axes.get_ylabel().startswith("weighted SQNR")


def test_the_right_axis_says_it_in_percent():
    figure = plot_rate_distortion(rates())
    figure.draw_without_rendering()
    (right,) = figure.axes[0].child_axes
    ticks = dict(
        zip([t.get_text() for t in right.get_yticklabels()], right.get_yticks(), strict=True)
    )
    assert ticks["10 %"] == pytest.approx(0.1)
    forward = right._functions[0]
    assert forward(20.0) == pytest.approx(0.1)
    assert forward(40.0) == pytest.approx(0.01)


def test_what_a_bit_buys_is_the_slope_of_the_front():
    bits = np.array([2.0, 3.0, 4.0, 5.0])
    frame = pd.DataFrame(
        {
            "method": [f"M{b:g}" for b in bits],
            "family": "ggml",
            "bits_per_weight": bits,
            "sqnr_db": 1 + 5.5 * bits,
            "on_front": True,
        }
    )
    title = plot_rate_distortion(frame).axes[0].get_title(loc="left")
    assert title.endswith("Along the front one bit more buys 5.5 dB")


def test_nothing_to_draw_is_an_error():
    with pytest.raises(GGUFLabError, match="nothing to draw"):
        plot_rate_distortion(rates(sqnr_db=np.nan))
    with pytest.raises(GGUFLabError, match="nothing to draw"):
        plot_rate_distortion(rates(bits_per_weight=16.0))


def test_a_plan_beside_the_mixes():
    curve = pd.DataFrame({"bits_per_weight": [4.0, 5, 6], "relative_rmse": [0.1, 0.05, 0.02]})
    mixes = pd.DataFrame(
        {
            "mix": ["Q4_K_M", "Q2_K", "IQ2_XXS"],
            "bits_per_weight": [5.0, 4.2, np.nan],
            "relative_rmse": [0.06, 0.12, np.nan],
        }
    )
    axes = plot_plan(curve, mixes, bits=5.0, error=0.05, title="a model").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["named mixes of llama-quantize"].get_xdata().tolist() == [5.0, 4.2]
    assert (lines["this plan"].get_xdata(), lines["this plan"].get_ydata()) == ([5.0], [0.05])
    texts = [text.get_text() for text in axes.texts]
    assert {"Q4_K_M", "Q2_K"} <= {*texts}
    assert any(text.startswith("this plan: 5.00 bits, 5 %") for text in texts)
    assert axes.get_yscale() == "log"
    assert "a model" in axes.get_title(loc="left")


def test_a_plan_without_error_is_drawn_too():
    curve = pd.DataFrame({"bits_per_weight": [4.0, 8.0], "relative_rmse": [0.1, 0.0]})
    mixes = pd.DataFrame({"mix": ["Q8_0"], "bits_per_weight": [8.5], "relative_rmse": [0.005]})
    figure = plot_plan(curve, mixes, bits=8.0, error=0.0)
    figure.draw_without_rendering()


def test_names_cover_neither_points_nor_each_other():
    rng = np.random.default_rng(2)
    figure, axes = new_figure(8, 5)
    axes.set(xlim=(0, 10), ylim=(0, 10))
    named = [(x, y, f"name {k}") for k, (x, y) in enumerate(rng.uniform(1, 9, (30, 2)).tolist())]
    left_out = label_points(figure, axes, named)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [text for text in axes.texts if isinstance(text, Annotation)]
    assert len(texts) + len(left_out) == 30
    assert len(texts) > 20
    boxes = [super(Annotation, text).get_window_extent(renderer) for text in texts]
    spots = axes.transData.transform([(x, y) for x, y, _ in named])
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        inner = box.shrunk(0.98, 0.9)
        assert not any(inner.contains(*spot) for spot in spots)


def test_names_without_a_place_are_told():
    figure, axes = new_figure(3, 2)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    crowd = [(0.5, 0.5, f"a rather long name {k}") for k in range(40)]
    left_out = label_points(figure, axes, crowd)
    assert left_out
    assert {*left_out} < {name for *_, name in crowd}
