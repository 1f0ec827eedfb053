"""A model of 70 billion weights on a machine that has room for none of its tensors.

The files have true heads and holes on the disk: 42 GB and 141 GB that take 30 MB. Memory is held by
the kernel: what asks for more than the limit gets a MemoryError.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from gguf_lab.file import qtype

from ..scripts import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only"),
]

holes = load("benchmarks/holes.py")
MB = 1_000_000

PROBE = """
import json, resource, sys, time
from pathlib import Path

what, limit, model_path, reference_path = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

import numpy as np
import gguf_lab as gl

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

def timed(opener, path):
    start = time.perf_counter()
    opened = opener(path)
    return opened, time.perf_counter() - start

gl.open, gl.open_checkpoint  # imports are not the file's
model, seconds = timed(gl.open, model_path)
checkpoint, others = timed(gl.open_checkpoint, reference_path)
found = {"seconds": [seconds, others], "tensors": len(model.tensors),
    "weights": model.n_parameters, "bytes": [model.file.size, checkpoint.nbytes],
    "tokens": len(model.metadata["tokenizer.ggml.tokens"])}
if what == "tables":
    found["rows"] = len(model.tensors.to_frame())
    found["html"] = len(model._repr_html_()) + len(checkpoint._repr_html_())
if what == "layer":
    small = gl.compare(model, checkpoint, tensors="blk.3.attn_k.weight", progress=False)
    found["small"] = peak()
    result = gl.compare(model, checkpoint, tensors="blk.40.*", progress=False)
    found["sums"] = {
        row.name: [row.statistics.n, row.statistics.ee, row.statistics.rr, row.max_abs_error]
        for row in result
    }
found["peak"] = peak()
try:
    np.ones(limit, np.uint8)
except MemoryError:
    found["held"] = True
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("70b")
    model = folder / "llama-70b-Q4_K_M.gguf"
    holes.write_model(model, holes.LLAMA_70B)
    holes.write_checkpoint(folder, holes.LLAMA_70B, shards=30)
    names = [name for name, *_ in holes.tensors(holes.LLAMA_70B) if name.startswith("blk.40.")]
    rows = {name: 128 if name.endswith(("_q.weight", "_k.weight")) else 8 for name in names}
    filled = holes.fill(model, folder, holes.LLAMA_70B, rows)
    on_disk = sum(512 * file.stat().st_blocks for file in folder.iterdir())
    assert on_disk < 100 * MB, "this file system has no holes"
    return model, folder, filled


def probe(what, limit, pair):
    command = [sys.executable, "-c", PROBE, what, str(limit), *map(str, pair[:2])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["held"]
    assert found["peak"] < limit
    return found


def test_opened_in_half_a_second_and_150_mb(pair):
    found = probe("open", 150 * MB, pair)
    assert max(found["seconds"]) < 0.5
    assert found["tensors"] == 723
    assert found["weights"] == 70_553_706_496
    assert found["tokens"] == 128_256
    model, checkpoint = found["bytes"]
    assert 42e9 < model < 43e9
    assert checkpoint == 2 * found["weights"]


def test_tabulated_in_200_mb(pair):
    found = probe("tables", 200 * MB, pair)  # pandas takes 35 of them
    assert found["rows"] == 723
    assert 0 < found["html"] < 100_000


def test_a_layer_is_compared_in_600_mb(pair):
    found = probe("layer", 600 * MB, pair)
    # 856 million weights, 2.3 GB: no more memory than for 8 million
    assert found["peak"] - found["small"] < 60 * MB
    assert len(found["sums"]) == 9
    assert sum(n for n, *_ in found["sums"].values()) == 855_654_400
    for name, (weights, blocks) in pair[2].items():
        n, ee, rr, peak = found["sums"][name]
        assert n >= weights.size
        x = dequantized(blocks, weights.shape, name, pair[0])
        error = x - weights
        assert peak == np.abs(error).max()
        assert ee == pytest.approx((error.astype(np.float64) ** 2).sum(), rel=1e-6)
        assert rr == pytest.approx((weights.astype(np.float64) ** 2).sum(), rel=1e-6)


def dequantized(blocks, shape, name, path):
    import gguf_lab as gl

    with gl.open(path) as model:
        kind = model.tensor(name).qtype
    rows = blocks.reshape(shape[0], qtype(kind).row_bytes(shape[1]))
    return quants.dequantize(rows, GGMLQuantizationType[kind]).reshape(shape)
