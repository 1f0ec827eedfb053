from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

import gguf_lab as gl
from gguf_lab.panels import WillItRun

from ..models import MODELS
from .support import HOSTILE, StubModel


@pytest.fixture(scope="module")
def model() -> Any:
    with gl.open(gl.demo.smollm2()) as opened:
        yield opened


def test_it_answers_whether_it_fits_in_8_gib_with_8k_context(model: Any) -> None:
    panel = WillItRun(model)
    assert panel.result["answer"] == (
        "Yes, it fits in 8.0 GiB with 8,192 tokens of context: it needs about 370 MiB, and 7.6 "
        "GiB are left for everything else."
    )
    assert panel.result["fits"]
    assert panel.memory.total == gl.memory(model, 8192).total


def test_the_longest_context_just_fits(model: Any) -> None:
    panel = WillItRun(model)
    panel.capacity = 1.0
    words = panel.result["most"]
    longest = int(words.split()[2].replace(",", ""))
    assert gl.memory(model, longest).total <= 2**30 < gl.memory(model, longest + 256).total
    assert words.endswith("; the model was made for 8,192.")
    panel.capacity = 0.1
    assert panel.result["most"] == "Not even 256 tokens of context fit."
    assert panel.result["answer"].startswith("No, it does not fit in 102 MiB")
    assert not panel.result["fits"]


def test_the_table_of_contexts(model: Any) -> None:
    panel = WillItRun(model)
    contexts = panel.result["contexts"]
    assert contexts["types"] == ["F16", "Q8_0", "Q4_0"]
    assert [row[0] for row in contexts["rows"]] == [2048 << k for k in range(7)]
    panel.set_state({"context": 32768, "kv_type": "Q8_0"})
    assert panel.memory.total == gl.memory(model, 32768, kv_type="Q8_0").total


def test_devices_are_chosen_by_the_user(model: Any) -> None:
    panel = WillItRun(model)
    panel.gpus = [0.2, 0.4]
    names = [device["name"] for device in panel.result["devices"]]
    assert names == ["host", "GPU 0", "GPU 1"]
    assert panel.memory.devices == gl.memory(model, 8192, gpu_layers=99, split=(1, 2)).devices
    assert "GPU 1 needs about" in panel.result["answer"]
    panel.gpu_layers = 0
    assert [device["layers"] for device in panel.result["devices"]] == [30, 0, 0]
    panel.gpus = []
    assert [device["name"] for device in panel.result["devices"]] == ["memory"]


def test_what_cannot_be_counted_is_said() -> None:
    stub = StubModel()
    stub.architecture = HOSTILE
    panel = WillItRun(stub)
    assert "is missing" in panel.result["problem"] or "not known" in panel.result["problem"]
    assert "\x1b" not in panel.result["problem"]
    html = panel.snapshot().html
    assert "<img src=x" not in html
    assert "<script" not in html


def test_a_cache_that_does_not_fit_the_heads() -> None:
    (file,) = (MODELS / "gemma2").glob("*.gguf")
    with gl.open(file) as small:
        panel = WillItRun(small)
        panel.kv_type = "Q8_0"
        assert "no multiple of the blocks" in panel.result["problem"]
        assert panel.memory is None
        panel.kv_type = "F16"
        assert panel.result["contexts"]["types"] == ["F16"]
    with pytest.raises(TraitError):
        panel.kv_type = "Q4_K"
