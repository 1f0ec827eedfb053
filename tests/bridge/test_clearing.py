"""Memory for the weights that is made ready ahead."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gguf_lab.bridge.clearing import ClearedMemory
from gguf_lab.model import open_model

FILE = Path(__file__).parents[1] / "data" / "models" / "llama" / "llama-bf16.gguf"


def matrices(model):
    return [tensor.shape for tensor in model.tensors.values() if len(tensor.shape) > 1]


def cleared(memory: ClearedMemory) -> None:
    """Wait until the thread is through."""
    memory._thread.join(60)
    assert not memory._thread.is_alive()


def test_each_matrix_gets_memory_of_its_own() -> None:
    with open_model(FILE) as model, ClearedMemory(model, torch.float32, "cpu") as memory:
        cleared(memory)
        ahead = {part.data_ptr() for parts in memory._cleared.values() for part in parts}
        shapes = matrices(model)
        weights = [memory.empty(shape, torch.float32, "cpu") for shape in shapes]
        assert [tuple(weight.shape) for weight in weights] == shapes
        assert {weight.data_ptr() for weight in weights} == ahead
        assert len(ahead) == len(shapes)
        for weight in weights:  # nothing is shared, and nothing is kept but the weights
            assert weight.is_contiguous()
            assert weight.untyped_storage().nbytes() == weight.nbytes
        more = memory.empty(shapes[0], torch.float32, "cpu")  # what was taken is not given again
        assert more.data_ptr() not in ahead


def test_what_does_not_fit_is_allocated_as_ever() -> None:
    with open_model(FILE) as model, ClearedMemory(model, torch.float32, "cpu") as memory:
        cleared(memory)
        shape = matrices(model)[0]
        other = memory.empty(shape, torch.bfloat16, "cpu")
        assert (other.dtype, tuple(other.shape)) == (torch.bfloat16, shape)
        assert memory.empty((3, 5, 7), torch.float32, "cpu").shape == (3, 5, 7)
        assert memory.empty((1,), torch.float32, "cpu").shape == (1,)


def test_another_device_needs_no_memory_here() -> None:
    with open_model(FILE) as model, ClearedMemory(model, torch.float32, "meta") as memory:
        cleared(memory)
        assert not memory._cleared
        assert memory.empty(matrices(model)[0], torch.float32, "meta").device.type == "meta"


def test_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_model(FILE) as model:
        limit = 2 * 4 * max(rows * columns for rows, columns in matrices(model))
        monkeypatch.setattr("gguf_lab.bridge.clearing._LIMIT", limit)
        with ClearedMemory(model, torch.float32, "cpu") as memory:
            cleared(memory)
            assert 0 < sum(p.nbytes for ps in memory._cleared.values() for p in ps) <= limit


def test_leaving_stops_it_and_gives_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gguf_lab.bridge.clearing._STEP", 1)  # so small that it takes long
    monkeypatch.setattr("gguf_lab.bridge.clearing._PAGE", 1)
    with open_model(FILE) as model:
        started = time.monotonic()
        memory = ClearedMemory(model, torch.float32, "cpu")
        with pytest.raises(RuntimeError, match="for the test"), memory:
            raise RuntimeError("for the test")
        assert time.monotonic() - started < 10
        assert not memory._thread.is_alive()
        assert not memory._cleared


def test_where_there_can_be_no_thread_memory_is_not_ready(allow_threads: Any) -> None:
    allow_threads(0)
    with open_model(FILE) as model, ClearedMemory(model, torch.float32, "cpu") as memory:
        assert memory.empty((2, 3), torch.float32, "cpu").shape == (2, 3)
