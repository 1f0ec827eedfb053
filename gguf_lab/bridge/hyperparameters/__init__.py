"""Hyper-parameters: one small table per family, read in two directions.

A line of a table pairs a key of the file with the settings of ``config.json`` that mean the same.
`config_of` reads the table from the file to the configuration, `metadata_of` the other way; what
llama.cpp's converter calculates for the rotary embedding and keeps as a tensor, `rope_factors_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, UnsupportedError
from .bert import BERT, NOMIC_BERT
from .bloom import BLOOM, FALCON, GPTNEOX
from .config_side import GELU, ConfigSide, filled_in, flat, side_of
from .deepseek2 import DEEPSEEK2
from .ernie import ERNIE45, ERNIE45MOE, PADDLEOCR
from .falcon_h1 import FALCON_H1
from .family import Implied
from .file_side import FileSide, full_key
from .gemma import GEMMA, GEMMA2, GEMMA3, GEMMA_EMBEDDING
from .gemma4 import GEMMA4
from .glm4 import GLM4, GLM4V
from .gpt2 import GPT2, STARCODER
from .gpt_oss import GPT_OSS
from .granite import GRANITE, GRANITEHYBRID, GRANITEMOE
from .hunyuan import HUNYUAN
from .lfm2 import LFM2, LFM2MOE
from .llama import APERTUS, ARCEE, LLAMA, SMOLLM3
from .llama4 import LLAMA4
from .mamba import MAMBA, MAMBA2
from .minimax import MINIMAX_M2
from .mistral3 import MISTRAL3
from .nemotron_h import NEMOTRON_H
from .phi import PHI2, PHI3
from .plain import COHERE, COHERE2, EXAONE4, NEMOTRON, OLMO2, OLMOE, SEED_OSS, STARCODER2
from .qwen import QWEN2, QWEN2MOE, QWEN3, QWEN3MOE
from .qwen_linear import QWEN3NEXT, QWEN35, QWEN35MOE
from .qwen_vl import QWEN2VL, QWEN3VL, QWEN3VLMOE
from .rope import DIMENSION_SECTIONS, scaled_otherwise
from .sigmoid_experts import DOTS1, GLM4MOE
from .stablelm import STABLELM
from .t5 import T5, T5ENCODER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from .family import Family

__all__ = [
    "FACTOR_TENSORS",
    "FAMILIES",
    "MODEL_TYPES",
    "PARTS",
    "config_of",
    "metadata_of",
    "rope_factors_of",
    "unsaid_of",
]

FAMILIES: tuple[Family, ...] = (
    LLAMA, QWEN2, QWEN2MOE, QWEN3, QWEN3MOE, PHI2, PHI3, BLOOM, FALCON, GPT2, STARCODER, STARCODER2,
    STABLELM, MAMBA, NEMOTRON, GEMMA, GEMMA2, GEMMA3, GEMMA_EMBEDDING, GEMMA4, T5, T5ENCODER,
    GPT_OSS, DEEPSEEK2, LFM2, LFM2MOE, OLMO2, COHERE, COHERE2, GRANITEHYBRID, GRANITE, GRANITEMOE,
    EXAONE4, GLM4, MINIMAX_M2, BERT, NOMIC_BERT, ARCEE, SMOLLM3, OLMOE, SEED_OSS, QWEN3NEXT,
    QWEN35, QWEN35MOE, GLM4MOE, ERNIE45, ERNIE45MOE, HUNYUAN, DOTS1, GPTNEOX, MAMBA2, LLAMA4,
    NEMOTRON_H, MISTRAL3, APERTUS, FALCON_H1,
)  # fmt: skip

PARTS: tuple[Family, ...] = (QWEN2VL, QWEN3VL, QWEN3VLMOE, GLM4V, PADDLEOCR)
"""Families that Transformers has only with what sees: two files are read as one model."""

FACTOR_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that hold settings: their values belong to `config_of`."""

_BY_ARCHITECTURE, _OF_PARTS = (
    {name: family for family in families for name in family.architectures}
    for families in (FAMILIES, PARTS)
)
MODEL_TYPES = frozenset(
    name for family in (*FAMILIES, *PARTS) for name in (*family.classes, *family.also)
)
"""Those of ``config.json`` for which there is a table."""

_TOKENS = ("bos", "eos", "pad")


def config_of(
    architecture: str,
    metadata: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    factors: Mapping[str, Sequence[float]] | None = None,
    *,
    part: bool = False,
) -> dict[str, Any]:
    """Say what ``config.json`` would say of the model in a file.

    Parameters
    ----------
    architecture : str
        ``general.architecture``.
    metadata : Mapping
        Of the file, full keys.
    shapes : Mapping of str to tuple of int
        Of every tensor of the file, as in PyTorch: a matrix is (rows, columns).
    factors : Mapping of str to sequence of float, optional
        The values of those of `FACTOR_TENSORS` that the file has (a handful of float32): the
        settings of llama 3's and phi 3's rotary embedding are nowhere else.
    part : bool
        Whether it is to be the language model of one that sees or hears: some are only that.

    Returns
    -------
    dict
        Enough for ``AutoConfig.for_model(**config_of(...))``. ``architectures`` names the class
        of the model; ``bos_token_id`` and its like are None where the file has none.

    Raises
    ------
    UnsupportedError
        If there is no table for the architecture, or Transformers has no such model.
    GGUFError
        If a key is missing or of the wrong type; the message names it.
    """
    family = _OF_PARTS.get(architecture) if part else None
    family = family or _BY_ARCHITECTURE.get(architecture)
    sees = family is None or full_key(architecture, DIMENSION_SECTIONS) in metadata
    if not part and sees and architecture in _OF_PARTS:
        raise UnsupportedError(
            f"{architecture} as a Transformers model: it is there only with what sees, which is in"
            " another file: give that one, too (projector=...)"
        )
    if family is None:
        raise UnsupportedError(
            f"no table of hyper-parameters for the architecture {architecture!r:.60};"
            f" there are tables for {', '.join(sorted(_BY_ARCHITECTURE))}"
        )
    file = FileSide(architecture, metadata, shapes, factors or {})
    model_type = family.model_type(file) if family.model_type else next(iter(family.classes))
    return {
        "model_type": model_type,
        "architectures": [family.classes[model_type]],
        **_settings_in(family, file),
    }


def _settings_in(family: Family, file: FileSide) -> dict[str, Any]:
    """Read the table of a family over a file."""
    config: dict[str, Any] = {}
    for line in family.lines:
        config.update(line.to_config(file))
    for name in family.without:
        config.pop(name, None)
    config = {family.spelled.get(name, name): value for name, value in config.items()}
    return {
        "vocab_size": file.shape("token_embd.weight")[0],
        "tie_word_embeddings": not file.tensor("output.weight"),
        **{f"{name}_token_id": _token(file, name) for name in _TOKENS},
        **config,
    }


def _token(file: FileSide, name: str) -> int | None:
    key = f"tokenizer.ggml.{'padding' if name == 'pad' else name}_token_id"
    if not file.has(key):
        return None
    number = file.count(key)
    # an id without a row of the embedding is nobody's
    return number if number < file.shape("token_embd.weight")[0] else None


def metadata_of(
    config: Mapping[str, object], names: Collection[str] = ()
) -> tuple[str, dict[str, object]]:
    """Say what llama.cpp's converter would write of a configuration.

    Parameters
    ----------
    config : Mapping
        The content of ``config.json``, or ``model.config.to_dict()``. Both spellings of the
        rotary settings are understood, that of Transformers 5 (``rope_parameters``) and that of
        Transformers 4 (``rope_theta``, ``rope_scaling``). Of a multimodal model, its text part.
    names : Collection of str
        Of the tensors of the checkpoint.

    Returns
    -------
    architecture : str
    metadata : dict
        The keys that begin with the architecture. An int is to be written as UINT32, a float as
        FLOAT32, a list of int as an array of INT32, of float as one of FLOAT32, of bool as one of
        BOOL, of str as one of STRING.

    Raises
    ------
    UnsupportedError
        If there is no table for its ``model_type``, or no file can express it.
    CheckpointError
        If a setting is missing or of the wrong type; the message names it.
    """
    family, side = _side(config, names)
    architecture = family.architecture(side) if family.architecture else family.architectures[0]
    written: dict[str, object] = {}
    for line in family.lines:
        written.update(line.to_file(side))
    return architecture, {f"{architecture}.{key}": value for key, value in written.items()}


def _side(config: Mapping[str, object], names: Collection[str]) -> tuple[Family, ConfigSide]:
    raw = flat(config)
    family = _family(raw)
    values = raw if family.as_saved(raw) else flat(filled_in(config))
    return family, side_of(values, names, raw)


def _family(values: Mapping[str, object]) -> Family:
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise CheckpointError("config.json lacks model_type, which says what family it is of")
    if model_type not in MODEL_TYPES:
        raise UnsupportedError(
            f"no table of hyper-parameters for the model type {model_type!r:.60};"
            f" there are tables for {', '.join(sorted(MODEL_TYPES))}"
        )
    found = [
        family for family in (*FAMILIES, *PARTS) if model_type in (*family.classes, *family.also)
    ]
    # an encoder alone has the type of the whole, and a class of its own
    kinds = values.get("architectures") or [None]
    named = (family for family in found if kinds == [family.classes.get(model_type)])
    return next(named, found[0])


def rope_factors_of(config: Mapping[str, object]) -> dict[str, npt.NDArray[np.float32]]:
    """Calculate the tensors of `FACTOR_TENSORS` that the converter adds to a file.

    Parameters
    ----------
    config : Mapping
        As for `metadata_of`.

    Returns
    -------
    dict of str to ndarray
        GGUF name to float32 values, one for each pair that is turned; most often empty.
    """
    family, side = _side(config, ())
    return dict(family.factors(side))


# llama.cpp has one of each, whatever its exact form
_SAME = (("silu", "swish"), GELU)
# known to llama.cpp by other means than a key
_GUESSED = ("query_pre_attn_scalar",)


def unsaid_of(
    config: Mapping[str, object],
    architecture: str,
    metadata: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, tuple[object, object]]:
    """List the settings that no file of the family can tell, and that llama.cpp takes differently.

    Parameters
    ----------
    config : Mapping
        As for `metadata_of`.
    architecture : str
    metadata, shapes : Mapping
        What is written of it.

    Returns
    -------
    dict of str to tuple
        What ``config.json`` says, and what llama.cpp computes with; empty if there is no way back
        from such a file, so that nothing can be said.
    """
    family, side = _side(config, ())
    factors = {name: values.tolist() for name, values in rope_factors_of(config).items()}
    try:
        read = _settings_in(family, FileSide(architecture, metadata, shapes, factors))
    except UnsupportedError:
        return {}
    names = [family.spelled.get(n, n) for n in _GUESSED]
    implied = [line for line in family.lines if isinstance(line, Implied)]
    implied = [line for line in implied if line.when is None or line.when(side)]
    names += [line.name for line in implied]
    read |= {line.name: line.value for line in implied if line.when}
    found = {}
    for name in names:
        had, becomes = side.find(name), read.get(name)
        alike = any(had in names and becomes in names for names in _SAME if isinstance(had, str))
        alike |= name == "sliding_window" and _sees_all(had, side)
        if (had or becomes) and had is not None and name in read and had != becomes and not alike:
            found[name] = (had, becomes)
    if "rope_parameters" in read:
        found |= scaled_otherwise(
            side,
            read["rope_parameters"],
            latent=architecture == "deepseek2",
            ramp=architecture == "mistral3",
        )
    return found


def _sees_all(window: object, side: ConfigSide) -> bool:
    """Whether a window is none: it is as long as the context, or not used."""
    length = side.find("max_position_embeddings")
    return side.find("use_sliding_window") is False or (
        isinstance(window, int) and isinstance(length, int) and window >= length
    )
