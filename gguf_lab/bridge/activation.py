"""The numbers of apertus' activation (xIELU): tensors of a checkpoint, metadata of a file.

Facts: llama.cpp's converter, class ``ApertusModel``, and its loader. The keys have no architecture
in front of them, and a single number counts for all layers.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..codec import dequantize
from ..errors import CheckpointError
from ..file.text import quoted
from .hyperparameters.file_side import FileSide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..reference.transforms import NamedRows

__all__ = ["activation_in", "activation_of"]

_ARCHITECTURE = "apertus"
_NUMBERS = ("alpha_n", "alpha_p", "beta", "eps")


def _name(layer: int, number: str) -> str:
    return f"model.layers.{layer}.mlp.act_fn.{number}"


def activation_of(
    words: str, architecture: str, layers: int, tensors: Mapping[str, NamedRows]
) -> dict[str, list[float]]:
    """Read the numbers of a checkpoint: keys of the file, none in other architectures.

    Raises
    ------
    CheckpointError
        If a tensor is not there, or more than one number.
    """
    if architecture != _ARCHITECTURE:
        return {}
    return {
        f"xielu.{number}": [_read(words, tensors, _name(layer, number)) for layer in range(layers)]
        for number in _NUMBERS
    }


def _read(words: str, tensors: Mapping[str, NamedRows], name: str) -> float:
    tensor = tensors.get(name)
    if tensor is None or prod(tensor.shape) != 1:
        what = "is not there" if tensor is None else f"has shape {tensor.shape}"
        raise CheckpointError(
            f"{words}: {quoted(name)}, a number of the activation, {what}. Nothing was written."
        )
    rows = np.ascontiguousarray(tensor.read(0, 1))
    return float(dequantize(rows, tensor.dtype).reshape(-1)[0])


def activation_in(architecture: str, metadata: Mapping[str, object]) -> dict[str, float]:
    """Read the numbers of a file: those of the parameters, none in other architectures.

    Raises
    ------
    GGUFError
        If a key is not there, or of another type or length.
    """
    if architecture != _ARCHITECTURE:
        return {}
    file = FileSide(architecture, metadata, {})
    found = {number: file.numbers_per_layer(f"xielu.{number}") for number in _NUMBERS}
    return {
        _name(layer, number): value
        for number, values in found.items()
        for layer, value in enumerate(values)
    }
