"""What the name of a tensor says: which layer it is in, and what it does there."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MOST_LAYERS", "split_name"]

MOST_LAYERS: Final = 512
"""llama.cpp's LLAMA_MAX_LAYERS: it refuses what is beyond."""

# At most six digits: a layer is a number that fits everywhere, or it is no layer.
# The layers of WavTokenizer are called by what they are of, which stays in the kind.
_LAYER = re.compile(r"(?:(?:^|(?<=\.))blk\.|(?<=^posnet\.)|(?<=^convnext\.))([0-9]{1,6})\.")


def split_name(name: str) -> tuple[int | None, str]:
    """Return the layer of a tensor, None outside of the layers, and its kind.

    Parameters
    ----------
    name : str
        A tensor name of a GGUF file.

    Examples
    --------
    >>> split_name("blk.3.attn_q.weight")
    (3, 'attn_q')
    >>> split_name("enc.blk.0.attn_q.bias")
    (0, 'enc.attn_q.bias')
    >>> split_name("posnet.2.attn_q.weight")
    (2, 'posnet.attn_q')
    >>> split_name("token_embd.weight")
    (None, 'token_embd')
    """
    layer = None
    kind = name
    if match := _LAYER.search(name):
        layer = int(match[1])
        kind = name[: match.start()] + name[match.end() :]
    return layer, kind.removesuffix(".weight")
