from __future__ import annotations

import json
import os
import re
import shutil
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

import gguf_lab as gl
from gguf_lab.errors import GGUFError, GGUFLabError, QuantizationError, UnsupportedError
from gguf_lab.file import qtype
from gguf_lab.file.writer import Payload, write_file
from gguf_lab.quantization import open_imatrix, requantize
from gguf_lab.reference import align, open_checkpoint

from ..checks.variants import variant
from ..reference.support import write_model
from .record_files import RECORDED, SKETCHES, digests, importance, record, weights
from .record_mixes import DATA, MODELS, Sketch, describe, write

if TYPE_CHECKING:
    from pathlib import Path

SMOLLM2_IMATRIX = DATA / "imatrix" / "smollm2-imatrix.gguf"
LLAMA_256 = MODELS / "llama-256"


@cache
def recorded() -> dict[str, dict[str, str]]:
    return json.loads(RECORDED.read_text())


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The models that llama-quantize was given: description and file."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for name, sketch in SKETCHES.items():
        described = describe(sketch)
        found[name] = described, write(described, folder / f"{name}.gguf", weights)
    return found


@pytest.fixture
def llama(sources):
    return sources["llama"][1]


def differences(name: str, run: str, sources: Any, target: Path) -> dict[str, str]:
    """Return the tensors that are not those of llama-quantize, and their types."""
    described, source = sources[name]
    mix, _, imatrix = run.partition(" ")
    options: dict[str, Any] = {"imatrix": importance(described) if imatrix else None}
    if recorded()[name][run] == "refused":
        with pytest.raises((QuantizationError, UnsupportedError)):
            requantize(source, target, mix, progress=False, **options)
        return {"": "written"} if target.exists() else {}
    result = requantize(source, target, mix, progress=False, overwrite=True, **options)
    got = digests(target)
    expected = dict(zip(got, recorded()[name][run].split(), strict=True))
    types = {tensor.name: tensor.qtype for tensor in result.tensors}
    if not imatrix:  # with one, llama-quantize's command line adds what its function does not
        types[""] = "the whole file"
    return {name: types[name] for name in types if got[name] != expected[name]}


@pytest.mark.parametrize("run", ["Q8_0", "F16", "BF16", "Q4_K_M", "IQ4_XS imatrix", "Q3_K_L"])
def test_the_same_file_as_llama_quantize(run, sources, tmp_path):
    assert differences("llama", run, sources, tmp_path / "new.gguf") == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SKETCHES)
def test_the_same_files_as_llama_quantize(name, sources, tmp_path):
    found = {
        run: differences(name, run, sources, tmp_path / f"{run}.gguf") for run in recorded()[name]
    }
    assert {run: tensors for run, tensors in found.items() if tensors} == {}


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", SKETCHES)
def test_the_recorded_files_are_those_of_llama_cpp(name, tmp_path):
    pytest.importorskip("llama_cpp")
    assert record(SKETCHES[name], tmp_path) == recorded()[name]


@pytest.fixture(scope="module")
def llama_256(tmp_path_factory):
    """The source of llama-Q4_K_M.gguf: its checkpoint, laid out as the converter does it."""
    path = tmp_path_factory.mktemp("llama-256") / "llama-bf16.gguf"
    with gl.open(LLAMA_256 / "llama-Q4_K_M.gguf") as model, open_checkpoint(LLAMA_256 / "hf") as hf:

        def payload(pair: Any) -> Payload:
            tensor = model.tensors[pair.name]
            rows, stored = pair.read(0, tensor.n_rows), pair.dtype
            if len(tensor.shape) == 1:
                rows, stored = gl.dequantize(rows, stored).view(np.uint8), "F32"
            return Payload(pair.name, tensor.shape, qtype(stored), lambda: [rows])

        metadata = {"general.architecture": "llama", "llama.block_count": 2}
        write_file(path, metadata, [payload(pair) for pair in align(model, hf).pairs])
    return path


def test_a_file_that_llama_quantize_has_published(llama_256, tmp_path):
    requantize(llama_256, tmp_path / "new.gguf", "Q4_K_M", progress=False)
    expected, got = digests(LLAMA_256 / "llama-Q4_K_M.gguf"), digests(tmp_path / "new.gguf")
    del got[""], expected[""]  # of the metadata there are only two keys
    assert got == expected


def test_metadata_is_copied_with_its_types(llama, tmp_path):
    with gl.open(llama) as old:
        requantize(old, tmp_path / "new.gguf", "q4_0", progress=False)
        with gl.open(tmp_path / "new.gguf") as new:
            assert new.file_type == "Q4_0"
            assert new.metadata["general.quantization_version"] == 2
            for key in old.metadata:
                assert new.metadata[key] == old.metadata[key]
                assert new.metadata.type_of(key) == old.metadata.type_of(key)


def test_text_that_is_no_utf8_is_copied_as_it_is(llama, tmp_path):
    raw = b"caf\xe9 \xff"
    keys = {"general.author": ("string", raw), "general.tags": ("array[string]", [raw, "\\xff"])}
    path = variant(llama, tmp_path / "old.gguf", keys=keys)
    requantize(path, tmp_path / "new.gguf", "Q4_0", progress=False)
    fields = gguf.GGUFReader(tmp_path / "new.gguf").fields
    assert bytes(fields["general.author"].parts[-1]) == raw
    tags = fields["general.tags"]
    assert [bytes(tags.parts[i]) for i in tags.data] == [raw, b"\\xff"]


def test_an_alignment_of_its_own_is_not_copied(tmp_path):
    described = describe(Sketch("llama", 1))
    described["metadata"]["general.alignment"] = 64
    write(described, tmp_path / "64.gguf", weights)
    requantize(tmp_path / "64.gguf", tmp_path / "new.gguf", "F32", progress=False)
    with gl.open(tmp_path / "64.gguf") as old, gl.open(tmp_path / "new.gguf") as new:
        assert old.metadata["general.alignment"] == 64
        assert "general.alignment" not in new.metadata
        for name in old.tensors:
            np.testing.assert_array_equal(new.tensor(name).to_numpy(), old.tensor(name).to_numpy())


@pytest.mark.oracle
def test_a_side_of_one_is_left_out_as_ggml_does(tmp_path):
    """qwen2moe's shared expert has one row of choice; ggml does not tell it from a vector."""
    pytest.importorskip("llama_cpp")
    from .llama_quantize import quantize as llama_quantize

    described = describe(Sketch("llama", 1))
    extra = [(f"blk.0.{name}.weight", (1, 256), "F32") for name in ("ffn_gate_inp_shexp", "x")]
    described["tensors"] = [*described["tensors"], *extra]
    source = write(described, tmp_path / "source.gguf", weights)
    llama_quantize(source, tmp_path / "theirs.gguf", "Q8_0")
    requantize(source, tmp_path / "ours.gguf", "Q8_0", progress=False)
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()
    with gl.open(tmp_path / "ours.gguf") as model:
        assert {model.tensor(name).shape for name, *_ in extra} == {(256,)}


def smollm2_like(path: Path) -> Path:
    """A model of one layer that the importance matrix of SmolLM2 fits."""
    described = describe(Sketch("llama", 1, row=576))
    tensors = [
        (name, (shape[0], 1536) if "ffn_down" in name else shape, qtype)
        for name, shape, qtype in described["tensors"]
    ]
    return write({**described, "tensors": tensors}, path, weights)


def test_an_importance_matrix_leaves_its_traces(tmp_path):
    source = smollm2_like(tmp_path / "source.gguf")
    result = requantize(
        source, tmp_path / "new.gguf", "Q4_0", imatrix=SMOLLM2_IMATRIX, progress=False
    )
    frame = result.to_frame().set_index("name")
    assert frame.loc["blk.0.attn_q.weight", "importance"] == "used"
    assert frame.loc["blk.0.attn_norm.weight", "importance"] == "not needed"
    assert frame.loc["token_embd.weight", "importance"] == "none: no entry"
    assert "2 without entry in the importance matrix" in result.summary
    with gl.open(tmp_path / "new.gguf") as model:
        found = {
            key.removeprefix("quantize.imatrix."): (model.metadata.type_of(key), value)
            for key, value in model.metadata.items()
            if key.startswith("quantize.imatrix.")
        }
    assert found == {
        "file": ("string", str(SMOLLM2_IMATRIX)[:127]),
        "dataset": ("string", "real/calib.txt"),
        "entries_count": ("uint32", 210),
        "chunks_count": ("uint32", 12),
    }
    without = requantize(source, tmp_path / "without.gguf", "Q4_0", progress=False)
    assert {tensor.importance for tensor in without.tensors} == {""}
    a, b = digests(tmp_path / "new.gguf"), digests(tmp_path / "without.gguf")
    assert a["blk.0.attn_q.weight"] != b["blk.0.attn_q.weight"]
    assert a["token_embd.weight"] == b["token_embd.weight"]


@pytest.mark.oracle
def test_an_importance_matrix_as_llama_quantize_takes_it(tmp_path):
    pytest.importorskip("llama_cpp")
    from .llama_quantize import quantize as llama_quantize

    source = smollm2_like(tmp_path / "source.gguf")
    with open_imatrix(SMOLLM2_IMATRIX) as imatrix:
        llama_quantize(source, tmp_path / "theirs.gguf", "Q4_0", imatrix=imatrix)
    requantize(source, tmp_path / "ours.gguf", "Q4_0", imatrix=SMOLLM2_IMATRIX, progress=False)
    ours, theirs = digests(tmp_path / "ours.gguf"), digests(tmp_path / "theirs.gguf")
    del ours[""], theirs[""]
    assert ours == theirs


def test_an_importance_matrix_of_another_model_is_refused(llama, tmp_path):
    with pytest.raises(QuantizationError, match=r"'output.weight' has 256 columns, .* 3 values"):
        requantize(llama, tmp_path / "new.gguf", "Q4_0", imatrix={"output.weight": np.ones(3)})
    result = requantize(
        llama, tmp_path / "new.gguf", "Q4_0", imatrix={"token_embd.weight": np.ones(3)}
    )
    embeddings = next(t for t in result.tensors if t.name == "token_embd.weight")
    assert embeddings.importance == "none: 3 values for 256 columns"
    for wrong in (3, np.ones(256)):
        with pytest.raises(QuantizationError, match="Expected its file, or a mapping"):
            requantize(llama, tmp_path / "other.gguf", "Q4_0", imatrix=wrong)


def test_types_that_need_importance_are_refused_without(llama, tmp_path):
    for imatrix, words in ((None, "Give an importance matrix"), ({}, "has no entry for it")):
        with pytest.raises(QuantizationError) as caught:
            requantize(llama, tmp_path / "new.gguf", "Q2_K_S", imatrix=imatrix)
        assert "tensor 'blk.0.attn_k.weight' would become Q2_K (Q2_K_S)" in str(caught.value)
        assert words in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def broken(path: Path, where: str) -> Path:
    """Write a model in which one value of a tensor is NaN."""

    def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = weights(name, shape)
        if name == where:
            found.reshape(-1, shape[-1])[-1, 7] = np.nan
        return found

    return write(describe(Sketch("llama", 1)), path, values)


@pytest.mark.parametrize("mix", ["F32", "Q8_0"])
def test_what_is_copied_must_be_finite_too(mix, tmp_path):
    source = broken(tmp_path / "source.gguf", "blk.0.ffn_norm.weight")
    with pytest.raises(QuantizationError, match=r"'blk.0.ffn_norm.weight': .* column 7 is nan"):
        requantize(source, tmp_path / "new.gguf", mix, progress=False)
    assert [*tmp_path.iterdir()] == [source]


@pytest.mark.oracle
def test_llama_quantize_too_refuses_to_copy_what_is_not_finite(tmp_path):
    pytest.importorskip("llama_cpp")
    from .llama_quantize import Refused
    from .llama_quantize import quantize as llama_quantize

    source = broken(tmp_path / "source.gguf", "blk.0.ffn_norm.weight")
    with pytest.raises(Refused, match=r"tensor 'blk.0.ffn_norm.weight' has invalid data"):
        llama_quantize(source, tmp_path / "theirs.gguf", "Q8_0")


def test_values_that_are_not_finite_are_named(tmp_path):
    source = broken(tmp_path / "source.gguf", "blk.0.ffn_up.weight")
    with pytest.raises(QuantizationError) as caught:
        requantize(source, tmp_path / "new.gguf", "Q8_0", progress=False)
    message = str(caught.value)
    assert "tensor 'blk.0.ffn_up.weight', rows from 0 on" in message
    assert re.search(r"row \d+, column 7", message)
    assert [*tmp_path.iterdir()] == [source]


def test_what_was_quantized_before_is_said(llama, tmp_path):
    requantize(llama, tmp_path / "q8.gguf", "Q8_0", progress=False)
    again = requantize(tmp_path / "q8.gguf", tmp_path / "q4.gguf", "Q4_0", progress=False)
    frame = again.to_frame().set_index("name")
    assert frame.loc["blk.0.attn_q.weight", "requantized"]
    assert not frame.loc["blk.0.attn_norm.weight", "requantized"]
    assert "30 had been quantized before" in repr(again)
    with gl.open(tmp_path / "q8.gguf") as q8, gl.open(tmp_path / "q4.gguf") as q4:
        name = "blk.0.attn_q.weight"
        expected = gl.quantize(q8.tensor(name).to_numpy(), "Q4_0")
        np.testing.assert_array_equal(q4.tensor(name).blocks(), expected)


def test_the_same_type_is_copied_byte_for_byte(llama, tmp_path):
    first = requantize(llama, tmp_path / "a.gguf", "Q4_0", progress=False)
    second = requantize(tmp_path / "a.gguf", tmp_path / "b.gguf", "Q4_0", progress=False)
    assert any(tensor.changed for tensor in first.tensors)
    assert not any(tensor.changed for tensor in second.tensors)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_a_fallback_is_in_the_summary(sources, tmp_path):
    result = requantize(sources["llama-odd"][1], tmp_path / "n.gguf", "TQ2_0", progress=False)
    assert "with rows that did not fit" in result.summary
    reasons = result.to_frame().set_index("name")["reason"]
    assert reasons["blk.0.attn_q.weight"] == (
        "TQ2_0; Q4_0 for TQ2_0: rows of 96 are no multiple of 256"
    )


def test_shards(llama, tmp_path):
    whole = requantize(llama, tmp_path / "whole.gguf", "Q8_0", progress=False)
    parts = requantize(
        llama, tmp_path / "m.gguf", "Q8_0", max_shard_bytes=whole.nbytes // 3, progress=False
    )
    assert len(parts.paths) > 2
    ours = digests_of_shards(parts.paths[0])
    expected = digests(tmp_path / "whole.gguf")
    del expected[""]
    assert ours == expected
    # and from shards to one file, without the keys of shards
    joined = requantize(parts.paths[0], tmp_path / "joined.gguf", "Q8_0", progress=False)
    assert joined.paths[0].read_bytes() == whole.paths[0].read_bytes()


def digests_of_shards(path: Path) -> dict[str, str]:
    found = digests(path)
    del found[""]
    return found


def test_stopping_leaves_nothing_behind(llama, tmp_path):
    seen = []

    def stop(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        requantize(llama, tmp_path / "new.gguf", "Q8_0", progress=stop)
    assert seen[0] == 6 * 256  # of output.weight, which is written first
    assert [*tmp_path.iterdir()] == []


def test_progress_reaches_the_total(llama, tmp_path):
    seen = []
    requantize(llama, tmp_path / "new.gguf", "Q8_0", progress=lambda *now: seen.append(now))
    done, totals = zip(*seen, strict=True)
    assert sorted(set(done)) == list(done)
    assert {done[-1]} == {*totals}


def test_a_file_that_is_there_is_kept(llama, tmp_path):
    (tmp_path / "new.gguf").write_bytes(b"mine")
    with pytest.raises(GGUFError, match="exists already"):
        requantize(llama, tmp_path / "new.gguf", "Q8_0", progress=False)
    assert (tmp_path / "new.gguf").read_bytes() == b"mine"
    requantize(llama, tmp_path / "new.gguf", "Q8_0", overwrite=True, progress=False)
    copy = tmp_path / "copy.gguf"
    shutil.copy(tmp_path / "new.gguf", copy)
    with pytest.raises(GGUFError, match="is a file that is read"):
        requantize(copy, copy, "Q4_0", overwrite=True, progress=False)


def test_the_importance_matrix_is_not_overwritten(tmp_path):
    matrix = tmp_path / "imatrix.gguf"
    shutil.copy(SMOLLM2_IMATRIX, matrix)
    source = write_model(tmp_path / "f.gguf", {"output.weight": np.ones((4, 32), np.float32)})
    with pytest.raises(GGUFError, match=r"imatrix\.gguf is a file that is read"):
        requantize(source, matrix, "Q8_0", imatrix=matrix, overwrite=True, progress=False)
    assert matrix.read_bytes() == SMOLLM2_IMATRIX.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_the_importance_matrix_may_have_any_name(tmp_path):
    matrix = tmp_path / os.fsdecode(b"i\xff.gguf")
    shutil.copy(SMOLLM2_IMATRIX, matrix)
    source = write_model(tmp_path / "f.gguf", {"output.weight": np.ones((4, 32), np.float32)})
    requantize(source, tmp_path / "new.gguf", "Q8_0", imatrix=matrix, progress=False)
    with gl.open(tmp_path / "new.gguf") as model:
        assert str(model.metadata["quantize.imatrix.file"]).startswith(str(tmp_path)[:100])


def test_without_weights_there_are_no_bits_per_weight(tmp_path):
    source = write_model(tmp_path / "f.gguf", {})
    result = requantize(source, tmp_path / "new.gguf", "Q8_0", progress=False)
    assert result.summary == "0 of 0 tensors to Q8_0"


def test_a_file_that_was_opened_from_another_folder_is_not_replaced(llama, tmp_path, monkeypatch):
    shutil.copy(llama, tmp_path / "m.gguf")
    monkeypatch.chdir(tmp_path)
    with gl.open("m.gguf") as model:
        monkeypatch.chdir(llama.parent)
        with pytest.raises(GGUFError, match="is a file that is read"):
            requantize(model, tmp_path / "m.gguf", "Q8_0", overwrite=True, progress=False)


def test_a_truncated_file_is_refused_before_the_work(llama, tmp_path):
    short = tmp_path / "short.gguf"
    short.write_bytes(llama.read_bytes()[:-100])
    with pytest.raises(GGUFError, match="truncated"):
        requantize(short, tmp_path / "new.gguf", "Q8_0", progress=False)
    assert [*tmp_path.iterdir()] == [short]


TEXT = (
    "The sun is a star. It is the largest object in the solar system, and the planets move around "
    "it. Plants need the light of the sun to grow, and animals need plants to eat."
)


def surprise(path: Path) -> float:
    """Let llama.cpp read a text and go on with it; return the mean of its -log p per token."""
    llama_cpp = pytest.importorskip("llama_cpp")
    model = llama_cpp.Llama(
        str(path), n_ctx=64, n_batch=64, n_threads=2, logits_all=True, verbose=False
    )
    tokens = model.tokenize(TEXT.encode(), add_bos=False)
    model.eval(tokens)
    logits = np.array(model.scores[: len(tokens) - 1], np.float64)
    further = model.create_completion(TEXT, max_tokens=4, temperature=0)["choices"][0]["text"]
    model.close()
    assert further.strip()
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(tokens) - 1), tokens[1:]].mean())


@pytest.mark.oracle
@pytest.mark.slow
def test_smollm2_still_reads_in_llama_cpp(tmp_path):
    """A real model, from its weights in Q4_1: the fewer bits, the more the text surprises it."""
    pytest.importorskip("llama_cpp")
    try:
        source = gl.demo.smollm2()
    except GGUFLabError as error:
        pytest.skip(str(error))
    before = surprise(source)
    assert before < 2.5
    most = {"Q8_0": 0.02, "Q4_K_M": 0.1, "IQ4_XS": 0.2, "Q2_K": 0.8}
    more = {}
    for mix in most:
        result = requantize(source, tmp_path / f"{mix}.gguf", mix, progress=False)
        assert "had been quantized before" in result.summary
        more[mix] = surprise(result.paths[0]) - before
    assert {mix: gain for mix, gain in more.items() if abs(gain) > most[mix]} == {}, more


def test_a_leading_tilde_is_the_home(llama, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert requantize(llama, "~/new.gguf", "Q8_0", progress=False).paths == (tmp_path / "new.gguf",)


def test_a_name_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gl.requantize(MODELS / "llama" / "llama-bf16.gguf", "~new.gguf", "Q8_0", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["~new.gguf"]


@pytest.mark.parametrize("kept", [True, False])
def test_an_output_with_a_scale_stays_in_nvfp4(tmp_path, kept):
    """llama.cpp asks for the scale of an output in NVFP4 alone, and refuses files with more."""
    rows = np.ones((32, 64), np.float32)
    tensors = {
        "output.weight": ("NVFP4", np.asarray(gl.quantize(rows, "NVFP4"))),
        "blk.0.ffn_up.weight": ("NVFP4", np.asarray(gl.quantize(rows, "NVFP4"))),
        **{f"{name}.scale": np.array([0.5]) for name in ("output", "blk.0.ffn_up")},
    }
    path = write_model(tmp_path / "m.gguf", tensors)
    given = {"^output.weight$": "NVFP4"} if kept else {}
    options = {"overrides": given, "progress": False}
    if kept:
        gl.requantize(path, tmp_path / "q.gguf", "Q8_0", **options)
        row = gl.compare(tmp_path / "q.gguf", path, progress=False)["blk.0.ffn_up.weight"]
        assert row.qtype == "Q8_0"
        assert row.relative_rmse < 0.01
        return
    with pytest.raises(UnsupportedError, match=r"knows 'output.scale' beside it for NVFP4 alone"):
        gl.requantize(path, tmp_path / "q.gguf", "Q8_0", **options)
    assert not (tmp_path / "q.gguf").exists()
