from __future__ import annotations

import json

import pytest

import gguf_lab as gl
from gguf_lab import cli

from ..models import MODELS

Q4_K_M = MODELS / "llama-256" / "llama-Q4_K_M.gguf"


def test_quantize_writes_the_file_and_says_what_it_did(tmp_path, capsys):
    out = tmp_path / "new.gguf"
    arguments = ["quantize", str(Q4_K_M), str(out), "q8_0", "--tensor-type", "attn_[qk]=q4_0"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines()}
    assert "override 'attn_[qk]'" in lines["blk.0.attn_k.weight"]
    assert lines["blk.0.ffn_down.weight"].split()[1:6] == ["256", "x", "512", "Q4_K", "Q8_0"]
    assert printed.splitlines()[-1].startswith("16 of 21 tensors to Q8_0 (12 Q8_0, 4 Q4_0), ")
    assert "16 had been quantized before" in printed
    with gl.open(out) as model:
        assert model.tensor("blk.1.attn_q.weight").qtype == "Q4_0"
        assert model.tensor("output.weight").qtype == "Q8_0"


def test_quantize_prints_json(tmp_path, capsys):
    source, out = MODELS / "falcon" / "falcon-bf16.gguf", tmp_path / "new.gguf"
    assert cli.main(["quantize", str(source), str(out), "Q8_0", "--pure", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["paths"] == [str(out)]
    assert answer["mix"] == "Q8_0"
    row = next(row for row in answer["tensors"] if row["name"] == "blk.0.attn_output.weight")
    assert (row["source_qtype"], row["qtype"], row["fallback"]) == ("BF16", "F16", True)
    assert row["reason"] == "Q8_0, pure; F16 for Q8_0: rows of 24 are no multiple of 32"
    with gl.open(out) as model:
        assert answer["nbytes"] == model.nbytes
        assert answer["bits_per_weight"] == model.bits_per_weight


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Q9_K"], "quantization 'Q9_K' is unknown"),
        (["Q2_K_S"], "Give an importance matrix"),
        (["Q8_0", "--imatrix", "no.dat"], "no.dat does not exist"),
        (["Q8_0", "--tensor-type", "nothing=Q4_0"], "'nothing' decides for no tensor"),
    ],
)
def test_quantize_says_in_one_line_why_not(arguments, message, tmp_path, capsys):
    assert cli.main(["quantize", str(Q4_K_M), str(tmp_path / "new.gguf"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gguf-lab: ")
    assert len(error.splitlines()) == 1
    assert message in error
    assert [*tmp_path.iterdir()] == []


def test_a_tensor_type_without_type_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["quantize", str(Q4_K_M), str(tmp_path / "n"), "Q8_0", "--tensor-type", "attn"])
    assert "attn is not of the form PATTERN=TYPE" in capsys.readouterr().err


def test_another_effort(tmp_path):
    """Other bytes of the same type, for a file and for a checkpoint."""
    for command, source, kind in (
        ("quantize", Q4_K_M, ["Q8_0"]),
        ("export", Q4_K_M.parent / "hf", ["--qtype", "Q8_0", "--no-tokenizer"]),
    ):
        written = []
        for effort in ("ggml", "best"):
            out = tmp_path / f"{command}-{effort}.gguf"
            assert cli.main([command, str(source), str(out), *kind, "--effort", effort]) == 0
            written.append(out.read_bytes())
        assert len(written[0]) == len(written[1])
        assert written[0] != written[1]
