"""Files of strangers in a terminal: whatever they say, only text is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from gguf_lab import cli

from ..file.builders import Builder
from ..hostile import ATTACK, LONG, SHORT, is_text, write_all

STYLE = re.compile(r"\x1b\[[\d;]*m")  # colours are ours; the attacks have none that is whole


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("hostile"))


COMMANDS = {
    "info": ["info", "FILE"],
    "tensors": ["tensors", "FILE"],
    "check": ["check", "FILE"],
    "check with a reference": ["check", "FILE", "ORIGINAL"],
    "compare": ["compare", "FILE", "ORIGINAL"],
    "compare two files": ["compare", "FILE", "FILE"],
    "report": ["report", "FILE", "--reference", "ORIGINAL", "--out", "OUT.html"],
    "memory": ["memory", "FILE"],
    "export": ["export", "ORIGINAL", "OUT.gguf"],
    "quantize": ["quantize", "FILE", "OUT.gguf", "Q8_0"],
}


def test_no_command_is_forgotten():
    import gguf_lab.cli

    named = {command.__name__.removeprefix("add_") for command in gguf_lab.cli._COMMANDS}
    assert {command[0] for command in COMMANDS.values()} == named - {"lab"}  # opens JupyterLab


WRITING = ("report", "export", "quantize")  # what they print has one form
FORMS = [
    (name, form)
    for name in COMMANDS
    for form in ("pipe", "terminal", "json")
    if form == "pipe" or name not in WRITING
]


@pytest.mark.parametrize("which", ["every text", "a llama"])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_only_text_is_printed(name, form, which, files, tmp_path, capsys, monkeypatch):
    places = {
        "FILE": str(files[which]),
        "ORIGINAL": str(files["original"]),
        "OUT.html": str(tmp_path / f"out{SHORT}.html"),
        "OUT.gguf": str(tmp_path / f"out{SHORT}.gguf"),
    }
    arguments = [places.get(word, word) for word in COMMANDS[name]]
    if form == "json":
        arguments.append("--json")
    elif form == "terminal":
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "200")
    status = cli.main(arguments)
    captured = capsys.readouterr()
    shown = STYLE.sub("", captured.out) if form == "terminal" else captured.out
    assert [c for c in shown if not is_text(c)] == []
    assert [c for c in captured.err if not is_text(c)] == []
    assert status in {0, 1, 2}
    # Either something is shown, or an error says why not: in one line.
    assert captured.out or (status == 2 and captured.err.startswith("gguf-lab: "))
    assert len(captured.err) < 20_000
    if form == "json" and captured.out:
        json.loads(captured.out)


def test_json_is_what_it_was(files, capsys):
    """What is written as an escape is read as it stands in the file."""
    assert cli.main(["info", str(files["every text"]), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["metadata"]["general.name"] == ATTACK
    assert len(printed["metadata"]["long"]) == LONG


@pytest.mark.parametrize("command", ["info", "tensors", "check", "memory"])
def test_names_of_ten_megabytes_are_refused_in_a_line(command, tmp_path, capsys):
    long = ("k" + ATTACK) * (10_000_000 // (len(ATTACK) + 1))
    for i, builder in enumerate((Builder().key(long, "uint8", 1), Builder().tensor(long, [4]))):
        path = builder.write(tmp_path / f"{i}.gguf")
        status = cli.main([command, str(path)])
        captured = capsys.readouterr()
        shown = captured.out + captured.err
        assert status == 2
        assert is_text(shown)
        assert 20 < len(shown) < 2000


def test_arguments_are_a_strangers_too(capsys, tmp_path):
    for arguments in (
        ["info", str(tmp_path / SHORT)],
        ["compare", str(tmp_path / SHORT), str(tmp_path / ATTACK.replace("\0", ""))],
        ["info", f"hf://{SHORT}/x"],
    ):
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert is_text(captured.err)


def test_json_is_json_where_letters_are_missing(tmp_path):
    path = Builder().key("general.name", "string", "\u00e9 \U0001f600").write(tmp_path / "a.gguf")
    run = [sys.executable, "-m", "gguf_lab", "info", str(path), "--json"]
    plain, narrow = (
        subprocess.run(
            run, env=os.environ | {"PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE, check=True
        ).stdout
        for encoding in ("utf-8", "ascii")
    )
    assert narrow.isascii()
    assert json.loads(narrow) == json.loads(plain)
    assert not plain.isascii()


def test_nobody_needs_to_listen(files):
    command = f'exec "{sys.executable}" -m gguf_lab info "{files["every text"]}" >&-'
    run = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize("there", [True, False])
def test_nobody_needs_to_hear_errors(there, files):
    path = files["every text"] if there else "nowhere.gguf"
    command = f'exec "{sys.executable}" -m gguf_lab check --json "{path}" 2>&-'
    run = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=False)
    assert run.returncode == 2
    assert bool(run.stdout) == there  # an error is not said to who reads JSON
