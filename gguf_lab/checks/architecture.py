"""Rules about what the architecture asks for: hyper-parameters, shapes, tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import GGUFError, UnsupportedError
from ..file import ArrayValue
from ..file.layout import without_ones
from ..file.text import few
from ..model.names import MOST_LAYERS
from ..reference.architectures.plan import has_name_map
from ..reference.facts import HEADS, KV_HEADS, LAYERS, WIDTH, Facts
from ..reference.lengths import VOCABULARY, wrong_lengths
from ..reference.requirements import REQUIRED, missing_tensors, unasked_biases
from .rules import Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..reference.lengths import WrongLength
    from .rules import Subject

__all__: list[str] = []

_CONVERT = "Convert the model again, or correct the key with gguf_set_metadata.py."
_ALWAYS = ("context_length", "embedding_length", "block_count")  # asked for in every architecture


@rule(
    "hyper-parameters",
    "error",
    "the tables of gguf_lab.bridge.hyperparameters, from llama.cpp's converter and loader",
    kinds=("model",),
)
def hyper_parameters(subject: Subject) -> Iterator[Found]:
    """Expect every hyper-parameter that the architecture needs, of the right type, in bounds."""
    from ..bridge.configuration import settings_of

    if not subject.architecture or not subject.model.tensors:
        return
    try:
        settings_of(subject.model)
    except UnsupportedError:
        pass  # no table, or nothing that Transformers could express: no fault of the file
    except GGUFError as error:
        yield Found(f"{subject.architecture}.*", str(error), _CONVERT)
        return
    for key in _ALWAYS if has_name_map(subject.architecture) else ():
        if f"{subject.architecture}.{key}" not in subject.metadata:
            yield Found(
                f"{subject.architecture}.{key}",
                "the key is missing: llama.cpp loads no model without it",
                _CONVERT,
            )


@rule(
    "layers",
    "error",
    "llama.cpp: 'missing tensor', and 'wrong number of tensors' for those beyond",
    kinds=("model",),
)
def layers(subject: Subject) -> Iterator[Found]:
    """Expect tensors for as many layers as ``block_count`` says, and for no others."""
    count = subject.figure("block_count")
    if count is None or not 0 < count <= MOST_LAYERS:
        return
    there = {t.layer for t in subject.model.tensors.values() if t.layer is not None}
    key = f"{subject.architecture}.block_count"
    # Layers that only predict further tokens may be left out.
    needed = count - (subject.figure("nextn_predict_layers") or 0)
    if absent := sorted(set(range(needed)) - there):
        yield Found(
            key,
            f"the key says {count} layers, but {counted(len(absent), 'of them have')} no tensor "
            f"({few(map(str, absent), most=8)})",
            _CONVERT,
        )
    most = max(count, subject.figure("decoder_block_count") or 0)
    if beyond := sorted(layer for layer in there if layer >= most):
        yield Found(
            key,
            f"the key says {count} layers, but there are tensors of {len(beyond)} further ones "
            f"({few(map(str, beyond), most=8)})",
            _CONVERT,
        )


@rule("missing-tensor", "error", "llama.cpp: 'missing tensor'; see reference/requirements.py")
def missing(subject: Subject) -> Iterator[Found]:
    """Expect every tensor without which the architecture cannot be loaded."""
    if subject.model.kind != "model" or not subject.model.tensors:
        return
    # The rule on layers speaks of those that have no tensor at all.
    there: dict[bool, set[int]] = {False: set(), True: set()}
    for tensor in subject.model.tensors.values():
        if tensor.layer is not None:
            there[tensor.kind.startswith("dec.")].add(tensor.layer)
    last = (subject.figure("block_count") or 0) - (subject.figure("nextn_predict_layers") or 0)
    present = sorted(layer for layer in there[False] if layer < last)
    absent = [
        " or ".join(names)
        for names in missing_tensors(
            subject.architecture, subject.model.tensors, present, sorted(there[True])
        )
    ]
    if absent:
        yield Found(
            absent[0],
            f"{counted(len(absent), 'tensors are')} missing that a model of architecture "
            f"{subject.architecture} cannot be without: {examples(absent)}",
            "Convert the model again from a complete checkpoint.",
        )


@rule(
    "foreign-tensor",
    "warning",
    "llama.cpp counts tensors: 'wrong number of tensors'; names from gguf.MODEL_TENSORS",
    kinds=("model",),
)
def foreign(subject: Subject) -> Iterator[Found]:
    """Expect no tensor that the architecture does not know."""
    import re

    import gguf

    number = next(
        (n for n, name in gguf.MODEL_ARCH_NAMES.items() if name == subject.architecture), None
    )
    if number is None:
        return
    known = {gguf.TENSOR_NAMES[kind] for kind in gguf.MODEL_TENSORS[number]}
    # what the converter joins on demand (--fuse-qkv), gguf lists only where it always does
    known |= {
        f"blk.{{bid}}.{name.rpartition('.')[0]}"
        for names in REQUIRED.get(subject.architecture, ((), ()))[1]
        for name in names
    }
    # and what predicts further tokens, only where it did when the package was made
    if subject.figure("nextn_predict_layers"):
        known |= {name for name in gguf.TENSOR_NAMES.values() if ".nextn." in name}
    odd = []
    for name in subject.model.tensors:
        stem = re.sub(r"(^|\.)blk\.[0-9]+\.", r"\1blk.{bid}.", name)
        if not known & {stem, stem.rpartition(".")[0]}:
            odd.append(name)
    if odd:
        yield Found(
            odd[0],
            f"{counted(len(odd), 'tensors are')} not among those that the architecture "
            f"{subject.architecture} has ({examples(odd)}): a llama.cpp that does not ask for them "
            "refuses the file",
            "Look where they are from; an older or newer converter may have named them so.",
        )


@rule(
    "unasked-bias",
    "error",
    "llama.cpp: 'wrong number of tensors'; see reference/requirements.py",
    kinds=("model",),
)
def unasked(subject: Subject) -> Iterator[Found]:
    """Expect no bias that llama.cpp does not ask for in the architecture."""
    if biases := unasked_biases(subject.architecture, subject.model.tensors):
        yield Found(
            biases[0],
            f"{counted(len(biases), 'tensors are')} not asked for by llama.cpp: it has no "
            f"{subject.architecture} with such a bias ({examples(biases)}), and refuses the file",
            "There is no way to run this model with llama.cpp.",
        )


@rule(
    "embedding-size",
    "error",
    "llama.cpp: 'tensor has wrong shape' for token_embd.weight",
    kinds=("model",),
)
def embedding_size(subject: Subject) -> Iterator[Found]:
    """Expect the width of the embeddings that ``embedding_length`` says."""
    for wrong in _wrong_lengths(subject):
        if wrong.name == "token_embd.weight" and wrong.quantity is WIDTH:
            yield Found(
                wrong.name,
                f"its rows have {wrong.has:,} values, but {subject.architecture}.embedding_length "
                f"is {wrong.due:,}",
                _CONVERT,
            )


@rule(
    "shapes",
    "error",
    "llama.cpp: 'tensor has wrong shape'; see reference/lengths.py",
    kinds=("model",),
)
def shapes(subject: Subject) -> Iterator[Found]:
    """Expect norms and matrices of the widths, and of as many experts, as the keys say."""
    embeddings = subject.shape("token_embd.weight") or (None,)
    wrong = [
        w
        for w in _wrong_lengths(subject)
        if w.name != "token_embd.weight"
        and w.quantity is not VOCABULARY
        and w.quantity.key != HEADS.key
        # if it is the key that is wrong, the rule on the embeddings says it
        and not (w.quantity is WIDTH and w.has == embeddings[-1])
    ]
    if wrong:
        first, names = wrong[0], {w.name for w in wrong}
        yield Found(
            first.name,
            f"its shape is {first.shape}, but by {subject.architecture}.{first.quantity.key} "
            f"{first.has:,} should be {first.due:,}; so it is for {counted(len(names), 'tensors')}",
            _CONVERT,
        )


def _facts(subject: Subject) -> Facts:
    return Facts.of(subject.architecture, subject.metadata, {})


def _wrong_lengths(subject: Subject) -> Iterator[WrongLength]:
    shapes = {name: tensor.shape for name, tensor in subject.model.tensors.items()}
    return wrong_lengths(_facts(subject), shapes)


@rule(
    "bias-length",
    "error",
    "llama.cpp: 'tensor has wrong shape': a bias has one value for each row of its matrix",
    kinds=("model",),
)
def bias_length(subject: Subject) -> Iterator[Found]:
    """Expect a bias to have one value for each row, or for each value of a norm."""
    if subject.architecture not in REQUIRED:
        return
    wrong = []
    for name, tensor in subject.model.tensors.items():
        weight = subject.shape(f"{name.removesuffix('.bias')}.weight")
        if not name.endswith(".bias") or not weight:
            continue
        rows = weight[:-1] if len(weight) > 1 else weight
        vector = weight[-1:] if math.prod(weight[:-1]) == 1 else rows
        if without_ones(tensor.shape) not in {without_ones(rows), without_ones(vector)}:
            wrong.append((name, tensor.shape, rows))
    if wrong:
        name, has, due = wrong[0]
        yield Found(
            name,
            f"its shape is {has}, but by the weight beside it it should be {due}; so it is for "
            f"{counted(len(wrong), 'tensors')}",
            _CONVERT,
        )


@rule(
    "vocabulary-size",
    "error",
    "llama.cpp: 'tensor has wrong shape': token_embd has one row for each token",
    kinds=("model",),
)
def vocabulary_size(subject: Subject) -> Iterator[Found]:
    """Expect as many rows of the embedding as there are tokens."""
    shape = subject.shape("token_embd.weight")
    if not shape or len(shape) != 2:
        return
    number, key = _tokens(subject), "tokenizer.ggml.tokens"
    if number is None:  # llama.cpp asks for the key only where there are none
        number, key = subject.figure("vocab_size"), f"{subject.architecture}.vocab_size"
    if number is not None and number != shape[0]:
        yield Found(
            key,
            f"there are {number:,} tokens by this key, but token_embd.weight has {shape[0]:,} rows",
            "Convert again: the tokenizer is of another model, or the vocabulary was padded.",
        )
    output = subject.shape("output.weight")
    if output and len(output) == 2 and output[0] != shape[0]:
        yield Found(
            "output.weight",
            f"it has {output[0]:,} rows, token_embd.weight {shape[0]:,}",
            "Convert the model again.",
        )


def _tokens(subject: Subject) -> int | None:
    tokens = subject.metadata.get("tokenizer.ggml.tokens")
    return len(tokens) if isinstance(tokens, ArrayValue) else None


@rule(
    "vocab-size-key",
    "warning",
    "llama-vocab.cpp reads vocab_size only where there are no tokens",
    kinds=("model",),
)
def vocab_size_key(subject: Subject) -> Iterator[Found]:
    """Expect ``vocab_size`` to be the number of tokens."""
    told, tokens = subject.figure("vocab_size"), _tokens(subject)
    if told is not None and tokens is not None and told != tokens:
        yield Found(
            f"{subject.architecture}.vocab_size",
            f"the key says {told:,} tokens, and there are {tokens:,}; llama.cpp goes by them, "
            "other programs may not",
            _CONVERT,
        )


@rule(
    "head-shapes",
    "error",
    "llama.cpp: 'tensor has wrong shape': rows are heads times the width of a head",
    kinds=("model",),
)
def head_shapes(subject: Subject) -> Iterator[Found]:
    """Expect attention matrices as wide as the numbers of heads say."""
    wrong = [w for w in _wrong_lengths(subject) if w.quantity.key == HEADS.key and len(w.shape) > 1]
    if wrong:  # that a matrix is a vector, the rule on shapes says
        first = wrong[0]
        yield Found(
            first.name,
            f"its shape is {first.shape}, but the {first.quantity.words} is {first.due:,}; so it is"
            f" for {counted(len(wrong), 'tensors')}",
            _CONVERT,
        )
    facts = _facts(subject)
    for layer in range(min(facts.number(LAYERS) or 0, MOST_LAYERS)):
        n, n_kv = facts.number(HEADS, layer), facts.number(KV_HEADS, layer)
        if n and n_kv and n % n_kv:
            yield Found(
                f"{subject.architecture}.attention.head_count_kv",
                f"{n} heads cannot be shared out to {n_kv} heads of keys and values",
                _CONVERT,
            )
            return
