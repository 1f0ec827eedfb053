from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from gguf_lab.comparison import measuring, on_device
from gguf_lab.comparison.staging import Stager
from gguf_lab.errors import ComparisonError, GGUFLabError


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


def test_a_device_that_breaks_is_told_to_every_caller():
    """After an illegal access CUDA answers every call with the error: nobody waits for a slot."""
    stager = Stager("cpu", 1)
    slot = stager._free.get()
    slot.finish = lambda: (_ for _ in ()).throw(RuntimeError("CUDA error: an illegal access"))
    stager._free.put(slot)

    def work(_):
        with (
            pytest.raises(RuntimeError, match="illegal access"),
            stager.stage(np.ones(1, np.uint8)),
        ):
            pass

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_device_without_room_is_an_error_that_says_what_to_do(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(on_device, "_measure_with_torch", full)
    rows = np.zeros((1, 64), np.uint8)
    with pytest.raises(
        ComparisonError, match=r"(?s)not enough memory left.*2.00 GiB.*device='cpu'"
    ):
        on_device.measure_on_device(("BF16", rows), ("BF16", rows), "cpu")


@pytest.mark.parametrize("works", [True, False])
def test_the_cpu_compares_if_the_gpu_cannot(monkeypatch, tmp_path, works):
    """As it is full, in a fork, or too old for this torch."""

    def choose(device):
        if device == "cuda" and not works:
            raise GGUFLabError("device 'cuda' cannot be used with torch here: out of memory")
        return "torch"

    monkeypatch.setattr(measuring, "_DRIVERS", (str(tmp_path),))
    monkeypatch.setattr(measuring, "choose_backend", choose)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if works:
        assert measuring._choose_device("auto") == "cuda"
        return
    with pytest.warns(UserWarning, match="the CPU compares: .*out of memory"):
        assert measuring._choose_device("auto") == "cpu"


def test_sums_are_as_wide_as_the_device_has_them(monkeypatch):
    x, r = (np.full((1, 4), value, "<f4").view(np.uint8) for value in (1 + 2**-23, 1))
    sides = ("F32", x), ("F32", r)
    assert on_device.measure_on_device(*sides, "cpu").xx == 4 * (1 + 2**-23) ** 2
    monkeypatch.setattr(on_device, "has_float64", lambda _: False)
    assert on_device.measure_on_device(*sides, "cpu").xx == 4 * (1 + 2**-22)
