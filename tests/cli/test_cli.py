from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest

import gguf_lab
from gguf_lab import cli
from gguf_lab.cli import lab
from gguf_lab.cli.terminal import show
from gguf_lab.comparison import COLUMNS
from gguf_lab.errors import GGUFError

from ..models import MODELS

LLAMA = MODELS / "llama" / "llama-bf16.gguf"
Q4_K = MODELS / "llama-256" / "llama-Q4_K_M.gguf"


def write_hostile(path, architecture="llama"):
    """Write a file whose metadata would clear the screen, ring the bell and forge a line."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("\x1b[2Jnew\nline\x07 \u202e")
    writer.add_string("a\x1b[31mkey", "x" * 1000)
    writer.add_array("numbers", list(range(1000)))
    writer.add_float32("not.a.number", math.nan)
    writer.add_tensor("evil\x1b[0m.weight", np.ones((2, 3), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def hostile(tmp_path):
    return write_hostile(tmp_path / "hostile.gguf")


def table(text):
    """The rows of an aligned table without its header, each split where two spaces part cells."""
    return [[cell.strip() for cell in line.split("  ") if cell] for line in text.splitlines()[1:]]


def test_info_tells_the_facts_and_the_metadata(capsys):
    assert cli.main(["info", str(LLAMA)]) == 0
    facts, metadata = capsys.readouterr().out.split("\n\n")
    reader = gguf.GGUFReader(LLAMA)
    lines = dict(line.split(maxsplit=1) for line in facts.splitlines())
    assert lines["architecture"] == "llama"
    assert lines["n_tensors"] == str(len(reader.tensors))
    assert lines["n_parameters"] == str(sum(int(t.n_elements) for t in reader.tensors))
    rows = {row[0]: row[1:] for row in table(metadata)}
    assert rows["llama.block_count"] == ["uint32", "3"]
    assert rows["tokenizer.ggml.tokens"][0] == "array[string]"
    n_tokens = len(reader.fields["tokenizer.ggml.tokens"].data)
    assert rows["tokenizer.ggml.tokens"][1].endswith(f", ... {n_tokens:,} in all]")


def test_info_as_json_holds_arrays_in_full(capsys, hostile):
    assert cli.main(["info", "--json", str(hostile)]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["metadata"]["numbers"] == list(range(1000))
    assert info["metadata"]["general.name"] == "\x1b[2Jnew\nline\x07 \u202e"
    assert info["metadata"]["not.a.number"] is None
    assert info["kind"] == "model"
    assert info["n_tensors"] == 1


@pytest.mark.parametrize("command", ["info", "tensors"])
def test_nothing_in_a_file_steers_the_terminal(capsys, hostile, command):
    assert cli.main([command, str(hostile)]) == 0
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert max(map(len, out.splitlines())) < 160
    assert r"\x1b" in out


def test_tensors_lists_each_with_its_type_and_size(capsys):
    assert cli.main(["tensors", str(Q4_K)]) == 0
    rows = table(capsys.readouterr().out)
    expected = [
        [
            t.name,
            t.tensor_type.name,
            " x ".join(str(n) for n in reversed(t.shape.tolist())),
            str(t.n_elements),
            str(t.n_bytes),
        ]
        for t in gguf.GGUFReader(Q4_K).tensors
    ]
    assert [row[:5] for row in rows] == expected
    assert {row[6] for row in rows} == {"ok"}


def test_tensors_as_json(capsys):
    assert cli.main(["tensors", "--json", str(Q4_K)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    weight = rows["blk.0.attn_q.weight"]
    assert (weight["layer"], weight["kind"], weight["qtype"]) == (0, "attn_q", "Q4_K")
    assert weight["shape"] == [256, 256]
    assert weight["bits_per_weight"] == 4.5


@pytest.fixture(scope="module")
def compared():
    with gguf_lab.open(Q4_K) as model:
        return gguf_lab.compare(model, MODELS / "llama-256" / "hf", progress=False)


def test_compare_prints_every_tensor(capsys, compared):
    assert cli.main(["compare", str(Q4_K), str(MODELS / "llama-256" / "hf")]) == 0
    out = capsys.readouterr().out
    for row in compared.rows:
        assert (row.name or row.reference_name) in out


@pytest.mark.parametrize("width", [0, 40, 72, 80, 100, 120, 200])
@pytest.mark.parametrize(
    ("arguments", "figures"),
    [
        (["tensors", str(Q4_K)], ("n_elements", "nbytes", "bits_per_weight")),
        (
            ["compare", str(Q4_K), str(MODELS / "llama-256" / "hf")],
            ("relative_rmse", "rmse", "sqnr_db", "cosine", "max_abs_error"),
        ),
    ],
    ids=["tensors", "compare"],
)
def test_no_number_is_broken_by_a_narrow_terminal(arguments, figures, width, capsys, monkeypatch):
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(arguments) == 0
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    words = {*printed.split()}
    for row in found if isinstance(found, list) else found["tensors"]:
        assert {show(row[figure]) for figure in figures if row[figure] is not None} <= words
    if width >= 72 or not width:
        assert max(map(len, printed.splitlines()[:9])) <= (width or 80)


@pytest.mark.parametrize(
    ("figure", "worst"), [("relative_rmse", max), ("max_abs_error", max), ("sqnr_db", min)]
)
def test_compare_sorts_the_worst_first(capsys, compared, figure, worst):
    arguments = ["compare", str(Q4_K), str(MODELS / "llama-256" / "hf"), "--sort", figure, "--json"]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["tensors"]
    figures = [getattr(row, figure) for row in compared.rows if row.status == "compared"]
    assert rows[0][figure] == worst(figures)
    assert len(rows) == len(compared.rows)
    shown = [row[figure] for row in rows if row["status"] == "compared" and row[figure] is not None]
    assert shown == sorted(shown, reverse=worst is max)


def test_compare_as_json_has_what_a_data_frame_has(capsys, compared):
    assert cli.main(["compare", str(Q4_K), str(MODELS / "llama-256" / "hf"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["tensors"]
    assert [list(row) for row in rows] == [list(COLUMNS)] * len(compared)
    for row, ours in zip(rows, compared.rows, strict=True):
        for figure in ("mean_abs_error", "reference_rms", "n_nan", "n_inf"):
            assert row[figure] == getattr(ours, figure)


def test_comparing_what_does_not_belong_together_fails(capsys, hostile):
    assert cli.main(["compare", str(hostile), str(MODELS / "llama" / "hf")]) == 2
    assert "is not the checkpoint" in capsys.readouterr().err


def test_a_comparison_of_nothing_is_a_failure_that_says_why(capsys, tmp_path):
    path = write_hostile(tmp_path / "unheard-of.gguf", "unheard-of")
    assert cli.main(["compare", str(path), str(MODELS / "llama" / "hf")]) == 2
    captured = capsys.readouterr()
    assert "unheard-of" in captured.out
    assert all(c.isprintable() or c == "\n" for c in captured.out)
    assert "no tensor has an original" in captured.err


def test_an_error_is_one_line_and_status_2(capsys, tmp_path):
    broken = tmp_path / "broken\n.gguf"
    broken.write_bytes(b"GGUL" + bytes(100))
    assert cli.main(["info", str(broken)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gguf-lab: ")
    assert captured.err.count("\n") == 1
    with pytest.raises(GGUFError):
        gguf_lab.open(broken)


def test_a_missing_file_is_one_line_too(capsys, tmp_path):
    assert cli.main(["tensors", str(tmp_path / "absent.gguf")]) == 2
    assert "absent.gguf" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["info"], ["info", "x", "--nonsense"], ["nonsense"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: gguf-lab" in capsys.readouterr().err


def test_runs_as_a_module_and_knows_its_version():
    command = [sys.executable, "-m", "gguf_lab", "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == f"gguf-lab {gguf_lab.__version__}\n"


def test_a_reader_that_leaves_is_no_error():
    """Like `gguf-lab info FILE | head -1`, with an output far larger than a pipe holds."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "gguf_lab", "info", "--json", str(LLAMA)]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_error_that_nobody_can_read_is_status_2_too():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "gguf_lab", "check", "no-such-file"]
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


def test_too_little_memory_is_one_line(capsys, monkeypatch):
    def need(_: str) -> None:
        raise MemoryError("Unable to allocate 64.0 GiB")

    monkeypatch.setattr("gguf_lab.model.open_model", need)
    assert cli.main(["info", str(LLAMA)]) == 2
    said = "gguf-lab: the memory does not suffice: Unable to allocate 64.0 GiB.\n"
    assert capsys.readouterr().err == said


TOLD_TO_END = """
import os, signal, sys
from gguf_lab import cli
from gguf_lab.file import writer

def publish(*paths, publish=writer._publish):
    for _ in range(2):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    publish(*paths)

writer._publish = publish
# whatever the tests were started by: nohup, say
handler = signal.SIG_IGN if sys.argv[2] == "ignored" else signal.SIG_DFL
signal.signal(getattr(signal, sys.argv[1]), handler)
sys.exit(cli.main(["quantize", *sys.argv[3:], "Q8_0"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are no messages there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("ignored", [False, True])
def test_what_is_told_to_end_leaves_nothing_half_written(name, ignored, tmp_path):
    out = tmp_path / "q.gguf"
    command = [sys.executable, "-c", TOLD_TO_END, name, "ignored" if ignored else "-"]
    answer = subprocess.run([*command, str(LLAMA), str(out)], capture_output=True, check=False)
    assert answer.returncode == (0 if ignored else 128 + getattr(signal, name))
    assert answer.stderr == b""
    assert [*tmp_path.iterdir()] == ([out] if ignored else [])


def test_letters_that_the_terminal_lacks_are_escaped(hostile):
    command = [sys.executable, "-m", "gguf_lab", "info", "--json", str(LLAMA)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    answer = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"\\u2581" in answer.stdout


def test_lab_starts_jupyterlab_with_our_defaults(monkeypatch):
    called = []
    monkeypatch.setattr(os, "execve", lambda *arguments: called.append(arguments))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    cli.main(["lab", "tour.ipynb", "--no-browser", "--port", "8899"])
    ((program, command, environment),) = called
    assert program == sys.executable
    assert command[1:3] == ["-m", "jupyterlab"]
    assert command[3:] == ["--allow-root", "tour.ipynb", "--no-browser", "--port", "8899"]
    ours, mine = environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert mine == "/mine"
    defaults = json.loads(Path(ours, "labconfig", "default_setting_overrides.json").read_text())
    assert defaults["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_only_root_is_allowed_root(monkeypatch):
    called = []
    monkeypatch.setattr(os, "execve", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    cli.main(["lab"])
    assert called[0][1] == [sys.executable, "-m", "jupyterlab"]


def test_lab_stays_where_there_is_no_exec(monkeypatch):
    """On Windows the shell would have its prompt back, and JupyterLab half of a path."""
    monkeypatch.setattr(lab, "os", SimpleNamespace(name="nt", environ=os.environ, pathsep=";"))
    monkeypatch.setattr(sys, "executable", "python")
    calls = []

    class Server(contextlib.nullcontext):
        def __init__(self, command, env):
            super().__init__(self)
            calls.append((command, env["JUPYTER_PREFER_ENV_PATH"]))

        def wait(self):
            return 3

    monkeypatch.setattr(lab.subprocess, "Popen", Server)
    assert cli.main(["lab", "my tour.ipynb"]) == 3
    assert calls == [(["python", "-m", "jupyterlab", "my tour.ipynb"], "1")]


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "0.0.0.0", ""])
def test_lab_waits_until_connections_are_taken(hostname):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        found = {"hostname": hostname, "port": server.getsockname()[1], "sock": ""}
        assert not lab._answers(found)  # bound, but it does not listen yet
        server.listen()
        assert lab._answers(found)


@pytest.mark.slow
def test_lab_tells_where_it_is(tmp_path):
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    options = ["--json", "--no-browser", "--ServerApp.port=0", f"--ServerApp.root_dir={tmp_path}"]
    with subprocess.Popen(
        [sys.executable, "-m", "gguf_lab", "lab", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            lines = []
            while not lines or lines[-1] != "}":
                lines.append(process.stdout.readline().rstrip())
                assert lines[-1], "it ended without a word"
            found = json.loads("".join(lines))
            assert found["root_dir"] == str(tmp_path)
            address = f"{found['url']}api/status?token={found['token']}"
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert json.load(answer)["kernels"] == 0
        finally:
            process.terminate()
            process.wait(60)
    assert not Path(f"/proc/{found['pid']}").exists()
