"""What llama-quantize asks about a model before it chooses types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GGUFError
from ..file import ArrayValue, preview

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Facts"]

_LAYERS_OF_70B = {"llama": 80, "llama-embed": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}
"""Models of these families with so many layers are what llama.cpp calls a 70B."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures of a model.

    Attributes
    ----------
    architecture : str
        ``general.architecture``.
    n_layer : int
        Layers, those that only predict further tokens included.
    n_layer_nextn : int
        Layers that only predict further tokens.
    n_head, n_head_kv : int
        Heads of the queries, and of the keys and values, in the first layer.
    n_expert : int
        Experts; 0 for a dense model.
    projector : str
        ``clip.projector_type``; empty for a language model.
    """

    architecture: str
    n_layer: int
    n_layer_nextn: int = 0
    n_head: int = 0
    n_head_kv: int = 0
    n_expert: int = 0
    projector: str = ""

    @property
    def n_gqa(self) -> int:
        """Heads that share a key and value; 0 if there are none."""
        return self.n_head // self.n_head_kv if self.n_head_kv else 0

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes the model for one of 70 billion weights."""
        if _LAYERS_OF_70B.get(self.architecture) != self.n_layer - self.n_layer_nextn:
            return False
        # Of llamas with as many layers, one has all heads for itself (65B), one eight experts.
        return self.architecture != "llama" or (
            self.n_head != self.n_head_kv and self.n_expert != 8
        )

    @classmethod
    def of(cls, metadata: Mapping[str, object]) -> Facts:
        """Read the figures from the metadata of a file.

        Raises
        ------
        GGUFError
            If the architecture or the number of layers is missing, or a figure is none.
        """
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise GGUFError(
                f"metadata key 'general.architecture' is {preview(architecture)}. Expected a text: "
                "which tensors get how many bits depends on it."
            )

        def figure(name: str, default: int | None = 0) -> int:
            key = f"{architecture}.{name}"
            value = metadata.get(key)
            if isinstance(value, ArrayValue | list | tuple | np.ndarray):  # one for each layer
                value = value[0] if len(value) else None
            if isinstance(value, np.integer):  # of a file that is yet to be written
                value = int(value)
            if value is None and default is not None:
                return default
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise GGUFError(
                    f"metadata key {preview(key)} is {preview(metadata.get(key))}. Expected a "
                    "whole number, not negative."
                )
            return value

        # A projector has no layers of this kind; llama.cpp does not ask it.
        n_layer = 0 if architecture == "clip" else figure("block_count", None)
        if architecture == "nanbeige":  # goes through its layers several times
            n_layer *= figure("num_loops", 1)
        if architecture == "graniteswitch":  # its router counts as one more
            n_layer += 1
        n_head = figure("attention.head_count")
        return cls(
            architecture,
            n_layer,
            n_layer_nextn=figure("nextn_predict_layers"),
            n_head=n_head,
            n_head_kv=figure("attention.head_count_kv", n_head),
            n_expert=figure("expert_count"),
            projector=str(metadata.get("clip.projector_type") or ""),
        )
