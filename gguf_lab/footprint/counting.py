"""The count: what a model keeps, times the context, laid out over devices as llama.cpp does it."""

from __future__ import annotations

import math
from bisect import bisect_right
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

from ..errors import GGUFLabError, UnsupportedError
from ..file import find_qtype, printable, qtype
from ..model import given_model
from .estimate import Width, compute_buffer, width_of
from .hyper import HyperParameters
from .kept import Kept, LayerCache, kept_by
from .result import Cells, DeviceMemory, Memory
from .weights import active_parameters, read_per_token, sizes, tied

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from ..file import Address
    from ..model import Model

__all__ = ["KV_TYPES", "MOST_TOKENS", "Counter", "memory"]

KV_TYPES: Final = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
_PAD: Final = 256  # cells of a cache come in multiples of it
_BATCH: Final = 2048  # tokens of a batch (-b) where nothing else is said
_STATE_BYTES: Final = 4  # of a number of a recurrence: float32
MOST_TOKENS: Final = 1 << 28
"""Tokens of a context: no model is near."""

_MOST_GPUS: Final = 16  # GGML_SCHED_MAX_BACKENDS


def memory(
    model: Model | str | PathLike[str] | Address,
    context: int = 4096,
    *,
    kv_type: str = "F16",
    ubatch: int = 512,
    batch: int | None = None,
    parallel: int = 1,
    unified: bool = False,
    gpu_layers: int | None = None,
    split: Sequence[float] = (1.0,),
) -> Memory:
    """Count the memory that llama.cpp needs for a model and a context.

    Weights and cache are counted as llama.cpp counts them, the compute buffer is an estimate; all
    of it with flash attention, which llama.cpp uses where it can (``-fa auto``). Without it the
    buffer is larger, often several times, and so is the cache where layers have values of unlike
    widths. Layers with a sliding window keep no more than it needs, as llama-cli and llama-server
    do it; with ``--swa-full``, the default of llama.cpp's C interface, they keep the whole context.

    Parameters
    ----------
    model : Model, path or Address
        An open model, or a file of which the head is read.
    context : int
        Tokens of all sequences together (``-c``).
    kv_type : str
        Type of the cache's keys and values (``-ctk``, ``-ctv``), in letters of any case.
    ubatch : int
        Tokens that are computed at once (``-ub``). llama.cpp cuts it to the context and to a batch.
    batch : int, optional
        Tokens of a batch (``-b``). Default: 2048 as in llama.cpp, or `ubatch` if that is more.
    parallel : int
        Sequences (``-np``).
    unified : bool
        Whether all sequences share one cache (``-kvu``), or each has its part.
    gpu_layers : int, optional
        Layers that go to GPUs (``-ngl``), the last first; one more than there are takes the output
        too. Without it everything is in one memory.
    split : sequence of float
        Shares of the GPUs (``-ts``): one number for each.

    Returns
    -------
    Memory
        Sizes in bytes, the bound on tokens per second.

    Raises
    ------
    GGUFError
        If the metadata lacks what is needed, or makes no sense.
    UnsupportedError
        If the file is no model, has tensors of unknown types, or keeps something that is unknown
        here; or if `kv_type` does not fit the heads.
    GGUFLabError
        If an argument makes no sense.
    """
    with ExitStack() as opened:
        return Counter(given_model(model, opened)).count(
            context,
            kv_type=kv_type,
            ubatch=ubatch,
            batch=batch,
            parallel=parallel,
            unified=unified,
            gpu_layers=gpu_layers,
            split=split,
        )


@dataclass(frozen=True, slots=True)
class _Settings:
    """The arguments of `memory`, checked; whole numbers are Python's, which do not overflow."""

    context: int
    kv_type: str = "F16"
    ubatch: int = 512
    batch: int | None = None
    parallel: int = 1
    unified: bool = False
    gpu_layers: int | None = None
    split: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("context", 1, MOST_TOKENS),
            ("ubatch", 1, MOST_TOKENS),
            ("batch", 1, MOST_TOKENS),
            ("parallel", 1, 256),  # LLAMA_MAX_SEQ
            ("gpu_layers", 0, MOST_TOKENS),
        ):
            value = getattr(self, name)
            if value is None and name in {"batch", "gpu_layers"}:
                continue
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or not least <= value <= most:
                raise GGUFLabError(
                    f"{name} is {value!r}: expected a whole number from {least} to {most:,}"
                )
            object.__setattr__(self, name, int(value))
        kind = find_qtype(self.kv_type)
        if kind is None or kind.name not in KV_TYPES:
            known = ", ".join(KV_TYPES)
            raise GGUFLabError(f"kv_type is {self.kv_type!r}: expected one of {known}")
        object.__setattr__(self, "kv_type", kind.name)
        if self.context < self.parallel:
            raise GGUFLabError(f"context is {self.context}: {self.parallel} sequences share it")
        try:
            good = all(math.isfinite(share) and share >= 0 for share in self.split)
            good = good and 0 < sum(self.split) < math.inf and len(self.split) <= _MOST_GPUS
        except (TypeError, OverflowError):  # no sequence, or not of numbers, or of huge ones
            good = False
        if not good:
            raise GGUFLabError(
                f"split is {self.split!r}: expected a share for each GPU, one to {_MOST_GPUS}, "
                "such as (3, 1)"
            )
        if len(self.split) > 1 and self.gpu_layers is None:
            raise GGUFLabError(
                f"split is {self.split!r}: it shares layers out to GPUs, so say how many go there "
                "with gpu_layers, such as 999 for all"
            )


@dataclass(frozen=True, slots=True)
class _Working:
    """What the working memory depends on."""

    cells: Cells
    width: Width
    tokens: int
    causal: bool

    def estimate(self, kept: Sequence[LayerCache], *, output: bool) -> int:
        """Return the estimate for a device that has these layers, and perhaps the output."""
        if not kept and not output:
            return compute_buffer(self.width, 0, self.tokens, output=False)  # looked-up embeddings
        cells, masks = self.cells, 0
        if any(layer.keys and not layer.windowed for layer in kept):
            masks += cells.full // cells.streams
        if any(layer.keys and layer.windowed for layer in kept):
            masks += cells.window // cells.streams
        if not self.causal:
            masks = self.tokens  # every token sees those of its own batch
        return compute_buffer(self.width, masks, self.tokens, output=output)


class Counter:
    """Counts for one model and any settings; what the file says is read once.

    Parameters
    ----------
    model : Model
        An open model, which is not needed any more afterwards.

    Attributes
    ----------
    trained : int
        Tokens of context that the model was made for; 0 if the file does not say.

    Raises
    ------
    GGUFError, UnsupportedError
        See `memory`.
    """

    def __init__(self, model: Model) -> None:
        if model.kind != "model":
            raise UnsupportedError(
                f"{printable(model.path.name)} is no model but of kind {model.kind}: it does not "
                "run"
            )
        if not model.tensors:
            raise UnsupportedError(f"{printable(model.path.name)} has no tensors: nothing runs")
        keys = HyperParameters(model)
        self._name, self._architecture = model.name, keys.architecture
        self.trained = keys.number("context_length", 0)
        self._kept = kept_by(model)
        self._n = len(self._kept.layers)
        logits = self._kept.kind != "encoder"
        self._width = width_of(model, keys, logits=logits)
        self._by_layer = [0] * self._n  # bytes of weights
        self._input = self._output = self._drafting = 0
        for tensor, size, is_input in sizes(model):
            if tensor.layer is not None and 0 < self._kept.n_main <= tensor.layer:
                self._drafting += size
            elif tensor.layer is not None and tensor.layer < self._n:
                self._by_layer[tensor.layer] += size
            elif is_input:
                self._input += size
            else:
                self._output += size
        embedding = tied(model, logits=logits)
        self._copy = 0 if embedding is None else embedding.nbytes or 0
        self._parameters = model.n_parameters
        active = active_parameters(model)
        self._active = model.n_parameters if active is None else active
        self._read = read_per_token(model, self._kept)

    def count(self, context: int = 4096, **settings: Any) -> Memory:
        """Count; the arguments are those of `memory`."""
        chosen = _Settings(context, **settings)
        kept = self._kept
        _check_heads(kept, chosen.kv_type)
        causal = kept.kind == "decoder"
        batch = max(_BATCH, chosen.ubatch) if chosen.batch is None else chosen.batch
        batch = min(batch, _padded(chosen.context)) if causal else batch
        tokens = min(chosen.ubatch, batch)
        cells = _cells(kept, chosen, tokens)
        working = _Working(cells, self._width, tokens, causal)
        return Memory(
            name=self._name,
            architecture=self._architecture,
            context=chosen.context,
            ubatch=tokens,
            parallel=chosen.parallel,
            kv_type=chosen.kv_type,
            cells=cells,
            devices=tuple(self._laid_out(chosen, working)),
            n_parameters=self._parameters,
            n_active=self._active,
            read_weights=self._read,
            kind=kept.kind,
            drafting=self._drafting,
            n_layers=self._n,
            n_attention=sum(bool(layer.keys) for layer in kept.layers),
            n_windowed=sum(layer.windowed and bool(layer.keys) for layer in kept.layers),
            n_state=sum(bool(layer.state) for layer in kept.layers),
            window=kept.window,
            latent=kept.latent,
        )

    def _laid_out(self, chosen: _Settings, working: _Working) -> list[DeviceMemory]:
        """Put the last layers on GPUs, as ``llama_model::load_tensors`` does; or all in one."""
        if chosen.gpu_layers is None:
            fixed = self._input + self._output
            return [self._device("memory", range(self._n), fixed, chosen, working, output=True)]
        n, shares = self._n, chosen.split
        ends = [end / sum(shares) for end in accumulate(shares)]
        offloaded = min(chosen.gpu_layers, n + 1)
        first = n + 1 - offloaded
        where: list[list[int]] = [[] for _ in range(len(shares) + 1)]
        for layer in range(n + 1):  # the last one is the output
            gpu = 0
            if layer >= first:
                gpu = 1 + min(bisect_right(ends, (layer - first) / offloaded), len(shares) - 1)
            where[gpu].append(layer)
        devices = []
        for number, held in enumerate(where):
            output, on_gpu = n in held, number > 0
            fixed = self._output * output + self._copy * (output and on_gpu)
            fixed += 0 if on_gpu else self._input
            name = f"GPU {number - 1}" if on_gpu else "host"
            layers = [layer for layer in held if layer < n]
            devices.append(self._device(name, layers, fixed, chosen, working, output=output))
        return devices

    def _device(
        self,
        name: str,
        layers: Sequence[int],
        fixed: int,
        chosen: _Settings,
        working: _Working,
        *,
        output: bool,
    ) -> DeviceMemory:
        kept = [self._kept.layers[at] for at in layers]
        cells, kind = working.cells, qtype(chosen.kv_type)
        cache = sum(
            (kind.row_bytes(layer.keys) + kind.row_bytes(layer.values))
            * (cells.window if layer.windowed else cells.full)
            for layer in kept
        )
        return DeviceMemory(
            name=name,
            layers=len(layers),
            weights=fixed + sum(self._by_layer[at] for at in layers),
            cache=cache,
            state=sum(layer.state for layer in kept) * cells.sequences * _STATE_BYTES,
            compute=working.estimate(kept, output=output),
        )


def _padded(tokens: int) -> int:
    return -(-tokens // _PAD) * _PAD


def _cells(kept: Kept, settings: _Settings, tokens: int) -> Cells:
    """Count the tokens that the cache has room for, as ``llama_context`` rounds them."""
    parallel = settings.parallel
    if not any(layer.keys or layer.state for layer in kept.layers):
        return Cells(0, 0, parallel, 1)
    each, streams = _padded(settings.context), 1
    if not settings.unified:
        each, streams = _padded(each // parallel), parallel
    window = 0
    if any(layer.windowed for layer in kept.layers):
        together = parallel if settings.unified else 1
        window = _padded(min(each, kept.window * together + tokens))
    return Cells(each * streams, window * streams, parallel, streams)


def _check_heads(kept: Kept, kv_type: str) -> None:
    block = qtype(kv_type).block_size
    for size in kept.head_sizes:
        if size % block:
            raise UnsupportedError(
                f"the heads of this model have {size} numbers, which is no multiple of the blocks "
                f"of {block} of {kv_type}: llama.cpp refuses such a cache. Take F16."
            )
