"""What is called an error here is what llama.cpp refuses; everything else it loads."""

from __future__ import annotations

from typing import Any

import pytest

from .cases import CASES, GEMMA4, IMATRIX, NAMES, PROJECTOR
from .loading import verdicts
from .loading_projectors import FITS_NOT, answers
from .variants import LLAMA, variant

pytestmark = [pytest.mark.oracle, pytest.mark.slow]


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
    loaded = [FITS_NOT in said for said in answers(LLAMA, [path for path, *_ in projectors])]
    answer = verdicts(path for path, *_ in models)
    answer += ["loaded" if fine else "refused" for fine in loaded]
    found = zip([*models, *projectors], answer, strict=True)
    assert [(name, due, got) for (_, _, name, due), got in found if got != due] == []
