"""Models and comparisons made up for the panels: they have the attributes, and no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gguf_lab.comparison.histogram import BINS, Histogram, bin_index
from gguf_lab.reference import Alignment

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202egnp.exe\u2066"

KINDS = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
KINDS += ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


class Metadata(dict[str, Any]):
    """Keys and values with the types as a file names them."""

    def text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        value = self.get(key)
        return value if isinstance(value, int) else None

    def type_of(self, key: str) -> str:
        value = self[key]
        if isinstance(value, Sequence) and not isinstance(value, str):
            return f"array[{_scalar(value[0]) if len(value) else 'int32'}]"
        return _scalar(value)


def _scalar(value: object) -> str:
    names = {bool: "bool", int: "uint32", float: "float32", str: "string"}
    return names[type(value)]


@dataclass
class Tokens(Sequence[str]):
    """An array of strings that counts how many were decoded."""

    n: int
    decoded: int = 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            picked = range(self.n)[at]
            self.decoded += len(picked)
            return [f"token{i}" for i in picked]
        self.decoded += 1
        return f"token{range(self.n)[at]}"


@dataclass
class StubTensor:
    name: str
    layer: int | None
    kind: str
    qtype: str
    shape: tuple[int, ...]
    bits_per_weight: float
    status: str = "ok"

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return round(self.n_elements * self.bits_per_weight / 8)


def metadata(tokens: int = 500) -> Metadata:
    return Metadata(
        {
            "general.architecture": "llama",
            "general.name": "Stub 1B",
            "general.license": "apache-2.0",
            "general.evil": HOSTILE,
            "llama.block_count": 4,
            "llama.rope.freq_base": 10000.0,
            "llama.rope.dimension_count": 64,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": Tokens(tokens),
            "tokenizer.ggml.token_type": list(range(40)),
            "tokenizer.ggml.add_bos_token": True,
            "tokenizer.chat_template": "{% for m in messages %}\n  <b>{{ m }}</b>\n{% endfor %}",
        }
    )


def tensor_list(layers: int) -> list[StubTensor]:
    tensors = [StubTensor("token_embd.weight", None, "token_embd", "Q6_K", (32000, 256), 6.5625)]
    for layer in range(layers):
        for kind in KINDS:
            norm = kind.endswith("norm")
            shape = (256,) if norm else (688, 256) if kind.startswith("ffn") else (256, 256)
            qtype, bits = ("F32", 32.0) if norm else ("Q4_K", 4.5)
            if kind in ("attn_v", "ffn_down"):
                qtype, bits = "Q6_K", 6.5625
            name = f"blk.{layer}.{kind}.weight"
            tensors.append(StubTensor(name, layer, kind, qtype, shape, bits))
    tensors.append(StubTensor("output_norm.weight", None, "output_norm", "F32", (256,), 32.0))
    return tensors


class StubModel:
    """What the panels read of a model."""

    def __init__(self, layers: int = 4, tokens: int = 500, tensors: Any = None) -> None:
        self.name = "Stub 1B"
        self.path = Path("Stub-1B-Q4_K_M.gguf")
        self.architecture = "llama"
        self.kind = "model"
        self.version = 3
        self.byteorder = "little"
        self.file_type = "Q4_K_M"
        self.metadata = metadata(tokens)
        chosen = tensor_list(layers) if tensors is None else tensors
        self.tensors = {t.name: t for t in chosen}
        self.n_parameters = sum(t.n_elements for t in chosen)
        self.nbytes = sum(t.nbytes for t in chosen)
        self.bits_per_weight = 8 * self.nbytes / self.n_parameters
        self.closed = False
        self.file_name = None
        self.fetched = 0
        self.file = SimpleNamespace(paths=(self.path,), size=self.nbytes, tensors=chosen)

    def close(self) -> None:
        self.closed = True


@dataclass
class StubRow:
    name: str | None
    reference_name: str | None
    status: str = "compared"
    reason: str = ""
    transform: str = ""
    layer: int | None = None
    kind: str = ""
    qtype: str = ""
    shape: tuple[int, ...] = ()
    n_elements: int = 0
    bits_per_weight: float | None = None
    rmse: float | None = None
    relative_rmse: float | None = None
    sqnr_db: float | None = None
    cosine: float | None = None
    max_abs_error: float | None = None
    mean_abs_error: float | None = None
    weighted_relative_rmse: float | None = None
    n_nan: int | None = None
    n_inf: int | None = None
    reference_rms: float | None = None
    histogram: Histogram | None = None
    error: np.ndarray | None = field(default=None, repr=False)
    reference_qtype: str | None = None

    @property
    def nbytes(self) -> int | None:
        bits = self.bits_per_weight
        return None if bits is None else round(bits * self.n_elements / 8)

    @property
    def measured(self) -> bool:
        return self.rmse is not None

    @property
    def exact(self) -> bool | None:
        return None if self.rmse is None else self.max_abs_error == 0


def compared(tensor: StubTensor, error: np.ndarray, reference_rms: float = 0.05) -> StubRow:
    """A row whose figures belong to the given errors."""
    error = error.astype(np.float32)
    counts = np.bincount(bin_index(error), minlength=BINS)
    rmse = float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
    ratio = rmse / reference_rms
    return StubRow(
        name=tensor.name,
        reference_name=f"model.{tensor.name}",
        transform="rows permuted for rotary embedding" if tensor.kind == "attn_q" else "",
        layer=tensor.layer,
        kind=tensor.kind,
        qtype=tensor.qtype,
        shape=tensor.shape,
        n_elements=tensor.n_elements,
        bits_per_weight=tensor.bits_per_weight,
        rmse=rmse,
        relative_rmse=ratio,
        sqnr_db=-20 * math.log10(ratio) if ratio else math.inf,
        cosine=1.0 - ratio**2 / 2,
        max_abs_error=float(np.abs(error).max()),
        mean_abs_error=float(np.abs(error).mean()),
        n_nan=0,
        n_inf=0,
        reference_rms=reference_rms,
        histogram=Histogram.of_grid(counts),
        error=error,
    )


def missing(tensor: StubTensor, status: str, reason: str) -> StubRow:
    """A row without figures."""
    facts = ("name", "layer", "kind", "qtype", "shape", "n_elements", "bits_per_weight")
    values = {key: getattr(tensor, key) for key in facts}
    return StubRow(reference_name=None, status=status, reason=reason, **values)


def rows_of(model: StubModel, seed: int = 0) -> list[StubRow]:
    """Rows with noise for quantized tensors, exact norms, one unmatched and one unsupported."""
    random = np.random.default_rng(seed)
    rows = []
    for i, tensor in enumerate(model.tensors.values()):
        if tensor.name == "blk.1.attn_k.weight":
            reason = "the checkpoint has no tensor model.layers.1.self_attn.k_proj.weight"
            rows.append(missing(tensor, "unmatched", reason))
        elif tensor.name == "blk.2.ffn_up.weight":
            rows.append(missing(tensor, "unsupported", "no definition of type IQ9_X is known"))
        elif tensor.qtype == "F32":
            rows.append(compared(tensor, np.zeros(tensor.n_elements)))
        else:
            size = (0.004 if tensor.qtype == "Q4_K" else 0.001) * (1 + 0.04 * i % 1.3)
            noise = random.uniform(-1, 1, 6000) * size * random.gamma(4, 0.25, 6000)
            rows.append(compared(tensor, noise))
    return rows


class StubComparison:
    """What the panels read of a comparison."""

    def __init__(self, rows: list[StubRow], complete: bool = True) -> None:
        self.rows = rows
        self.complete = complete


ORPHAN = StubRow(
    None, "model.rotary.inv_freq", "unmatched", "the file has no such tensor", shape=(32,)
)


class StubRun:
    """A run that waits for permission before each row."""

    def __init__(self, model: StubModel, *_: object, gate: Any = None, **__: object) -> None:
        self._rows = rows_of(model)
        self._gate = gate
        self._stop = False
        self._given: list[StubRow] = []
        self.alignment = Alignment((), ())
        self.total = sum(row.n_elements for row in self._rows)
        self.done = 0

    def __iter__(self) -> Any:
        for row in self._rows:
            if self._gate is not None:
                self._gate.wait(5)
            if self._stop:
                return
            self._given.append(row)
            self.done += row.n_elements
            yield row

    def cancel(self) -> None:
        self._stop = True
        if self._gate is not None:
            self._gate.set()

    def result(self) -> StubComparison:
        return StubComparison([*self._given, ORPHAN], complete=not self._stop)
