"""Models run by llama.cpp, and by Transformers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENS = [1, 5, 17, 99, 3, 64, 8, 8, 20, 110, 33, 7, 255, 200]


@contextmanager
def opened(path: Path, **settings: Any) -> Iterator[Any]:
    """A model in llama.cpp, its cache of keys and values in float32."""
    import llama_cpp

    exact = {"type_k": 0, "type_v": 0, "flash_attn": False}
    model = llama_cpp.Llama(
        str(path), n_ctx=256, n_threads=2, n_gpu_layers=0, verbose=False, **(exact | settings)
    )
    try:
        yield model
    finally:
        model.close()


def logits_of(path: Path, tokens: list[int]) -> np.ndarray:
    with opened(path, logits_all=True) as model:
        model.eval(tokens)
        return np.array(model.scores[: len(tokens)])


def expected(model: Any, tokens: list[int]) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()
