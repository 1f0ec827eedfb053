"""The quantities that tables ask for, such as the number of heads, and where they are from.

The metadata of the file come first: the converter wrote there what it went by. The checkpoint's
``config.json`` is asked where the file is silent. Where both speak they must agree, or else the
checkpoint is not the one that the file was made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DECODER_LAYERS",
    "HEADS",
    "KV_HEADS",
    "LAYERS",
    "PREDICTORS",
    "SAME_IN_BOTH",
    "WIDTH",
    "Facts",
    "Quantity",
]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number under its names.

    Attributes
    ----------
    words : str
    key : str
        In the file, after the architecture: ``llama.block_count`` is ``"block_count"``.
    config : tuple of str
        In ``config.json``, the usual name first; a dot leads into a part of it.
    """

    words: str
    key: str
    config: tuple[str, ...]


WIDTH = Quantity("hidden size", "embedding_length", ("hidden_size", "n_embd", "d_model", "dim"))
LAYERS = Quantity(
    "number of layers", "block_count", ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
)
PREDICTORS = Quantity(
    "number of layers that predict further tokens",
    "nextn_predict_layers",
    ("num_nextn_predict_layers", "mtp_num_hidden_layers"),
)
DECODER_LAYERS = Quantity(
    "number of layers of the decoder", "decoder_block_count", ("num_decoder_layers",)
)
HEADS = Quantity(
    "number of heads",
    "attention.head_count",
    ("num_attention_heads", "n_head", "n_heads", "num_heads"),
)
KV_HEADS = Quantity(
    "number of key and value heads",
    "attention.head_count_kv",
    ("num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_head_kv"),
)

SAME_IN_BOTH = (WIDTH, LAYERS, HEADS, KV_HEADS)
"""What must be equal in file and checkpoint, unless the table of a family says otherwise."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Metadata of the file and configuration of the checkpoint.

    Attributes
    ----------
    architecture : str
        ``general.architecture``, the prefix of the keys.
    metadata, config : Mapping
    shapes : Mapping of str to tuple of int
        Of the tensors in the file; empty if it is yet to be written.
    """

    architecture: str
    metadata: Mapping[str, object]
    config: Mapping[str, object]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        architecture: str,
        metadata: Mapping[str, object],
        config: Mapping[str, object],
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Facts:
        """Gather the facts; the text part of a multimodal configuration counts as its root."""
        flat = config
        for part in ("thinker_config", "text_config"):
            inner = flat.get(part)
            flat = {**flat, **inner} if isinstance(inner, dict) else flat
        return cls(architecture, metadata, flat, shapes or {})

    def in_file(self, quantity: Quantity, layer: int | None = None) -> int | None:
        """Look up what the file says; of a list with one number per layer, that of `layer`."""
        value = self.metadata.get(f"{self.architecture}.{quantity.key}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[layer] if layer is not None and 0 <= layer < len(value) else None
        return _positive(value)

    def in_config(self, quantity: Quantity) -> int | None:
        """Look up what ``config.json`` says."""
        values = (_positive(_at(self.config, name)) for name in quantity.config)
        return next((v for v in values if v is not None), None)

    def number(self, quantity: Quantity, layer: int | None = None) -> int | None:
        """Take the file's number, or the checkpoint's where the file is silent."""
        value = self.in_file(quantity, layer)
        return self.in_config(quantity) if value is None else value

    def need(self, quantity: Quantity, layer: int | None = None) -> int:
        """Take a number as `number` does.

        Raises
        ------
        ComparisonError
            If neither the file nor the checkpoint says.
        """
        value = self.number(quantity, layer)
        if value is None:
            names = (f"the file lacks {self.architecture}.{quantity.key}",) * bool(quantity.key)
            names += tuple(f"config.json lacks {name}" for name in quantity.config[:1])
            raise ComparisonError(f"the {quantity.words} is unknown: {', '.join(names)}")
        return value

    def heads(self, layer: int | None) -> int:
        """Count the heads of the queries.

        Raises
        ------
        ComparisonError
            If neither the file nor the checkpoint says.
        """
        return self.need(HEADS, layer)

    def kv_heads(self, layer: int | None) -> int:
        """Count the heads of keys and values: as many as queries have if nothing else is said."""
        value = self.number(KV_HEADS, layer)
        return self.heads(layer) if value is None else value

    def next_layer(self) -> int | None:
        """Find the number that the first layer has which predicts further tokens: after all."""
        layers = self.in_config(LAYERS)
        if layers is None and (all_layers := self.in_file(LAYERS)) is not None:
            return all_layers - (self.in_file(PREDICTORS) or 0)
        return layers

    def _layers_with_predictors(self) -> int | None:
        # some files count the layers that predict further tokens too; some checkpoints don't say
        layers, more = self.in_config(LAYERS), self.number(PREDICTORS)
        return None if layers is None or more is None else layers + more

    def disagreements(self, quantities: Sequence[Quantity] = SAME_IN_BOTH) -> list[str]:
        """List where file and checkpoint contradict each other, in words."""
        found = []
        for quantity in quantities:
            ours, theirs = self.in_file(quantity), self.in_config(quantity)
            if quantity is LAYERS and ours == self._layers_with_predictors():
                continue
            if ours is not None and theirs is not None and ours != theirs:
                found.append(f"{quantity.words} {ours} in the file against {theirs} in config.json")
        return found


def _at(config: Mapping[str, object], path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _positive(value: object) -> int | None:
    # metadata and configuration are untrusted: True, 0, -1, "8", 8.5 and 10**400 are no counts
    return value if type(value) is int and 0 < value < 1 << 63 else None
