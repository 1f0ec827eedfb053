"""What is called an error here is what llama.cpp refuses; everything else it loads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from .cases import CASES, GEMMA4, IMATRIX, NAMES, PROJECTOR
from .loading_projectors import FITS_NOT, answers
from .variants import LLAMA, variant

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

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


def test_llama_cpp_agrees(tmp_path: Any) -> None:
    pytest.importorskip("llama_cpp")
    files = []
    for number, (source, name) in enumerate(NAMES.items()):
        folder = tmp_path / f"sound-{number}"
        folder.mkdir()
        files.append((variant(source, folder / name), source, name, "loaded"))
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        due = "refused" if case.refused else "loaded"
        files.append((case.write(folder), case.source, case.id, due))
    projectors = [file for file in files if file[1] in {PROJECTOR, GEMMA4}]
    models = [file for file in files if file[1] not in {IMATRIX, PROJECTOR, GEMMA4}]
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(path) for path, *_ in models)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = [FITS_NOT in said for said in answers(LLAMA, [path for path, *_ in projectors])]
    verdicts = [*answer.stdout.split(), *("loaded" if fine else "refused" for fine in loaded)]
    found = zip([*models, *projectors], verdicts, strict=True)
    assert [(name, due, got) for (_, _, name, due), got in found if got != due] == []
