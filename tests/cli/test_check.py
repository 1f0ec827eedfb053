"""``gguf-lab check`` and ``report``: exit codes for scripts, order, JSON, the terminal."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab import cli

from ..checks.variants import LLAMA, MODELS, variant

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Tiny-311K-v1.0-BF16.gguf"


def nan(raw: Any) -> None:
    raw[0, :2] = [0xC0, 0x7F]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file for each answer: nothing, a note, a warning, an error."""
    folder = tmp_path_factory.mktemp("files")
    changes: dict[str, dict[str, Any]] = {
        "sound": {},
        "note": {"keys": {"general.My Key": ("uint32", 1)}},
        "warning": {"tail": b"x" * 100, "keys": {"general.My Key": ("uint32", 1)}},
        "error": {"tail": b"x" * 100, "values": {"blk.0.attn_q.weight": nan}},
    }
    made = {}
    for name, change in changes.items():
        (folder / name).mkdir()
        made[name] = variant(LLAMA, folder / name / NAME, **change)
    return made


@pytest.mark.parametrize(
    ("name", "status"), [("sound", 0), ("note", 0), ("warning", 1), ("error", 2)]
)
def test_the_exit_status_is_the_worst_finding(
    name: str, status: int, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(files[name])]) == status
    *table, summary = capsys.readouterr().out.splitlines()
    found = gl.check(files[name], progress=False)
    assert summary == f"{NAME}: {found.summary}"
    # The worst first, each with its rule, its place, the reason and what to do.
    assert [line.split()[:2] for line in table[1:]] == [[f.severity, f.code] for f in found]
    for line, finding in zip(table[1:], found, strict=True):
        assert finding.where in line
        assert line.endswith(finding.text)


def test_json_has_all_that_was_found(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--json", str(files["error"])]) == 2
    printed = json.loads(capsys.readouterr().out)
    found = gl.check(files["error"], progress=False)
    assert printed["findings"] == [asdict(finding) for finding in found]
    assert [f["severity"] for f in printed["findings"]] == ["error", "warning"]
    assert printed["worst"] == "error"
    assert printed["skipped"]["outlier"] == "nothing was compared"


def test_a_reference_is_compared_with(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(files["sound"]), str(MODELS / "llama" / "hf")]) == 0
    out = capsys.readouterr().out
    assert "30 of 30 compared tensors are exactly the original" in out
    assert "rules not asked" not in out


def test_quick_reads_no_values(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--quick", str(files["error"])]) == 1
    assert "not-finite" not in capsys.readouterr().out


def test_a_file_that_cannot_be_checked_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(tmp_path / "none.gguf")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gguf-lab: ")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(LLAMA.read_bytes()[:1000])
    assert cli.main(["check", str(broken)]) == 2
    assert "error" in (out := capsys.readouterr().out)
    assert "malformed" in out


def test_a_terminal_gets_a_table_that_fits(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["check", str(files["error"])]) == 2
    text = out.getvalue()
    assert "\x1b[1;31merror" in text  # colour, and the word
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80
    joined = " ".join(plain.split())
    assert "1 value is NaN" in joined


def test_report_writes_a_page_and_says_where(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert cli.main(["report", str(files["note"]), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size:,} bytes\n"
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert cli.main(["report", str(files["note"]), "-o", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    nowhere = tmp_path / "none" / "page.html"
    for place, words in ((nowhere, "there is no folder"), (tmp_path, "is a folder")):
        assert cli.main(["report", str(files["note"]), "--overwrite", "-o", str(place)]) == 2
        assert words in capsys.readouterr().err


def test_report_names_the_page_like_the_file(
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", str(files["note"]), "--json"]) == 0
    path = tmp_path / NAME.replace(".gguf", ".html")
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"path": path.name, "nbytes": path.stat().st_size}
