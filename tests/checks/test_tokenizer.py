"""What llama.cpp takes where a tokenizer says nothing, and what it knows: asked of itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gguf_lab.checks.tokenizer import _DEFAULTS, _MODELS, _NO_BEGINNING, _PRE_TOKENIZERS

from .cases import bpe
from .loading import verdicts
from .variants import LLAMA, variant

pytestmark = pytest.mark.oracle

IDS = """
import sys
import llama_cpp
silent = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(silent, None)
settings = llama_cpp.llama_model_default_params()
settings.n_gpu_layers, settings.vocab_only = 0, True
for path in sys.argv[1:]:
    model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
    tokens = llama_cpp.llama_model_get_vocab(model)
    print(llama_cpp.llama_vocab_bos(tokens), llama_cpp.llama_vocab_eos(tokens))
"""


def without_ids(path: Any, kind: str, pre: str) -> Any:
    """Write a tokenizer without the ids of special tokens."""
    keys = bpe(model=("string", kind), pre=("string", pre), bos_token_id=None, eos_token_id=None)
    return variant(LLAMA, path, **keys)


def test_defaults_are_those_of_llama_cpp(tmp_path: Any) -> None:
    pytest.importorskip("llama_cpp")
    asked = [(kind, "gpt-2") for kind in _DEFAULTS if kind != "bert"]  # it asks for other tokens
    asked += [("gpt2", pre) for pre in _PRE_TOKENIZERS]
    paths = [without_ids(tmp_path / f"{n}.gguf", *both) for n, both in enumerate(asked)]
    answer = subprocess.run(
        [sys.executable, "-c", IDS, *map(str, paths)], capture_output=True, text=True, check=True
    )
    found = dict(zip(asked, answer.stdout.splitlines(), strict=True))
    due = {}
    for kind, pre in asked:
        bos, eos = _DEFAULTS[kind]
        bos = None if pre in _NO_BEGINNING else bos
        due[kind, pre] = f"{-1 if bos is None else bos} {-1 if eos is None else eos}"
    assert found == due


def test_llama_cpp_knows_these_kinds_and_no_other(tmp_path: Any) -> None:
    pytest.importorskip("llama_cpp")
    kinds = sorted(_MODELS - {"bert", "none", "no_vocab"})
    paths = [without_ids(tmp_path / f"{kind}.gguf", kind, "gpt-2") for kind in (*kinds, "mine")]
    assert verdicts(paths) == ["loaded"] * len(kinds) + ["refused"]
