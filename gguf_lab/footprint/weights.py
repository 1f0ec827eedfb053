"""Which weights one token needs, and where llama.cpp puts them.

Sources: ``llama_model::load_tensors`` (devices of layers, copies of a tied embedding) and
``build_moe_ffn`` (experts) of llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import UnsupportedError
from ..file import ArrayValue, quoted
from ..model.names import MOST_LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import Model, Tensor
    from .kept import Kept

__all__ = ["active_parameters", "read_per_token", "sizes", "tied"]

_EMBEDDING: Final = "token_embd.weight"
# Read by the row, one for each token; they stay in the memory of the host.
_LOOKED_UP: Final = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
_INPUT: Final = (*_LOOKED_UP, "token_embd_norm")


def sizes(model: Model) -> Iterator[tuple[Tensor, int, bool]]:
    """Give each tensor, its bytes, and whether it belongs to the input, which no GPU gets.

    Raises
    ------
    UnsupportedError
        If the type of a tensor is unknown, so that its size is too.
    """
    for tensor in model.tensors.values():
        if tensor.nbytes is None:
            raise UnsupportedError(
                f"tensor {quoted(tensor.name)} is of a type that is not known here "
                f"({tensor.qtype}): its size, and that of the model, cannot be told"
            )
        yield tensor, tensor.nbytes, tensor.kind.partition(".")[0] in _INPUT


def tied(model: Model, *, logits: bool) -> Tensor | None:
    """Return the embedding if it is the output matrix too: on a GPU llama.cpp keeps it twice."""
    if not logits or "output.weight" in model.tensors or _EMBEDDING not in model.tensors:
        return None
    return model.tensors[_EMBEDDING]


def active_parameters(model: Model) -> int | None:
    """Count the weights that one token uses: of experts those it is sent to.

    Returns
    -------
    int or None
        None if the model has no experts, or does not say how many are used.
    """
    shares = _expert_shares(model)
    if not shares:
        return None
    return round(sum(t.n_elements * _share(t, shares) for t in model.tensors.values()))


def read_per_token(model: Model, kept: Kept) -> int:
    """Return the bytes of weights that are read to make one token.

    All, but of experts those that are used, of tables that are looked up nothing (one row is next
    to nothing; a tied embedding is the output matrix and is read), and nothing of an encoder or of
    layers that draft tokens.
    """
    shares = _expert_shares(model)
    total = 0.0
    for tensor, size, is_input in sizes(model):
        drafts = tensor.layer is not None and tensor.layer >= kept.n_main
        looked_up = is_input and tensor.kind.partition(".")[0] in _LOOKED_UP
        if not looked_up and not drafts and not tensor.name.startswith("enc."):
            total += size * _share(tensor, shares)
    if embedding := tied(model, logits=kept.kind != "encoder"):
        total += embedding.nbytes or 0
    return round(total)


def _expert_shares(model: Model) -> list[float]:
    """Return which share of its experts a token is sent to: of each layer, or one for all.

    Empty without experts, and where the file doesn't say.
    """
    count, used = (_numbers(model, f"expert_{what}") for what in ("count", "used_count"))
    n = max(len(count), len(used))
    if not count or not used or {len(count), len(used)} - {1, n}:
        return []
    pairs = zip(used * (n // len(used)), count * (n // len(count)), strict=True)
    shares = [u / c if 0 < u < c else 1 for u, c in pairs]
    return shares if min(shares) < 1 else []


def _numbers(model: Model, end: str) -> list[int]:
    """Return a number of the file, or, as some have it, one for each layer."""
    value = model.metadata.get(f"{model.architecture}.{end}")
    items = value[:MOST_LAYERS] if isinstance(value, ArrayValue) else [value]
    return [item for item in items if type(item) is int]


def _share(tensor: Tensor, shares: list[float]) -> float:
    if not shares or not tensor.kind.partition(".")[0].endswith("_exps"):
        return 1
    layer = 0 if len(shares) == 1 or tensor.layer is None else tensor.layer
    return shares[layer] if layer < len(shares) else 1
