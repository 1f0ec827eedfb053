"""Any bytes: a good result or our own error, in bounded time and memory. See `run.py` for more.

Three ways to make bytes: whatever hypothesis thinks of, good files that are damaged, and files made
to be expensive. What is tried is the same every time; `make fuzz` looks further.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .seeds import CORPUS, made_for, seeds_of
from .targets import TARGETS, try_out
from .worst import WORST

BOUNDED = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SLOWEST = 5.0
"""Seconds of the processor for one input of a megabyte."""

# What is likely to be believed: lengths and counts at their edges.
NUMBERS = [
    n.to_bytes(width, "little")
    for width in (4, 8)
    for n in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63, 2**64 - 1)
    if n < 256**width
]
WORDS = [b"", b"\0", b"\xff", b"\x1b[2J", "\u202e".encode(), b"..", b"/", b'"', b"{", b"[" * 100]


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Take a good input and change a few places of it."""
    data = bytearray(draw(st.sampled_from(seeds_of(name))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["flip", "number", "word", "cut", "drop", "double"]))
        if how == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "number":
            number = draw(st.sampled_from(NUMBERS))
            data[place : place + len(number)] = number
        elif how == "word":
            data[place:place] = draw(st.sampled_from(WORDS))
        elif how == "cut":
            del data[place:]
        else:
            length = draw(st.integers(1, 64))
            part = data[place : place + length]
            data[place : place + length] = b"" if how == "drop" else part + part
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name):
    """What is damaged below is whole to begin with, or the damage would test nothing."""
    seeds = [*made_for(name)]
    taken = [seed for seed in seeds if try_out(name, seed)]
    assert len(taken) >= max(1, len(seeds) // 3)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs(name):
    @BOUNDED
    @given(damaged(name))
    def check(data: bytes) -> None:
        try_out(name, data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name):
    @BOUNDED
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        try_out(name, data)

    check()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux counts it")
def test_what_is_expensive_costs_no_more_than_its_share():
    """Inputs of a megabyte, with 400 MB of address space beyond what the packages take."""
    command = [sys.executable, "-m", "tests.fuzz.worst"]
    root = Path(__file__).parents[2]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"...{answer.stderr[-3000:]}"
    seconds = {name: float(text) for name, text in map(str.split, answer.stdout.splitlines())}
    assert set(seconds) == {*WORST} == {*TARGETS}
    assert {name: t for name, t in seconds.items() if t > SLOWEST} == {}


def test_the_corpus_is_small():
    kept = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) < 250_000
    assert {path.parent.name for path in kept} <= {*TARGETS}
