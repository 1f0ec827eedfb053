"""Tensors taken together."""

from __future__ import annotations

import math

from gguf_lab.comparison import Statistics
from gguf_lab.comparison.pool import Pool, pools

from .test_beside import row


def test_rows_are_grouped_and_those_without_key_or_figures_left_out():
    rows = [row(name, 0.5) for name in ("blk.1.a", "blk.0.a", "blk.1.b", "output")]
    rows.append(row("blk.1.c", status="unmatched"))
    found = pools(rows, lambda row: row.layer)
    assert [*found] == [1, 0]
    assert (found[1].n_tensors, found[0].n_tensors) == (2, 1)
    first, _, second, *_ = rows
    assert found[1].nbytes == first.nbytes + second.nbytes
    assert found[1].statistics.ee == first.statistics.ee + second.statistics.ee


def test_bits_per_weight_of_nothing_are_unknown():
    assert math.isnan(Pool().bits_per_weight)
    pool = Pool()
    pool.add(Statistics(n=32), 18)
    pool.add(Statistics(n=0), None)
    assert (pool.n_tensors, pool.bits_per_weight) == (2, 4.5)
