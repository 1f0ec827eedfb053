from __future__ import annotations

import json

import pytest

import gguf_lab as gl
from gguf_lab import cli

from ..models import MODELS
from .test_cli import write_hostile

LLAMA = MODELS / "llama" / "llama-bf16.gguf"


def run(capsys, *arguments):
    status = cli.main(["memory", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_memory_says_what_is_needed_and_the_formula(capsys):
    status, out, _ = run(capsys, LLAMA, "--context", 1000, "--memory", 8)
    assert status == 0
    assert "KV cache: 384 KiB (393,216 bytes): 3 layers × 1,024 tokens" in out
    assert "memory bandwidth / bytes read for a token" in out
    assert "NVIDIA RTX 3090" in out
    assert out.splitlines()[-1].startswith("Yes, it fits in 8.0 GiB with 1,000 tokens")


def test_a_script_can_use_the_status(capsys):
    status, out, _ = run(capsys, LLAMA, "--memory", 0.0001)
    assert status == 1
    assert "No, it does not fit in 105 KiB" in out


def test_json_has_what_the_object_has(capsys):
    options = ("--context", 1000, "--cache", "f32", "--parallel", 2, "--unified", "--ubatch", 64)
    status, out, _ = run(capsys, LLAMA, *options, "--gpu-layers", 2, "--split", "2,1", "--json")
    assert status == 0
    found = gl.memory(
        *(LLAMA, 1000), kv_type="F32", parallel=2, unified=True, ubatch=64,
        gpu_layers=2, split=(2, 1),
    )  # fmt: skip
    told = json.loads(out)
    assert [d["name"] for d in told["devices"]] == ["host", "GPU 0", "GPU 1"]
    for name in ("weights", "cache", "state", "compute", "total", "read_per_token", "context"):
        assert told[name] == getattr(found, name)
    assert told["compute_is_estimate"] is True
    assert len(told["machines"]) == len(found.machines_to_frame())
    assert "fits" not in told


def test_what_cannot_be_counted_is_one_line(capsys, tmp_path):
    status, out, err = run(capsys, write_hostile(tmp_path / "hostile.gguf"))
    assert (status, out) == (2, "")
    assert err.startswith("gguf-lab: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("options", [["--memory", "x"], ["--memory", "-1"], ["--split", "a,b"]])
def test_options_that_make_no_sense(capsys, options):
    with pytest.raises(SystemExit):
        run(capsys, LLAMA, *options)
    assert "expected" in capsys.readouterr().err
