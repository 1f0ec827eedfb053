from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge.exporting import export
from gguf_lab.errors import QuantizationError, UnsupportedError

if TYPE_CHECKING:
    from gguf_lab import Model

MODELS = Path(__file__).parents[1] / "data" / "models"
LLAMA_256 = MODELS / "llama-256"


def exported(path: Path, qtype: str) -> Model:
    return gl.open(export(LLAMA_256 / "hf", path, qtype=qtype, tokenizer=False, progress=False))


@pytest.mark.parametrize("name", ["Q4_K_M", "Q4_K"])
def test_a_mix_is_that_of_llama_quantize(name, tmp_path):
    """Converted, then quantized by llama-quantize: the same bytes in every tensor."""
    with gl.open(LLAMA_256 / "llama-Q4_K_M.gguf") as theirs, exported(tmp_path / "f", name) as ours:
        assert ours.file_type == "Q4_K_M"
        assert ours.tensors.keys() == theirs.tensors.keys()
        for key, tensor in theirs.tensors.items():
            mine = ours.tensor(key)
            assert (mine.qtype, mine.shape) == (tensor.qtype, tensor.shape)
            np.testing.assert_array_equal(mine.blocks(), tensor.blocks())


def test_a_mapping_gives_one_type_to_all(tmp_path):
    path = tmp_path / "f.gguf"
    export(LLAMA_256 / "hf", path, qtype={"*": "Q4_K"}, tokenizer=False, progress=False)
    with gl.open(path) as model:
        assert model.tensor("output.weight").qtype == "Q4_K"


def test_a_mix_that_needs_importance_is_refused(tmp_path):
    with pytest.raises(QuantizationError, match=r"without an importance matrix\. Export as BF16"):
        exported(tmp_path / "f.gguf", "IQ2_XXS")
    with pytest.raises(UnsupportedError, match=r"Q4_K_N' is unknown: .*Did you mean .*Q4_K_"):
        exported(tmp_path / "f.gguf", "Q4_K_N")
    assert [*tmp_path.iterdir()] == []
