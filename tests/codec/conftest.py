from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[1] / "data" / "quantized" / "source.npz"


@pytest.fixture(scope="module")
def source():
    """The rows that ggml's golden blocks were made of, and an importance."""
    with np.load(SOURCE) as data:
        return data["source"], data["imatrix"]
