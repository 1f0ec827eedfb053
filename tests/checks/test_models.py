"""Real models: nothing is called wrong that is right. And what is wrong with a few of them, is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab.errors import GGUFLabError

from .loading_projectors import FITS_NOT, answers
from .variants import LLAMA, MODELS

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted(MODELS.glob("*/*.gguf"))
E = "error"
NO_TOKENIZER = (E, "tokenizer")  # true: llama.cpp loads no model without
WRONG = {
    # The converter was run on a configuration that says 12 layers of 768.
    "nomic-bert-moe-bf16": {
        *((E, "layers"), (E, "shapes")),
    },
    # llama.cpp has none of which all heads together are wider than the model.
    **{name: {(E, "shapes")} for name in ("cohere2-bf16", "exaone4-f32")},
    # Of their heads an odd number of values is rotated.
    **{name: {(E, "heads")} for name in ("glm4-bf16", "stablelm-qknorm-bf16")},
    "nemotron-bf16": {(E, "shapes"), (E, "heads")},
    # The converter takes the inner width for four times the hidden size: this model has another.
    "phi2-bf16": {(E, "shapes"), (E, "heads")},
    # With so few layers llama.cpp has no norms of queries and keys.
    "cohere-bf16": {(E, "unasked-tensor")},
    # The file is called BF16, and its experts are in MXFP4.
    "gpt-oss-mxfp4-bf16": {("warning", "name-encoding")},
}

PROJECTORS = sorted(MODELS.parent.glob("projectors/*/*.gguf"))
# Made smaller than llama.cpp has them: of fewer layers or parts, or without a processor.
TOO_SMALL = {
    "deepseek4v": "projector-tensors",
    "deepseekocr": "projector-tensors",
    "deepseekocr2": "projector-tensors",
    "glm5v": "projector-keys",
    "granite-speech": "projector-tensors",
    "granite4_vision": "projector-tensors",
    "lfm2a": "projector-tensors",
    # of any size: the converter leaves out [IMG_BREAK]
    **dict.fromkeys(("llava-pixtral", "pixtral"), "projector-tensors"),
    "nemotron": "projector-tensors",
    "qwen3-tts": "projector-tensors",
    "step3vl": "projector-tensors",
    "youtuvl": "projector-keys",
}


def serious(found: gl.Findings) -> set[tuple[str, str]]:
    return {(f.severity, f.code) for f in found if f.severity != "note"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_the_converter_wrote_is_in_order(path: Path) -> None:
    with gl.open(path) as model:
        found = gl.check(model, path.parent / "hf", progress=False)
        expected = set() if "tokenizer.ggml.model" in model.metadata else {NO_TOKENIZER}
    assert serious(found) == expected | WRONG.get(path.stem, set()), found
    assert found.skipped == {}


@pytest.mark.parametrize("path", PROJECTORS, ids=lambda path: path.parent.name)
def test_what_the_converter_wrote_of_projectors_is_in_order(path: Path) -> None:
    with gl.open(path) as model:
        found = gl.check(model, path.parent / "hf", progress=False)
    wrong = TOO_SMALL.get(path.parent.name)
    assert serious(found) == ({(E, wrong)} if wrong else set()), found


@pytest.mark.oracle
def test_llama_cpp_loads_these_projectors() -> None:
    pytest.importorskip("llama_cpp")
    loaded = [FITS_NOT in said for said in answers(LLAMA, PROJECTORS)]
    found = dict(zip((path.parent.name for path in PROJECTORS), loaded, strict=True))
    assert {name for name, fine in found.items() if not fine} == {*TOO_SMALL}


def test_smollm2_is_in_order() -> None:
    try:
        path = gl.demo.smollm2()
    except GGUFLabError as error:
        pytest.skip(str(error))
    found = gl.check(path, progress=False)
    assert serious(found) == set()
    (fallback,) = found
    assert fallback.code == "fallback-type"
    assert "have" not in fallback.message.split("where")[0]  # one tensor *has* it
    assert "has Q8_0" in fallback.message
    assert "where the mix has Q6_K: rows of 576 are no multiple of 256" in fallback.message


def test_minilm_is_in_order(tmp_path: Any) -> None:
    try:
        original = gl.demo.minilm()
    except GGUFLabError as error:
        pytest.skip(str(error))
    path = gl.demo.write_minilm_gguf(tmp_path, "Q8_0")
    found = gl.check(path, original, progress=False)
    assert serious(found) == set()
    assert found.codes == {"unmatched", "exactness"}
    assert found.skipped == {}
