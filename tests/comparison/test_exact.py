"""Numbers that float32 has no room for are not called equal if they are not."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.comparison import measuring
from gguf_lab.comparison.exact import decode, difference
from gguf_lab.comparison.statistics import measure
from gguf_lab.panels.sides import Sides, read

if TYPE_CHECKING:
    from pathlib import Path

RAMP = np.linspace(1, 2, 96).reshape(3, 32)
SIDES = {
    "f64.weight": (RAMP + 1e-9, RAMP),
    "i32.weight": (np.full((3, 32), 2**24 + 1, np.int32), np.full((3, 32), 2**24, np.int32)),
    "i64.weight": (np.full((3, 32), 2**53 + 1, np.int64), np.full((3, 32), 2**53, np.int64)),
    "both.weight": (np.full((3, 32), 2**24 + 1, np.int32), np.full((3, 32), 2**24, np.float32)),
    "f32.weight": (np.ones((3, 32), np.float32), np.ones((3, 32), np.float32)),
}
ERRORS = {"f64.weight": 1e-9, "i32.weight": 1, "i64.weight": 1, "both.weight": 1, "f32.weight": 0}


def write(path: Path, side: int) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    for name, arrays in SIDES.items():
        writer.add_tensor(name, arrays[side])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("exact")
    return write(folder / "a.gguf", 0), write(folder / "b.gguf", 1)


@pytest.mark.parametrize("backend", ["numba", "numpy", "torch"])
@pytest.mark.parametrize("direction", [1, -1])
def test_what_differs_is_not_equal(
    files: Any, backend: str, direction: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "choose_backend", lambda device: backend)
    monkeypatch.setattr(measuring, "_EXACT_BYTES", 600)  # one row, or two
    weights = {name: np.full(32, 2.0) for name in SIDES}
    result = gl.compare(*files[::direction], importance=weights, progress=False)
    for name, error in ERRORS.items():
        row = result[name]
        assert row.max_abs_error == pytest.approx(error, rel=1e-6)
        assert row.rmse == pytest.approx(error, rel=1e-6)
        assert row.statistics is not None
        assert row.statistics.n == row.histogram.counts.sum() == 96
        assert row.weighted_relative_rmse == pytest.approx(row.relative_rmse)
        assert (row.sqnr_db == math.inf) == (error == 0)


def test_panels_show_the_difference_too(files: Any) -> None:
    with gl.open(files[0]) as model:
        sides = Sides(model, files[1])
        for name, error in ERRORS.items():
            found = read(sides.readers(name, ("difference", "original")), [(0, 2)], 3, 7)
            assert found["difference"].dtype == found["original"].dtype == np.float32
            np.testing.assert_allclose(found["difference"], np.full((2, 4), error), rtol=1e-6)
        sides.close()


def test_whole_numbers_are_subtracted_without_overflow() -> None:
    rng = random.Random(0)
    least, most = -(2**63), 2**63 - 1
    values = [least, most, 0, -1, 1, *(rng.randint(least, most) for _ in range(50))]
    x = np.repeat(np.array(values, np.int64), len(values))
    r = np.tile(np.array(values, np.int64), len(values))
    want = [float(a - b) for a, b in zip(x.tolist(), r.tolist(), strict=True)]
    assert difference(x, r).tolist() == want
    assert measure(x, r).peak == float(most - least)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_counted(bad: float) -> None:
    x, r = RAMP.copy(), RAMP.copy()
    x[1, 5] = bad
    for found in (measure(x, r), measure(r, x), measure(x, r.astype(np.int64))):
        assert (found.n_nan, found.n_inf) == (int(math.isnan(bad)), int(math.isinf(bad)))
        assert not math.isfinite(found.peak)


def test_other_types_are_decoded_as_ever() -> None:
    rows = RAMP.astype("<f4").view(np.uint8)
    found = decode("F32", rows)
    assert found.dtype == np.float32
    assert difference(found, found).dtype == np.float32
    assert decode("F64", RAMP.view(np.uint8)).tolist() == RAMP.tolist()
