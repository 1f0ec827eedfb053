"""The same model under two architectures: rows of queries and keys in the other's order."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.reference.rotary import _turned

from .support import DATA, TABLES, write_model

if TYPE_CHECKING:
    from pathlib import Path

HEADS, KV_HEADS, SIZE, WIDTH, INSIDE = 4, 2, 6, 16, 10
RNG = np.random.default_rng(5)
# What only drafts for another model is not told apart.
DRAFTS = ("dflash", "gemma4-assistant")
KINDS = {0: "pairs", 2: "halves", 8: "halves", 40: "halves", -1: "nothing"}


def pairs(halves: np.ndarray, heads: int) -> np.ndarray:
    """As ``LlamaModel.permute`` of llama.cpp's converter."""
    apart = halves.reshape(heads, 2, -1, *halves.shape[1:]).swapaxes(1, 2)
    return apart.reshape(halves.shape)


def weights() -> dict[str, np.ndarray]:
    """A layer as a checkpoint of Transformers has it, by the names of a file."""
    shapes = {
        "attn_q": (HEADS * SIZE, WIDTH),
        "attn_k": (KV_HEADS * SIZE, WIDTH),
        "attn_v": (KV_HEADS * SIZE, WIDTH),
        "attn_output": (WIDTH, HEADS * SIZE),
        "attn_q_norm": (SIZE,),
        "ffn_gate": (INSIDE, WIDTH),
        "ffn_up": (INSIDE, WIDTH),
        "ffn_down": (WIDTH, INSIDE),
    }
    return {name: RNG.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


def file(path: Path, tensors: dict[str, np.ndarray], architecture: str, **more: Any) -> Path:
    named = {f"blk.0.{name}.weight": values for name, values in tensors.items()}
    keys = {"embedding_length": WIDTH, "attention.key_length": SIZE}
    keys |= {"attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS} | more
    numbers = {f"{architecture}.{key}": np.uint32(value) for key, value in keys.items()}
    return write_model(path, named, architecture, **numbers)


def as_pairs(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    heads = {"attn_q": HEADS, "attn_k": KV_HEADS, "attn_q_norm": 1}
    return {n: pairs(t, heads[n]) if n in heads else t for n, t in tensors.items()}


def fused(tensors: dict[str, np.ndarray], *, gate: bool) -> dict[str, np.ndarray]:
    """With q, k and v in one tensor, and gate and up in what is called up."""
    made = dict(tensors)
    made["attn_qkv"] = np.concatenate([made.pop(f"attn_{kind}") for kind in "qkv"])
    if gate:
        made["ffn_up"] = np.concatenate([made.pop("ffn_gate"), made["ffn_up"]])
    return made


@pytest.mark.parametrize("ours", ["pairs", "pairs, fused", "halves", "halves, fused", "phi3"])
@pytest.mark.parametrize("theirs", ["pairs", "pairs, fused", "halves", "halves, fused", "phi3"])
def test_nothing_differs(ours: str, theirs: str, tmp_path: Path) -> None:
    halves = weights()
    ways = {"pairs": as_pairs(halves), "halves": halves}
    ways |= {f"{name}, fused": fused(tensors, gate=False) for name, tensors in ways.items()}
    ways["phi3"] = fused(halves, gate=True)
    names = {"pairs": "llama", "halves": "qwen2", "phi3": "phi3"}
    a, b = (
        file(tmp_path / f"{number}.gguf", ways[way], names[way.partition(",")[0]])
        for number, way in enumerate((ours, theirs))
    )
    result = gl.compare(a, b, progress=False)
    assert {row.status for row in result.rows} == {"compared"}
    assert all(row.exact for row in result.rows)
    assert not any(row.name is None for row in result.rows)
    unlike = ours.startswith("pairs") != theirs.startswith("pairs")
    assert any("rotary" in row.transform for row in result.rows) == unlike


def test_architectures_of_which_nothing_is_known(tmp_path: Path) -> None:
    a, b = (file(tmp_path / f"{name}.gguf", weights(), name) for name in ("llama", "new-one"))
    for one, other in ((a, b), (b, a)):
        result = gl.compare(one, other, progress=False)
        assert {row.status for row in result.rows} == {"unverified"}
        assert "'new-one' in the" in result.rows[0].reason
        codes = {finding.code for finding in gl.check(one, other, progress=False)}
        assert "unlike" not in codes
    same = file(tmp_path / "same.gguf", weights(), "new-one")
    assert {row.status for row in gl.compare(b, same, progress=False).rows} == {"compared"}


def test_what_cannot_be_arranged_is_not_verified(tmp_path: Path) -> None:
    """Only part of a head is turned, or the tensor is of an attention with latent keys."""
    tensors = weights() | {"attn_q_b": RNG.standard_normal((24, 8)).astype("f4")}
    a = file(tmp_path / "a.gguf", tensors, "llama")
    b = file(tmp_path / "b.gguf", tensors, "qwen2", **{"rope.dimension_count": 4})
    found = {row.name: row for row in gl.compare(a, b, progress=False).rows}
    doubted = {name for name, row in found.items() if row.status == "unverified"}
    kinds = ("attn_q", "attn_k", "attn_q_norm", "attn_q_b")
    assert doubted == {f"blk.0.{kind}.weight" for kind in kinds}
    assert "they turn 4 of 6 elements" in found["blk.0.attn_q.weight"].reason
    assert "how to arrange 'attn_q_b' is not known" in found["blk.0.attn_q_b.weight"].reason
    # the other way round the rest of a head stays
    back = {row.name: row for row in gl.compare(b, a, progress=False).rows}
    assert back["blk.0.attn_q.weight"].status == "compared"


def test_heads_that_are_not_told(tmp_path: Path) -> None:
    a = file(tmp_path / "a.gguf", weights(), "llama")
    named = {f"blk.0.{name}.weight": values for name, values in weights().items()}
    b = write_model(tmp_path / "b.gguf", named, "qwen2")
    found = {row.name: row for row in gl.compare(a, b, progress=False).rows}
    assert "number of heads is unknown" in found["blk.0.attn_q.weight"].reason
    assert found["blk.0.ffn_up.weight"].status == "compared"


_ASK = """
import os, sys
os.environ["GGML_NO_BACKTRACE"] = "1"
import llama_cpp

silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, None)
settings = llama_cpp.llama_model_default_params()
settings.n_gpu_layers = 0
overrides = (llama_cpp.llama_model_kv_override * 3)()
overrides[0].key, overrides[0].tag = b"tokenizer.ggml.model", 3
overrides[0].value.val_str = b"no_vocab"
overrides[1].tag = 0
settings.kv_overrides = overrides
for line in sys.stdin.read().splitlines():
    path, architecture, tokens = line.split("\t")
    overrides[1].key = f"{architecture}.vocab_size".encode()
    overrides[1].value.val_i64 = int(tokens)
    if os.fork() == 0:  # it may end the process
        model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if model:
            print(llama_cpp.llama_model_rope_type(model), path, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.oracle
def test_what_is_turned_is_what_llama_cpp_turns() -> None:
    """Of every architecture of which there is a small model that it loads."""
    pytest.importorskip("llama_cpp")
    paths = sorted([*DATA.glob("*/*f*.gguf"), *TABLES.glob("*/*f*.gguf")])
    lines = []
    for path in paths:
        with gl.open(path) as model:
            table = model.tensors.get("token_embd.weight")
            lines.append(f"{path}\t{model.architecture}\t{table.shape[0] if table else 0}")
    asked = subprocess.run(
        [sys.executable, "-c", _ASK],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [line.split(" ", 1) for line in asked.stdout.splitlines()]
    assert len(answers) > 100
    unlike = {}
    for kind, path in answers:
        with gl.open(path) as model:
            if (ours := _turned(model)) != KINDS[int(kind)]:
                unlike[model.architecture] = ours
    assert unlike == dict.fromkeys(DRAFTS, "")
