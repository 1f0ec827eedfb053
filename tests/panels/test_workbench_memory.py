"""A session of the workbench on a file of 5 GB and its original of 16 GB, every tab opened."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ..scripts import load

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is what Linux counts"),
]

LIMIT = 600  # MB of the whole process: interpreter and libraries too

SESSION = """
import json, sys
from pathlib import Path
import gguf_lab as gl

workbench = gl.explore(sys.argv[1], sys.argv[2])
workbench.selected = ["blk.5.ffn_down.weight"]
for name, _ in workbench.tabs.tabs:
    workbench.tab = name
    for panel in workbench._made.values():
        if hasattr(panel, "wait"):
            assert panel.wait(300), panel
worst = workbench.worst.verdict, workbench.types.verdict, workbench.picture.summary["total"]
workbench.cancel()
workbench.close()
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
print(json.dumps({"peak": peak, "tabs": len(workbench.tabs.tabs), "worst": worst}))
"""


def test_every_tab_of_a_large_file(tmp_path: Path) -> None:
    holes = load("benchmarks/holes.py")
    model = tmp_path / "8b-Q4_K_M.gguf"
    holes.write_model(model, holes.LLAMA_8B)
    holes.write_checkpoint(tmp_path, holes.LLAMA_8B, shards=4)
    assert model.stat().st_size > 4e9
    answer = subprocess.run(
        [sys.executable, "-c", SESSION, str(model), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["tabs"] >= 7
    assert found["worst"][0] == "No row has an error."  # holes are zeros, on both sides
    assert found["worst"][2] == 4096 * 14336
    assert found["peak"] < LIMIT
