"""The rotary embedding: base and part of a head that is turned, and how it is scaled.

Facts: llama.cpp's converter, ``TextModel.set_gguf_parameters``, ``generate_extra_tensors`` of
``LlamaModel`` and of ``Phi3MiniModel``; Transformers, ``modeling_rope_utils``.
"""

from __future__ import annotations

from itertools import product
from math import isclose, log, nextafter, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from .config_side import ConfigSide, counted, real
from .family import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from .file_side import FileSide

__all__ = [
    "DIMENSION_SECTIONS",
    "FREQS",
    "LONG",
    "PARTIAL_ROPE",
    "ROPE",
    "SHORT",
    "llama3_factors",
    "scaled_otherwise",
    "scaling",
]

FREQS = "rope_freqs.weight"
LONG = "rope_factors_long.weight"
SHORT = "rope_factors_short.weight"
DIMENSION_SECTIONS = "rope.dimension_sections"
"""How the pairs of a head are shared out, where something sees."""

_YARN = (
    ("rope.scaling.yarn_ext_factor", ("extrapolation_factor",)),
    ("rope.scaling.yarn_attn_factor", ("attention_factor", "attn_factor")),
    ("rope.scaling.yarn_beta_fast", ("beta_fast",)),
    ("rope.scaling.yarn_beta_slow", ("beta_slow",)),
)


def _to_file(config: ConfigSide) -> Mapping[str, object]:
    settings = config.rope.get("full_attention", config.rope)
    written = _scaling_to_file(config, settings)
    if sections := config.rope.get("mrope_section"):
        if not isinstance(sections, list | tuple):
            raise config.wrong("mrope_section", sections, "a list of numbers")
        numbers = [counted(config, "mrope_section", number) for number in sections]
        written[DIMENSION_SECTIONS] = [*numbers, 0, 0, 0, 0][:4]
    if (base := settings.get("rope_theta")) is not None:
        written["rope.freq_base"] = real(config, "rope_theta", base)
    local = config.rope.get("sliding_attention", {}).get("rope_theta")
    if local is not None:
        written["rope.freq_base_swa"] = real(config, "rope_theta", local)
    return written


def _scaling_to_file(config: ConfigSide, settings: Mapping[str, Any]) -> dict[str, object]:
    kind, factor = settings.get("rope_type"), settings.get("factor")
    if kind in {"linear", "yarn"} and factor is not None:
        written: dict[str, object] = {
            "rope.scaling.type": kind,
            "rope.scaling.factor": real(config, "factor", factor),
        }
        if kind == "yarn":
            length = settings.get("original_max_position_embeddings")
            if length is None:
                length = config.need("original_max_position_embeddings")
            written["rope.scaling.original_context_length"] = int(length)
            for key, names in _YARN:
                value = next((settings[name] for name in names if name in settings), None)
                if value is not None:
                    written[key] = real(config, names[0], value)
        return written
    if kind in {"su", "longrope"}:
        return {"rope.scaling.type": "longrope"}
    return {}


def scaling(file: FileSide, size: int) -> dict[str, object]:
    """Read base and scaling, as one dictionary of the settings; `size` numbers are turned.

    Raises
    ------
    GGUFError
        If a key is of the wrong type, or the factors are not one for each pair.
    UnsupportedError
        For a scaling of another name, or if the factors of the frequencies are not given.
    """
    settings: dict[str, object] = {"rope_theta": file.positive("rope.freq_base", 10000.0)}
    kind = file.text("rope.scaling.type", "linear")
    old = file.number("rope.scale_linear", 0.0)
    factor = file.number("rope.scaling.factor", old)
    if (found := _factors(file, FREQS, size)) is not None:
        return {**settings, **_of_factors(file, found, float(str(settings["rope_theta"])))}
    if (long := _factors(file, LONG, size)) is not None:
        return {**settings, **_longrope(file, long, _factors(file, SHORT, size) or long)}
    if kind not in {"none", "linear", "yarn", "longrope"}:
        raise file.unsupported(f"{file.name('rope.scaling.type')} is {kind!r}")
    if kind == "yarn" and factor > 0:
        length = file.count("rope.scaling.original_context_length", file.count("context_length"))
        yarn = {names[0]: file.number(key) for key, names in _YARN if file.has(key)}
        return {
            **settings,
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": length,
            **yarn,
        }
    if kind == "linear" and factor not in {0.0, 1.0}:
        return {**settings, "rope_type": "linear", "factor": factor}
    return {**settings, "rope_type": "default"}


def _factors(file: FileSide, name: str, size: int) -> list[float] | None:
    if name not in file.shapes:
        return None
    if name not in file.factors:
        raise file.unsupported(f"the values of {name} are needed, and were not given")
    values = [float(value) for value in file.factors[name]]
    if len(values) != size // 2:
        raise file.unsupported(f"{name} has {len(values)} factors for {size // 2} frequencies")
    return values


def _of_factors(file: FileSide, factors: list[float], base: float) -> dict[str, object]:
    """Find the settings of llama 3 that make these factors, or say them as they are.

    The file has the factors alone. The settings are told by them, up to a common multiple of the
    three that are compared with the wavelength; those published have 1, 4 (llama 4 has 1) and a
    power of two.
    """
    found = {"factor": max(factors), "low_freq_factor": 1.0}
    lengths = [2**power for power in (*range(13, 21), *range(5, 13))]
    for high, length in product((4.0, 1.0), lengths):
        settings = {
            **found,
            "high_freq_factor": high,
            "original_max_position_embeddings": length,
        }
        if np.array_equal(
            llama3_factors(settings, base, 2 * len(factors)), np.array(factors, np.float32)
        ):
            return {"rope_type": "llama3", **settings}
    # In Transformers this one takes any factors: two equal lists, and nothing else is scaled.
    return {
        "rope_type": "longrope",
        "long_factor": factors,
        "short_factor": factors,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": file.count("context_length"),
    }


def llama3_factors(settings: Mapping[str, Any], base: float, size: int) -> np.ndarray[Any, Any]:
    """Calculate what the converter writes to ``rope_freqs.weight``, float32."""
    factor = settings.get("factor", 8.0)
    low, high = settings.get("low_freq_factor", 1.0), settings.get("high_freq_factor", 4.0)
    length = settings.get("original_max_position_embeddings", 8192)
    # In float32, as the converter has it from torch, where a number divided by a tensor is the
    # number times the tensor's reciprocal. (Numbers of Python's take the type of the array.)
    one = np.float32(1)
    frequencies = one / np.float32(base) ** (np.arange(0, size, 2, dtype=np.float32) / size)
    wavelengths = one / frequencies * (2 * pi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of those in between only
        smooth = (one / wavelengths * length - low) / (high - low)
        between = one / ((one - smooth) / factor + smooth)
    short, long = wavelengths < length / high, wavelengths > length / low
    return np.where(short, one, np.where(long, np.float32(factor), between)).astype(np.float32)


def scaled_otherwise(
    config: ConfigSide, read: Mapping[str, Any], *, latent: bool, ramp: bool = False
) -> dict[str, tuple[object, object]]:
    """List what of the scaling llama.cpp takes differently: what is said, and what it takes.

    Parameters
    ----------
    config : ConfigSide
    read : Mapping
        What is read of a file that was made of it, as `scaling` does: some families have no keys.
    latent : bool
        Whether it is attention with latent keys, for which llama.cpp reads the factor of YaRN. The
        other numbers of YaRN have keys that it knows and does not read.
    ramp : bool
        Whether it reads where YaRN's ramp begins and ends, too.
    """
    local = [rope.get("sliding_attention", {}) for rope in (config.rope, read)]
    said, taken = (rope.get("full_attention", rope) for rope in (config.rope, read))
    for had, becomes in (local, (said, taken)):
        kinds = (_kind(had), _kind(becomes))
        bases = (had.get("rope_theta"), becomes.get("rope_theta"))
        if kinds[0] != kinds[1] and {*kinds} != {"llama3", "longrope"}:  # of the same factors
            return {"rope_type": kinds}
        if None not in bases and not isclose(*bases, rel_tol=1e-6):
            return {"rope_theta": bases}
    if latent and _kind(said) == "linear":
        return {"rope_type": ("linear", "linear, with larger scores of attention")}
    if _kind(said) != "yarn":
        return {}
    factor = float(said["factor"])
    attention = said.get("attention_factor")
    known = {
        "beta_fast": (said.get("beta_fast") or 32.0, 32.0),
        "beta_slow": (said.get("beta_slow") or 1.0, 1.0),
        "truncate": (said.get("truncate", True), True),
        "attention_factor": (
            _ratio(factor, said) if attention is None else attention,
            _ratio(factor, taken),
        ),
    }
    if ramp:
        del known["beta_fast"], known["beta_slow"]
    found: dict[str, tuple[object, object]]
    found = {name: pair for name, pair in known.items() if not isclose(*pair, rel_tol=1e-6)}
    if latent and factor > 1 and not said.get("mscale_all_dim"):
        found["mscale_all_dim"] = (said.get("mscale_all_dim"), 1.0)
    return found


def _ratio(factor: float, settings: Mapping[str, Any]) -> float:
    """Calculate YaRN's factor of cosine and sine, which two more settings divide by another."""
    ratio = (settings.get("mscale"), settings.get("mscale_all_dim"))
    tops = [yarn_attention(factor, float(scale)) for scale in ratio if scale]
    return tops[0] / tops[1] if len(tops) > 1 else yarn_attention(factor)


def _kind(settings: Mapping[str, Any]) -> str:
    kind = str(settings.get("rope_type") or "default").lower()
    if kind == "none" or (kind == "linear" and settings.get("factor") == 1):
        return "default"
    return "longrope" if kind == "su" else kind


def yarn_attention(factor: float, scale: float = 1.0) -> float:
    """Calculate the factor of cosine and sine that goes with YaRN."""
    return 0.1 * scale * log(factor) + 1 if factor > 1 else 1.0


def longrope_attention(scale: float, length: float) -> float:
    """Calculate the factor of cosine and sine that goes with a longer context."""
    return sqrt(1 + log(scale) / log(length)) if scale > 1 else 1.0


def _longrope(file: FileSide, long: list[float], short: list[float]) -> dict[str, object]:
    context = file.count("context_length", least=2)
    # its logarithm is divided by
    length = file.count("rope.scaling.original_context_length", context, least=2)
    settings: dict[str, object] = {
        "rope_type": "longrope",
        "long_factor": long,
        "short_factor": short,
        "original_max_position_embeddings": length,
    }
    stated = file.number("rope.scaling.attn_factor", 1.0)
    # said where it isn't what Transformers calculates itself
    if np.float32(longrope_attention(context / length, length)) != np.float32(stated):
        settings["attention_factor"] = stated
    return settings


def part_of(size: int, whole: int) -> float:
    """Return the fraction f for which ``int(f * whole)`` is `size`."""
    fraction = size / whole
    return fraction if int(whole * fraction) == size else nextafter(fraction, 2.0)


def _to_config(file: FileSide) -> Mapping[str, object]:
    size = file.head_size()
    if file.count("rope.dimension_count", size) != size:
        raise file.unsupported(
            f"{file.name('rope.dimension_count')} is not the size of a head, {size}, but"
            " Transformers turns whole heads in this family"
        )
    return {"rope_parameters": scaling(file, size)}


def _partial_to_config(file: FileSide) -> Mapping[str, object]:
    whole = file.head_size()
    size = file.count("rope.dimension_count", whole)
    if not 0 < size <= whole:
        raise file.wrong("rope.dimension_count", f"a number from 1 to {whole}, the size of a head")
    part = {"partial_rotary_factor": part_of(size, whole)}
    return {"rope_parameters": {**scaling(file, size), **part}}


ROPE = Rule(_to_file, _to_config)
"""Whole heads are turned."""

PARTIAL_ROPE = Rule(_to_file, _partial_to_config)
"""Only the first part of each head may be turned."""


def llama3_tensor(config: ConfigSide) -> dict[str, npt.NDArray[np.float32]]:
    """Calculate ``rope_freqs.weight`` if the settings are those of llama 3."""
    settings = config.rope.get("full_attention", config.rope)
    kind = str(settings.get("rope_type", "")).lower()
    if kind == "longrope" and settings.get("long_factor") == settings.get("short_factor"):
        # what `scaling` makes of factors that aren't llama 3's
        return {FREQS: np.array(settings["long_factor"], np.float32)}
    if kind != "llama3":
        return {}
    base = settings.get("rope_theta", 10000.0)
    return {FREQS: llama3_factors(settings, base, config.head_size())}
