"""Pooling against NumPy's own words, in any pieces; rectangles read as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.panels import pictures
from gguf_lab.panels.pictures import finish, picture, strongest
from gguf_lab.panels.pooling import HAS_INF, HAS_NAN, Pool, Region
from gguf_lab.panels.sides import SIDES, Sides, read
from gguf_lab.panels.survey import survey

from .tensors import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.sampled_from(
    [*np.linspace(-2, 2, 9), np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-45]
)


def slow_cells(values: np.ndarray, region: Region, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Every cell by itself."""
    rows, columns = region.shape
    cells, marks = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.uint8)
    for i in range(rows):
        for j in range(columns):
            part = values[
                i * region.tall : (i + 1) * region.tall, j * region.wide : (j + 1) * region.wide
            ].ravel()
            finite = part[np.isfinite(part)].astype(np.float64)
            marks[i, j] = HAS_NAN * np.isnan(part).any() + HAS_INF * np.isinf(part).any()
            if not finite.size:
                cells[i, j] = np.nan
            elif how == "mean":
                cells[i, j] = finite.sum() / finite.size
            else:
                high, low = finite.max(), finite.min()
                cells[i, j] = high if high >= -low else low
    return cells, marks


@st.composite
def regions(draw: Any) -> tuple[np.ndarray, Region]:
    n, m = draw(st.integers(1, 23)), draw(st.integers(1, 19))
    region = Region(0, n, 0, m, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    plain = np.array(draw(st.lists(VALUES, min_size=n * m, max_size=n * m)), np.float32)
    return plain.reshape(n, m), region


@settings(max_examples=60)
@given(regions(), st.sampled_from(["extreme", "mean"]), st.data())
def test_pooling_is_exact_in_any_pieces(
    case: tuple[np.ndarray, Region], how: Any, data: Any
) -> None:
    values, region = case
    pool = Pool(region, how)
    at = 0
    while at < len(values):
        left = region.tall - at % region.tall
        # Whole rows of cells, or a piece that stays inside of one.
        size = data.draw(
            st.sampled_from([region.tall * k for k in (1, 2, 3)])
            if left == region.tall and data.draw(st.booleans())
            else st.integers(1, left)
        )
        part = values[at : at + size]
        pool.add(part, at // region.tall, region.tall if size % region.tall == 0 else len(part))
        at += size
    cells, marks = slow_cells(values, region, how)
    np.testing.assert_array_equal(pool.marks(), marks)
    if how == "mean":
        # float64 sums in another order: one rounding of the float32 result.
        scale = np.abs(np.nan_to_num(values, nan=0, posinf=0, neginf=0)).max() * 1e-12
        np.testing.assert_allclose(pool.cells(), cells, rtol=2e-7, atol=scale)
    else:
        np.testing.assert_array_equal(pool.cells(), cells)


def test_a_cell_in_words() -> None:
    values = np.array([[1, np.nan, -np.inf, np.nan]], np.float32)
    pool = Pool(Region(0, 1, 0, 4, 1, 2), "extreme")
    pool.add(values, 0, 1)
    assert pool.words(0, 0) == "1.0 (and NaN)"
    assert pool.words(0, 1) == "NaN and inf"


# -- a file and its original


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two files of one model: Q4_0 and Q8_0 against F32."""
    folder = tmp_path_factory.mktemp("pair")
    random = np.random.default_rng(1)
    names = ["blk.0.attn_q.weight", "blk.0.attn_k.weight"]
    values = [random.normal(size=(100, 96)).astype(np.float32) for _ in names]
    types = ("Q4_0", "Q8_0")
    ours = {n: (v, t) for n, v, t in zip(names, values, types, strict=True)}
    theirs = {n: (v, "F32") for n, v in zip(names, values, strict=True)}
    with (
        gl.open(write_gguf(folder / "a.gguf", ours)) as model,
        gl.open(write_gguf(folder / "b.gguf", theirs)) as reference,
    ):
        yield Sides(model, reference), dict(zip(names, values, strict=True))


NAME = "blk.0.attn_q.weight"


def whole(sides: Sides, originals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stored = sides.model.tensors[NAME].to_numpy()
    return {
        "quantized": stored,
        "original": originals[NAME],
        "difference": stored - originals[NAME],
    }


@settings(max_examples=25)
@given(data=st.data())
def test_a_rectangle_is_what_is_stored(pair: Any, data: Any) -> None:
    sides, originals = pair
    a, b = sorted(data.draw(st.tuples(st.integers(0, 99), st.integers(0, 99))))
    c, d = sorted(data.draw(st.tuples(st.integers(0, 95), st.integers(0, 95))))
    found = read(sides.readers(NAME, SIDES), [(a, b + 1), (0, 1)], c, d + 1)
    for side, values in whole(sides, originals).items():
        expected = np.concatenate([values[a : b + 1, c : d + 1], values[:1, c : d + 1]])
        np.testing.assert_array_equal(found[side], expected)


@settings(max_examples=30)
@given(data=st.data())
def test_a_picture_is_exact_whatever_is_read_at_once(pair: Any, data: Any) -> None:
    sides, originals = pair
    tall, wide = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    top, left = tall * data.draw(st.integers(0, 2)), wide * data.draw(st.integers(0, 2))
    if top >= 100 or left >= 96:
        return
    region = Region(
        top,
        data.draw(st.integers(top + 1, 100)),
        left,
        data.draw(st.integers(left + 1, 96)),
        tall,
        wide,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "CHUNK", data.draw(st.sampled_from([1, 97, 1000, 1 << 20])))
        pools = finish(picture(sides.readers(NAME, SIDES), region, "extreme"))
        place = finish(strongest(sides.readers(NAME, SIDES)["original"], region))
    for side, values in whole(sides, originals).items():
        part = values[region.top : region.bottom, region.left : region.right]
        np.testing.assert_array_equal(pools[side].cells(), slow_cells(part, region, "extreme")[0])
    part = originals[NAME][region.top : region.bottom, region.left : region.right]
    assert abs(originals[NAME][place]) == np.abs(part).max()


def test_a_sampled_picture_shows_the_middle_rows(pair: Any) -> None:
    sides, originals = pair
    region = Region(0, 100, 0, 96, 7, 96)
    pools = finish(picture(sides.readers(NAME, ["original"]), region, "mean", sampled=True))
    rows = [(top + min(top + 7, 100)) // 2 for top in range(0, 100, 7)]
    expected = originals[NAME][rows].mean(axis=1, dtype=np.float64).astype(np.float32)
    np.testing.assert_allclose(pools["original"].cells()[:, 0], expected, rtol=1e-6)


def test_a_survey_knows_every_row(pair: Any) -> None:
    sides, originals = pair
    found = finish(survey(sides, NAME))
    values = {side: v.astype(np.float64) for side, v in whole(sides, originals).items()}
    np.testing.assert_allclose(found.norms, np.linalg.norm(values["quantized"], axis=1))
    expected = np.linalg.norm(values["difference"], axis=1)
    expected /= np.linalg.norm(values["original"], axis=1)
    assert found.relative is not None
    np.testing.assert_allclose(found.relative, expected, rtol=1e-6)
    assert found.histogram.total == 9600
    assert [row for row, _ in found.worst(5)] == np.argsort(-expected, kind="stable")[:5].tolist()


def test_what_is_not_finite_is_counted_and_marked(tmp_path: Path) -> None:
    values = np.ones((4, 32), np.float32)
    values[1, 3], values[2, 5], values[2, 6] = np.nan, np.inf, -np.inf
    path = write_gguf(tmp_path / "odd.gguf", {"t.weight": (values, "F32")})
    with gl.open(path) as model:
        sides = Sides(model)
        found = finish(survey(sides, "t.weight"))
        assert (found.n_nan, found.n_inf, found.histogram.total) == (1, 2, 127)
        assert np.isnan(found.norms[1])
        assert np.isinf(found.norms[2])
        region = Region(0, 4, 0, 32, 4, 4)
        readers = sides.readers("t.weight", SIDES)
        assert [*readers] == ["quantized"]
        marks = finish(picture(readers, region, "mean"))["quantized"].marks()
        assert marks.tolist() == [[HAS_NAN, HAS_INF, 0, 0, 0, 0, 0, 0]]
        assert finish(strongest(readers["quantized"], region)) == (1, 3)
