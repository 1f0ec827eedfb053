"""Every rule finds what breaks it, says where and what, and nothing in the file before."""

from __future__ import annotations

import inspect
import re
import sys
from operator import attrgetter
from typing import Any

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.checks import RULES
from gguf_lab.checks.keys import due_types

from ..file.builders import Builder, small
from .cases import CASES, MIXTRAL, NAMES, OLMO, OLMO_NAME, QWEN2, QWEN2_NAME, Case, key
from .variants import LLAMA, MODELS, Q4_K_M, variant

BESIDE = {"unmatched", "exactness", "unlike", "changed", "outlier", "template-differs"}
BESIDE |= {"special-differs"}
ELSEWHERE = {"version", "byte-order", "no-tensors", "fallback-type"}
"""Rules with a test of their own below."""


def test_every_rule_is_tested() -> None:
    assert {case.code for case in CASES} | BESIDE | ELSEWHERE == {*RULES}


@pytest.mark.parametrize("source", NAMES, ids=lambda path: path.stem)
def test_nothing_is_found_in_a_file_that_is_in_order(source: Any, tmp_path: Any) -> None:
    path = variant(source, tmp_path / NAMES[source])
    assert path.read_bytes() == source.read_bytes()
    assert list(gl.check(path, progress=False)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_rule_finds_what_breaks_it(case: Case, tmp_path: Any) -> None:
    found = gl.check(case.write(tmp_path), progress=False)
    (finding,) = [f for f in found if f.code == case.code]
    assert case.says in finding.message
    assert finding.severity == case.severity
    assert finding.where
    assert found.codes == {case.code} | case.also, found


def test_a_file_of_version_1_is_too_old_for_llama_cpp(tmp_path: Any) -> None:
    found = gl.check(small(version=1).write(tmp_path / "old.gguf"), progress=False)
    assert [(f.severity, f.message) for f in found if f.code == "version"] == [
        ("error", "GGUF version 1, which llama.cpp has stopped to read")
    ]


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_file_is_for_machines_of_its_byte_order(order: str, tmp_path: Any) -> None:
    found = gl.check(small(byteorder=order).write(tmp_path / "f.gguf"), progress=False)
    told = [f.severity for f in found if f.code == "byte-order"]
    assert told == ["error"] * (order != sys.byteorder)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.code in {"order", "alignment", "tensor-name"}],
    ids=lambda case: case.id,
)
def test_what_is_to_be_done_about_a_layout_helps(case: Case, tmp_path: Any) -> None:
    """What `quantize` is said to mend, it mends; it is not said of what it copies."""
    path = case.write(tmp_path)
    (found,) = [f for f in gl.check(path, progress=False) if f.code == case.code]
    new = tmp_path / "new.gguf"
    gl.requantize(path, new, "BF16", progress=False)
    mended = case.code not in gl.check(new, progress=False).codes
    assert ("gguf-lab quantize" in found.what_to_do) == mended
    assert "gguf_new_metadata.py" not in found.what_to_do  # it keeps alignment and names


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.code in {"architecture-key", "name-size", "projector-type"}]
    + [c for c in CASES if c.says.startswith(("the key is missing", "the key has"))]
    + [c for c in CASES if c.code == "activation"],
    ids=lambda case: case.id,
)
def test_no_key_is_to_be_set_that_cannot_be(case: Case, tmp_path: Any) -> None:
    """gguf_set_metadata.py changes numbers that are there, and gguf_new_metadata.py few keys."""
    found = [f for f in gl.check(case.write(tmp_path), progress=False) if f.code == case.code]
    for finding in found:
        assert "gguf_set_metadata.py" not in finding.what_to_do
        assert "--remove-metadata" in finding.what_to_do or "gguf_new" not in finding.what_to_do


def test_a_model_without_tensors_and_tokenizer_is_nothing(tmp_path: Any) -> None:
    builder = Builder().key("general.architecture", "string", "llama")
    found = gl.check(builder.write(tmp_path / "Empty-1M-F16.gguf"), progress=False)
    assert found.codes == {"no-tensors"}
    assert found.worst == "error"


@pytest.mark.parametrize("source", [LLAMA, QWEN2, OLMO], ids=lambda path: path.stem)
def test_what_the_converter_joins_on_demand_is_not_foreign(source: Any, tmp_path: Any) -> None:
    """As ``convert_hf_to_gguf.py --fuse-qkv`` writes it."""
    tensors: dict[str, Any] = {}
    with gl.open(source) as model:
        for layer in range(model.metadata[f"{model.architecture}.block_count"]):
            for tail in ("weight", "bias"):
                names = [f"blk.{layer}.attn_{kind}.{tail}" for kind in "qkv"]
                parts = [model.tensors[name] for name in names if name in model.tensors]
                if parts:
                    tensors |= dict.fromkeys(names)
                    rows = sum(part.shape[0] for part in parts)
                    raw = b"".join(part.blocks().tobytes() for part in parts)
                    ne = (*parts[0].shape[:0:-1], rows)
                    tensors[f"blk.{layer}.attn_qkv.{tail}"] = parts[0].info.qtype.id, ne, raw
    name = {**NAMES, QWEN2: QWEN2_NAME, OLMO: OLMO_NAME}[source]
    path = variant(source, tmp_path / name, tensors=tensors)
    assert gl.check(path, progress=False).codes <= {"tokenizer"}


def test_files_of_other_programs_have_vectors_in_any_type(tmp_path: Any) -> None:
    """As image models have them, which others than llama.cpp run."""
    half = np.ones(64, np.float16).tobytes()
    for architecture, wrong in (("flux", False), ("llama", True)):
        builder = Builder().key("general.architecture", "string", architecture)
        path = builder.tensor("norm.scale", [64], 1, half).write(tmp_path / "x.gguf")
        assert ("unusable-type" in gl.check(path, progress=False).codes) is wrong


@pytest.mark.parametrize(
    ("source", "name", "wrong"),
    [
        (LLAMA, "Tiny-500K-v1.0-BF16.gguf", set()),  # as SmolVLM-256M, whose text has 163 M
        (LLAMA, "Tiny-700K-v1.0-BF16.gguf", {"name-size"}),
        (LLAMA, "Tiny-200K-v1.0-BF16.gguf", {"name-size"}),
        (MIXTRAL, "Tiny-48K-v1.0-BF16.gguf", set()),
        (MIXTRAL, "Tiny-28K-v1.0-BF16.gguf", set()),  # as Llama-4-Scout-17B-16E: those in use
        (MIXTRAL, "Tiny-10K-v1.0-BF16.gguf", {"name-size"}),
        (MIXTRAL, "Tiny-200K-v1.0-BF16.gguf", {"name-size"}),
        (Q4_K_M, "Tiny-1.4M-v1.0-Q4.gguf", set()),  # as Phi-3-mini-4k-instruct-q4
        (Q4_K_M, "Tiny-1.4M-v1.0-Q5.gguf", {"name-encoding"}),
        (Q4_K_M, "Tiny-1.4M-v1.0-Q4_0.gguf", {"name-encoding"}),
    ],
)
def test_names_say_sizes_and_encodings_in_several_ways(
    source: Any, name: str, wrong: set[str], tmp_path: Any
) -> None:
    used = {"llama.expert_used_count": ("uint32", 1)} if source == MIXTRAL else {}
    path = variant(source, tmp_path / name, keys=used)
    assert gl.check(path, progress=False).codes - {"tokenizer"} == wrong


@pytest.mark.parametrize("label", ["3B-28K", "28K-3B", "A28K", "3B"])
def test_of_experts_any_size_in_the_label_will_do(label: str, tmp_path: Any) -> None:
    """As of OLMoE, which is called 1B-7B."""
    keys = {"llama.expert_used_count": ("uint32", 1), "general.size_label": ("string", label)}
    path = variant(MIXTRAL, tmp_path / "Tiny-48K-v1.0-BF16.gguf", keys=keys)
    assert ("name-size" in gl.check(path, progress=False).codes) is (label == "3B")


def test_a_classifier_of_one_class_is_a_matrix(tmp_path: Any) -> None:
    builder = Builder().key("general.architecture", "string", "bert")
    builder.tensor("cls.output.weight", [64], 1, np.ones(64, np.float16).tobytes())
    path = builder.write(tmp_path / "x.gguf")
    assert "unusable-type" not in gl.check(path, progress=False).codes


def test_types_that_came_instead_are_told_with_what_they_cost(tmp_path: Any) -> None:
    """Rows of 96 have no blocks of 256: llama-quantize takes Q5_0 for Q4_K, and says it once."""
    name = "blk.0.attn_q.weight"
    blocks = np.random.default_rng(1).integers(0, 256, (96 * 3, 22), np.uint8)
    blocks[:, :2] = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
    path = variant(
        LLAMA,
        tmp_path / "Tiny-311K-v1.0-Q4_K_M.gguf",
        keys={"general.file_type": ("uint32", 15)},
        tensors={name: (6, (96, 96), blocks.tobytes())},
    )
    found = gl.check(path, progress=False)
    (instead,) = [f for f in found if f.code == "fallback-type"]
    assert (instead.severity, instead.where) == ("note", name)
    assert instead.message.startswith(
        f"1 tensor has Q5_0 ({100 * 96 * 96 / 310_944:.1f} % of the weights) where the mix has "
        f"Q4_K: rows of 96 are no multiple of 256. That is {100 * (5.5 / 4.5 - 1):+.0f} % in size"
    )
    assert instead.what_to_do.startswith("A mix on a type with blocks of 32")


def against(path: Any, reference: Any, code: str) -> list[gl.Finding]:
    """What one rule finds beside an original, after checking that nothing else is found by it."""
    found = gl.check(path, reference, progress=False)
    assert found.codes <= {code, "exactness"}, found
    return [f for f in found if f.code == code]


def test_beside_its_own_original_a_file_has_nothing_unusual(tmp_path: Any) -> None:
    path = variant(LLAMA, tmp_path / NAMES[LLAMA])
    (exact,) = against(path, MODELS / "llama" / "hf", "exactness")
    assert exact.message == "30 of 30 compared tensors are exactly the original"
    assert exact.severity == "note"


def test_what_has_no_original_is_told(tmp_path: Any) -> None:
    whole = variant(LLAMA, tmp_path / NAMES[LLAMA])
    less = variant(LLAMA, tmp_path / "less.gguf", tensors={"blk.1.ffn_norm.weight": None})
    (found,) = against(whole, less, "unmatched")
    assert found.where == "blk.1.ffn_norm.weight"


def test_other_weights_are_no_rounding(tmp_path: Any) -> None:
    def turn(raw: np.ndarray) -> None:
        raw[:, 1::2] ^= 0x80

    path = variant(LLAMA, tmp_path / NAMES[LLAMA], values={"blk.1.ffn_up.weight": turn})
    (found,) = against(path, MODELS / "llama" / "hf", "unlike")
    assert (found.severity, found.where) == ("error", "blk.1.ffn_up.weight")
    assert "the cosine with the original is -1" in found.message


def test_values_that_are_not_finite_are_no_other_weights(tmp_path: Any) -> None:
    def spoil(raw: np.ndarray) -> None:
        raw.view(np.float32)[0, :3] = np.nan, np.inf, -np.inf

    name = "blk.1.ffn_norm.weight"
    original = MODELS / "llama" / "hf"
    path = variant(LLAMA, tmp_path / NAMES[LLAMA], values={name: spoil})
    comparison = gl.compare(path, original, progress=False)
    how = {"comparison": comparison, "deep": False, "progress": False}
    (found,) = (f for f in gl.check(path, original, **how) if f.code == "unlike")
    assert (found.severity, found.where) == ("error", name)
    words = "1 value is NaN and 2 infinite; those of the original are finite"
    assert found.message == words
    assert "quantize again from a sound original" in found.what_to_do
    (tmp_path / "sound").mkdir()
    sound = variant(LLAMA, tmp_path / "sound" / NAMES[LLAMA])
    (found,) = against(sound, path, "unlike")
    assert found.message == "1 value is NaN and 2 infinite in the reference"
    assert found.what_to_do == "Look for a sound original."
    # what reads the values has found it already
    assert gl.check(path, original, progress=False).codes == {"not-finite", "exactness"}


def test_what_is_stored_in_full_is_to_be_the_original(tmp_path: Any) -> None:
    def scale(raw: np.ndarray) -> None:
        raw.view(np.float32)[:] *= np.float32(1.01)

    path = variant(LLAMA, tmp_path / NAMES[LLAMA], values={"blk.1.ffn_norm.weight": scale})
    (found,) = against(path, MODELS / "llama" / "hf", "changed")
    assert found.severity == "warning"
    assert "relative RMSE 0.01" in found.message


def test_what_is_stored_in_full_where_the_original_is_zero_has_no_relative_error(
    tmp_path: Any,
) -> None:
    def clear(raw: np.ndarray) -> None:
        raw[:] = 0

    path = variant(LLAMA, tmp_path / NAMES[LLAMA])
    zero = variant(LLAMA, tmp_path / "original.gguf", values={"blk.1.ffn_norm.weight": clear})
    (found,) = against(path, zero, "changed")
    assert found.where == "blk.1.ffn_norm.weight"
    assert "the reference: error up to" in found.message
    assert "where the reference is zero" in found.message


def test_a_tensor_that_lost_far_more_than_the_others_stands_out(tmp_path: Any) -> None:
    def harm(raw: np.ndarray) -> None:
        raw.reshape(-1, 144)[:, 16:48] ^= 0x44

    path = variant(Q4_K_M, tmp_path / NAMES[Q4_K_M], values={"blk.0.attn_q.weight": harm})
    (found,) = against(path, MODELS / "llama-256" / "hf", "outlier")
    assert found.where == "blk.0.attn_q.weight"
    assert "times the median of the 13 matrices in Q4_K" in found.message


@pytest.mark.parametrize("kind", ["checkpoint", "file"])
def test_template_and_special_tokens_are_those_of_the_original(tmp_path: Any, kind: str) -> None:
    reference = MODELS / "llama" / "hf" if kind == "checkpoint" else LLAMA
    with gl.open(LLAMA) as model:
        template = model.metadata["tokenizer.chat_template"]
    for text, severity in (
        (f"{template} !", "warning"),
        (f"{template} \n", "note"),
        (None, "warning"),
    ):
        entry = key("tokenizer.chat_template", "string" if text else "", text)
        path = variant(LLAMA, tmp_path / NAMES[LLAMA], **entry)
        (found,) = against(path, reference, "template-differs")
        assert (found.severity, found.where) == (severity, "tokenizer.chat_template")
    path = variant(
        LLAMA, tmp_path / NAMES[LLAMA], **key("tokenizer.ggml.eos_token_id", "uint32", 3)
    )
    (found,) = against(path, reference, "special-differs")
    assert found.severity == "warning"
    assert found.message == "the key is 3, in the original it is 2"


def test_the_checkpoint_of_another_model_is_an_error_and_the_file_is_still_checked() -> None:
    found = gl.check(LLAMA, MODELS / "gpt2" / "hf", progress=False)
    assert (found[0].severity, found[0].code) == ("error", "other-model")
    assert "name" in found.codes
    assert found.skipped["outlier"] == "nothing was compared"


@pytest.mark.parametrize("name", ["models/qwen3_5", "tables/glm4-moe-lite", "tables/exaone-moe"])
def test_what_predicts_further_tokens_is_not_foreign(name: str) -> None:
    """The package gguf does not list it for all architectures of which the converter writes it."""
    (path,) = (MODELS.parent / name).glob("*.gguf")
    assert "foreign-tensor" not in gl.check(path, progress=False).codes


def test_the_types_of_keys_are_those_that_the_package_writes() -> None:
    """The source of `gguf.GGUFWriter` says for every key as what it is written."""
    source = inspect.getsource(gguf.GGUFWriter)
    calls = re.findall(r"self\.add_(\w+)\((Keys\.[\w.]+?)(?:\.format|,)", source)
    written: dict[str, set[str]] = {}
    for kind, name in calls:
        written.setdefault(attrgetter(name)(gguf), set()).add(kind)
    due = {key: kind for key, kind in due_types().items() if kind != "any"}
    both = {key: (due[key], kinds) for key, kinds in written.items() if key in due}
    assert len(both) > 80
    assert [entry for entry in both.items() if entry[1][0] not in entry[1][1]] == []
