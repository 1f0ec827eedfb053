"""The torch backend: any device, in chunks. What serves GPUs without Triton (MPS, Windows)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from ..bind import bind
from ..formats import FORMATS

if TYPE_CHECKING:
    from ..formats import Format

__all__ = ["dequantize", "table_on"]

# Weights per pass. On a CPU chunks of this size are 2.5 to 7 times faster than whole tensors
# (temporaries stay in the cache); a GPU wants fewer launches.
_CHUNK = {"cpu": 1 << 17}
_CHUNK_GPU = 1 << 24


def _load(b: torch.Tensor, o: Any, width: int) -> torch.Tensor:
    """Read little-endian numbers at the byte offsets `o`, (groups, values), of every block."""
    o = torch.as_tensor(o, device=b.device)
    o = o.reshape((1,) * (2 - o.ndim) + tuple(o.shape)) if o.ndim < 2 else o
    value = b[:, o].to(torch.int64)
    for k in range(1, width):
        value = value | b[:, o + k].to(torch.int64) << (8 * k)
    return value


def _f32(x: Any) -> Any:
    # A Python number stays one: it is weak in torch's promotion and takes no device.
    return x.to(torch.float32) if isinstance(x, torch.Tensor) else x


def _bits(u: Any) -> Any:
    return u.to(torch.int32).view(torch.float32)  # int64 -> int32 keeps the low 32 bits


PRIMITIVES: dict[str, Any] = {
    "u8": lambda b, o: _load(b, o, 1),
    "u16": lambda b, o: _load(b, o, 2),
    "u32": lambda b, o: _load(b, o, 4),
    "i64": lambda b, o: _load(b, o, 8),
    "at": lambda t, i: t[i].to(torch.int64),
    "f32": _f32,
    "half": lambda h: h.to(torch.int16).view(torch.float16).to(torch.float32),
    "bits": _bits,
    "bits64": lambda i: i.view(torch.float64),
    "where": torch.where,
}


@cache
def table_on(name: str, device: torch.device) -> torch.Tensor:
    """Return the lookup table of a format on a device."""
    return torch.from_numpy(FORMATS[name].table().copy()).to(device)


def dequantize(fmt: type[Format], blocks: torch.Tensor) -> torch.Tensor:
    """Decode blocks on their own device.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    blocks : uint8 tensor (n_blocks, type_size)
        Little endian.

    Returns
    -------
    float32 tensor (n_blocks, block_size)
    """
    size, plain, device = fmt.qtype.block_size, fmt.plain(), blocks.device
    out = torch.empty((len(blocks), size), dtype=torch.float32, device=device)
    scale, quant = bind(fmt.scale, PRIMITIVES), bind(fmt.quant, PRIMITIVES)
    step = max(1, _CHUNK.get(device.type, _CHUNK_GPU) // size)
    table = table_on(fmt.name, device)
    for i in range(0, len(blocks), step):
        b, target = blocks[i : i + step].contiguous(), out[i : i + step]
        if plain:
            b, target = b.reshape(1, -1), target.view(1, -1)
        group = target.shape[1] if plain else fmt.group
        g = torch.arange(target.shape[1] // group, device=device)[:, None]
        j = torch.arange(group, device=device)
        d, m = scale(b, table, g)
        q = quant(b, table, g, j).to(torch.float32)
        target.copy_((d * q - m).reshape(target.shape))
    return out
