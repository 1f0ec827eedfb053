"""What `memory` found: bytes by device and purpose, and the bound on tokens per second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from .machines import MACHINES
from .words import answer, html_of, text_of

if TYPE_CHECKING:
    import pandas as pd

    from .kept import Kind

__all__ = ["Cells", "DeviceMemory", "Memory"]


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What one device holds, in bytes.

    Attributes
    ----------
    name : str
        "memory", or "host", "GPU 0", "GPU 1" if layers are offloaded.
    layers : int
        Layers that it holds.
    weights, cache, state : int
        Tensors; keys and values; states of recurrences. As llama.cpp counts them.
    compute : int
        Working memory of the graph: an estimate.
    """

    name: str
    layers: int
    weights: int
    cache: int
    state: int
    compute: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.state + self.compute


@dataclass(frozen=True, slots=True)
class Cells:
    """How many tokens a cache has room for, over all sequences.

    Attributes
    ----------
    full, window : int
        In layers without and with a sliding window.
    sequences : int
        Sequences that have a state.
    streams : int
        Equal parts of the cache: one for each sequence, or one that they share.
    """

    full: int
    window: int
    sequences: int
    streams: int


@dataclass(frozen=True, slots=True, repr=False)
class Memory:
    """The memory for a model and a context, and the bound on its speed that follows.

    Attributes
    ----------
    name, architecture : str
        The model.
    context, ubatch, parallel : int
        Tokens of all sequences together (``-c``); tokens computed at once (``-ub``); sequences.
    kv_type : str
        Type of keys and values.
    cells : Cells
        Room of the cache, rounded up as llama.cpp does.
    devices : tuple of DeviceMemory
        One, or the host and each GPU.
    n_parameters, n_active : int
        All weights, and those that one token uses: of experts, those it is sent to.
    read_weights : int
        Bytes of weights that are read for one token.
    drafting : int
        Bytes of layers that only draft further tokens. llama.cpp leaves them in the file.
    kind : {"decoder", "encoder", "diffusion"}
        An encoder makes no tokens, a diffusion model all of them at once.
    n_layers, n_attention, n_windowed, n_state : int
        Layers; those that keep keys, those of them with a sliding window; those with a state.
    window : int
        Tokens of the sliding window.
    latent : bool
        Whether the keys are those of multi-head latent attention.
    """

    name: str
    architecture: str
    context: int
    ubatch: int
    parallel: int
    kv_type: str
    cells: Cells
    devices: tuple[DeviceMemory, ...]
    n_parameters: int
    n_active: int
    read_weights: int
    drafting: int
    kind: Kind
    n_layers: int
    n_attention: int
    n_windowed: int
    n_state: int
    window: int
    latent: bool

    @property
    def generates(self) -> bool:
        """Whether it makes one token after the other."""
        return self.kind == "decoder"

    @property
    def weights(self) -> int:
        """Bytes of all tensors, copies included."""
        return sum(device.weights for device in self.devices)

    @property
    def cache(self) -> int:
        """Bytes of keys and values."""
        return sum(device.cache for device in self.devices)

    @property
    def state(self) -> int:
        """Bytes of the states of recurrences and convolutions."""
        return sum(device.state for device in self.devices)

    @property
    def compute(self) -> int:
        """Bytes of working memory: an estimate."""
        return sum(device.compute for device in self.devices)

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(device.total for device in self.devices)

    @property
    def rule_of_thumb(self) -> int:
        """What is often said instead: 2 bytes for each parameter, the weights in 16 bits."""
        return 2 * self.n_parameters

    @property
    def read_per_token(self) -> int:
        """Bytes that are read to make one token once the context is full."""
        return self.read_weights + self.cache // self.parallel + self.state // self.parallel

    def fits(self, capacity: float) -> bool:
        """Whether all of it fits in so many bytes: one memory, all devices together.

        Raises
        ------
        GGUFLabError
            If the capacity is no such number.
        """
        return self.total <= _checked(capacity, "capacity")

    def answer(self, capacity: float) -> str:
        """Say in words whether it fits in so many bytes, and why; raises as `fits` does."""
        return answer(self, _checked(capacity, "capacity"))

    def tokens_per_second(self, bandwidth: float, *, full: bool = True) -> float | None:
        """Return what a memory allows at most for one sequence; None for an encoder.

        Nor for a diffusion model, which makes many tokens at once, or where nothing is read for
        one: the file is a part of a model. Bandwidth over bytes read for a
        token: the weights that it uses and all that is kept of the context. Arithmetic, latency and
        overhead come on top, so that no machine reaches it.

        Parameters
        ----------
        bandwidth : float
            Bytes per second.
        full : bool
            With a full context; else with an empty one.

        Raises
        ------
        GGUFLabError
            If the bandwidth is no such number.
        """
        speed = _checked(bandwidth, "bandwidth")
        if not self.generates:
            return None
        read = self.read_per_token if full else self.read_weights
        return speed / read if read else None

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per device.

        Returns
        -------
        pandas.DataFrame
            Columns device, layers, weights, cache, state, compute_estimate, total; bytes.
        """
        import pandas as pd

        columns = ("name", "layers", "weights", "cache", "state", "compute", "total")
        rows = [[getattr(device, column) for column in columns] for device in self.devices]
        frame = pd.DataFrame(rows, columns=list(columns))
        return frame.rename(columns={"name": "device", "compute": "compute_estimate"})

    def machines_to_frame(self) -> pd.DataFrame:
        """Return a table with one row per known machine.

        Returns
        -------
        pandas.DataFrame
            Columns machine, bandwidth (bytes per second), memory (bytes), fits, and the bounds
            tokens_per_second_empty and tokens_per_second_full (NaN for an encoder).
        """
        import pandas as pd

        rows = [
            (
                *(m.name, m.bandwidth, m.memory, self.total <= m.memory),
                self.tokens_per_second(m.bandwidth, full=False),
                self.tokens_per_second(m.bandwidth),
            )
            for m in MACHINES
        ]
        bounds = ["tokens_per_second_empty", "tokens_per_second_full"]
        columns = ["machine", "bandwidth", "memory", "fits", *bounds]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(bounds, "float64"))

    def __repr__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)


def _checked(number: float, what: str) -> float:
    if not isinstance(number, Real) or not 0 <= number < math.inf:
        raise GGUFLabError(f"{what} is {number!r}: expected a number of bytes, not negative")
    return float(number)
