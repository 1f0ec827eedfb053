"""What llama.cpp itself says that it reserves: read from its log. Run to record it for the tests.

``python -m tests.footprint.llama_memory`` writes tests/data/footprint/llama_cpp.json.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
RECORDED = DATA / "footprint" / "llama_cpp.json"
TYPES = {"F16": 1, "Q8_0": 8, "Q4_0": 2}

# The small models, by what is special about what they keep.
SMALL = {
    "llama": "grouped-query",
    "falcon": "one key-value head",
    "gpt2": "a head of keys for each head",
    "gemma2": "a sliding window in every second layer",
    "gemma3": "a sliding window, a pattern of six",
    "gemma4": "a pattern in the file, other head sizes, shared layers",
    "gemma4-moe": "key-value heads by layer",
    "gpt-oss": "a sliding window, experts",
    "cohere2": "a sliding window, a pattern of four",
    "exaone4": "a window that llama.cpp heeds in one size of the model only",
    "deepseek2": "multi-head latent attention",
    "lfm2": "convolutions and attention",
    "lfm2moe": "convolutions, attention, experts",
    "mamba": "a state, no attention",
    "phi3-long": "no window",
    "qwen3moe": "experts",
    "bert": "an encoder: nothing is kept",
    "t5": "an encoder and a decoder",
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"context": 4096},
    {"context": 1000},
    {"context": 4096, "ubatch": 128, "parallel": 3},
    {"context": 4096, "parallel": 2, "unified": True},
)
SMOLLM2: tuple[dict[str, Any], ...] = (
    {"context": 512},
    {"context": 4096},
    {"context": 8192, "kv_type": "Q8_0"},
    {"context": 8192, "kv_type": "Q4_0"},
    {"context": 2048, "ubatch": 64},
)


def measured(path: Path, **settings: Any) -> dict[str, Any]:
    """Let llama.cpp load a model and make room for a context, in a process that it may abort.

    Weights in bytes; sizes of buffers are given by llama.cpp in MiB with two digits.
    """
    run = subprocess.run(
        [sys.executable, "-m", "tests.footprint.llama_memory", str(path), json.dumps(settings)],
        cwd=DATA.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError("".join(run.stderr.splitlines(keepends=True)[:12]))
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def reserved(path: Path, **settings: Any) -> dict[str, Any]:
    """Do this in the present process."""
    import llama_cpp

    vocabulary = vocabulary_of(path)

    lines: list[str] = []

    @llama_cpp.llama_log_callback
    def listen(_level: int, text: bytes, _data: Any) -> None:
        lines.append(text.decode("utf-8", "replace"))

    llama_cpp.llama_log_set(listen, ctypes.c_void_p(0))
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0
    overrides = None
    if vocabulary is not None:  # without a tokenizer it wants to know how many tokens there are
        overrides = (llama_cpp.llama_model_kv_override * 3)()
        overrides[0].key = b"tokenizer.ggml.model"
        overrides[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR
        overrides[0].value.val_str = b"no_vocab"
        overrides[1].key = f"{architecture(path)}.vocab_size".encode()
        overrides[1].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
        overrides[1].value.val_i64 = vocabulary
        parameters.kv_overrides = overrides
    model = llama_cpp.llama_load_model_from_file(str(path).encode(), parameters)
    if not model:
        raise RuntimeError("".join(lines[-12:]))
    try:
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = settings["context"]
        context.n_ubatch = settings.get("ubatch", 512)
        context.n_batch = max(2048, context.n_ubatch)
        context.n_seq_max = settings.get("parallel", 1)
        context.kv_unified = settings.get("unified", False)
        context.swa_full = False
        kind = TYPES[settings.get("kv_type", "F16")]
        context.type_k = context.type_v = kind
        context.flash_attn_type = 1
        made = llama_cpp.llama_new_context_with_model(model, context)
        if not made:
            raise RuntimeError("".join(lines[-12:]))
        llama_cpp.llama_free(made)
        weights = llama_cpp.llama_model_size(model)
        parameters = llama_cpp.llama_model_n_params(model)
    finally:
        llama_cpp.llama_free_model(model)
    log = "".join(lines)
    return {
        "weights": weights,
        "n_parameters": parameters,
        "cells": [int(n) for n in re.findall(r"MiB \( *(\d+) cells", log)],
        "kv_mib": sized(r"KV buffer size = *([\d.]+) MiB", log),
        "state_mib": sized(r"RS buffer size = *([\d.]+) MiB", log),
        "compute_mib": sized(r"compute buffer size = *([\d.]+) MiB", log),
    }


def source_of() -> dict[str, str]:
    """Say what has measured, and how."""
    import llama_cpp

    version = llama_cpp.__version__
    return {
        "program": f"llama-cpp-python {version} with the llama.cpp that it contains, CPU",
        "settings": "flash attention on, swa_full off, no layers offloaded",
        "made_by": "python -m tests.footprint.llama_memory",
    }


def sized(pattern: str, log: str) -> float:
    return round(sum(float(size) for size in re.findall(pattern, log)), 2)


def architecture(path: Path) -> str:
    import gguf_lab as gl

    with gl.open(path) as model:
        return str(model.architecture)


def small(name: str) -> Path:
    (path,) = (DATA / "models" / name).glob("*.gguf")
    return path


def vocabulary_of(path: Path) -> int | None:
    """Rows of the embedding of a model that has no tokenizer, None if it has one."""
    import gguf_lab as gl

    with gl.open(path) as model:
        if "tokenizer.ggml.tokens" in model.metadata:
            return None
        return int(model.tensor("token_embd.weight").shape[0])


def main() -> None:
    """Record what llama.cpp says, and name what it refuses."""
    import gguf_lab as gl

    rows = []
    for name in SMALL:
        path = small(name)
        for settings in SETTINGS:
            try:
                found = measured(path, **settings)
            except RuntimeError as error:
                print(name, settings, str(error)[-300:])
                break
            rows.append({"model": name, "settings": settings, **found})
    path = gl.demo.smollm2()
    rows += [{"model": "smollm2", "settings": s, **measured(path, **s)} for s in SMOLLM2]
    RECORDED.parent.mkdir(exist_ok=True)
    text = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    source = json.dumps(source_of())
    RECORDED.write_text(f'{{"source": {source},\n "rows": [\n{text}\n]}}\n', encoding="utf-8")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(reserved(Path(sys.argv[1]), **json.loads(sys.argv[2]))))
    else:
        main()
