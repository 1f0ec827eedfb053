from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import threads
from gguf_lab.codec.threads import pool, run_chunks

LARGE = 1 << 22
"""Weights of an item: more than one task takes."""


def test_a_pool_whose_threads_share_out_work_again_does_not_wait_for_itself():
    done: list[int] = []

    def inner(_: int) -> None:
        run_chunks(lambda start, stop: done.extend(range(start, stop)), 8, LARGE, threads=3)

    try:
        futures = [pool(3).submit(inner, k) for k in range(3)]
        for future in futures:
            future.result(timeout=30)
    finally:
        pool(3).shutdown(wait=False, cancel_futures=True)
        pool.cache_clear()
    assert sorted(done) == sorted(list(range(8)) * 3)


def test_after_an_error_nothing_goes_on():
    calls = []

    def work(start: int, stop: int) -> None:
        calls.append(start)
        if start == 0:
            raise ValueError("the first one")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="the first one"):
        run_chunks(work, 100, LARGE, threads=2)
    seen = len(calls)
    assert seen < 50  # there are as many tasks; a busy machine may be slow to cancel the rest
    time.sleep(0.2)
    assert len(calls) == seen


def test_work_is_done_once_and_completely():
    seen = np.zeros(1000, int)

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    run_chunks(work, 1000, threads._TASK // 7, threads=2)
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("n", "weights_each", "sizes"),
    [
        (16, 1 << 20, {2}),  # no fewer weights than pay
        (320, 1 << 18, {320 // 16}),  # else as many tasks as make two threads end together
        (1 << 20, 1 << 12, {1 << 11}),  # no more than are waited for after Ctrl-C
        (3, 1 << 40, {1}),
    ],
)
def test_tasks_are_neither_small_nor_large(n, weights_each, sizes):
    seen = set()
    run_chunks(lambda start, stop: seen.add(stop - start), n, weights_each, threads=2)
    assert seen == sizes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_child_of_fork_decodes():
    script = """
import multiprocessing, numpy as np, gguf_lab as gl
blocks = np.zeros((1 << 18, 18), np.uint8)

def decode():
    assert not gl.dequantize(blocks, "Q4_0").any()

decode()
child = multiprocessing.get_context("fork").Process(target=decode)
child.start()
child.join(60)
hangs = child.is_alive()
child.kill()
assert not hangs and child.exitcode == 0, (hangs, child.exitcode)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2"])
def test_threads_are_a_number_of_threads(number):
    values = np.zeros((2, 32), np.float32)
    with pytest.raises(gl.GGUFLabError, match="threads must be a whole number, at least 1; got"):
        gl.quantize(values, "Q8_0", threads=number)
    assert gl.quantize(values, "Q8_0", threads=np.int64(2)).shape == (2, 34)


@pytest.mark.parametrize("most", [1, 2])
def test_fewer_threads_than_asked_for_do_all_of_the_work(most, allow_threads):
    seen = np.zeros(100, int)

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    allow_threads(most)
    run_chunks(work, 100, LARGE, threads=5)
    pool.cache_clear()
    assert (seen == 1).all()


def test_without_any_thread_nothing_is_done_now_or_later(allow_threads, monkeypatch):
    calls = []
    allow_threads(0)
    with pytest.raises(gl.GGUFLabError, match=r"no thread can be started .*ulimit -u"):
        run_chunks(lambda start, _: calls.append(start), 100, LARGE, threads=6)
    monkeypatch.undo()
    run_chunks(lambda _start, _stop: None, 100, LARGE, threads=6)
    assert not calls


def test_after_an_interrupt_while_work_is_handed_out_nothing_goes_on(monkeypatch):
    calls = []

    def work(start: int, _: int) -> None:
        calls.append(start)
        time.sleep(0.02)

    class Interrupted(threads.Pool):
        def submit(self, fn, /, *arguments):
            if arguments[0] > 50:
                raise KeyboardInterrupt
            return super().submit(fn, *arguments)

    made = Interrupted(2)
    monkeypatch.setattr(threads, "pool", lambda _: made)
    with pytest.raises(KeyboardInterrupt):
        run_chunks(work, 100, LARGE, threads=2)
    seen = len(calls)
    assert seen < 50  # there are as many tasks; a busy machine may be slow to cancel the rest
    time.sleep(0.2)
    assert len(calls) == seen


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": ""}, None),
        ({"cpu.max": "100000 max\n"}, None),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "\n"}, None),
        ({"cpu.cfs_quota_us": "150000\n"}, None),
    ],
)
def test_the_quota_of_a_control_group_is_read(files, quota, monkeypatch):
    def read_text(path):
        if path.name not in files:
            raise FileNotFoundError(path)
        return files[path.name]

    monkeypatch.setattr(threads.Path, "read_text", read_text)
    assert threads._cgroup_quota() == quota
