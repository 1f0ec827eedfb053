"""Look-ups times factors: what is compiled against NumPy, and both against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gguf_lab.reference.transforms import products


@given(
    st.sampled_from([1, 2, 4]),
    st.integers(0, 4),
    st.integers(0, 9),
    st.integers(0, 3),
    st.integers(1, 7),
    st.integers(0, 999),
)
def test_every_number_is_looked_up_and_multiplied(
    each: int, n_rows: int, width: int, spare: int, step: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    columns = max(0, width * each - min(spare, each - 1))
    table = rng.standard_normal((256, each), np.float32)
    table[rng.integers(256)] = np.nan
    rows = rng.integers(0, 256, (n_rows, width), np.uint8)
    factors = rng.standard_normal((n_rows, -(-columns // step)), np.float32)
    due = np.array(
        [
            [table[rows[i, j // each], j % each] * factors[i, j // step] for j in range(columns)]
            for i in range(n_rows)
        ],
        np.float32,
    ).reshape(n_rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        for backend in ("numba", "numpy"):
            patch.setattr(products, "choose_backend", lambda backend=backend: backend)
            found = products.look_up_and_multiply(rows, table, factors, step, columns)
            assert found.dtype == np.float32
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, due)
