"""Whether llama.cpp could load a file: asked before it is written."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..codec import dequantize
from ..errors import CheckpointError, UnsupportedError
from ..file.text import few, quoted
from ..model.names import MOST_LAYERS
from ..reference.facts import DECODER_LAYERS, LAYERS, PREDICTORS
from ..reference.lengths import wrong_experts, wrong_heads, wrong_lengths
from ..reference.requirements import missing_tensors, unasked_tensors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ..reference.facts import Facts
    from ..reference.transforms import NamedRows

__all__ = ["check_classifier", "check_loadable", "check_zeros"]


def check_loadable(words: str, facts: Facts, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint of which llama.cpp would refuse the file.

    Parameters
    ----------
    words : str
        How messages call the checkpoint.
    facts : Facts
        What the file will say, and ``config.json``.
    shapes : Mapping of str to tuple of int
        Of the tensors that the file will have.

    Raises
    ------
    CheckpointError
        If tensors are missing, or of other shapes than the settings say.
    UnsupportedError
        If there are tensors that llama.cpp has no place for.
    """
    # a config.json could say billions
    sides = [range(min(facts.number(n) or 0, MOST_LAYERS)) for n in (LAYERS, DECODER_LAYERS)]
    absent = [
        " or ".join(map(quoted, names))
        for names in missing_tensors(facts.architecture, shapes, *sides)
    ]
    if absent:
        raise CheckpointError(
            f"{words}: llama.cpp loads no {facts.architecture} without {few(absent)}, for"
            " which there is nothing in the checkpoint. Nothing was written. Give the folder with"
            " all of its files; if it is complete, llama.cpp has no such model: one that uses the"
            " embeddings for the output, say, or has no biases."
        )
    if _lacks_output(facts, shapes):
        raise CheckpointError(
            f"{words}: config.json says tie_word_embeddings: false, but there is nothing for"
            " 'output.weight', and llama.cpp would take the embeddings for it. Nothing was written."
            " Give the folder with all of its files."
        )
    layers = len(sides[0]) - (facts.in_file(PREDICTORS) or 0)
    if unasked := unasked_tensors(facts.architecture, shapes, layers):
        raise UnsupportedError(
            f"{words}: llama.cpp has no {facts.architecture} with"
            f" {few(map(quoted, unasked))}, and refuses a file that has them. Nothing was"
            " written."
        )
    wrong = [
        f"{quoted(w.name)} would be {w.shape}, but the {w.quantity.words} is {w.due}"
        for w in wrong_lengths(facts, shapes)
    ]
    if heads := wrong_heads(facts):
        wrong.append(heads[1])
    wrong += [words for _, words in wrong_experts(facts)]
    if wrong:
        raise CheckpointError(
            f"{words}: {few(wrong, '; ')}. Nothing was written. Give the complete checkpoint with"
            " its own config.json; if it is that, llama.cpp has no such model."
        )


def check_classifier(words: str, facts: Facts, names: Collection[str]) -> None:
    """Refuse a classifier on top of bert that llama.cpp would compute otherwise.

    It has one kind: the first token through a layer and a tanh, then through the classifier.

    Raises
    ------
    UnsupportedError
        If the checkpoint has another.
    """
    parts = {"cls.weight", "cls.output.weight"} & {*names}
    distilled = facts.config.get("model_type") == "distilbert"  # there it is a ReLU
    if facts.architecture == "bert" and (len(parts) == 1 or (parts and distilled)):
        raise UnsupportedError(
            f"{words}: llama.cpp scores a text by its first token, a layer and a tanh, which this"
            " classifier does not. Nothing was written. Export the model below it:"
            " AutoModel.from_pretrained(...)."
        )


def check_zeros(words: str, tensors: Iterable[NamedRows]) -> None:
    """Refuse a checkpoint in which values are not zero that the file has no place for.

    Raises
    ------
    UnsupportedError
        If there are any.
    """
    for tensor in tensors:
        rows = np.ascontiguousarray(tensor.read(0, prod(tensor.shape[:-1])))
        if dequantize(rows, tensor.dtype).any():
            raise UnsupportedError(
                f"{words}: llama.cpp has no place for {quoted(tensor.name)}, and it is not zero."
                " Nothing was written."
            )


def _lacks_output(facts: Facts, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    classes = facts.config.get("architectures")
    generates = isinstance(classes, list) and any(str(c).endswith("ForCausalLM") for c in classes)
    untied = facts.config.get("tie_word_embeddings") is False
    return generates and untied and "output.weight" not in shapes
