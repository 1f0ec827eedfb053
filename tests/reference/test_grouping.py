"""Two files with the same weights in other tensors: fused or apart, experts stacked or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.codec import quantize
from gguf_lab.errors import ComparisonError
from gguf_lab.model import open_model
from gguf_lab.reference.counterpart import align_files

from .support import write_model

if TYPE_CHECKING:
    from pathlib import Path

Q, K, WIDTH, EXPERTS, INNER = 64, 32, 96, 3, 32


def weights() -> dict[str, np.ndarray]:
    """A layer with everything apart that can be, and experts stacked."""
    rng = np.random.default_rng(5)
    shapes = {
        "token_embd.weight": (40, WIDTH),
        "blk.0.attn_q.weight": (Q, WIDTH),
        "blk.0.attn_k.weight": (K, WIDTH),
        "blk.0.attn_v.weight": (K, WIDTH),
        "blk.0.attn_q.bias": (Q,),
        "blk.0.attn_k.bias": (K,),
        "blk.0.attn_v.bias": (K,),
        "blk.0.ffn_gate_exps.weight": (EXPERTS, INNER, WIDTH),
        "blk.0.ffn_up_exps.weight": (EXPERTS, INNER, WIDTH),
        "blk.0.ffn_down_exps.weight": (EXPERTS, WIDTH, INNER),
    }
    return {name: rng.normal(size=shape).astype("<f4") for name, shape in shapes.items()}


def fused(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As ``--fuse-qkv --fuse-gate-up-exps`` has them."""
    made = dict(tensors)
    for end in ("weight", "bias"):
        parts = [made.pop(f"blk.0.attn_{kind}.{end}") for kind in "qkv"]
        made[f"blk.0.attn_qkv.{end}"] = np.concatenate(parts)
    both = [made.pop(f"blk.0.ffn_{kind}_exps.weight") for kind in ("gate", "up")]
    made["blk.0.ffn_gate_up_exps.weight"] = np.concatenate(both, axis=1)
    return made


def single(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As the first files of mixtral have them."""
    made = dict(tensors)
    for kind in ("gate", "up", "down"):
        experts = made.pop(f"blk.0.ffn_{kind}_exps.weight")
        made |= {f"blk.0.ffn_{kind}.{i}.weight": expert for i, expert in enumerate(experts)}
    return made


FORMS = {"apart": dict, "fused": fused, "single": single}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        form: write_model(tmp_path / f"{form}.gguf", make(weights()))
        for form, make in FORMS.items()
    }


@pytest.mark.parametrize("ours", FORMS)
@pytest.mark.parametrize("theirs", FORMS)
def test_the_same_weights_are_found(files: dict[str, Path], ours: str, theirs: str) -> None:
    result = gl.compare(files[ours], files[theirs], progress=False)
    alone = {"fused", "single"} == {ours, theirs}  # gate and up of all experts: two steps
    left = [row for row in result.rows if row.status != "compared"]
    assert {(row.name or row.reference_name).split(".")[2] for row in left} <= (
        {"ffn_gate_up_exps", "ffn_gate", "ffn_up"} if alone else set()
    )
    assert bool(left) is alone
    assert all(row.exact for row in result.compared)
    names = {name for row in result.rows for name in [row.name] if name}
    assert names == set(open_model(files[ours]).tensors)


def test_words_and_names(files: dict[str, Path]) -> None:
    def pairs(ours: str, theirs: str) -> dict[str, Any]:
        found = align_files(open_model(files[ours]), open_model(files[theirs]))
        assert found.reference_only == ()
        return {pair.name: (pair.reference_names, pair.transform) for pair in found.pairs}

    qkv = tuple(f"blk.0.attn_{kind}.weight" for kind in "qkv")
    apart, whole = pairs("apart", "fused"), pairs("fused", "apart")
    assert whole["blk.0.attn_qkv.weight"] == (qkv, "q, k and v joined")
    assert apart["blk.0.attn_k.bias"] == (("blk.0.attn_qkv.bias",), "the rows of k")
    gate_up = ("blk.0.ffn_gate_up_exps.weight",)
    assert apart["blk.0.ffn_up_exps.weight"] == (gate_up, "second half of the rows")
    one, stacked = pairs("single", "apart"), pairs("apart", "single")
    assert one["blk.0.ffn_down.2.weight"] == (("blk.0.ffn_down_exps.weight",), "expert 2")
    experts = tuple(f"blk.0.ffn_down.{i}.weight" for i in range(EXPERTS))
    assert stacked["blk.0.ffn_down_exps.weight"] == (experts, "experts 0-2 stacked")


def test_parts_of_several_types_are_decoded(tmp_path: Path, files: dict[str, Path]) -> None:
    """Mixes give v more bits than q and k."""
    mixed: dict[str, Any] = weights()
    for kind, qtype in zip("qkv", ("Q4_0", "Q4_0", "Q8_0"), strict=True):
        name = f"blk.0.attn_{kind}.weight"
        blocks = quantize(mixed[name], qtype)
        mixed[name] = (qtype, np.asarray(blocks).reshape(len(mixed[name]), -1))
    path = write_model(tmp_path / "mixed.gguf", mixed)
    rows = {row.name: row for row in gl.compare(files["fused"], path, progress=False).rows}
    whole = rows["blk.0.attn_qkv.weight"]
    assert (whole.status, whole.reference_qtype) == ("compared", "F32")
    apart = {row.name: row for row in gl.compare(files["apart"], path, progress=False).rows}
    parts = [apart[f"blk.0.attn_{kind}.weight"] for kind in "qkv"]
    assert all(row.reference_qtype in {"Q4_0", "Q8_0"} for row in parts)
    n = [row.n_elements for row in parts]
    due = np.sqrt(np.average([row.rmse**2 for row in parts], weights=n))
    np.testing.assert_allclose(whole.rmse, due, rtol=1e-6)


def test_lengths_that_do_not_fit_are_left_alone(tmp_path: Path, files: dict[str, Path]) -> None:
    longer = weights()
    longer["blk.0.attn_q.weight"] = np.ones((Q + 32, WIDTH), "<f4")
    path = write_model(tmp_path / "longer.gguf", longer)
    found = align_files(open_model(path), open_model(files["fused"]))
    status = {pair.name: (pair.status, pair.reason) for pair in found.pairs}
    for kind in "qkv":
        why = "the reference has no tensor of this name"
        assert status[f"blk.0.attn_{kind}.weight"] == ("unmatched", why)
    found = align_files(open_model(files["fused"]), open_model(path))
    (whole,) = (pair for pair in found.pairs if pair.name == "blk.0.attn_qkv.weight")
    assert whole.status == "unmatched"
    assert "shape (128, 96) in the file, (160, 96) in the reference" in whole.reason


def test_a_gap_among_the_experts_is_no_stack(tmp_path: Path, files: dict[str, Path]) -> None:
    gap = single(weights())
    del gap["blk.0.ffn_up.1.weight"]
    path = write_model(tmp_path / "gap.gguf", gap)
    found = align_files(open_model(files["apart"]), open_model(path))
    assert [p.name for p in found.pairs if p.status != "matched"] == ["blk.0.ffn_up_exps.weight"]
    one = write_model(tmp_path / "one.gguf", {"blk.0.ffn_up.0.weight": np.ones((4, 32))})
    three = write_model(tmp_path / "3.gguf", {"blk.0.ffn_up_exps.weight": np.ones((3, 4, 32))})
    with pytest.raises(ComparisonError, match="are not the same model"):
        align_files(open_model(three), open_model(one))
