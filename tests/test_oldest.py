from __future__ import annotations

from .oldest import oldest


def test_the_highest_lower_bound_counts_and_pins_stay():
    project = {
        "dependencies": ["numpy>=1.26", "torch>=2.4"],
        "optional-dependencies": {
            "transformers": ["transformers>=5.9"],
            "dask": ["distributed>=2024.1"],
            "test": ["gguf-lab[dask]", "transformers>=5.18", "triton>=3.3; python_version > '3'"],
        },
    }
    found = oldest(project, "# pinned\ntorch==2.13.0\n")
    assert found == {
        "numpy": "1.26",
        "torch": "2.13.0",
        "transformers": "5.18",
        "distributed": "2024.1",
        "triton": "3.3",
    }
