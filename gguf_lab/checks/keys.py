"""Rules about metadata keys: llama.cpp reads each as one type, and refuses what has another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..file import ArrayValue, preview
from ..reference.architectures.plan import has_name_map
from ..reference.facts import Facts
from ..reference.lengths import wrong_experts
from ..reference.requirements import required_keys
from .rules import CONVERT, CORRECT_KEY, Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rules import Subject

__all__ = ["due_types"]

_ARCH = "{arch}."
# What `gguf.GGUFWriter` writes as another type than uint32, behind the name of the architecture.
_OTHER_TYPES = {
    "float32": (
        "attention.clamp_kqv attention.group_norm_epsilon attention.layer_norm_epsilon "
        "attention.layer_norm_rms_epsilon attention.max_alibi_bias attention.output_scale "
        "attention.scale attention.temperature_scale attn_logit_softcapping embedding_scale "
        "expert_group_scale expert_weights_scale final_logit_softcapping logit_scale "
        "residual_scale rope.freq_base rope.freq_base_swa rope.scaling.alpha "
        "rope.scaling.attn_factor rope.scaling.factor rope.scaling.yarn_attn_factor "
        "rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow rope.scaling.yarn_ext_factor "
        "rope.scaling.yarn_log_multiplier router_logit_softcapping"
    ),
    "bool": (
        "attention.causal expert_weights_norm rope.scaling.finetuned ssm.dt_b_c_rms swin_norm "
        "use_parallel_residual"
    ),
    "string": "rope.scaling.type",
    "any": (
        "activation_sparsity_scale attention.sliding_window_pattern classifier.output_labels "
        "rope.dimension_sections swiglu_clamp_exp swiglu_clamp_shexp tensor_data_layout"
    ),
}
# What llama.cpp reads only where there are tokens.
_OF_TOKENS = frozenset(
    f"tokenizer.ggml.{name}"
    for name in (
        *("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix"),
        "remove_extra_whitespaces",
    )
)
_ELSEWHERE = {
    "general.name": "string",
    "general.file_type": "uint32",
    "split.no": "uint16",
    "split.count": "uint16",
    "split.tensors.count": "int32",
    "tokenizer.ggml.model": "string",
    "tokenizer.ggml.pre": "string",
    "tokenizer.ggml.token_type_count": "uint32",
    **dict.fromkeys(_OF_TOKENS, "bool"),
}
# What may have one value per layer (``get_key_or_arr`` of llama.cpp), as numbers of 32 bits.
_PER_LAYER = frozenset(
    f"{_ARCH}{end}"
    for end in (
        *("attention.head_count", "attention.head_count_kv", "feed_forward_length"),
        *("expert_feed_forward_length", "expert_used_count"),
    )
)
_OVERRIDES = {"uint32": "int", "float32": "float", "bool": "bool", "string": "str"}
_SCALINGS = ("none", "linear", "yarn", "longrope")


@cache
def due_types() -> dict[str, str]:
    """Return the type that llama.cpp reads each key as; "any": an array, or it does not read it.

    Keys of an architecture begin with ``{arch}.``, as those of ``gguf.Keys`` do.
    """
    from gguf import Keys

    groups = (vars(group) for group in vars(Keys).values() if isinstance(group, type))
    named = {key for group in groups for key in group.values() if isinstance(key, str)}
    due = {
        key: "uint32"
        for key in named
        if key.startswith(_ARCH) or (key.startswith("tokenizer.ggml.") and key.endswith("_id"))
    }
    for kind, ends in _OTHER_TYPES.items():
        due |= dict.fromkeys((f"{_ARCH}{end}" for end in ends.split()), kind)
    return due | _ELSEWHERE


@rule(
    "key-type",
    "error",
    "llama-model-loader.cpp: 'key has wrong type'; types from gguf.GGUFWriter",
    kinds=("model", "vocabulary"),
)
def key_type(subject: Subject) -> Iterator[Found]:
    """Expect every key that llama.cpp reads to have the type that it is read as."""
    own, due = f"{subject.architecture}.", due_types()
    for key in subject.metadata:
        general = f"{_ARCH}{key.removeprefix(own)}" if key.startswith(own) else key
        wanted, got = due.get(general), subject.metadata.type_of(key)
        if wanted in {None, "any", got} or (general in _OF_TOKENS and subject.says_no_tokens):
            continue
        if general in _PER_LAYER and got in {"array[int32]", "array[uint32]"}:
            values, layers = subject.metadata[key], subject.figure("block_count")
            if isinstance(values, ArrayValue) and layers not in (None, len(values)):
                what = f"the key has {len(values):,} values for {layers:,} layers"
                yield Found(key, what, CONVERT)
            continue
        override = _OVERRIDES.get(wanted or "")
        yield Found(
            key,
            f"the key is {preview(subject.metadata[key])} of type {got}, but llama.cpp reads it as "
            f"{wanted}, and refuses another type where it asks for the key",
            "Write it again as that type"
            + (f", or load it with --override-kv {key}={override}:VALUE." if override else "."),
        )


@rule("nested-array", "error", "gguf.cpp: 'invalid GGUF type' for the items of an array")
def nested_array(subject: Subject) -> Iterator[Found]:
    """Expect no arrays of arrays, which the specification has and llama.cpp does not read."""
    for key in subject.metadata:
        if subject.metadata.type_of(key) == "array[array]":
            yield Found(
                key,
                "the key is an array of arrays, for which llama.cpp refuses the file",
                "Write it again as one array or several keys.",
            )


@rule(
    "unknown-architecture",
    "warning",
    "llama-model-loader.cpp: 'unknown model architecture'; names from gguf.MODEL_ARCH_NAMES",
    kinds=("model",),
)
def unknown_architecture(subject: Subject) -> Iterator[Found]:
    """Expect an architecture of llama.cpp."""
    if subject.architecture and not has_name_map(subject.architecture):
        yield Found(
            "general.architecture",
            f"the key is {preview(subject.architecture)}, which the gguf package does not know: a "
            "llama.cpp of its age refuses the file",
            "It may be newer, or for another program, such as one that makes pictures.",
        )


@rule(
    "rope-scaling",
    "error",
    "llama-model.cpp asserts that it knows rope.scaling.type",
    kinds=("model",),
)
def rope_scaling(subject: Subject) -> Iterator[Found]:
    """Expect a kind of scaling that llama.cpp has."""
    key = f"{subject.architecture}.rope.scaling.type"
    value = subject.metadata.text(key)
    if value is not None and value not in _SCALINGS:
        yield Found(
            key,
            f"the key is {preview(value)}; llama.cpp knows {', '.join(_SCALINGS)}, and ends at any "
            "other",
            "Convert the model again.",
        )


@rule(
    "expert-counts",
    "error",
    "llama-model.cpp asserts that the experts used are among those that there are",
    kinds=("model",),
)
def expert_counts(subject: Subject) -> Iterator[Found]:
    """Expect at least one expert to be used, and no more than there are; none if there are none."""
    for name, words in wrong_experts(Facts.of(subject.architecture, subject.metadata, {})):
        yield Found(f"{subject.architecture}.{name}", words, "Convert the model again.")


@rule(
    "epsilon",
    "error",
    "ggml asserts that no epsilon of a norm is negative, or NaN",
    kinds=("model",),
)
def epsilon(subject: Subject) -> Iterator[Found]:
    """Expect the epsilon of norms to be zero or more."""
    for name in required_keys(subject.architecture):
        key = f"{subject.architecture}.{name}"
        value = subject.metadata.get(key)
        if name.endswith("epsilon") and isinstance(value, float) and not value >= 0:
            yield Found(key, f"the key is {value}: llama.cpp ends at the first norm", CORRECT_KEY)
