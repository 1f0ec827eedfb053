from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import gguf_lab as gl
from gguf_lab.panels import Overview

from ..models import MODELS
from .support import HOSTILE, StubModel, StubTensor
from .tensors import write_gguf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model() -> Any:
    with gl.open(MODELS / "llama-256" / "llama-Q4_K_M.gguf") as opened:
        yield opened


def test_what_the_file_is(model: Any) -> None:
    panel = Overview(model, check=False)
    facts = dict(panel.facts)
    assert facts["architecture"] == "llama"
    assert facts["bits per weight"] == f"{model.bits_per_weight:.2f}"
    assert "active parameters" not in facts
    assert dict(panel.named) == {"model": "llama", "encoding": "Q4_K_M"}


def test_a_version_is_told_where_the_name_has_one(model: Any, tmp_path: Path) -> None:
    named = tmp_path / "Tiny-1M-v0.2-Q4_K_M.gguf"
    named.write_bytes(model.path.read_bytes())
    with gl.open(named) as opened:
        assert dict(Overview(opened, check=False).named)["version"] == "v0.2"


def test_sizes_by_kind_and_type_are_those_of_the_tensors(model: Any) -> None:
    sizes = Overview(model, check=False).sizes
    assert sum(sizes["by_type"]) == sum(row["total"] for row in sizes["rows"]) == model.nbytes
    types = sizes["types"]
    (row,) = [row for row in sizes["rows"] if row["kind"] == "ffn_down"]
    found = {types[k]: (size, count) for k, size, count in row["parts"]}
    down = [t for t in model.tensors.values() if t.kind == "ffn_down"]
    assert found == {t.qtype: (t.nbytes, 1) for t in down}  # one of two layers has more bits
    assert [row["total"] for row in sizes["rows"]] == sorted(
        (row["total"] for row in sizes["rows"]), reverse=True
    )


def test_many_kinds_are_drawn_together() -> None:
    tensors = [StubTensor(f"blk.0.k{n}.weight", 0, f"k{n}", "F32", (4,), 32.0) for n in range(40)]
    sizes = Overview(StubModel(tensors=tensors), check=False).sizes
    assert sizes["rows"][-1]["kind"] == "24 other kinds"
    assert sizes["rows"][-1]["parts"] == [[0, 24 * 16, 24]]


def test_bits_by_layer(model: Any) -> None:
    layers = Overview(model, check=False).layers
    assert [row[0] for row in layers] == [None, 0, 1]
    for layer, bits, size, weights in layers:
        mine = [t for t in model.tensors.values() if t.layer == layer]
        assert size == sum(t.nbytes for t in mine)
        assert weights == sum(t.n_elements for t in mine)
        assert bits == 8 * size / weights


def test_active_parameters_of_a_model_with_experts() -> None:
    (path,) = (MODELS / "qwen3moe").glob("*.gguf")
    with gl.open(path) as moe:
        facts = dict(Overview(moe, check=False).facts)
        assert f"({gl.memory(moe).n_active:,})" in facts["active parameters"]


def test_what_is_unusual_is_told_and_leads_to_the_tensor(model: Any) -> None:
    panel = Overview(model, check=False)
    assert panel.verdict == ""
    panel.check()
    assert panel.wait(60)
    found = gl.check(model, deep=False, progress=False)
    assert panel.verdict == found.summary
    assert [row[:3] for row in panel.findings] == [[f.severity, f.code, f.where] for f in found]
    assert all(row[5] is None or row[5] in model.tensors for row in panel.findings)
    panel.selected = "blk.0.attn_q.weight"
    html = panel.snapshot().html
    assert "Size by kind and type" in html
    assert found.summary in html


def test_a_check_that_fails_is_seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr("gguf_lab.checks.check", broken)
    panel = Overview(model)
    assert panel.wait(10)
    assert panel.error.startswith("ValueError: no such luck")
    assert panel.verdict == "The check failed."


def test_a_check_without_a_thread_is_seen(model: Any, allow_threads: Any) -> None:
    allow_threads(0)
    panel = Overview(model)
    assert panel.wait(0)
    assert panel.error.startswith("no thread can be started")
    assert panel.verdict == "The check failed."
    panel.close()


def test_shards_are_listed(tmp_path: Path) -> None:
    source = MODELS / "llama-256" / "llama-Q4_K_M.gguf"
    gl.requantize(source, tmp_path / "out.gguf", "Q8_0", max_shard_bytes=700_000, progress=False)
    first = min(tmp_path.glob("*.gguf"))
    with gl.open(first) as model:
        panel = Overview(model, check=False)
        assert len(panel.shards) == len(model.file.paths) > 1
        assert sum(shard[1] for shard in panel.shards) == len(model.tensors)


def test_text_of_a_file_is_text() -> None:
    stub = StubModel(tensors=[StubTensor(HOSTILE, None, HOSTILE, HOSTILE, (4,), 32.0)])
    panel = Overview(stub, check=False)
    html = panel.snapshot().html
    for forbidden in ("<script", "<img src=x", "\x1b", "\u202e"):
        assert forbidden not in html
    assert "\x1b" not in repr(panel.sizes)


def test_the_static_form_has_every_layer_or_says_how_many_more() -> None:
    with_layers = Overview(StubModel(layers=12), check=False)
    for rows, n in ((None, 13), (5, 5)):
        html = with_layers.snapshot(rows).html.partition("Bits per weight by layer")[2]
        assert html.count("<tr>") - 1 == n
        assert ("and 8 more lines" in html) == (rows == 5)


def test_the_static_form_does_not_promise_what_will_never_come(model: Any) -> None:
    panel = gl.Overview(model)
    assert panel.wait()
    panel.verdict = "Looking for what is unusual …"  # as it was while the check was under way
    assert "not known yet when this was stored" in panel._static(None)
    assert "Looking" not in panel._static(None)


def test_the_static_form_of_a_file_without_tensors_has_no_empty_part(tmp_path: Path) -> None:
    with gl.open(write_gguf(tmp_path / "none.gguf", {})) as model:
        html = Overview(model, check=False).snapshot().html
    assert "<details>" not in html
