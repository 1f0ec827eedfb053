"""Rules about the types of tensors: what was asked for, and what quietly came instead."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..errors import GGUFLabError
from ..file import file_type_name, qtype
from ..file.layout import without_ones
from ..model.names import split_name
from ..model.words import bytes_in_words, share_in_words
from ..quantization import MIXES, Choice, Facts, choose_types
from ..quantization.roles import TURNED, why_never
from ..reference.architectures.plan import has_name_map
from .rules import Found, counted, examples, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import Tensor
    from .rules import Subject

__all__: list[str] = []

_PLAIN = frozenset(("F32", "F16", "BF16", "F64"))
_GIANT, _GIANT_BYTES = 0.02, 1 << 20  # of the tensor data, and at least so much
_NO_PRODUCT = frozenset(("F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K"))
# Not only vectors: what is no factor of a matrix product, whatever its shape.
_ALONE = ("_norm", "ssm_conv1d", "ssm_a", "shortconv.conv")
# Multiplied with as a matrix, though it may have but one row.
_OF_ONE_ROW = frozenset(("ffn_gate_inp_shexp", "cls", "cls.output"))
_MUCH = 0.1  # of the tensor data


def has_imatrix(subject: Subject) -> bool:
    """Whether the file says that it was quantized with an importance matrix."""
    return any(key.startswith("quantize.imatrix.") for key in subject.metadata)


def mix_of(subject: Subject) -> str | None:
    """Return the mix of llama-quantize that the file says it is of, if it is known."""
    number = subject.metadata.integer("general.file_type")
    mix = None if number is None else file_type_name(number)
    return mix if mix in MIXES else None


def choices_of(subject: Subject) -> dict[str, Choice]:
    """Return the types that llama-quantize would choose for the mix of the file; {} if unknown."""
    mix = mix_of(subject)
    if mix is None or mix in _PLAIN:
        return {}
    tensors = [
        (name, t.shape, t.qtype) for name, t in subject.model.tensors.items() if t.n_elements
    ]
    try:
        facts = Facts.of(subject.metadata)
        return choose_types(mix, tensors, facts, has_imatrix=has_imatrix(subject))
    except GGUFLabError:
        return {}  # other rules say what is wrong with the metadata


@rule("file-type", "warning", "enum llama_ftype: what most weights are stored as", kinds=("model",))
def file_type(subject: Subject) -> Iterator[Found]:
    """Expect a known ``general.file_type``, and tensors of its type."""
    key = "general.file_type"
    number = subject.metadata.integer(key)
    quantized = sorted(
        {t.qtype for t in subject.model.tensors.values() if t.info.qtype.block_size > 1}
    )
    if number is None:
        if quantized and subject.model.tensors:
            yield Found(key, "the key is missing: the file does not say how it was quantized")
        return
    if file_type_name(number) is None:
        yield Found(key, f"the key is {number}, which stands for no mix that is known")
        return
    mix = mix_of(subject)
    if mix is None or not subject.model.tensors:
        return
    types = {t.qtype for t in subject.model.tensors.values()}
    if mix in _PLAIN:
        wrong = bool(quantized)
        what = f"there are tensors of {', '.join(quantized)}"
    else:
        expected = {choice.qtype for choice in choices_of(subject).values() if choice.quantized}
        wrong = bool(expected) and not expected & types
        what = f"no tensor has a type of that mix ({', '.join(sorted(expected))})"
    if wrong:
        yield Found(key, f"the key says {mix}, but {what}", "Correct it with gguf_set_metadata.py.")


@rule(
    "unusable-type",
    "error",
    "ggml-cpu: binary-ops.cpp adds and multiplies F32; types without vec_dot are in no product",
    kinds=("model",),
)
def unusable_type(subject: Subject) -> Iterator[Found]:
    """Expect vectors in F32, and matrices in a type that ggml multiplies with."""
    if not has_name_map(subject.architecture):
        return  # other programs compute otherwise
    vectors: list[str] = []
    matrices: list[str] = []
    for name, tensor in subject.model.tensors.items():
        kind = split_name(name)[1]
        if kind == "d2t":  # numbers of tokens, which are looked up
            continue
        short = len(without_ones(tensor.shape)) < 2 and kind not in _OF_ONE_ROW
        alone = short or kind.endswith((".bias", *_ALONE))
        if alone and tensor.qtype != "F32" and tensor.info.qtype.known:
            vectors.append(name)
        elif tensor.qtype in _NO_PRODUCT:
            matrices.append(name)
    for names, why in (
        (vectors, "though llama.cpp adds or multiplies their values with numbers in F32"),
        (matrices, "a type with which ggml multiplies no matrix"),
    ):
        if names:
            found = sorted({subject.model.tensors[name].qtype for name in names})
            yield Found(
                names[0],
                f"{counted(len(names), 'tensors are')} in {', '.join(found)}, {why} "
                f"({examples(names)}): it stops when it computes with them",
                "Convert the model again.",
            )


@rule(
    "turned-blocks",
    "error",
    "tools/mtmd: the graph of gemma3 transposes this matrix, which ggml can't do with blocks",
    kinds=("mmproj",),
)
def turned_blocks(subject: Subject) -> Iterator[Found]:
    """Expect no blocks in a matrix of a projector that llama.cpp turns over."""
    tensors = subject.model.tensors
    name = TURNED.get(str(subject.metadata.get("clip.projector_type")), "")
    if name in tensors and tensors[name].info.qtype.block_size > 1:
        yield Found(
            name,
            f"it is in {tensors[name].qtype}: llama.cpp turns it over, which makes"
            " nonsense of blocks, and computes NaN",
            "Quantize the F16 file again with GGUF Lab, which keeps this tensor, or let llama.cpp's"
            " converter write the type (--mmproj --outtype q8_0).",
        )


@rule(
    "fallback-type",
    "note",
    "llama-quant.cpp: a block of 256 must divide the rows, or another type is taken",
    kinds=("model",),
)
def fallback_type(subject: Subject) -> Iterator[Found]:
    """Say which tensors quietly got another type than the mix has for them."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for name, choice in choices_of(subject).items():
        tensor = subject.model.tensors[name]
        if choice.fallback and tensor.qtype == choice.qtype:
            key = choice.wanted, choice.qtype, tensor.row_values
            groups.setdefault(key, []).append(name)
    total = subject.model.n_parameters
    for (wanted, got, row), names in groups.items():
        weights = sum(subject.model.tensors[name].n_elements for name in names)
        block = qtype(wanted).block_size
        grown = qtype(got).bits_per_weight / qtype(wanted).bits_per_weight - 1
        more = weights * (qtype(got).bits_per_weight - qtype(wanted).bits_per_weight) / 8
        yield Found(
            names[0],
            f"{counted(len(names), 'tensors have')} {got} ({share_in_words(weights, total)} of the "
            f"weights) where the mix has {wanted}: rows of {row:,} are no multiple of {block}. "
            f"That is {100 * grown:+.0f} % in size ({examples(names)})",
            f"A mix on a type with blocks of 32 (Q4_0, Q8_0, IQ4_NL) fits rows of {row:,}."
            if row % 32 == 0
            else "",
            "warning" if more > _MUCH * subject.model.nbytes else "note",
        )


@rule(
    "other-type",
    "note",
    "llama_tensor_get_type of llama-quant.cpp, for the mix that general.file_type names",
    kinds=("model",),
)
def other_type(subject: Subject) -> Iterator[Found]:
    """Say which tensors have another type than llama-quantize would choose today."""
    counts: Counter[tuple[str, str]] = Counter()
    names = []
    for name, choice in choices_of(subject).items():
        got = subject.model.tensors[name].qtype
        if choice.quantized and got != choice.qtype:
            counts[choice.qtype, got] += 1
            names.append(name)
    if names:
        pairs = ", ".join(f"{n} {got} for {due}" for (due, got), n in counts.most_common(6))
        yield Found(
            names[0],
            f"{counted(len(names), 'tensors have')} another type than llama-quantize would choose "
            f"in {mix_of(subject)}: {pairs} ({examples(names)}). Overrides, an older version or "
            "another tool may be the reason",
        )


@rule("giant", "warning", "a matrix in 16 or 32 bits may weigh more than all that was quantized")
def giant(subject: Subject) -> Iterator[Found]:
    """Expect no large matrix in F32, F16 or BF16 in a quantized file."""
    model = subject.model
    blocks = sum(t.n_elements for t in model.tensors.values() if t.info.qtype.block_size > 1)
    if model.kind != "model" or blocks < 0.5 * model.n_parameters:
        return
    groups: dict[str, list[Tensor]] = {}
    for tensor in model.tensors.values():
        size = tensor.nbytes or 0
        if tensor.qtype in _PLAIN and size > max(_GIANT_BYTES, _GIANT * model.nbytes):
            why = why_never(tensor.name, tensor.shape, subject.architecture)
            groups.setdefault(why or "", []).append(tensor)
    for why, giants in groups.items():
        size = sum(tensor.nbytes or 0 for tensor in giants)
        known = f"; llama-quantize never quantizes them ({why})" if why else ""
        yield Found(
            giants[0].name,
            f"{counted(len(giants), 'large tensors')} in 16 or 32 bits "
            f"({examples(t.name for t in giants)}): {bytes_in_words(size)}, "
            f"{100 * size / model.nbytes:.0f} % of the tensor data of a quantized file{known}",
            "" if why else "Quantize them too: --tensor-type NAME=Q8_0 takes about half of F16.",
            "note" if why else None,
        )


@rule(
    "no-importance",
    "warning",
    "llama-quantize refuses these types without an importance matrix: the result is very poor",
    kinds=("model",),
)
def no_importance(subject: Subject) -> Iterator[Found]:
    """Expect an importance matrix behind types that need one."""
    if has_imatrix(subject):
        return
    needy = [
        name
        for name, choice in choices_of(subject).items()
        if choice.needs_importance and subject.model.tensors[name].qtype == choice.qtype
    ]
    if needy:
        yield Found(
            "quantize.imatrix.file",
            f"{counted(len(needy), 'tensors have')} a type that needs an importance matrix, and "
            f"the file names none ({examples(needy)})",
            "Ask who made it; quantize again with --imatrix.",
        )


@rule("imatrix-keys", "warning", "llama-quantize writes the four keys quantize.imatrix.* together")
def imatrix_keys(subject: Subject) -> Iterator[Found]:
    """Expect the keys about the importance matrix to be complete and to fit."""
    if not has_imatrix(subject):
        return
    for key in ("quantize.imatrix.entries_count", "quantize.imatrix.chunks_count"):
        value = subject.metadata.get(key)
        if key in subject.metadata and subject.metadata.integer(key) is None:
            yield Found(key, f"the key is {value!r:.40}, expected a whole number")
    entries = subject.metadata.integer("quantize.imatrix.entries_count")
    matrices = [
        name
        for name, t in subject.model.tensors.items()
        if t.info.qtype.block_size > 1 and len(t.shape) > 1 and t.layer is not None
    ]
    if entries is not None and entries < len(matrices):
        yield Found(
            "quantize.imatrix.entries_count",
            f"the importance matrix had {entries:,} entries, but {len(matrices):,} matrices of "
            "layers are quantized: some were quantized without",
            "Check that it was made with this model.",
            "note",
        )


@rule("imatrix-file", "error", "llama-imatrix: sums and counts of each entry", kinds=("imatrix",))
def imatrix_file(subject: Subject) -> Iterator[Found]:
    """Expect an importance matrix to have sums and counts for every entry."""
    names = {*subject.model.tensors}
    sums = {name.removesuffix(".in_sum2") for name in names if name.endswith(".in_sum2")}
    counts = {name.removesuffix(".counts") for name in names if name.endswith(".counts")}
    if odd := sorted(sums ^ counts):
        yield Found(odd[0], f"{counted(len(odd), 'entries lack')} sums or counts ({examples(odd)})")
    if not sums:
        yield Found("file", "an importance matrix without entries")
    if subject.metadata.integer("imatrix.chunk_count") is None:
        yield Found("imatrix.chunk_count", "the key is missing", severity="note")
