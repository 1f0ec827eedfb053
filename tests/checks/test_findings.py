"""Findings, the scan behind them, and files that want to take all time and memory."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gguf_lab as gl
from gguf_lab.checks import RULES
from gguf_lab.checks.rules import Found, Rule, counted, examples, rule
from gguf_lab.checks.scan import Scan, scan_tensor
from gguf_lab.errors import ComparisonError, GGUFError

from ..file.builders import F32, Builder
from .variants import LLAMA, MODELS, Q4_K_M, variant


def finding(severity: Any, where: str = "file", message: str = "odd") -> gl.Finding:
    return gl.Finding(severity, "rule", where, message)


def test_the_worst_come_first_and_else_the_order_stays() -> None:
    given_ = [finding(s, str(i)) for i, s in enumerate(("note", "error", "warning", "error"))]
    found = gl.Findings("x.gguf", given_)
    assert [f.where for f in found] == ["1", "3", "2", "0"]
    assert found.worst == "error"
    assert found.summary == "2 errors, 1 warning, 1 note"
    assert found[0] is given_[1]
    assert found[1:] == tuple(found)[1:]
    assert list(found.to_frame().columns) == ["severity", "code", "where", "message", "what_to_do"]
    assert found.to_frame()["where"].to_list() == ["1", "3", "2", "0"]


def test_nothing_found_is_said_too() -> None:
    found = gl.Findings("x.gguf", [], {"outlier": "nothing was compared"})
    assert (found.worst, len(found), found.codes) == (None, 0, set())
    assert found.summary == "nothing unusual found; 1 rule not asked"


def test_text_and_html_show_names_as_text() -> None:
    found = gl.Findings("<b>.gguf", [finding("error", "\x1b[2J<i>", "<script>\u202e")])
    assert "\x1b" not in repr(found)
    assert "\u202e" not in repr(found)
    html = found._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;\\u202e" in html
    assert "&lt;b&gt;.gguf" in html


def test_a_long_list_is_cut_and_counted() -> None:
    found = gl.Findings("x", [finding("note", f"t{i}") for i in range(70)])
    assert repr(found).endswith("… and 20 more")
    assert "and 20 more" in found._repr_html_()


def test_a_rule_lists_a_hundred_findings_and_says_that_there_are_more() -> None:
    many = Rule("many", "warning", "", lambda _: (Found(str(i), "x") for i in range(10**12)))
    found = list(many(None))  # type: ignore[arg-type]
    assert len(found) == 101
    assert found[-1].message == "100 findings of this rule are listed, there are more"


def test_every_rule_says_what_it_expects_and_why() -> None:
    for code, entry in RULES.items():
        assert code == entry.code == code.lower()
        assert entry.source
        assert (entry.find.__doc__ or "").startswith(("Expect ", "Say "))
    with pytest.raises(ValueError, match="two rules have the code 'order'"):
        rule("order", "note", "")(lambda _: ())


def test_counts_and_examples() -> None:
    assert counted(1, "large tensors have") == "1 large tensor has"
    assert counted(0, "values are") == "0 values are"
    assert examples("abcde") == "'a', 'b', 'c' and 2 more"
    assert examples(["\x1b"]) == r"'\x1b'"


def test_a_malformed_file_is_a_finding_and_a_missing_one_an_error(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(LLAMA.read_bytes()[:5000])
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (path, str(path), "~/x.gguf"):
        (found,) = gl.check(name)
        assert (found.severity, found.code) == ("error", "malformed")
    with pytest.raises(GGUFError):
        gl.check(tmp_path / "none.gguf")


@pytest.mark.parametrize("deep", [True, False])
def test_values_are_read_only_when_they_are_asked_for(deep: bool, tmp_path: Any) -> None:
    path = variant(LLAMA, tmp_path / "x.gguf", values={"blk.0.attn_norm.weight": nan})
    found = gl.check(path, deep=deep, progress=False)
    assert ("not-finite" in found.codes) is deep
    assert (found.skipped.get("not-finite") == "values were not read") is not deep


def nan(raw: np.ndarray) -> None:
    raw[:, :4] = np.frombuffer(struct.pack("<f", np.nan), np.uint8)


def test_a_comparison_at_hand_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = MODELS / "llama" / "hf"
    comparison = gl.compare(LLAMA, reference, progress=False)
    monkeypatch.setattr("gguf_lab.checks.run.Run", pytest.fail)
    found = gl.check(LLAMA, reference, comparison=comparison, progress=False)
    inside = gl.check(LLAMA, reference / "model.safetensors", comparison=comparison, progress=False)
    assert [f.code for f in inside] == [f.code for f in found]
    with pytest.raises(ComparisonError, match=r"not those of this reference\. Leave out one"):
        gl.check(LLAMA, LLAMA, comparison=comparison, progress=False)
    assert "exactness" in found.codes


def test_a_comparison_of_another_file_is_refused() -> None:
    comparison = gl.compare(LLAMA, MODELS / "llama" / "hf", progress=False)
    for wrong in (comparison, 3):
        with pytest.raises(ComparisonError, match=r"the comparison is of|is no comparison"):
            gl.check(Q4_K_M, comparison=wrong, progress=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [LLAMA, Q4_K_M], ids=["bf16", "q4_k_m"])
def test_a_scan_by_chunks_counts_what_one_look_counts(path: Any, monkeypatch: Any) -> None:
    """Row by row or at once: the same counts, and those of NumPy over the decoded values."""
    with gl.open(path) as model:
        for name in ("token_embd.weight", "blk.0.ffn_down.weight", "blk.0.attn_norm.weight"):
            tensor = model.tensor(name)
            values = tensor.dequantize().numpy().reshape(tensor.n_rows, -1)
            found = []
            for chunk in (1, 1 << 30):
                monkeypatch.setattr("gguf_lab.checks.scan._CHUNK", chunk)
                found.append(scan_tensor(tensor))
            one, other = found
            assert one.exponents.tolist() == other.exponents.tolist()
            one.exponents = other.exponents = np.zeros(0)
            assert repr(one) == repr(other)
            assert one.zero_rows == int((values == 0).all(axis=1).sum())
            assert one.n_nan == int(np.isnan(values).sum()) == 0


floats = st.sampled_from([0.0, -0.0, 1.0, 1e-30, -1e-45, 3e38, np.nan, np.inf, -np.inf])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(floats, min_size=3, max_size=3), min_size=1, max_size=6))
def test_counts_are_exact_where_squares_are_not(rows: list[list[float]]) -> None:
    values = np.array(rows, np.float32)
    scan = Scan(len(values))
    with np.errstate(all="ignore"):
        scan.add_rows(0, values)
    assert scan.n_nan == int(np.isnan(values).sum())
    assert scan.n_inf == int(np.isinf(values).sum())
    assert scan.zero_rows == int((values == 0).all(axis=1).sum())
    bad = np.argwhere(~np.isfinite(values))
    assert scan.first == (tuple(bad[0].tolist()) if len(bad) else None)


HUGE = 2**32 - 1


def test_numbers_that_a_file_only_claims_cost_nothing(tmp_path: Any) -> None:
    builder = Builder().key("general.architecture", "string", "llama")
    for name in ("block_count", "attention.head_count", "attention.head_count_kv", "vocab_size"):
        builder.key(f"llama.{name}", "uint32", HUGE)
    for name in ("nextn_predict_layers", "embedding_length", "attention.key_length"):
        builder.key(f"llama.{name}", "uint32", HUGE)
    builder.key("general.size_label", "string", "9" * 5000 + "x" + "9" * 5000 + "B")
    builder.key("general.file_type", "uint32", HUGE)
    builder.key("quantize.imatrix.entries_count", "uint64", 2**64 - 1)
    builder.tensor("token_embd.weight", [4, 2], F32, np.ones(8, np.float32).tobytes())
    start = time.process_time()
    found = gl.check(builder.write(tmp_path / "x.gguf"), progress=False)
    assert time.process_time() - start < 20
    assert {"hyper-parameters", "file-type"} <= found.codes


def test_thousands_of_odd_things_are_few_findings(tmp_path: Any) -> None:
    builder = Builder().key("general.architecture", "string", "llama")
    builder.key("tokenizer.ggml.model", "string", "gpt2")
    builder.key("tokenizer.ggml.tokens", "array[string]", ["same"] * 20_000)
    builder.key("tokenizer.ggml.merges", "array[string]", ["x y"] * 20_000)
    for number in range(300):
        name = "".join(chr(97 + number // 26**i % 26) for i in range(3))
        builder.key(f"tokenizer.ggml.{name}_token_id", "uint32", HUGE)
        builder.key(f"Bad Key {number}", "uint32", 1)
    data = np.full(4, np.nan, np.float32).tobytes()
    for number in range(1500):
        builder.tensor(f"blk.{number}.\x1b[2J", [4], F32, data)
    found = gl.check(builder.write(tmp_path / "x.gguf"), progress=False)
    assert len(found) < 250
    assert len([f for f in found if f.code == "not-finite"]) == 101
    assert len([f for f in found if f.code == "special-ids"]) == 101
    assert len(repr(found)) < 50_000
    assert len(found._repr_html_()) < 100_000
