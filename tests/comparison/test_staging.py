from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from gguf_lab.comparison.staging import Stager


def test_what_arrives_is_what_was_sent_from_any_layout():
    rows = np.arange(48, dtype=np.uint8).reshape(6, 8)
    rows.flags.writeable = False
    with Stager("cpu").stage(rows, rows[:, ::2], rows[:0]) as staged:
        assert [tensor.tolist() for tensor in staged] == [
            list(range(48)),
            list(range(0, 48, 2)),
            [],
        ]
        assert {tensor.dtype for tensor in staged} == {torch.uint8}


def test_no_more_callers_at_once_than_slots():
    stager, inside, most, lock = Stager("cpu", 2), 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def work(k):
        nonlocal inside, most
        with stager.stage(np.full(100, k, np.uint8)) as (tensor,):
            with lock:
                inside += 1
                most = max(most, inside)
            both.wait()  # two are in here together, or this fails
            with lock:
                inside -= 1
            return int(tensor.sum())

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(12))) == [100 * k for k in range(12)]
    assert most == 2


def test_an_error_gives_the_slot_back():
    stager = Stager("cpu", 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), stager.stage(np.zeros(1, np.uint8)):
            raise ZeroDivisionError
    with stager.stage(np.ones(1, np.uint8)) as (tensor,):
        assert tensor.tolist() == [1]
