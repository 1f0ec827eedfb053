"""Checkpoints that are published in few bits: numbers beside their scales.

``config.json`` tells of them, or names and types alone do.

Facts: llama.cpp's converter, ``ModelBase.dequant_model``. Before all else it multiplies such
numbers with their scales; so what the tables of the families speak of is the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from ..file.text import printable
from .transforms import (
    BYTE_TYPES,
    AsStored,
    Decoded,
    PackedColumns,
    PackedRows,
    PackedTernary,
    Reciprocal,
    Scaled,
    Transformed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .transforms import NamedRows, Rows, Transform

__all__ = [
    "QUANTIZER",
    "DecodedTensors",
    "decode_tensors",
    "method_of",
    "needs_quantizer",
    "with_quantizer",
]

QUANTIZER = "hf_quant_config.json"
"""What modelopt writes beside ``config.json``, and sometimes there alone."""

# Of what a layer calculates: no file has them.
_ELSEWHERE = (
    *(".activation_scale", "_activation_scale", ".qscale_act", ".input_scale"),
    *(".input_global_scale", ".k_scale", ".v_scale"),
)
_GROUP = 16  # weights in NVFP4 that share a scale
_SCALE = ".weight_scale"
_FLOATS = frozenset(("F8_E4M3", "F8_E5M2"))
_OF_DEEPSEEK = (128, 128)  # weights in FP8 that share a scale in its own format
_MXFP4 = Scaled((1, 32), "e2m1")
# Formats of compressed-tensors with a number in each byte.
_IN_BYTES = frozenset(("float-quantized", "int-quantized", "naive-quantized"))


@dataclass(frozen=True, slots=True)
class DecodedTensors:
    """A checkpoint as the converter sees it.

    Attributes
    ----------
    tensors : dict of str to NamedRows
        Weights and scales have become one; all else is as it is.
    beside : dict of str to str
        The tensors that are not there any more, and what they are.
    """

    tensors: dict[str, NamedRows]
    beside: dict[str, str] = field(default_factory=dict)

    def stored(self, name: str) -> NamedRows | None:
        """Return a tensor as the checkpoint has it; None if it is not there, or was decoded."""
        tensor = self.tensors.get(name)
        return None if isinstance(tensor, Decoded) else tensor

    def put(
        self, name: str, transform: Transform, sources: tuple[Rows, ...], parts: tuple[str, ...]
    ) -> None:
        """Have one tensor for several parts of the checkpoint."""
        self.tensors[name] = Decoded(transform, sources, name, parts)
        self.beside.update((part, f"part of {printable(name)}") for part in parts if part != name)


def method_of(config: Mapping[str, object]) -> str:
    """Name the quantization that ``config.json`` tells of; empty if it tells of none."""
    how = config.get("quantization_config")
    method = how.get("quant_method") if isinstance(how, dict) else None
    return method if isinstance(method, str) else ""


def needs_quantizer(config: Mapping[str, object], tensors: Mapping[str, NamedRows]) -> bool:
    """Whether weights are in FP8, and ``config.json`` does not say by which method."""
    how = config.get("quantization_config")
    told = isinstance(how, dict) and how.get("quant_method") is not None
    return not told and any(tensor.dtype in _FLOATS for tensor in tensors.values())


def with_quantizer(config: dict[str, object], said: Mapping[str, object]) -> dict[str, object]:
    """Take the method from the file that modelopt writes beside ``config.json``.

    llama.cpp's converter takes the name of the producer for it (``ModelBase.prepare_tensors``).
    """
    producer = said.get("producer")
    name = producer.get("name") if isinstance(producer, dict) else None
    if not isinstance(name, str):
        return config
    how = config.get("quantization_config")
    method = {"quant_method": name.lower()}
    return {**config, "quantization_config": {**(how if isinstance(how, dict) else {}), **method}}


def decode_tensors(
    tensors: Mapping[str, NamedRows], config: Mapping[str, object]
) -> DecodedTensors:
    """Put numbers and their scales together, which are read when rows of them are.

    Parameters
    ----------
    tensors : Mapping of str to NamedRows
        Of a checkpoint.
    config : Mapping of str to object
        Its ``config.json``. What it says of a quantization that is not known changes nothing: the
        tensors stay what they are.
    """
    found = DecodedTensors(dict(tensors))
    _decode_by_names(found)
    text = config.get("text_config")  # where models that see have what is said of the language
    how = {**config, **(text if isinstance(text, dict) else {})}.get("quantization_config")
    if isinstance(how, dict):
        _decode_by(found, how)
    if not found.beside:
        return found
    for name in [*found.tensors]:
        if name.endswith(_ELSEWHERE):
            found.beside[name] = "scales of what a layer calculates"
    for name in found.beside:
        del found.tensors[name]
    return found


def _decode_by(found: DecodedTensors, how: dict[str, Any]) -> None:
    """Put together what is told of in ``quantization_config``."""
    method, weights = how.get("quant_method"), _weights_of(how)
    if method == "fp8":
        _decode_bytes(found, "_scale_inv", _block(how.get("weight_block_size")))
    elif method == "modelopt":
        _decode_bytes(found, "_scale", ())
    elif method == "gptq":
        _unpack_columns(found, how.get("bits"), how.get("checkpoint_format", "gptq"))
    elif method == "bitnet":
        _unpack_ternary(found, divided=how.get("linear_class", "bitlinear") == "bitlinear")
    elif method == "compressed-tensors" and how.get("format") in _IN_BYTES and weights:
        if weights.get("symmetric", True):
            _decode_bytes(found, "_scale", _block(weights.get("block_structure")))
    elif method == "compressed-tensors" and how.get("format") == "pack-quantized" and weights:
        _unpack(found, weights)


def _weights_of(how: dict[str, Any]) -> dict[str, Any]:
    """Return what compressed-tensors says of all weights; empty if not of all alike."""
    groups = how.get("config_groups")
    found = [*groups.values()] if isinstance(groups, dict) else []
    weights = found[0].get("weights") if len(found) == 1 and isinstance(found[0], dict) else None
    return weights if isinstance(weights, dict) else {}


def _block(given: object) -> tuple[int, ...]:
    if isinstance(given, list) and all(type(n) is int and n > 0 for n in given):
        return tuple(given)
    return ()


def _decode_by_names(found: DecodedTensors) -> None:
    """Put together what names and types alone tell.

    That is NVFP4 and MXFP4, FP8 in Mistral's own format, and both FP8 and MXFP4 in DeepSeek's.
    """
    for name, scales in [*found.tensors.items()]:
        stem, _, end = name.rpartition(".")
        weights = found.stored(f"{stem}.weight")
        if end == "weight_scale":
            _decode_fp4(found, f"{stem}.weight", scales)
        elif weights is None or weights.dtype not in {*BYTE_TYPES, "U8"}:
            continue
        elif end == "qscale_weight" and weights.dtype in BYTE_TYPES:
            found.put(weights.name, Scaled(), (weights, scales), (weights.name, name))
        elif end == "scale" and scales.dtype == "F8_E8M0":
            way = Scaled(_OF_DEEPSEEK) if weights.dtype in _FLOATS else _MXFP4
            found.put(weights.name, way, (weights, scales), (weights.name, name))


def _decode_fp4(found: DecodedTensors, weight: str, scales: NamedRows) -> None:
    """Put weights of 4 bits and their scales together: MXFP4, or NVFP4 by the type of scales.

    NVFP4 has one more scale, for all weights: with it modelopt multiplies; compressed-tensors
    divides by it.
    """
    name = next((n for n in (weight, f"{weight}_packed") if n in found.tensors), "")
    packed, parts = found.stored(name), (name, scales.name)
    if packed is None or packed.dtype != "U8":
        return
    if scales.dtype in {"U8", "F8_E8M0"}:
        found.put(weight, _MXFP4, (packed, scales), parts)
        return
    if scales.dtype != "F8_E4M3":
        return
    numbers = Transformed(Scaled((1, _GROUP), "e2m1"), (packed, scales))
    factor, divisor = f"{weight}_scale_2", f"{weight}_global_scale"
    if factor in found.tensors:
        found.put(weight, Scaled(), (numbers, found.tensors[factor]), (*parts, factor))
    elif divisor in found.tensors:
        inverse = Transformed(Reciprocal(), (found.tensors[divisor],))
        found.put(weight, Scaled(), (numbers, inverse), (*parts, divisor))
    else:
        found.put(weight, AsStored(), (numbers,), parts)


def _decode_bytes(found: DecodedTensors, end: str, block: tuple[int, ...]) -> None:
    """Put weights of a byte each together with the scales whose names have this end added."""
    for name, scales in [*found.tensors.items()]:
        weights = found.stored(name.removesuffix(end)) if name.endswith(end) else None
        if weights is not None and weights.dtype in BYTE_TYPES:
            found.put(weights.name, Scaled(block), (weights, scales), (weights.name, name))


def _unpack(found: DecodedTensors, how: dict[str, Any]) -> None:
    """Put packed numbers, their scales and zero points together."""
    bits, group = how.get("num_bits"), how.get("group_size")
    if not _packs(bits) or type(group) is not int or group < 1:
        return
    for name, words in [*found.tensors.items()]:
        whole = name.removesuffix("_packed")
        scales = found.tensors.get(f"{whole}_scale")
        if not name.endswith(".weight_packed") or scales is None or not scales.shape:
            continue
        if f"{whole}_g_idx" in found.tensors:
            continue  # columns have changed places
        parts = (f"{whole}_{part}" for part in ("packed", "scale", "zero_point", "shape"))
        told = tuple(part for part in parts if part in found.tensors)
        if zeros := found.tensors.get(f"{whole}_zero_point"):
            found.put(whole, PackedRows(bits, group), (words, scales, zeros), told)
        elif how.get("symmetric", True):
            found.put(whole, Scaled((1, group), f"int{bits}"), (words, scales), told)


def _unpack_columns(found: DecodedTensors, bits: object, version: object) -> None:
    """Put the parts of each matrix of GPTQ together."""
    added = {"gptq": 1, "gptq_v2": 0}.get(version) if isinstance(version, str) else None
    if not _packs(bits) or added is None:
        return
    for name in [*found.tensors]:
        stem = name.removesuffix(".qweight")
        names = tuple(f"{stem}.{part}" for part in ("qweight", "qzeros", "scales", "g_idx"))
        if stem != name and all(part in found.tensors for part in names):
            parts = tuple(found.tensors[part] for part in names)
            found.put(f"{stem}.weight", PackedColumns(bits, added), parts, names)


def _unpack_ternary(found: DecodedTensors, *, divided: bool) -> None:
    """Put the packed numbers of BitNet and their scale together."""
    for name, scale in [*found.tensors.items()]:
        packed = found.stored(name.removesuffix("_scale")) if name.endswith(_SCALE) else None
        if packed is not None and packed.dtype == "U8":
            found.put(packed.name, PackedTernary(divided), (packed, scale), (packed.name, name))


def _packs(bits: object) -> TypeGuard[int]:
    """Whether so many bits to a number fill a word."""
    return type(bits) is int and bits in {2, 4, 8}
