"""What llama.cpp says of models: it loads them, or refuses them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A failed assertion ends a process: each file is loaded in a fork.
PROGRAM = """
import os, sys
os.environ["GGML_NO_BACKTRACE"] = "1"
import llama_cpp
silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, None)
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers, settings.check_tensors = 0, True
        model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        os._exit(0 if model else 1)
    print("loaded" if os.waitpid(child, 0)[1] == 0 else "refused")
"""


def verdicts(paths: Iterable[Path]) -> list[str]:
    """Load each file, with ``--check-tensors``: "loaded" or "refused"."""
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()
