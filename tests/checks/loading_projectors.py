"""What llama.cpp says of projectors: each is loaded in a fork, as a failed assertion ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FITS_NOT = "mismatch between"
"""What it says of a projector that it has loaded, if widths of what goes together differ."""
_SAYS = re.compile(r"(failed to load model.*|GGML_ASSERT.*|GGML_ABORT.*|mismatch.*)")


def answers(text: Path, projectors: list[Path]) -> list[str]:
    """What llama.cpp says of each projector, beside a language model; "" of one that fits."""
    answer = subprocess.run(
        [sys.executable, __file__],
        input="\n".join(map(str, [text, *projectors])),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]


def main() -> None:
    os.environ["GGML_NO_BACKTRACE"] = "1"
    import llama_cpp

    text, *projectors = sys.stdin.read().splitlines()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    settings = llama_cpp.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(text.encode(), settings)
    assert model
    for path in projectors:
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writes, 1)
            os.dup2(writes, 2)
            signal.alarm(60)
            _load(path, model)
        os.close(writes)
        with os.fdopen(reads, errors="replace") as output:
            said = " ".join(_SAYS.findall(output.read()))
        ended = os.waitpid(child, 0)[1]
        print(json.dumps(said or f"ended with {ended}" * bool(ended)), flush=True)


def _load(path: str, model: Any) -> None:
    from llama_cpp import mtmd_cpp as mtmd

    settings = mtmd.mtmd_context_params_default()
    settings.use_gpu = settings.warmup = False
    settings.n_threads = 1
    os._exit(0 if mtmd.mtmd_init_from_file(path.encode(), model, settings) else 1)


if __name__ == "__main__":
    main()
