"""How long llama.cpp expects the sides of the embeddings and of the feed-forward matrices to be.

Source: ``load_arch_tensors`` of the architectures in llama.cpp (``src/models``), the dimensions
that tensors are created with. A file that has others is refused: "tensor has wrong shape".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.names import split_name
from .facts import WIDTH, Facts, Quantity
from .requirements import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EXPERTS", "INNER_WIDTH", "VOCABULARY", "WrongLength", "wrong_lengths"]

VOCABULARY = Quantity("size of the vocabulary", "vocab_size", ("vocab_size",))
# The key alone: what config.json calls it means something else in some families.
INNER_WIDTH = Quantity("width of the feed-forward layers", "feed_forward_length", ())
EXPERTS = Quantity("number of experts", "expert_count", ())

# Kind of a matrix: its sides in NumPy order; None: what depends on more than one key.
_OUTSIDE: dict[str, tuple[Quantity | None, ...]] = {
    "token_embd": (VOCABULARY, WIDTH),
    "output": (VOCABULARY, WIDTH),
}
_IN_LAYERS: dict[str, tuple[Quantity | None, ...]] = {
    "ffn_gate": (INNER_WIDTH, WIDTH),
    "ffn_up": (INNER_WIDTH, WIDTH),
    "ffn_down": (WIDTH, INNER_WIDTH),
    "ffn_gate_inp": (EXPERTS, WIDTH),
    "ffn_gate_exps": (EXPERTS, None, WIDTH),
    "ffn_up_exps": (EXPERTS, None, WIDTH),
    "ffn_gate_up_exps": (EXPERTS, None, WIDTH),
    "ffn_down_exps": (EXPERTS, WIDTH, None),
    "ffn_gate_shexp": (None, WIDTH),
    "ffn_up_shexp": (None, WIDTH),
    "ffn_down_shexp": (WIDTH, None),
}
_GATE_IN_UP = frozenset(("phi3", "glm4"))  # ffn_up has the rows of both


@dataclass(frozen=True, slots=True)
class WrongLength:
    """A side of a tensor that is of another length than is said.

    Attributes
    ----------
    name : str
    shape : tuple of int
    quantity : Quantity
        What the side is to be as long as.
    has, due : int
    """

    name: str
    shape: tuple[int, ...]
    quantity: Quantity
    has: int
    due: int


def wrong_lengths(facts: Facts, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[WrongLength]:
    """Yield the sides that contradict the facts; those that nothing is known of pass.

    Parameters
    ----------
    facts : Facts
    shapes : Mapping of str to tuple of int
        Of the tensors of the file, NumPy order.
    """
    for name, shape in shapes.items():
        layer, kind = split_name(name)
        kind = kind.removeprefix("enc.").removeprefix("dec.")
        sides = _OUTSIDE.get(kind) if layer is None else None
        if layer is not None and facts.architecture in REQUIRED:
            sides = _IN_LAYERS.get(kind)
        if sides is None or len(sides) != len(shape):
            continue
        for quantity, has in zip(sides, shape, strict=True):
            if quantity is None:
                continue
            due = facts.number(quantity, layer)
            if due is not None and kind == "ffn_up" and quantity is INNER_WIDTH:
                due *= 2 if facts.architecture in _GATE_IN_UP else 1
            if due is not None and has != due:
                yield WrongLength(name, shape, quantity, has, due)
