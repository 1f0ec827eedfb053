"""What llama.cpp cannot do without, in the files of its own converter and by its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gguf_lab as gl
from gguf_lab.reference.demanded import REQUIRED
from gguf_lab.reference.facts import Facts
from gguf_lab.reference.lengths import wrong_lengths
from gguf_lab.reference.requirements import missing_tensors

from .support import DATA

if TYPE_CHECKING:
    from pathlib import Path

FILES = [p for p in sorted(DATA.glob("*/*.gguf")) if p.stem.endswith(("-f32", "-f16", "-bf16"))]
# llama.cpp loads none of them: the converter took the inner width for four times the hidden size,
# and read Transformers' defaults for the sizes; and heads are wider together than the model.
WRONG = {"phi2", "nomic-bert-moe", "cohere2", "exaone4", "nemotron"}


def layers(model: gl.Model, *, decoder: bool) -> list[int]:
    sides = [t for t in model.tensors.values() if t.kind.startswith("dec.") == decoder]
    return sorted({t.layer for t in sides if t.layer is not None})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_files_of_the_converter_have_all_of_it(path: Path) -> None:
    with gl.open(path) as model:
        architecture = model.architecture or ""
        assert architecture in REQUIRED
        sides = layers(model, decoder=False), layers(model, decoder=True)
        assert [*missing_tensors(architecture, model.tensors, *sides)] == []
        shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
        wrong = [*wrong_lengths(Facts.of(architecture, model.metadata, {}), shapes)]
        assert bool(wrong) == (path.parent.name in WRONG), wrong


@pytest.mark.parametrize(
    ("architecture", "missing"),
    [
        ("t5", {"dec.blk.0.cross_attn_q.weight"}),
        ("t5encoder", {"enc.blk.0.attn_o.weight"}),
        ("lfm2", {"blk.0.shortconv.conv.weight", "blk.0.attn_q.weight", "blk.0.attn_qkv.weight"}),
        ("mamba", {"blk.0.ssm_a"}),
        ("gpt-oss", {"blk.0.ffn_down_exps.bias"}),
        ("deepseek2", {"blk.0.attn_kv_b.weight", "blk.0.attn_k_b.weight"}),
    ],
)
def test_names_are_those_of_the_file(architecture: str, missing: set[str]) -> None:
    every = {name for some in missing_tensors(architecture, [], [0], [0]) for name in some}
    assert missing <= every
    (absent,) = missing_tensors(architecture, every - missing, [0], [0])
    assert {*absent} == missing
