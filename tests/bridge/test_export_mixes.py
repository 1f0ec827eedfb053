from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.bridge import storage
from gguf_lab.bridge.exporting import export
from gguf_lab.errors import GGUFError, GGUFLabError, QuantizationError, UnsupportedError
from gguf_lab.file import qtype
from gguf_lab.quantization import imatrix

if TYPE_CHECKING:
    from gguf_lab import Model

MODELS = Path(__file__).parents[1] / "data" / "models"
LLAMA_256 = MODELS / "llama-256"
SMOLLM2_IMATRIX = MODELS.parent / "imatrix" / "smollm2-imatrix.gguf"


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
    with pytest.raises(QuantizationError, match=r"without an importance matrix\. Give an"):
        exported(tmp_path / "f.gguf", "IQ2_XXS")
    with pytest.raises(UnsupportedError, match=r"Q4_K_N' is unknown: .*Did you mean .*Q4_K_"):
        exported(tmp_path / "f.gguf", "Q4_K_N")
    assert [*tmp_path.iterdir()] == []


def importance(path: Path) -> dict[str, np.ndarray]:
    """Return an importance for every matrix of a file but its embeddings."""
    with gl.open(path) as model:
        shapes = {name: t.shape for name, t in model.tensors.items() if len(t.shape) > 1}
    rng = np.random.default_rng(3)
    return {
        name: rng.uniform(0.1, 2, (*shape[:-2], shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
        if name != "token_embd.weight"
    }


def test_an_importance_matrix_counts_as_in_requantize(tmp_path):
    """Exported at once, or without loss and then quantized: the same bytes and keys."""
    folder, mix, plain = LLAMA_256, "IQ2_XS", tmp_path / "plain.gguf"
    options = {"tokenizer": False, "progress": False}
    export(folder / "hf", plain, qtype="F32", **options)
    matrix = importance(plain)
    export(folder / "hf", tmp_path / "one.gguf", qtype=mix, imatrix=matrix, **options)
    gl.requantize(plain, tmp_path / "two.gguf", mix, imatrix=matrix, progress=False)
    with gl.open(tmp_path / "one.gguf") as one, gl.open(tmp_path / "two.gguf") as two:
        assert one.metadata["quantize.imatrix.entries_count"] == len(matrix)
        for name, tensor in two.tensors.items():
            assert one.tensors[name].qtype == tensor.qtype
            np.testing.assert_array_equal(one.tensors[name].blocks(), tensor.blocks())
    with gl.open(export(folder / "hf", tmp_path / "no.gguf", qtype="Q4_0", **options)) as without:
        name = "blk.0.attn_q.weight"
        assert "quantize.imatrix.entries_count" not in without.metadata
        with gl.open(tmp_path / "one.gguf") as one:
            assert one.tensors[name].blocks().tobytes() != without.tensors[name].blocks().tobytes()


def test_the_importance_matrix_is_not_overwritten(tmp_path):
    matrix = tmp_path / "imatrix.gguf"
    matrix.write_bytes(SMOLLM2_IMATRIX.read_bytes())
    options = {"tokenizer": False, "progress": False, "overwrite": True}
    with pytest.raises(GGUFError, match=r"imatrix\.gguf is a file that is read"):
        export(LLAMA_256 / "hf", matrix, imatrix=matrix, **options)
    assert matrix.read_bytes() == SMOLLM2_IMATRIX.read_bytes()


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_each_expert_has_its_own_importance(rows_at_once, monkeypatch):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(3, 4, 256)).astype(np.float32)
    matrix = rng.uniform(0.01, 3, (3, 256)).astype(np.float32)

    class Rows:
        shape, dtype = values.shape, "F32"

        def read(self, start, stop):
            return values.reshape(12, 256)[start:stop].view(np.uint8)

    monkeypatch.setattr(imatrix, "_PORTION", 256 * rows_at_once)
    blocks = [gl.quantize(v, "Q4_K", importance=w) for v, w in zip(values, matrix, strict=True)]
    got = storage.read_as("experts", Rows(), qtype("Q4_K"), matrix)
    np.testing.assert_array_equal(np.concatenate(list(got)), np.concatenate(blocks))


def test_what_would_fail_in_its_midst_is_refused_before(tmp_path):
    source, path = LLAMA_256 / "hf", tmp_path / "f.gguf"
    options = {"tokenizer": False, "progress": False}
    matrix = {"blk.0.attn_q.weight": np.ones(3)}
    with pytest.raises(QuantizationError, match=r"has 256 columns.*but the importance matrix 3"):
        export(source, path, qtype="Q4_K", imatrix=matrix, **options)
    with pytest.raises(QuantizationError, match="is of no use without an entry for it"):
        export(source, path, qtype="IQ2_XXS", imatrix={"other": np.ones(3)}, **options)
    with pytest.raises(QuantizationError, match="cannot become IQ2_XXS without importance"):
        export(source, path, qtype={"*": "IQ2_XXS"}, **options)
    with pytest.raises(GGUFLabError, match="effort 'lazy' is unknown"):
        export(source, path, qtype="Q4_0", effort="lazy", **options)
    assert [*tmp_path.iterdir()] == []
