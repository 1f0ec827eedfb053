"""Rules about what the architecture asks for: hyper-parameters, shapes, tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GGUFError, UnsupportedError
from ..file import ArrayValue
from ..file.text import few
from ..model.names import MOST_LAYERS, split_name
from ..reference.architectures.plan import has_name_map
from ..reference.demanded import REQUIRED
from ..reference.facts import HEADS, KV_HEADS, LAYERS, WIDTH, Facts
from ..reference.lengths import VOCABULARY, filled_layers, wrong_heads, wrong_lengths
from ..reference.requirements import (
    missing_tensors,
    more_asked,
    required_keys,
    unasked_tensors,
)
from .rules import CONVERT, CORRECT_KEY, Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..reference.lengths import WrongLength
    from .rules import Subject

__all__: list[str] = []

_CODES = 3072  # rows of qwen3tts's output, whatever its vocabulary


@rule(
    "hyper-parameters",
    "error",
    "what llama.cpp's loader asks for; else the tables of gguf_lab.bridge.hyperparameters",
    kinds=("model",),
)
def hyper_parameters(subject: Subject) -> Iterator[Found]:
    """Expect every hyper-parameter that the architecture needs, of the right type, in bounds."""
    from ..bridge.activation import activation_in
    from ..bridge.configuration import settings_of
    from ..bridge.hyperparameters.file_side import full_key

    if not subject.architecture or not subject.model.tensors:
        return
    keys = required_keys(subject.architecture) if has_name_map(subject.architecture) else []
    missing = [full_key(subject.architecture, key) for key in keys]
    missing = [key for key in missing if key not in subject.metadata]
    for key in missing:
        what = "the key is missing: llama.cpp loads no model without it"
        yield Found(key, what, CONVERT)
    if missing:
        return
    try:
        settings_of(subject.model)
        activation_in(subject.architecture, subject.metadata)
    except UnsupportedError:
        pass  # no table, or nothing that Transformers could express: no fault of the file
    except GGUFError as error:
        # llama.cpp computes with it, whatever comes out
        yield Found(f"{subject.architecture}.*", str(error), CORRECT_KEY, "warning")


@rule(
    "layers",
    "error",
    "llama.cpp: 'missing tensor', and 'wrong number of tensors' for those beyond",
    kinds=("model",),
)
def layers(subject: Subject) -> Iterator[Found]:
    """Expect tensors for as many layers as ``block_count`` says, and for no others."""
    count = subject.figure("block_count")
    if count is None:
        return
    key = f"{subject.architecture}.block_count"
    if not 0 < count <= MOST_LAYERS:
        yield Found(key, f"the key is {count:,}; llama.cpp takes 1 to {MOST_LAYERS}", CORRECT_KEY)
        return
    there = {t.layer for t in subject.model.tensors.values() if t.layer is not None}
    # Layers that only predict further tokens may be left out.
    facts = Facts.of(subject.architecture, subject.metadata, {})
    if absent := sorted({*filled_layers(facts, subject.layers)} - there):
        yield Found(
            key,
            f"the key says {count} layers, but {counted(len(absent), 'of them have')} no tensor "
            f"({few(map(str, absent), most=8)})",
            CORRECT_KEY,
        )
    most = max(count, subject.figure("decoder_block_count") or 0)
    if beyond := sorted(layer for layer in there if layer >= most):
        yield Found(
            key,
            f"the key says {count} layers, but there are tensors of {len(beyond)} further ones "
            f"({few(map(str, beyond), most=8)})",
            CORRECT_KEY,
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
    present = sorted(layer for layer in there[False] if layer < subject.layers)
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
    "llama.cpp counts tensors: 'wrong number of tensors'; names from gguf.MODEL_TENSORS, and more "
    "in reference/requirements.py",
    kinds=("model",),
)
def foreign(subject: Subject) -> Iterator[Found]:
    """Expect no tensor that the architecture does not know."""
    import gguf

    number = next(
        (n for n, name in gguf.MODEL_ARCH_NAMES.items() if name == subject.architecture), None
    )
    if number is None or subject.architecture in REQUIRED:  # of these more is known
        return
    known = {gguf.TENSOR_NAMES[kind] for kind in gguf.MODEL_TENSORS[number]}
    known |= more_asked(subject.architecture, known)
    # what predicts further tokens is listed only where it did when the package was made
    if subject.figure("nextn_predict_layers"):
        known |= {name for name in gguf.TENSOR_NAMES.values() if ".nextn." in name}
    odd = []
    for name in subject.model.tensors:
        layer, _ = split_name(name)
        stem = name if layer is None else name.replace(f".{layer}.", ".{bid}.", 1)
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
    "unasked-tensor",
    "error",
    "llama.cpp: 'wrong number of tensors'; see reference/requirements.py",
    kinds=("model",),
)
def unasked(subject: Subject) -> Iterator[Found]:
    """Expect no tensor that llama.cpp does not ask for in the architecture."""
    names = unasked_tensors(subject.architecture, subject.model.tensors, subject.layers)
    if names:
        yield Found(
            names[0],
            f"{counted(len(names), 'tensors are')} not asked for by llama.cpp: it has no "
            f"{subject.architecture} with them ({examples(names)}), and refuses the file",
            "If the model needs them, no llama.cpp that is known here runs it.",
        )


@rule(
    "shapes",
    "error",
    "llama.cpp: 'tensor has wrong shape'; see reference/lengths.py",
    kinds=("model",),
)
def shapes(subject: Subject) -> Iterator[Found]:
    """Expect tensors as long as the keys say, in every direction."""
    sides = {name: tensor.shape for name, tensor in subject.model.tensors.items()}
    embeddings = subject.shape("token_embd.weight") or (None,)
    first: dict[str, WrongLength] = {}  # of each tensor
    for wrong in wrong_lengths(Facts.of(subject.architecture, subject.metadata, {}), sides):
        if wrong.quantity.key != VOCABULARY.key:  # of which another rule speaks
            first.setdefault(wrong.name, wrong)
    groups: dict[str, list[WrongLength]] = {}
    for wrong in first.values():
        groups.setdefault(wrong.quantity.key, []).append(wrong)
    if WIDTH.key in groups and all(w.has == embeddings[-1] for w in groups[WIDTH.key]):
        # it is the key that is wrong: what is calculated with it is, too
        groups = {WIDTH.key: groups[WIDTH.key]}
    for key, group in groups.items():
        wrong = group[0]
        yield Found(
            wrong.name,
            f"its shape is {wrong.shape}, but by {subject.architecture}.{key} the "
            f"{wrong.quantity.words} is {wrong.due:,}, not {wrong.has:,}; so it is for "
            f"{counted(len(group), 'tensors')}",
            CORRECT_KEY,
        )


@rule(
    "vocabulary-size",
    "error",
    "llama.cpp: 'tensor has wrong shape': token_embd has one row for each token",
    kinds=("model",),
)
def vocabulary_size(subject: Subject) -> Iterator[Found]:
    """Expect as many rows of the embedding as there are tokens, and of the output."""
    shape = subject.shape("token_embd.weight")
    if not shape or len(shape) != 2:
        return
    number, key = _tokens(subject), "tokenizer.ggml.tokens"
    if number is None:  # llama.cpp asks for the key only where there are none
        key = f"{subject.architecture}.vocab_size"
        unsaid = subject.says_no_tokens and key not in subject.metadata
        number = 0 if unsaid else subject.figure("vocab_size")
    if number is not None and number != shape[0]:
        yield Found(
            key,
            f"there are {number:,} tokens by this key, but token_embd.weight has {shape[0]:,} rows",
            "Convert again: the tokenizer is of another model, or the vocabulary was padded.",
        )
    output, (due, words) = subject.shape("output.weight"), _output_rows(subject, shape[0])
    if output and len(output) == 2 and due is not None and output[0] != due:
        yield Found(
            "output.weight",
            f"it has {output[0]:,} rows, {words} {due:,}",
            "Convert the model again.",
        )


def _output_rows(subject: Subject, tokens: int) -> tuple[int | None, str]:
    """Return how many rows the output is to have, and in words where the number is from."""
    if subject.architecture == "qwen3tts":
        return _CODES, "and llama.cpp asks for"
    if subject.architecture == "wavtokenizer-dec":  # of what comes out another rule speaks
        return None, ""
    if few_tokens := subject.shape("d2t"):  # of a model that drafts for another
        return few_tokens[0], "d2t"
    return tokens, "token_embd.weight"


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
            CORRECT_KEY,
        )


@rule(
    "heads",
    "error",
    "llama.cpp asserts it of the heads when it computes attention; see reference/lengths.py",
    kinds=("model",),
)
def heads(subject: Subject) -> Iterator[Found]:
    """Expect heads that can be shared out, and of widths with which attention is computed."""
    facts = Facts.of(subject.architecture, subject.metadata, {})
    if found := wrong_heads(facts):
        yield Found(f"{subject.architecture}.{found[0]}", found[1], CORRECT_KEY)
    for layer in range(min(facts.number(LAYERS) or 0, MOST_LAYERS)):
        n, n_kv = facts.number(HEADS, layer), facts.number(KV_HEADS, layer)
        if n and n_kv and n % n_kv:
            yield Found(
                f"{subject.architecture}.attention.head_count_kv",
                f"{n} heads cannot be shared out to {n_kv} heads of keys and values",
                CORRECT_KEY,
            )
            return
