"""One tensor against its reference, and the order of several."""

from __future__ import annotations

import numpy as np
import pytest

from gguf_lab.comparison import Statistics, TensorComparison, worst_first
from gguf_lab.comparison.statistics import measure

ONE = np.ones((2, 32), np.float32)


def row(name: str, statistics: Statistics | None) -> TensorComparison:
    return TensorComparison(
        name, "r", "", "compared", "", 0, "x", "F32", (2, 32), 64, 32.0, statistics
    )


ROWS = {
    "none": row("none", None),
    "same": row("same", measure(ONE, ONE)),
    "good": row("good", measure(ONE * np.float32(1.01), ONE)),
    "zeros": row("zeros", measure(0 * ONE, 0 * ONE)),
    "bad": row("bad", measure(ONE * -1, ONE)),
    "infinite": row("infinite", measure(ONE * np.float32(np.inf), ONE)),
    "of zeros": row("of zeros", measure(ONE, 0 * ONE)),
}


@pytest.mark.parametrize("figure", ["relative_rmse", "sqnr_db"])
def test_what_has_no_number_is_the_worst_but_where_it_is_exact(figure: str) -> None:
    names = [found.name for found in worst_first(ROWS.values(), figure)]
    assert names == ["of zeros", "infinite", "bad", "good", "same", "zeros", "none"]


def test_exact_is_known_of_what_was_measured() -> None:
    assert [name for name, found in ROWS.items() if found.exact] == ["same", "zeros"]
    assert ROWS["none"].exact is None


def test_rows_are_the_same_if_their_figures_are() -> None:
    again = row("good", measure(ONE * np.float32(1.01), ONE))
    assert again == ROWS["good"]
    assert hash(again) == hash(ROWS["good"])
    assert row("good", measure(ONE * np.float32(1.02), ONE)) != ROWS["good"]
    assert row("good", None) != ROWS["good"]
    # infinite, with sums that are NaN
    assert row("infinite", measure(ONE * np.float32(np.inf), ONE)) == ROWS["infinite"]
    assert Statistics() != Statistics(wee=0.0, wrr=0.0)
    assert Statistics() != 0


def test_the_same_sums_with_another_histogram_are_others() -> None:
    one, other = Statistics(n=1), Statistics(n=1)
    other.counts[3] = 1
    assert one != other
