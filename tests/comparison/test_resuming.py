"""A comparison that was interrupted goes on where it was: nothing twice, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from shutil import copy, copytree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import gguf_lab as gl
from gguf_lab import cli
from gguf_lab.comparison import STATISTICS_VERSION, Run, Statistics, cache, measuring
from gguf_lab.comparison.histogram import BINS

from ..file.server import etag_of
from .llama import MODELS, ORIGINAL, Q4_K_M, bits, compare, figures

N = 21


def entries(folder):
    return sorted(folder.rglob("*.json"))


@pytest.fixture(scope="module")
def whole():
    return compare()


@pytest.fixture
def measured(monkeypatch):
    """Count the chunks that are measured, by tensor."""
    counts = Counter()
    original = measuring.Measuring._measure

    def counting(self, tensor, *rest):
        counts[tensor.name] += 1
        return original(self, tensor, *rest)

    monkeypatch.setattr(measuring.Measuring, "_measure", counting)
    return counts


def test_the_second_time_nothing_is_measured(tmp_path, whole, measured):
    first = compare(cache=tmp_path)
    assert (first.cached, first.cache_notes) == (0, ())
    assert figures(first) == figures(whole)
    assert "cache" not in first.summary
    assert len(measured) == len(entries(tmp_path)) == N
    measured.clear()
    run = Run(Q4_K_M, ORIGINAL, cache=tmp_path)
    second = run.result()
    assert not measured
    assert second.complete
    assert run.done == run.total
    assert figures(second) == figures(whole)
    assert (second.cached, second.cache_notes) == (N, ())
    assert f"{N} from the cache" in repr(second)
    assert f"{N} from the cache" in second._repr_html_()


def test_a_part_serves_the_whole(tmp_path, whole, measured):
    compare(cache=tmp_path, tensors="blk.0.*")
    n = len(measured)
    assert 0 < n < N
    result = compare(cache=str(tmp_path))
    assert result.cached == n
    assert set(measured.values()) == {1}
    assert figures(result) == figures(whole)
    assert compare(cache=tmp_path, tensors="blk.1.*").cached == 9


def test_what_was_not_taken_is_not_counted(tmp_path, whole):
    compare(cache=tmp_path)
    run = Run(Q4_K_M, ORIGINAL, cache=tmp_path, threads=1)
    for _ in run:
        run.cancel()
    result = run.result()
    assert not result.complete
    assert result.cached == len(result.rows) == 1


def test_after_a_cancelled_run(tmp_path, whole, measured):
    run = Run(Q4_K_M, ORIGINAL, cache=tmp_path, threads=1)
    for row in run:
        if row.name == "blk.0.attn_v.weight":
            run.cancel()
    kept = [row.name for row in run.result() if row.name]
    measured.clear()
    result = compare(cache=tmp_path)
    assert result.cached == len(kept) < N
    assert not {*kept} & {*measured}
    assert figures(result) == figures(whole)


CHILD = """
import itertools, os, sys, time
import gguf_lab as gl
from gguf_lab.comparison import measuring
original = measuring.Measuring._measure
begun, most = itertools.count(), int(sys.argv.pop())
def slow(self, tensor, *rest):
    os.write(1, (tensor.name + "\\n").encode())
    time.sleep(0.03 if next(begun) < most else 600)
    return original(self, tensor, *rest)
measuring.Measuring._measure = slow
model, reference, cache = sys.argv[1:]
gl.compare(model, reference, progress=False, cache=cache, threads=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_in_the_middle_again_and_again(tmp_path, whole, measured):
    finished = set()
    kills = 0
    for _ in range(3):
        command = [sys.executable, "-c", CHILD, str(Q4_K_M), str(ORIGINAL), str(tmp_path), "6"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            begun = [child.stdout.readline().strip() for _ in range(7)]
            while len(entries(tmp_path)) == len(finished) and child.poll() is None:
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            begun += child.stdout.read().split()
            assert child.wait() == -signal.SIGKILL
        kills += 1
        # What was whole before is not begun again, and nothing that was whole is lost.
        assert not finished & {*begun}
        now = {json.loads(f.read_text().splitlines()[1])["tensor"] for f in entries(tmp_path)}
        assert finished < now < {row.name for row in whole}
        finished = now
    result = compare(cache=tmp_path)
    assert result.cached == len(finished)
    assert not finished & {*measured}
    assert set(measured.values()) == {1}
    assert figures(result) == figures(whole)
    assert kills == 3
    assert result.cache_notes == ()


@pytest.mark.slow
def test_two_processes_at_once(tmp_path, whole):
    command = [sys.executable, "-c", CHILD, str(Q4_K_M), str(ORIGINAL), str(tmp_path), str(N)]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait() for child in both] == [0, 0]
    result = compare(cache=tmp_path)
    assert (result.cached, result.cache_notes) == (N, ())
    assert figures(result) == figures(whole)
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".json"}


def flip(content):
    return content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda c: b"",
        lambda c: c[:-200],
        lambda c: b"\n" + c,
        lambda c: b"{}\n",
        lambda c: c * 2,
    ],
)
def test_what_is_damaged_is_measured_again_and_said(tmp_path, whole, measured, damage):
    compare(cache=tmp_path)
    for file in entries(tmp_path)[:3]:
        file.write_bytes(damage(file.read_bytes()))
    measured.clear()
    result = compare(cache=tmp_path)
    assert len(measured) == 3
    assert result.cached == N - 3
    assert result.cache_notes == ("3 entries of the cache were damaged and measured again",)
    assert result.cache_notes[0] in result.summary
    assert figures(result) == figures(whole)
    again = compare(cache=tmp_path)
    assert (again.cached, again.cache_notes) == (N, ())


def test_another_version_is_measured_again_and_said(tmp_path, whole, measured, monkeypatch):
    compare(cache=tmp_path)
    monkeypatch.setattr(cache, "STATISTICS_VERSION", STATISTICS_VERSION + 1)
    measured.clear()
    result = compare(cache=tmp_path)
    assert len(measured) == N
    assert result.cached == 0
    assert result.cache_notes == (
        f"{N} entries of the cache were of another version and measured again",
    )
    assert figures(result) == figures(whole)
    assert compare(cache=tmp_path).cached == N


def test_an_entry_of_another_tensor_is_not_taken(tmp_path, whole):
    compare(cache=tmp_path)
    first, second = entries(tmp_path)[:2]
    copy(first, second)
    result = compare(cache=tmp_path)
    assert result.cached == N - 1
    assert figures(result) == figures(whole)


def test_the_same_name_with_other_bytes(tmp_path, measured):
    file, folder = tmp_path / "model.gguf", tmp_path / "hf"
    copy(Q4_K_M, file)
    copytree(ORIGINAL, folder)
    store = tmp_path / "cache"
    compare(file, folder, cache=store)
    assert compare(file, folder, cache=store).cached == N

    # One byte, and the time of the last change put back.
    with gl.open(file) as model:
        offset = model.tensor("output.weight").info.offset
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = compare(file, folder, cache=store)
    assert changed.cached == 0
    assert compare(file, folder, cache=store).cached == N

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"more": 1}))
    assert compare(file, folder, cache=store).cached == 0
    copy(file, tmp_path / "other.gguf")
    assert compare(tmp_path / "other.gguf", folder, cache=store).cached == 0


@pytest.mark.parametrize("side", [0, 1])
def test_what_was_changed_while_it_was_open_is_not_answered_from_the_cache(tmp_path, side):
    paths = copy(Q4_K_M, tmp_path / "model.gguf"), copytree(ORIGINAL, tmp_path / "hf")
    with gl.open(paths[0]) as model, gl.open_checkpoint(paths[1]) as original:
        assert compare(model, original, cache=tmp_path / "cache").complete
        written = (paths[0], paths[1] / "model.safetensors")[side]
        with written.open("r+b") as opened:
            opened.seek(-1, 2)
            opened.write(b"x")
        os.utime(written, ns=(1, 1))
        with pytest.raises(gl.GGUFLabError, match="was changed while it was open"):
            compare(model, original, cache=tmp_path / "cache")


def test_an_index_that_names_another_file(tmp_path):
    folder, name = tmp_path / "hf", "model.norm.weight"
    folder.mkdir()
    tensors = load_file(ORIGINAL / "model.safetensors")
    copy(ORIGINAL / "config.json", folder)
    save_file(tensors, folder / "a.safetensors")
    save_file({name: tensors[name] + 1}, folder / "b.safetensors")
    index = folder / "model.safetensors.index.json"
    weight_map = dict.fromkeys(tensors, "a.safetensors")
    # A second tensor of b keeps both files part of the checkpoint.
    index.write_text(json.dumps({"weight_map": weight_map | {name: "b.safetensors"}}))
    first = compare(Q4_K_M, folder, cache=tmp_path / "cache")
    save_file({name: tensors[name] + 1, "extra": tensors[name]}, folder / "b.safetensors")
    index.write_text(json.dumps({"weight_map": weight_map | {"extra": "b.safetensors"}}))
    compare(Q4_K_M, folder, cache=tmp_path / "cache")
    index.write_text(
        json.dumps({"weight_map": weight_map | {"extra": "b.safetensors", name: "b.safetensors"}})
    )
    second = compare(Q4_K_M, folder, cache=tmp_path / "cache")
    assert second.cached == N - 1
    assert "1 entry of the cache was of another version and" in second.summary
    assert bits(second["output_norm.weight"].statistics) == bits(
        first["output_norm.weight"].statistics
    )


def test_backends_do_not_share(tmp_path, monkeypatch):
    compare(cache=tmp_path)
    monkeypatch.setattr(measuring, "choose_backend", lambda device: "numpy")
    result = compare(cache=tmp_path)
    assert (result.backend, result.cached) == ("numpy", 0)
    assert compare(cache=tmp_path).cached == N


def test_two_files(tmp_path):
    pair = MODELS / "llama" / "llama-bf16.gguf", MODELS / "llama" / "llama-bf16.gguf"
    first, second = (compare(*pair, cache=tmp_path) for _ in range(2))
    assert second.cached == len(second.compared) > 0
    assert figures(first) == figures(second)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(gl.ComparisonError, match="cannot be made"):
        compare(cache=tmp_path / "file")


def test_a_disk_that_is_full_stops_nothing(tmp_path, whole, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    result = compare(cache=tmp_path)
    assert figures(result) == figures(whole)
    assert result.cache_notes == ("the cache could not be used: No space left on device",)


def test_entries_can_be_read_by_eye(tmp_path, whole):
    compare(cache=tmp_path)
    (file,) = tmp_path.rglob("blk.0.attn_q.weight-*.json")
    record = json.loads(file.read_text().splitlines()[1])
    row = whole["blk.0.attn_q.weight"]
    assert record["tensor"] == row.name
    assert record["reference"] == str(ORIGINAL)
    assert record["made of"]["transform"] == row.transform
    assert float.fromhex(record["ee"]) == row.statistics.ee
    assert record["n"] == row.n_elements
    assert sum(record["counts"]) == row.n_elements


def test_names_that_are_no_names_of_files(tmp_path):
    with gl.open(Q4_K_M) as model, gl.open_checkpoint(ORIGINAL) as checkpoint:
        store = cache.ResultCache(tmp_path, model, checkpoint, ("numba", "cpu", 1))
        names = ["../../x", "a/b", "A", "a", "\0", "é", "x" * 300, "CON", ".."]
        files = [store._file(name) for name in names]
    assert {file.parent for file in files} == {store.path}
    assert len({file.name.lower() for file in files}) == len(names)
    assert max(len(file.name) for file in files) < 100


numbers = st.floats(width=64)
STATISTICS = st.builds(
    Statistics,
    *(st.integers(0, 2**62), numbers, numbers, numbers, numbers, numbers, numbers),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.dictionaries(st.integers(0, BINS - 1), st.integers(0, 2**62), max_size=20).map(
        lambda d: np.array([d.get(i, 0) for i in range(BINS)], np.int64)
    ),
)


@given(STATISTICS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_all_figures_come_back_to_the_bit(found):
    again = cache._statistics(json.loads(json.dumps(cache._record(found))))
    assert bits(again) == bits(found)
    assert type(again.n) is int
    assert again.counts.dtype == np.int64


@pytest.fixture
def server(hub):
    hub.files["/model.gguf"] = Q4_K_M.read_bytes()
    return hub


def test_a_server_with_a_strong_etag(server, tmp_path, whole):
    url = f"{server.url}/model.gguf?key=secret-7"
    first = compare(url, cache=tmp_path / "cache")
    server.requests.clear()
    second = compare(url, cache=tmp_path / "cache")
    assert (first.cached, second.cached) == (0, N)
    assert figures(second) == figures(whole)
    assert len(server.requests) == 1  # the head of the file
    texts = [f.read_text() for f in entries(tmp_path / "cache")]
    assert not any("secret-7" in text for text in texts)
    server.files["/model.gguf"] = Q4_K_M.read_bytes()[:-32] + bytes(32)
    assert compare(url, cache=tmp_path / "cache").cached == 0


def test_a_server_without_a_strong_etag(server, tmp_path, whole):
    content = server.files["/model.gguf"]
    server.tricks.append(lambda h: h.part(content, ETag="W/" + etag_of(content)) is None)
    result = compare(f"{server.url}/model.gguf", cache=tmp_path / "cache")
    assert figures(result) == figures(whole)
    assert result.cache_notes == (
        "nothing is kept, because no strong ETag tells model.gguf from a changed one",
    )
    assert entries(tmp_path) == []


def test_the_command_line(tmp_path, capsys, whole):
    arguments = ["compare", str(Q4_K_M), str(ORIGINAL), "--json", "--cache", str(tmp_path)]
    assert cli.main(arguments) == 0
    before = json.loads(capsys.readouterr().out)
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    after = json.loads(captured.out)
    assert captured.err == ""
    assert after["tensors"] == before["tensors"]
    assert f"{N} from the cache" in after["summary"]
    entries(tmp_path)[0].write_text("")
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == "gguf-lab: 1 entry of the cache was damaged and measured again\n"
