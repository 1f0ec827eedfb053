"""What other packages store weights as, each in one small adapter.

The settings are those that the packages take by themselves, or that people use. Bits are counted
as they are stored: codes, scales, offsets. Models come in 16 bits, and torchao, quanto and HQQ make
their scales of the type of the weights: so these get float16 (bitsandbytes has float32 scales).
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .methods import Encode, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .measuring import Chunk

    # Rows in, the values that are read back and the stored bits out.
    Adapter = Callable[[torch.Tensor], tuple[torch.Tensor, float]]

__all__ = ["other_methods"]


def other_methods() -> list[Method]:
    """Return the methods of other packages; of those that are not installed, without `encode`."""
    return [
        Method(
            f"{package} {name}",
            package,
            _encoder(adapter) if (here := _installed(module)) else None,
            why_not="" if here else f"not installed: pip install {requirement}",
        )
        for package, module, requirement, name, adapter in _METHODS
    ]


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _encoder(adapter: Adapter) -> Encode:
    def encode(chunk: Chunk) -> tuple[NDArray[np.float32], float]:
        import torch

        with torch.no_grad():
            values, bits = adapter(torch.from_numpy(chunk.weights))
        result: NDArray[np.float32] = values.float().reshape(chunk.weights.shape).numpy()
        return result, bits

    return encode


def _stored(*tensors: Any) -> float:
    """Count the bits of tensors as they lie in memory."""
    return float(sum(8 * t.numel() * t.element_size() for t in tensors if t is not None))


def _bitsandbytes_4bit(
    values: torch.Tensor, *, kind: str, nested: bool
) -> tuple[torch.Tensor, float]:
    """Make blocks of 64; nested: their scales in 8 bits, in blocks of 256, around a mean."""
    functional: Any = import_module("bitsandbytes.functional")

    codes, state = functional.quantize_4bit(
        values, blocksize=64, quant_type=kind, compress_statistics=nested
    )
    bits = _stored(codes, state.absmax)
    if nested:
        bits += _stored(state.state2.absmax, state.offset)
    return functional.dequantize_4bit(codes, state), bits


def _bitsandbytes_int8(values: torch.Tensor) -> tuple[torch.Tensor, float]:
    """One scale per row, as in LLM.int8(), without columns kept apart."""
    functional: Any = import_module("bitsandbytes.functional")

    codes, scales, _ = functional.int8_vectorwise_quant(values.half())
    return functional.int8_vectorwise_dequant(codes, scales), _stored(codes, scales)


def _hqq(values: torch.Tensor, *, bits: int) -> tuple[torch.Tensor, float]:
    """Make groups of 64 along the rows, with scale and zero point."""
    import torch

    quantizer = import_module("hqq.core.quantize").Quantizer

    codes, meta = quantizer.quantize(
        values, nbits=bits, group_size=64, axis=1, device="cpu", compute_dtype=torch.float16
    )
    # Scale and zero point are made in float32, and kept as compute_dtype by HQQ's layers.
    meta["scale"], meta["zero"] = meta["scale"].half(), meta["zero"].half()
    stored = _stored(codes, meta["scale"], meta["zero"])
    meta["scale"], meta["zero"] = meta["scale"].float(), meta["zero"].float()
    return quantizer.dequantize(codes, meta), stored


def _torchao(values: torch.Tensor, config: Any) -> Any:
    import torch

    quantization: Any = import_module("torchao.quantization")

    layer = torch.nn.Linear(values.shape[1], values.shape[0], bias=False, dtype=torch.float16)
    layer.weight.copy_(values)
    quantization.quantize_(layer, config)
    return layer.weight


def _torchao_int4(values: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Make symmetric groups of 32: with a scale, and no zero point to count."""
    import torch

    ao: Any = import_module("torchao.quantization")

    int4 = torch.int4  # type: ignore[attr-defined]  # torch's stubs lack it
    config = ao.IntxWeightOnlyConfig(weight_dtype=int4, granularity=ao.PerGroup(32))
    weight = _torchao(values, config)
    return weight.dequantize(), 4 * values.numel() + _stored(weight.scale)  # a byte each in memory


def _torchao_float8(values: torch.Tensor) -> tuple[torch.Tensor, float]:
    """E4M3 with one scale per row."""
    ao: Any = import_module("torchao.quantization")

    weight = _torchao(values, ao.Float8WeightOnlyConfig())
    return weight.dequantize(), _stored(weight.qdata, weight.scale)


def _quanto_bytes(values: torch.Tensor, *, kind: str) -> tuple[torch.Tensor, float]:
    """One scale per row."""
    quanto: Any = import_module("optimum.quanto")

    values, qtype = values.half(), getattr(quanto, kind)
    scale = quanto.AbsmaxOptimizer()(values, qtype, axis=0)
    weight = quanto.quantize_weight(values, qtype, axis=0, scale=scale, optimized=False)
    return weight.dequantize(), _stored(weight._data, weight._scale)


def _quanto_bits(values: torch.Tensor, *, kind: str) -> tuple[torch.Tensor, float]:
    """Make groups of 128 with scale and shift."""
    import torch

    quanto: Any = import_module("optimum.quanto")

    values, qtype = values.half(), getattr(quanto, kind)
    scale, shift = quanto.MaxOptimizer()(values, qtype, axis=0, group_size=128)
    weight = quanto.quantize_weight(
        values, qtype, axis=0, scale=scale, shift=shift, group_size=128, optimized=False
    )
    packed = weight._data
    stored = _stored(packed._data, weight._scale, weight._shift)
    # Unpacked here: for that, quanto would compile an extension on first use.
    bits, data = packed.bits, packed._data
    parts = [(data >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    weight._data = torch.cat(parts)[: packed.shape[0]]
    return weight.dequantize(), stored


_BNB, _HQQ = ("bitsandbytes", "bitsandbytes", "bitsandbytes"), ("HQQ", "hqq.core.quantize", "hqq")
_AO = ("torchao", "torchao", "torchao")
_QUANTO = ("quanto", "optimum.quanto", "optimum-quanto")
_METHODS: list[tuple[str, str, str, str, Adapter]] = [
    (*_BNB, "NF4", partial(_bitsandbytes_4bit, kind="nf4", nested=False)),
    (*_BNB, "NF4 nested", partial(_bitsandbytes_4bit, kind="nf4", nested=True)),
    (*_BNB, "FP4", partial(_bitsandbytes_4bit, kind="fp4", nested=False)),
    (*_BNB, "INT8", _bitsandbytes_int8),
    (*_HQQ, "4-bit", partial(_hqq, bits=4)),
    (*_HQQ, "2-bit", partial(_hqq, bits=2)),
    (*_AO, "int4", _torchao_int4),
    (*_AO, "float8", _torchao_float8),
    (*_QUANTO, "int8", partial(_quanto_bytes, kind="qint8")),
    (*_QUANTO, "float8", partial(_quanto_bytes, kind="qfloat8")),
    (*_QUANTO, "int4", partial(_quanto_bits, kind="qint4")),
    (*_QUANTO, "int2", partial(_quanto_bits, kind="qint2")),
]
"""Package, module, requirement, method, adapter."""
