"""Models that are unlike others, as llama.cpp loads them, and the same with one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..file.builders import Builder
from .cases import bpe
from .variants import LLAMA, MODELS, variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TABLES = MODELS.parent / "tables"
_WIDTH = 8


@dataclass(frozen=True)
class Odd:
    """A file, and what is wrong with it.

    Attributes
    ----------
    name : str
    source : Path or callable
        The file that is changed, or what writes it.
    wrong : str
        The rule that finds an error, for which llama.cpp refuses the file; "" of one that it loads.
    changes : dict
        Of `variant`, or arguments of the callable.
    """

    name: str
    source: Path | Callable[..., Builder]
    wrong: str = ""
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        if callable(self.source):
            return self.source(**self.changes).write(path)
        return variant(self.source, path, **self.changes)


def _numbers(builder: Builder, names: dict[str, tuple[int, ...]]) -> Builder:
    """Add tensors of F32, each value 0.5."""
    for name, ne in names.items():
        builder.tensor(name, ne, 0, np.full(ne, 0.5, np.float32).tobytes())
    return builder


def _keys(architecture: str, **values: Any) -> Builder:
    builder = Builder().key("general.architecture", "string", architecture)
    builder.key("tokenizer.ggml.model", "string", "none")
    for name, value in _full(architecture, values):
        builder.key(name, _kind(value), value)
    return builder


def _full(architecture: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give keys their names: two underscores stand for a dot."""
    for name, value in values.items():
        yield f"{architecture}.{name.replace('__', '.')}", value


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"array[{_kind(value[0])}]"
    return {float: "float32", int: "uint32", str: "string"}[type(value)]


def wavtokenizer(rows: int = 10, features: int = _WIDTH, layers: int = 2) -> Builder:
    """A decoder of WavTokenizer: its layers are called posnet and convnext."""
    builder = _keys(
        "wavtokenizer-dec",
        context_length=8,
        embedding_length=10,
        features_length=features,
        block_count=8,
        feed_forward_length=12,
        vocab_size=16,
        posnet__embedding_length=_WIDTH,
        posnet__block_count=6,
        convnext__embedding_length=_WIDTH,
        convnext__block_count=layers,
        attention__layer_norm_epsilon=1e-6,
        attention__group_norm_epsilon=1e-6,
        attention__group_norm_groups=2,
    )
    vector, column, bias = (_WIDTH,), (1, _WIDTH), ".bias"
    names: dict[str, tuple[int, ...]] = {"token_embd.weight": (_WIDTH, 16)}
    names |= {"conv1d.weight": (7, 8, 8), "conv1d.bias": column}
    for layer in range(6):
        kinds: dict[str, tuple[int, ...]] = {"attn_norm": column}
        if layer == 2:
            kinds |= dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (1, 8, 8))
        elif layer < 5:
            kinds = {"norm1": column, "norm2": column, "conv1": (3, 8, 8), "conv2": (3, 8, 8)}
        for kind, ne in kinds.items():
            names |= {f"posnet.{layer}.{kind}.weight": ne, f"posnet.{layer}.{kind}{bias}": column}
    for layer in range(2):
        own = f"convnext.{layer}."
        names |= {f"{own}dw.weight": (7, 1, 8), f"{own}dw.bias": column}
        names |= {
            f"{own}pw1.weight": (8, 12),
            f"{own}pw1.bias": (12,),
            f"{own}gamma.weight": vector,
        }
        names |= {f"{own}pw2.weight": (12, 8), f"{own}pw2.bias": vector}
        names |= {f"{own}norm.weight": vector, f"{own}norm.bias": vector}
    for norm in ("token_embd_norm", "output_norm"):
        names |= {f"{norm}.weight": vector, f"{norm}.bias": vector}
    return _numbers(builder, names | {"output.weight": (_WIDTH, rows), "output.bias": (10,)})


def qwen3tts(rows: int = 3072) -> Builder:
    """A model that speaks: as many codes come out, whatever the number of tokens."""
    builder = _keys(
        "qwen3tts",
        context_length=8,
        embedding_length=_WIDTH,
        block_count=1,
        vocab_size=16,
        feed_forward_length=12,
        attention__head_count=2,
        attention__head_count_kv=1,
        attention__layer_norm_rms_epsilon=1e-6,
        rope__dimension_sections=[1, 1, 0, 0],
    )
    inside = {"attn_norm": (8,), "attn_q": (8, 8), "attn_k": (8, 4), "attn_v": (8, 4)}
    inside |= {"attn_output": (8, 8), "attn_q_norm": (4,), "attn_k_norm": (4,), "ffn_norm": (8,)}
    inside |= {"ffn_gate": (8, 12), "ffn_up": (8, 12), "ffn_down": (12, 8)}
    names: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_WIDTH, 16),
        "output_norm.weight": (8,),
    }
    names |= {f"blk.0.{kind}.weight": ne for kind, ne in inside.items()}
    return _numbers(builder, names | {"output.weight": (_WIDTH, rows)})


def _table(name: str, tensors: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    """Changes of a file without a tokenizer: llama.cpp loads it if it says that it has none."""
    keys: dict[str, Any] = {"tokenizer.ggml.model": ("string", "none")}
    keys[f"{name}.vocab_size"] = "uint32", 20
    keys |= {key: (_kind(value), value) for key, value in _full(name, values)}
    return {"keys": keys, "tensors": tensors or {}}


def _file(name: str) -> Path:
    return TABLES / name / f"{name}-bf16.gguf"


def _without_ids(kind: str) -> dict[str, Any]:
    """Changes to a tokenizer for which llama.cpp knows what begins a text, or never asks."""
    end = {} if kind == "rwkv" else {"eos_token_id": None}
    return bpe(model=("string", kind), bos_token_id=None, **end)


_INNER = [20, 20, 20, 0, 20]  # the third layer has no attention, the fourth nothing at all
_INDEX = {"d2t": (27, (10,), bytes(80)), "token_embd.weight": (0, (16, 20), b"\1" * 1280)}
_CLASSES = {"cls.output.weight": (0, (16, 2), np.full(32, 0.5, np.float32).tobytes())}

ODD = (
    Odd("WavTokenizer", wavtokenizer),
    Odd("WavTokenizer, other output", wavtokenizer, "shapes", {"rows": 16}),
    Odd("WavTokenizer, other codes", wavtokenizer, "shapes", {"features": 9}),
    Odd("WavTokenizer, a layer less", wavtokenizer, "layers", {"layers": 7}),
    Odd("Qwen3-TTS", qwen3tts),
    Odd("Qwen3-TTS, a code for each token", qwen3tts, "vocabulary-size", {"rows": 16}),
    Odd("Nemotron", _file("deci"), "", _table("deci", feed_forward_length=_INNER)),
    Odd(
        "Nemotron, a layer less",
        _file("deci"),
        "layers",
        _table("deci", feed_forward_length=[20] * 5),
    ),
    Odd("Kimi K2, which has no merges", LLAMA, "", bpe(pre=("string", "kimi-k2"), merges=None)),
    *(
        Odd(f"{kind} without ids of special tokens", LLAMA, "", _without_ids(kind))
        for kind in ("plamo2", "rwkv", "llama")
    ),
    Odd(
        "words between spaces",
        LLAMA,
        "",
        bpe(model=("string", "whitespace"), pre=("string", "whitespace")),
    ),
    Odd("HRM", _file("hrm_text"), "", _table("hrm_text")),
    Odd(
        "HRM, a layer less",
        _file("hrm_text"),
        "layers",
        _table("hrm_text", hrm__layers_per_stack=4, hrm__h_cycles=1),
    ),
    *(
        Odd(
            f"a draft of 10 tokens, output of {rows}",
            _file("dflash"),
            "" if rows == 10 else "vocabulary-size",
            _table("dflash", _INDEX | {"output.weight": (0, (16, rows), b"\1" * 64 * rows)}),
        )
        for rows in (10, 20)
    ),
    Odd(
        "Qwen3-VL-Reranker",
        _file("qwen3vl"),
        "",
        _table("qwen3vl", _CLASSES, classifier__output_labels=["yes", "no"]),
    ),
)
