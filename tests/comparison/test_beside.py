from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.comparison import Comparison, TensorComparison
from gguf_lab.comparison.beside import STATISTICS, pair_of, pairs_of
from gguf_lab.comparison.statistics import measure
from gguf_lab.errors import ComparisonError, GGUFLabError

from ..models import MODELS

REFERENCE = np.random.default_rng(7).standard_normal((4, 64)).astype(np.float32)


def row(name, error=0.0, bits=4.5, *, status="compared", **more):
    # of its own, whatever other tests have drawn
    rng = np.random.default_rng(crc32(f"{name} {error} {bits}".encode()))
    noise = rng.standard_normal(REFERENCE.shape).astype(np.float32) * np.float32(error)
    statistics = measure(REFERENCE + noise, REFERENCE)
    facts = {
        "name": name,
        "reference_name": f"model.{name}",
        "transform": "",
        "status": status,
        "reason": "" if status == "compared" else f"it is {status}",
        "layer": int(name.split(".")[1]) if name and name.startswith("blk") else None,
        "kind": name.split(".")[-1] if name else "",
        "qtype": "Q4_K" if bits < 8 else "Q8_0",
        "shape": REFERENCE.shape,
        "n_elements": REFERENCE.size,
        "bits_per_weight": bits,
        "statistics": statistics if status in {"compared", "unverified"} else None,
    }
    return TensorComparison(**(facts | more))


def only(name):
    empty = {"kind": "", "qtype": None, "bits_per_weight": None, "statistics": None}
    return row(None, status="unmatched", reference_name=name, **empty)


def comparison(*rows, path="a.gguf", reference="hf", complete=True):
    how = {"backend": "numpy", "device": "cpu", "seconds": 0, "complete": complete}
    return Comparison(rows, Path(path), Path(reference), **how)


def test_real_files_and_their_own_frames():
    """Every figure is the one of the comparison it is from."""
    folder = MODELS / "llama-256"
    a = gl.compare(folder / "llama-Q4_K_M.gguf", folder / "hf", progress=False)
    b = gl.compare(folder / "llama-Q4_K_M.gguf", folder / "hf", tensors="blk.*", progress=False)
    both = a.beside(b)
    frame = both.to_frame().set_index("name")
    alone = a.to_frame().set_index("name")
    with gl.open(folder / "llama-Q4_K_M.gguf") as model:
        nbytes = {name: tensor.nbytes for name, tensor in model.tensors.items()}
    inside = [name for name in frame.index if name.startswith("blk.")]
    assert list(frame.index) == list(alone.index)
    for name in frame.index:
        assert frame.loc[name, "nbytes_a"] == nbytes[name]
        for statistic in STATISTICS:
            assert frame.loc[name, f"{statistic}_a"] == alone.loc[name, statistic]
    assert set(frame.loc[inside, "better"]) == {"equal"}
    assert (frame.loc[inside, "difference"] == 0).all()
    rest = frame.drop(inside)
    assert set(rest["status"]) == {"unmatched"}
    assert set(rest["reason"]) == {"the comparison of B has no such tensor"}
    assert rest["better"].isna().all()
    assert both.counts() == {"A": 0, "B": 0, "equal": len(inside)}
    # Taken together: as the layers of the comparison itself.
    layers = both.pooled("layer").set_index("layer")
    for statistic in ("relative_rmse", "sqnr_db", "cosine", "max_abs_error", "bits_per_weight"):
        assert layers[f"{statistic}_a"].tolist() == a.layers()[statistic].tolist()


def test_who_is_better_by_every_statistic():
    a = comparison(row("x", 0.1), row("y", 0.01), row("z", 0.0))
    b = comparison(row("x", 0.01, 8.5), row("y", 0.1, 8.5), row("z", 0.0, 8.5), path="b.gguf")
    both = a.beside(b)
    for statistic in STATISTICS:
        frame = both.to_frame(statistic)
        assert frame["better"].tolist() == ["B", "A", "equal"]
        assert frame["difference"].tolist()[2] == 0.0  # infinite decibels too
        expected = frame[f"{statistic}_b"] - frame[f"{statistic}_a"]
        assert frame["difference"].tolist()[:2] == expected.tolist()[:2]
    assert both.counts("cosine") == {"A": 1, "B": 1, "equal": 1}
    assert frame["nbytes_a"].tolist() == [144] * 3
    assert frame["nbytes_b"].tolist() == [272] * 3
    # Exchanged, the other way round.
    turned = b.beside(a).to_frame()
    assert turned["better"].tolist() == ["A", "B", "equal"]
    assert np.array_equal(-turned["difference"], both.to_frame()["difference"])
    with pytest.raises(ComparisonError, match="does not say which is better: choose relative_rmse"):
        both.to_frame("reference_rms")


def test_what_is_not_a_number_is_not_better():
    nan = np.full((1, 4), np.nan, np.float32)
    zero = np.zeros((1, 4), np.float32)
    pair = pair_of(
        replace(row("x"), statistics=measure(nan, zero)),
        replace(row("x"), statistics=measure(zero, zero)),
    )
    assert pair.better("rmse") is None
    assert pair.better("relative_rmse") is None  # undefined against nothing but zeros
    assert math.isnan(pair.difference("rmse"))


def test_zeros_on_all_sides_are_equal_though_nothing_can_be_divided():
    zero, nan = np.zeros((1, 4), np.float32), np.full((1, 4), np.nan, np.float32)
    zeros, broken = (
        replace(row(name), statistics=measure(x, zero)) for name, x in (("x", zero), ("y", nan))
    )
    both = comparison(zeros, broken).beside(comparison(zeros, broken, path="b.gguf"))
    for statistic in STATISTICS:
        assert both.to_frame(statistic)["better"].tolist()[0] == "equal"
        assert both["x"].difference(statistic) == 0
        assert both.counts(statistic) == {"A": 0, "B": 0, "equal": 1}
    assert "A is nearer to the reference in 0, B in 0, equal in 1, not known in 1 (NaN);" in (
        both.summary
    )


def test_unverified_and_unmatched_rows_count_for_nothing():
    unmatched = row("z", status="unmatched")
    a = comparison(row("x", 0.1), row("y", 0.1, status="unverified"), unmatched, row("only.a"))
    b = comparison(row("x", 0.2), row("y", 0.2), row("z", 0.1), row("only.b"), path="b.gguf")
    both = a.beside(b)
    frame = both.to_frame().set_index("name")
    assert frame["status"].to_dict() == {
        "x": "compared",
        "y": "unverified",
        "z": "unmatched",
        "only.a": "unmatched",
        "only.b": "unmatched",
    }
    assert frame.loc["y", "better"] == "A"  # it has figures, and no sum counts it
    assert frame.loc["z", "reason"] == "A: it is unmatched"
    assert frame.loc["only.b", "reason"] == "the comparison of A has no such tensor"
    assert frame["better"].isna().tolist() == [False, False, True, True, True]
    assert both.counts() == {"A": 1, "B": 0, "equal": 0}
    assert both.pooled()["n_tensors"].item() == 1
    assert "4 not compared in both" in both.summary


def test_what_only_the_reference_has():
    a = comparison(row("x"), only("model.y"), only("model.z"))
    b = comparison(row("x"), row("y"), only("model.z"), path="b.gguf")
    names = [(pair.name, pair.reference_name) for pair in a.beside(b)]
    assert names == [("x", "model.x"), ("y", "model.y"), (None, "model.z")]
    assert "x" in a.beside(b)
    assert "model.z" not in a.beside(b)
    assert None not in a.beside(b)
    for wrong in ("xx", None):
        with pytest.raises(KeyError):
            a.beside(b)[wrong]


def test_pairs_that_do_not_fit_are_unmatched():
    other = row("x", 0.1, reference_name="model.other")
    pair = pair_of(row("x", 0.1), other)
    assert pair.status == "unmatched"
    assert pair.reason == "the reference name of A is model.x, that of B model.other"
    assert pair_of(row("x"), row("x", shape=(8, 32))).status == "unmatched"


def test_different_references_are_refused():
    with pytest.raises(ComparisonError, match="Compare both with the same one"):
        comparison(row("x")).beside(comparison(row("x"), reference="other"))
    with pytest.raises(ComparisonError, match="is no comparison"):
        comparison(row("x")).beside("b.gguf")
    same = comparison(row("x"), reference="./hf")
    assert len(comparison(row("x"), reference=str(Path("hf").resolve())).beside(same)) == 1


def test_words_and_pictures():
    rows = [row(f"blk.{i}.<b>attn", 0.1) for i in range(3)]
    finer = [row(f"blk.{i}.<b>attn", 0.01, 8.5) for i in range(3)]
    both = comparison(*rows).beside(comparison(*finer, path="b.gguf", complete=False))
    assert repr(both).startswith("A a.gguf, B b.gguf, against " + both._names[2])
    assert ": 3 tensors compared in both: A is" in repr(both)
    assert "B in 3, equal in 0; 432 bytes and 816 bytes; cancelled" in both.summary
    html = both._repr_html_()
    assert "&lt;b&gt;attn" in html
    assert "<b>attn" not in html
    figure = both.plot_layers()
    above, below = figure.axes
    assert above.get_title(loc="left")
    assert (above.get_ylabel(), below.get_ylabel()) == ("SQNR (dB)", "bits per weight")
    drawn = [line.get_ydata().tolist() for line in below.lines]
    assert drawn == [[4.5] * 3, [8.5] * 3]
    with pytest.raises(GGUFLabError, match="nothing to draw"):
        comparison(row("x")).beside(comparison(row("x"))).plot_layers()
    with pytest.raises(ComparisonError, match="cannot pool by"):
        both.pooled("type")
    with pytest.raises(KeyError, match="no tensor named"):
        both["nothing"]
    assert both["blk.1.<b>attn"].layer == 1


@given(*[st.lists(st.sampled_from("abcdef"), unique=True)] * 2)
def test_every_tensor_of_either_file_is_there_once(mine, others):
    blank = {"statistics": None, "status": "unmatched"}
    a, b = ([replace(row("x"), name=name, **blank) for name in names] for names in (mine, others))
    names = [pair.name for pair in pairs_of(a, b)]
    assert names[: len(mine)] == mine
    assert sorted(names) == sorted({*mine, *others})
