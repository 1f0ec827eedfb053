"""The NumPy backend: whole arrays of blocks. The fast paths are tested against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..bind import bind

if TYPE_CHECKING:
    from ..formats import Format

__all__ = ["dequantize"]

# Weights per pass: the temporaries (int64) stay in the cache.
_CHUNK = 1 << 17


def _load(b: np.ndarray, o: Any, dtype: str) -> np.ndarray:
    """Read little-endian numbers at the byte offsets `o`, (groups, values), of every block."""
    o, width = np.atleast_2d(o), int(dtype[-1])
    first, last = int(o.flat[0]), int(o.flat[-1])
    # Numbers in a run are a view; only scattered ones are gathered.
    if last - first == (o.size - 1) * width and (np.diff(o.ravel()) == width).all():
        run = np.ascontiguousarray(b[:, first : last + width]).view(dtype)
        return run.reshape(len(b), *o.shape).astype(np.int64)
    bytes_ = np.ascontiguousarray(b[:, o[..., None] + np.arange(width)])
    return bytes_.view(dtype)[..., 0].astype(np.int64)


PRIMITIVES: dict[str, Any] = {
    "u8": lambda b, o: _load(b, o, "<u1"),
    "u16": lambda b, o: _load(b, o, "<u2"),
    "u32": lambda b, o: _load(b, o, "<u4"),
    "i64": lambda b, o: _load(b, o, "<i8"),
    "at": lambda t, i: t[i].astype(np.int64),
    "f32": lambda x: np.asarray(x).astype(np.float32),
    "half": lambda h: h.astype(np.uint16).view(np.float16).astype(np.float32),
    "bits": lambda u: np.asarray(u).astype(np.uint32).view(np.float32),
    "bits64": lambda i: np.asarray(i).view(np.float64),
    "where": np.where,
}


def dequantize(fmt: type[Format], blocks: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Decode blocks.

    Parameters
    ----------
    fmt : type of Format
        The definition.
    blocks : uint8 array (n_blocks, type_size)
        Little endian.
    out : float32 array (n_blocks, block_size), optional
        Where to write; C-contiguous.

    Returns
    -------
    float32 array (n_blocks, block_size)
    """
    size, plain = fmt.qtype.block_size, fmt.plain()
    if out is None:
        out = np.empty((len(blocks), size), np.float32)
    scale, quant = bind(fmt.scale, PRIMITIVES), bind(fmt.quant, PRIMITIVES)
    step = max(1, _CHUNK // size)
    # NaN, inf and double-to-single overflow are data here, not accidents.
    with np.errstate(all="ignore"):
        for i in range(0, len(blocks), step):
            b = np.ascontiguousarray(blocks[i : i + step])
            target = out[i : i + step]
            if plain:
                b, target = b.reshape(1, -1), target.reshape(1, -1)
            group = target.shape[1] if plain else fmt.group
            g, j = np.arange(target.shape[1] // group)[:, None], np.arange(group)
            d, m = scale(b, fmt.table(), g)
            q = np.asarray(quant(b, fmt.table(), g, j)).astype(np.float32)
            weights = np.asarray(d, np.float32) * q - np.asarray(m, np.float32)
            target[...] = weights.reshape(target.shape)
    return out
