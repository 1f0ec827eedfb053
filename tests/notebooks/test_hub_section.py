"""The tour's section "a model on the hub": with a hub, and with none in reach."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import gguf_lab as gl

from ..models import MODELS

ROOT = Path(__file__).parents[2]
TINY = next((MODELS / "llama").glob("*.gguf"))
REPOSITORY = "bartowski/SmolLM2-135M-Instruct-GGUF"


def section():
    """Return the code of the section."""
    notebook = json.loads((ROOT / "notebooks" / "00_tour.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    title = next(k for k, text in enumerate(cells) if text.startswith("## A model on the hub"))
    assert notebook["cells"][title + 1]["cell_type"] == "code"
    return cells[title + 1]


def run(capsys):
    """Run the section as a cell is run. Returns what it prints, what it displays, the seconds."""
    shown = []
    start = time.monotonic()
    exec(section(), {"gl": gl, "display": lambda *things: shown.extend(things)})
    return capsys.readouterr().out, shown, time.monotonic() - start


def test_with_a_hub(hub, capsys):
    files = {"SmolLM2-135M-Instruct-Q4_K_M.gguf": TINY.read_bytes()}
    card = {"base_model": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    hub.add_repository(REPOSITORY, files, card)
    printed, shown, _ = run(capsys)
    found, remote = shown
    assert found.reference == "hf://HuggingFaceTB/SmolLM2-135M-Instruct"
    assert remote.fetched > 0
    assert printed == (f"{remote.fetched:,} bytes were fetched, of {TINY.stat().st_size:,}.\n")


def is_one_plain_sentence(text):
    return (
        text.startswith("This section needs a network and a hub, and there is none in reach: ")
        and text.endswith(".\n")
        and text.count("\n") == 1
        and "Traceback" not in text
        and ". " not in text
    )


def test_without_a_network(monkeypatch, capsys):
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        printed, shown, seconds = run(capsys)
    assert is_one_plain_sentence(printed), printed
    assert "no connection to 127.0.0.1" in printed
    assert shown == []
    assert seconds < 10


def test_when_the_hub_must_not_be_asked(monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    printed, shown, seconds = run(capsys)
    assert is_one_plain_sentence(printed), printed
    assert "HF_HUB_OFFLINE is set" in printed
    assert shown == []
    assert seconds < 1


def test_when_the_hub_has_gone_or_is_none(hub, capsys):
    printed, shown, _ = run(capsys)
    assert "answers 404" in printed
    assert shown == []
