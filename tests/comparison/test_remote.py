"""Two sides on a server: the same figures as on this machine, for few bytes."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import gguf_lab as gl
from gguf_lab import cli
from gguf_lab.comparison import Run
from gguf_lab.file import RemoteOptions
from gguf_lab.file.scan import WINDOW

from ..file.server import COMMIT, etag_of
from ..file.test_shards import write_set
from ..models import MODELS

Q4_K_M, ORIGINAL = MODELS / "llama-256" / "llama-Q4_K_M.gguf", MODELS / "llama-256" / "hf"
BLOCK = 4096
SMALL = RemoteOptions(block_bytes=BLOCK, read_ahead_bytes=BLOCK, read_timeout=5, total_timeout=20)
TENSOR = "blk.1.ffn_down.weight"


@pytest.fixture
def hub(hub):
    hub.add_repository(
        "maker/llama-GGUF",
        {"llama-Q4_K_M.gguf": Q4_K_M.read_bytes()},
        {"base_model": "org/llama"},
    )
    hub.add_repository("org/llama", ORIGINAL)
    return hub


@pytest.fixture(scope="module")
def local():
    return gl.compare(Q4_K_M, ORIGINAL, progress=False)


def sums(row):
    """All sums and the whole histogram, bit for bit."""
    found = row.statistics
    if found is None:
        return None
    numbers = [getattr(found, f.name) for f in fields(found) if f.name != "counts"]
    return [n if n is None else float(n).hex() for n in numbers], found.counts.tobytes()


def figures(result):
    return [(row.name, row.reference_name, row.status, sums(row)) for row in result]


def test_a_remote_file_is_the_local_one(hub):
    with gl.open(Q4_K_M) as ours, gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf") as theirs:
        assert dict(ours.metadata) == dict(theirs.metadata)
        assert [t.info for t in ours.tensors.values()] == [t.info for t in theirs.tensors.values()]
        for name, tensor in ours.tensors.items():
            np.testing.assert_array_equal(tensor.to_numpy(), theirs.tensor(name).to_numpy())
            rows = slice(1, 3)
            assert tensor.blocks(rows).tobytes() == theirs.tensor(name).blocks(rows).tobytes()
        assert ours.fetched == 0
        assert theirs.fetched == Q4_K_M.stat().st_size
        assert "fetched" not in repr(ours)
        assert "fetched 905 kB of 905 kB" in repr(theirs)
        assert str(theirs.path) == "hf://maker/llama-GGUF/llama-Q4_K_M.gguf"
        assert theirs.file_name == ours.file_name
        tokens = theirs.metadata.get("tokenizer.ggml.tokens")
    if tokens is not None:
        assert len(list(tokens)) == len(tokens)  # metadata outlives the connection


def test_opening_fetches_the_head_alone(hub):
    with gl.open(Q4_K_M) as model:
        head = model.file.headers[0].data_offset
    with gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", options=SMALL) as model:
        assert head <= model.fetched + 32
        assert model.fetched <= head + WINDOW + 2 * BLOCK
        tensor = model.tensor(TENSOR)
        before = model.fetched
        tensor.dequantize(slice(0, 2))
        assert model.fetched - before <= 2 * tensor.row_bytes + 2 * BLOCK


def test_a_remote_comparison_is_the_local_one(hub, local):
    result = gl.compare("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", "hf://org/llama", progress=False)
    assert figures(result) == figures(local)
    assert len(result.compared) == 21
    assert 0 < result.model_fetched <= Q4_K_M.stat().st_size
    assert result.model_fetched + result.reference_fetched == sum_of_bodies(hub)
    assert str(result.reference_path) == "hf://org/llama"
    assert re.search(r"fetched 905 kB of the model and [\d.]+ MB of the reference", repr(result))
    assert "fetched 905 kB of the model" in result._repr_html_()
    assert (local.model_fetched, local.reference_fetched) == (0, 0)
    assert "fetched" not in local.summary


def test_a_remote_original_whose_quantizer_tells_the_method(hub, tmp_path):
    tensors, half = {}, 1 / 2
    for name, values in load_file(ORIGINAL / "model.safetensors").items():
        small = name.endswith("_proj.weight")
        tensors[name] = (values / half).to(torch.float8_e4m3fn) if small else values
        if small:
            tensors[f"{name}_scale"] = torch.tensor(half)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((ORIGINAL / "config.json").read_bytes())
    (tmp_path / "hf_quant_config.json").write_text('{"producer": {"name": "modelopt"}}')
    hub.add_repository("org/small", tmp_path)
    here = gl.compare(Q4_K_M, tmp_path, progress=False)
    there = gl.compare(Q4_K_M, "hf://org/small", progress=False)
    assert len(here.compared) == 21
    assert figures(there) == figures(here)


def sum_of_bodies(hub):
    """Bytes that were sent, without words about what is missing."""
    missing = sum(hub.find(path.partition("?")[0]) is None for path, _ in hub.requests)
    return hub.sent - missing * len(b"not here")


def test_one_tensor_is_compared_for_its_own_bytes(hub, local):
    with (
        gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", options=SMALL) as model,
        gl.open_checkpoint("hf://org/llama", options=SMALL) as checkpoint,
    ):
        assert checkpoint.fetched < 3 * BLOCK + 4096  # header and configuration
        assert "fetched" in repr(checkpoint)
        result = gl.compare(model, checkpoint, tensors=TENSOR, progress=False)
        reference = checkpoint.tensors[local[TENSOR].reference_name]
    assert sums(result[TENSOR]) == sums(local[TENSOR])
    # A tensor begins and ends inside of blocks.
    assert result.model_fetched <= model.tensor(TENSOR).nbytes + 2 * BLOCK
    assert result.reference_fetched <= reference.nbytes + 2 * BLOCK
    everything = Q4_K_M.stat().st_size + (ORIGINAL / "model.safetensors").stat().st_size
    assert model.fetched + checkpoint.fetched < everything / 3


def test_a_local_file_and_a_remote_original(hub, local):
    result = gl.compare(Q4_K_M, f"{hub.url}/org/llama/resolve/main", progress=False)
    assert figures(result) == figures(local)
    assert result.model_fetched == 0 < result.reference_fetched


def test_two_remote_files(hub):
    name = "hf://maker/llama-GGUF/llama-Q4_K_M.gguf"
    result = gl.compare(
        name,
        f"{hub.url}/maker/llama-GGUF/resolve/main/llama-Q4_K_M.gguf?download=true",
        progress=False,
    )
    assert {row.max_abs_error for row in result} == {0.0}
    assert math.isinf(result.compared[0].sqnr_db)


@pytest.mark.parametrize("stem", ["model", "consolidated"])
def test_an_original_in_shards(hub, local, tmp_path, stem):
    tensors = load_file(ORIGINAL / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    files = {"config.json": (ORIGINAL / "config.json").read_bytes()}
    for number in range(3):
        file = f"model-{number + 1:05d}-of-00003.safetensors"
        part = names[number::3]
        save_file({name: tensors[name] for name in part}, tmp_path / file)
        files[file] = (tmp_path / file).read_bytes()
        weight_map |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    hub.add_repository("org/shards", files | {f"{stem}.safetensors.index.json": index})
    hub.tricks.append(
        lambda h: (
            f"{stem}.safetensors.index" in h.path
            and h.answer(200, index, **{"X-Repo-Commit": COMMIT, "ETag": etag_of(index)}) is None
        )
    )
    result = gl.compare(Q4_K_M, "hf://org/shards", progress=False)
    assert figures(result) == figures(local)
    asked = {
        path for path, _ in hub.requests if path.endswith(("-00003.safetensors", "config.json"))
    }
    assert len(asked) == 4
    assert all(f"/resolve/{COMMIT}/" in path for path in asked)
    with gl.open_checkpoint("hf://org/shards") as checkpoint:
        assert checkpoint.n_files == 3
    hub.files["/org/shards/resolve/main/model-00002-of-00003.safetensors"] = b"no"
    with pytest.raises(gl.CheckpointError, match="too few for a safetensors file"):
        gl.open_checkpoint("hf://org/shards")


@pytest.mark.parametrize("file", ["../x.safetensors", "/x", "a:b", ""])
def test_an_index_that_leads_out(hub, file):
    index = json.dumps({"weight_map": {"a": file}}).encode()
    hub.add_repository("org/evil", {"model.safetensors.index.json": index})
    with pytest.raises(gl.CheckpointError, match="leads out of the folder"):
        gl.open_checkpoint("hf://org/evil")


def test_what_is_no_checkpoint(hub):
    content = (ORIGINAL / "model.safetensors").read_bytes()
    hub.add_repository("org/odd", {"weights.safetensors": content})
    with gl.open_checkpoint("hf://org/odd") as checkpoint:
        assert checkpoint.config == {}
        assert len(checkpoint.tensors) == len(load_file(ORIGINAL / "model.safetensors"))
    hub.add_repository("org/two", {"a.safetensors": content, "b.safetensors": content})
    with pytest.raises(gl.CheckpointError, match="has 2 safetensors files"):
        gl.open_checkpoint("hf://org/two")
    with gl.open_checkpoint("hf://org/two/b.safetensors") as checkpoint:
        assert str(checkpoint.path) == "hf://org/two/b.safetensors"
    hub.add_repository("org/none", {"pytorch_model.bin": b"x"})
    with pytest.raises(gl.CheckpointError, match="no safetensors file"):
        gl.open_checkpoint("hf://org/none")
    with pytest.raises(gl.CheckpointError, match="is a GGUF file"):
        gl.open_checkpoint("hf://maker/llama-GGUF/llama-Q4_K_M.gguf")
    with pytest.raises(gl.CheckpointError, match="has no checkpoint"):
        gl.open_checkpoint(f"{hub.url}/nothing/here/")
    with pytest.raises(gl.RemoteError, match="does not exist"):
        gl.open_checkpoint("hf://org/missing")


def test_a_remote_shard_set(hub, tmp_path):
    paths = write_set(tmp_path)
    hub.add_repository("maker/set", {f"Q8/{path.name}": path.read_bytes() for path in paths})
    with gl.open(paths[0]) as ours:
        expected = {name: t.to_numpy().tolist() for name, t in ours.tensors.items()}
    for path in (paths[0], paths[2]):
        hub.requests.clear()
        with gl.open(f"hf://maker/set/Q8/{path.name}") as model:
            assert {name: t.to_numpy().tolist() for name, t in model.tensors.items()} == expected
            assert [p.name for p in model.file.paths] == [p.name for p in paths]
            assert len(hub.requests) == 3  # none of the three is opened twice
            assert "3 shards" in model._repr_html_()
    del hub.files[f"/maker/set/resolve/main/Q8/{paths[1].name}"]
    with pytest.raises(gl.RemoteError, match=r"00002-of-00003\.gguf does not exist"):
        gl.open(f"hf://maker/set/Q8/{paths[0].name}")


def test_a_damaged_remote_file_is_refused_like_a_local_one(hub):
    hub.files["/bad.gguf"] = Q4_K_M.read_bytes()[:24] + b"\xff" * 5000
    with pytest.raises(gl.GGUFError, match=r"bad\.gguf, byte 24"):
        gl.open(f"{hub.url}/bad.gguf?key=hidden")
    hub.files["/cut.gguf"] = Q4_K_M.read_bytes()[:400_000]
    with gl.open(f"{hub.url}/cut.gguf") as model:
        assert "truncated" in {t.status for t in model.tensors.values()}


def test_the_command_line_takes_such_names(hub, capsys, local):
    assert cli.main(["info", "hf://maker/llama-GGUF/llama-Q4_K_M.gguf"]) == 0
    assert "hf://maker/llama-GGUF/llama-Q4_K_M.gguf" in capsys.readouterr().out
    arguments = ["compare", "hf://maker/llama-GGUF/llama-Q4_K_M.gguf", "hf://org/llama", "--json"]
    assert cli.main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["reference"] == "hf://org/llama"
    assert [row["rmse"] for row in answer["tensors"]] == [row.rmse for row in local]
    assert cli.main(["info", "hf://maker/llama-GGUF/nothing.gguf"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_find_names_both_sides(hub, local):
    found = gl.find("maker/llama-GGUF")
    result = gl.compare(found["Q4_K_M"], found.reference, progress=False)
    assert figures(result) == figures(local)


@pytest.fixture
def silent(hub):
    """A server that says nothing while `speaks` is cleared; `heard` is set when it was asked."""
    speaks, heard, over = threading.Event(), threading.Event(), threading.Event()
    speaks.set()

    def trick(handler):
        if speaks.is_set():
            return False
        heard.set()
        while not (speaks.is_set() or over.wait(0.01)):
            pass
        return False

    hub.tricks.append(trick)
    yield SimpleNamespace(hub=hub, speaks=speaks, heard=heard)
    over.set()


def in_background(silent, work):
    """Do it while the server is silent; return once it was asked, with the list for the result."""
    found = []

    def run():
        found.append(work())

    silent.speaks.clear()
    thread = threading.Thread(target=run)
    thread.start()
    assert silent.heard.wait(20)
    return thread, found


PATIENT = RemoteOptions(block_bytes=BLOCK, read_ahead_bytes=BLOCK, memory_bytes=0)


@pytest.mark.parametrize("threads", [1, 3])
def test_who_cancels_does_not_wait_for_a_silent_server(silent, threads):
    with gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", options=PATIENT) as model:
        run = Run(model, ORIGINAL, threads=threads)
        thread, found = in_background(silent, run.result)
        run.cancel()
        thread.join(5)
        assert not thread.is_alive()
        assert not found[0].complete
        silent.speaks.set()
        assert gl.compare(model, ORIGINAL, progress=False).complete


def test_ctrl_c_does_not_wait_for_a_silent_server(silent):
    with gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", options=PATIENT) as model:
        parts = iter(Run(model, ORIGINAL, threads=3))
        next(parts)
        silent.speaks.clear()
        assert silent.heard.wait(20)  # some of what was handed out ahead
        start = time.monotonic()
        parts.close()  # as any exception would
        assert time.monotonic() - start < 5


def test_who_cancels_does_not_disturb_another_reader_of_the_file(silent, local):
    with gl.open("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", options=PATIENT) as model:
        run = Run(model, ORIGINAL, threads=3)
        thread, _ = in_background(silent, run.result)
        # the blocks that the first has asked for are those that the second waits for
        other, found = in_background(
            silent, lambda: gl.compare(model, ORIGINAL, threads=2, progress=False)
        )
        run.cancel()
        thread.join(5)
        silent.speaks.set()
        other.join(20)
        assert figures(found[0]) == figures(local)


@pytest.fixture
def half(silent, tmp_path):
    """An original whose index names two shards, of which the server has one."""
    state = load_file(ORIGINAL / "model.safetensors")
    names = list(state)
    save_file({name: state[name] for name in names[1:]}, tmp_path / "b.safetensors")
    index = {"weight_map": {n: f"{'b' if i else 'a'}.safetensors" for i, n in enumerate(names)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    silent.hub.add_repository("org/half", tmp_path)
    return "hf://org/half"


def test_the_other_shards_are_not_taken_for_the_whole(half):
    with pytest.raises(gl.RemoteError, match=r"half/a\.safetensors does not exist"):
        gl.open_checkpoint(half)


def test_shards_that_do_not_come_are_not_waited_for_if_one_is_missing(silent, half):
    def trick(handler):
        if handler.path.endswith("/b.safetensors"):
            silent.speaks.clear()
        elif handler.path.endswith("/a.safetensors"):
            silent.heard.wait(20)
            handler.answer(404, b"")
            return True
        return False

    silent.hub.tricks.insert(0, trick)
    start = time.monotonic()
    with pytest.raises(gl.RemoteError, match=r"a\.safetensors does not exist"):
        gl.open_checkpoint(half, options=PATIENT)
    assert time.monotonic() - start < 5
