"""A comparison on a Dask cluster of separate processes: the same bits, whoever dies."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest

import gguf_lab as gl
from gguf_lab.comparison import Run, cluster, measuring

from ..file.server import COMMIT, serving
from .llama import MODELS, ORIGINAL, Q4_K_M, compare, figures

if importlib.util.find_spec("distributed") is None and not os.environ.get("CI"):
    pytest.skip("distributed is not installed: pip install gguf-lab[dask]", allow_module_level=True)

from dask import config
from distributed import Client, LocalCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX"),
]

N = 21

# Runs in each worker, those that are started in the place of a dead one too.
PRELOAD = """
import os, signal, time
from gguf_lab.comparison import measuring

def logged(self, tensor, *rest, original=measuring.Measuring._measure):
    folder = os.environ["GGUF_LAB_TEST_FOLDER"]
    with open(f"{folder}/log", "a") as log:
        log.write(f"{os.getpid()} {tensor.name}\\n")
    if os.path.exists(f"{folder}/die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.path.exists(f"{folder}/slow"):
        time.sleep(0.1)
    return original(self, tensor, *rest)

if measuring.Measuring._measure.__name__ != "logged":  # a preload may run twice
    measuring.Measuring._measure = logged
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def client(place):
    preload = place / "preload.py"
    preload.write_text(PRELOAD)
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.preload": [str(preload)],
        "temporary-directory": str(place / "scratch"),
        "distributed.comm.timeouts.connect": "120s",  # a busy machine starts them slowly
        "distributed.nanny.environ": {"GGUF_LAB_TEST_FOLDER": str(place)},
    }
    with (
        config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
        ) as local,
        Client(local) as connected,
    ):
        yield connected


@pytest.fixture
def switches(place):
    """What the workers of a test do, and what they have measured."""
    for path in (place / "log", place / "slow", place / "die"):
        path.unlink(missing_ok=True)
    yield place
    for path in (place / "slow", place / "die"):
        path.unlink(missing_ok=True)


@pytest.fixture
def one_each(monkeypatch):
    """A task for each tensor, however small."""
    monkeypatch.setattr(cluster, "_TOGETHER", 0)


@pytest.fixture
def idle(monkeypatch):
    """Measuring in this process is an error."""

    def refuse(*_):
        pytest.fail("a tensor was measured by the client")

    monkeypatch.setattr(measuring.Measuring, "_measure", refuse)


@pytest.fixture(scope="module")
def whole():
    return figures(gl.compare(Q4_K_M, ORIGINAL, progress=False))


def log(place):
    """Who began which tensors, in order."""
    found = defaultdict(list)
    for line in (place / "log").read_text().splitlines():
        pid, name = line.split()
        found[int(pid)].append(name)
    return found


def test_a_cluster_finds_the_same_to_the_bit(client, switches, whole, one_each, idle):
    (switches / "slow").touch()  # so that there is something left for the second
    result = compare(client=client)
    assert figures(result) == whole
    assert (result.complete, result.backend, result.device) == (True, "numba", "cpu")
    assert (result.model_fetched, result.reference_fetched) == (0, 0)
    measured = log(switches)
    assert len(measured) == 2  # both had a part
    assert os.getpid() not in measured
    assert Counter(name for names in measured.values() for name in names) == dict.fromkeys(
        (name for name, _, found in whole if found), 1
    )


def test_small_neighbours_share_a_task(client, switches, whole, idle):
    assert figures(compare(client=client)) == whole
    assert len(log(switches)) == 1


def test_two_files_and_a_part(client, switches, one_each):
    pair = MODELS / "llama" / "llama-bf16.gguf", MODELS / "llama" / "llama-bf16.gguf"
    local = compare(*pair, tensors="blk.1.*")
    there = compare(*pair, tensors="blk.1.*", client=client)
    assert figures(there) == figures(local)
    assert len(there.compared) == 9


def test_figures_are_kept_as_they_come(client, switches, whole, tmp_path, one_each):
    first = compare(client=client, cache=tmp_path)
    assert (first.cached, figures(first)) == (0, whole)
    (switches / "log").unlink()
    assert compare(client=client, cache=tmp_path).cached == N
    assert not (switches / "log").exists()
    # what a cluster has measured serves this machine: the figures are the same
    local = compare(cache=tmp_path)
    assert (local.cached, figures(local)) == (N, whole)


def test_a_worker_killed_in_the_middle_costs_its_tensors_alone(
    client, switches, whole, one_each, idle
):
    (switches / "slow").touch()
    run = Run(Q4_K_M, ORIGINAL, client=client)
    seen = set()
    killed = 0
    for row in run:
        seen.add(row.name)
        if len(seen) == 5:
            killed = next(iter(log(switches)))
            os.kill(killed, signal.SIGKILL)
            before = set(seen)
    assert figures(run.result()) == whole
    measured = log(switches)
    times = Counter(name for names in measured.values() for name in names)
    twice = {name for name, n in times.items() if n > 1}
    assert set(times) == {name for name, _, found in whole if found}
    # Lost is what it had under way, and what it had not handed over yet.
    assert twice <= set(measured[killed])
    assert not twice & before
    assert max(times.values()) == 2
    # its tensors went to others
    assert len(measured) >= 2


def test_cancelled_in_the_middle(client, switches, one_each, tmp_path):
    (switches / "slow").touch()
    run = Run(Q4_K_M, ORIGINAL, client=client, cache=tmp_path)
    for i, _ in enumerate(run):
        if i == 2:
            run.cancel()
    result = run.result()
    assert not result.complete
    assert 3 <= len(result.compared) < N
    (switches / "slow").unlink()
    rest = compare(client=client, cache=tmp_path)
    assert rest.complete
    assert len(result.compared) <= rest.cached < N


def test_errors_of_a_worker_are_ours(client, switches, tmp_path, monkeypatch):
    file = copy(Q4_K_M, tmp_path / "model.gguf")
    run = Run(file, ORIGINAL, client=client)
    # a machine that does not see the same folder
    Path(file).rename(tmp_path / "elsewhere.gguf")
    with pytest.raises(gl.GGUFError, match=r"model\.gguf does not exist"):
        run.result()
    copy(MODELS / "llama" / "llama-bf16.gguf", file)
    run = Run(Q4_K_M, ORIGINAL, client=client)
    run._cluster._work = replace(run._cluster._work, model=str(file))
    with pytest.raises(gl.ComparisonError, match="a worker sees other versions"):
        run.result()
    monkeypatch.setattr(cluster, "STATISTICS_VERSION", -1)
    with pytest.raises(gl.ComparisonError, match="Install the same version on all machines"):
        compare(client=client)


def test_a_worker_with_other_means_says_so(client, switches):
    run = Run(Q4_K_M, ORIGINAL, client=client)
    run._cluster._work = replace(run._cluster._work, how=("numpy", "cpu", 1))
    with pytest.raises(gl.ComparisonError, match="would measure with numba"):
        run.result()


@pytest.fixture
def hub(monkeypatch, tmp_path, client):
    settings = {"HF_HOME": str(tmp_path / "no-login"), "NO_PROXY": "127.0.0.1"}
    with serving() as server:
        server.add_repository("maker/llama-GGUF", {"llama-Q4_K_M.gguf": Q4_K_M.read_bytes()})
        server.add_repository("org/llama", ORIGINAL)
        settings["HF_ENDPOINT"] = server.url
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        before = {name: os.environ.get(name) for name in settings}
        client.run(lambda: os.environ.update(settings))
        yield server
        client.run(lambda: [os.environ.pop(name, None) for name in before])


def test_workers_fetch_their_own_ranges(hub, client, switches, whole, one_each, idle):
    result = compare("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", "hf://org/llama", client=client)
    assert figures(result) == whole
    # The client fetched heads; each worker heads and the tensors that fell to it.
    assert result.model_fetched > Q4_K_M.stat().st_size
    served = [path for path, _ in hub.requests if "/resolve/" in path]
    assert {path.rpartition("/")[2] for path in served} >= {
        "llama-Q4_K_M.gguf",
        "model.safetensors",
    }


def test_no_token_travels(hub, client, switches, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret7")
    run = Run("hf://maker/llama-GGUF/llama-Q4_K_M.gguf", "hf://org/llama", client=client)
    assert b"secret7" not in pickle.dumps(run._cluster._work)
    hub.requests.clear()
    assert run.result().complete
    # The login of the client is not that of the workers, and theirs is empty here.
    assert {headers.get("Authorization") for _, headers in hub.requests} == {None}
    with pytest.raises(gl.ComparisonError, match="has a query, which may be a key"):
        compare(
            f"{hub.url}/maker/llama-GGUF/resolve/{COMMIT}/llama-Q4_K_M.gguf?key=secret7",
            ORIGINAL,
            client=client,
        )


def test_what_is_no_client():
    with pytest.raises(gl.ComparisonError, match=r"the client is a str\. Expected a distributed"):
        compare(client="127.0.0.1:8786")


# The last test: it leaves no worker.
def test_a_tensor_that_kills_every_worker_ends_in_words(client, switches, one_each):
    (switches / "die").touch()
    with pytest.raises(gl.ComparisonError, match=r"tensor .* \(KilledWorker.* enough memory\?"):
        compare(tensors="output.weight", client=client)
