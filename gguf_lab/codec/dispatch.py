"""The public face of the codec: bytes in, numbers out, on whichever backend serves."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..errors import GGUFLabError, UnsupportedError
from ..file.qtypes import find_qtype
from ..file.text import printable, suggest
from .formats import FORMATS

if TYPE_CHECKING:
    import torch

    from .formats import Format

__all__ = [
    "BACKENDS",
    "can_decode",
    "check_dense",
    "check_out",
    "choose_backend",
    "dequantize",
    "find_format",
    "has_float64",
    "to_little_endian",
    "to_tensor",
]

BACKENDS = ("numpy", "numba", "torch", "triton")


def _format_of(qtype: str | int) -> type[Format] | None:
    found = find_qtype(qtype)
    return None if found is None else FORMATS.get(found.name)


def find_format(qtype: str | int) -> type[Format]:
    """Return the definition of a tensor type, by ggml's name (in any case of letters) or number.

    Raises
    ------
    UnsupportedError
        If there is none.
    """
    if fmt := _format_of(qtype):
        return fmt
    name = str(qtype).upper()
    hint = suggest(name, FORMATS)
    if name.rpartition("_")[0] in FORMATS:  # Q4_K_M
        hint = " It is a mix of types, for a whole model: see gguf_lab.requantize."
    raise UnsupportedError(
        f"tensor type {printable(repr(qtype))} is not known.{hint}"
        f" Expected one of {', '.join(FORMATS)}."
    )


def can_decode(qtype: str | int) -> bool:
    """Whether a tensor type, given by ggml's name or number, has a definition."""
    return _format_of(qtype) is not None


def _is_cpu(device: str) -> bool:
    return device.partition(":")[0] == "cpu"


@cache
def _numba_works() -> bool:
    # The kernels load little-endian numbers straight from memory.
    if sys.byteorder != "little" or find_spec("numba") is None:
        return False
    try:
        import numba
    except ImportError:  # present, but not for this Python or NumPy
        return False
    # What is not compiled cannot load words from bytes.
    return not getattr(numba.config, "DISABLE_JIT", 0)


@cache  # of devices that work: an exception is not kept
def _require_torch(device: str) -> None:
    """Raise GGUFLabError unless torch can use the device, found by taking a number there."""
    try:
        import torch

        torch.zeros(1, device=device).cpu()
    except Exception as error:
        raise GGUFLabError(
            f"device {device!r} cannot be used with torch here: {type(error).__name__}:"
            f" {printable(str(error).partition('. ')[0], 300)}. Expected 'cpu', or a device that"
            " torch can use on this machine, such as 'cuda'."
        ) from error


@cache
def has_float64(device: str) -> bool:
    """Whether a device of torch has float64: MPS and Intel's Arc do not."""
    import torch

    try:
        torch.zeros(1, dtype=torch.float64, device=device).cpu()
    except torch.OutOfMemoryError:
        raise  # that says nothing about its numbers, and would be kept
    except (RuntimeError, TypeError):
        return False
    return True


@cache
def _triton_trouble(device: str) -> str:
    """Return why Triton cannot serve a device, found by decoding one block there; "" if it can."""
    if find_spec("triton") is None:
        return "triton is not installed"
    try:
        from .backends import triton_

        if _is_cpu(device) and not triton_.INTERPRETED:
            return "on the CPU it runs interpreted only: set TRITON_INTERPRET=1 before the start"
        if not device.startswith(("cpu", "cuda")):
            return "it runs on CUDA devices"
        fmt = FORMATS["Q8_0"]
        block = to_tensor(np.zeros((1, fmt.qtype.type_size), np.uint8))
        triton_.dequantize(fmt, block.to(device)).cpu()
    except Exception as error:  # noqa: BLE001 -- an old GPU, no C compiler, no driver, another version
        return f"{type(error).__name__}: {error}"
    return ""


def _serves_by_itself(device: str) -> bool:
    """Whether Triton is the backend of a device: compiled, as nobody wants it interpreted."""
    if not device.startswith("cuda") or _triton_trouble(device):
        return False
    from .backends import triton_

    return not triton_.INTERPRETED


def choose_backend(device: str = "cpu", backend: str | None = None) -> str:
    """Return the backend that serves a device: the asked one, else the fastest there is.

    Raises
    ------
    GGUFLabError
        If the asked one is unknown, not installed, or does not know the device; or if the device
        is none that torch can use.
    """
    if backend is None:
        if _is_cpu(device):
            return "numba" if _numba_works() else "numpy"
        _require_torch(device)
        return "triton" if _serves_by_itself(device) else "torch"
    if backend not in BACKENDS:
        raise GGUFLabError(f"backend {backend!r} is unknown: choose one of {', '.join(BACKENDS)}")
    if backend in {"numpy", "numba"} and not _is_cpu(device):
        raise GGUFLabError(f"backend {backend!r} is for the CPU; device {device!r} needs 'torch'")
    if backend == "numba" and not _numba_works():
        raise GGUFLabError(
            "backend 'numba' cannot be used here: is it installed, and NUMBA_DISABLE_JIT not set?"
        )
    if backend == "triton" and (trouble := _triton_trouble(device)):
        raise GGUFLabError(f"backend 'triton' cannot be used on device {device!r}: {trouble}")
    if backend == "torch":
        _require_torch(device)
    return backend


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Return a torch tensor over the array's memory; what torch cannot look at is copied."""
    import torch

    seen = array.flags.writeable and min(array.strides, default=0) >= 0
    return torch.from_numpy(array if seen else array.copy())


@overload
def dequantize(
    blocks: np.ndarray,
    qtype: str | int,
    *,
    device: Any = "cpu",
    backend: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray: ...
@overload
def dequantize(
    blocks: torch.Tensor, qtype: str | int, *, device: Any = "cpu", backend: str | None = None
) -> torch.Tensor: ...
def dequantize(
    blocks: np.ndarray | torch.Tensor,
    qtype: str | int,
    *,
    device: Any = "cpu",
    backend: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray | torch.Tensor:
    """Decode quantized rows to float32, bit for bit as ggml does.

    Parameters
    ----------
    blocks : uint8 array or tensor, shape (..., row_bytes)
        Rows of little-endian blocks; `row_bytes` is a multiple of the type's size.
    qtype : str or int
        ggml's name (``"Q4_K"``, in any case of letters) or number of the tensor type.
    device : str or torch.device, optional
        Where to decode.
    backend : {"numpy", "numba", "torch", "triton"}, optional
        Default: numba on the CPU (NumPy where numba cannot be imported), Triton on a CUDA device
        (torch where Triton does not work), torch on any other device.
    out : float32 array, shape (..., row_values), optional
        Where to write the values of an array of blocks: C-contiguous.

    Returns
    -------
    float32 array or tensor, shape (..., row_values)
        An array for an array (`out` if it is given); for a tensor a tensor on `device`.

    Raises
    ------
    UnsupportedError
        If the type has no definition, or is F64 and the device has no such numbers.
    GGUFLabError
        If the bytes are no whole number of blocks, `out` does not fit them or overlaps them, or
        the backend or the device cannot serve.

    Examples
    --------
    One block of Q8_0: the scale 0.5 as binary16, then 32 signed bytes.

    >>> import numpy as np
    >>> block = np.frombuffer(np.float16(0.5).tobytes() + bytes(range(32)), np.uint8)
    >>> dequantize(block, "Q8_0")[:4]
    array([0. , 0.5, 1. , 1.5], dtype=float32)
    """
    fmt, device = find_format(qtype), str(device)
    chosen = choose_backend(device, backend)
    _check_blocks(fmt, blocks)
    if chosen == "torch" and fmt.name == "F64" and not has_float64(device):
        raise UnsupportedError(f"device {device!r} has no numbers of F64: decode them on the CPU")
    size, shape = fmt.qtype.type_size, tuple(blocks.shape)
    out_shape = (*shape[:-1], shape[-1] // size * fmt.qtype.block_size)
    is_array = isinstance(blocks, np.ndarray)
    if out is not None:
        if not is_array:
            raise GGUFLabError("out is for blocks in an array; these are in a tensor")
        check_out(out, out_shape)
        if np.may_share_memory(out, blocks):
            raise GGUFLabError("out overlaps the blocks, which would change while they are read")
    if chosen in {"torch", "triton"}:
        tensor = to_tensor(blocks) if isinstance(blocks, np.ndarray) else blocks
        tensor = tensor.to(device).reshape(-1, size)
        if chosen == "triton":
            from .backends import triton_

            result = triton_.dequantize(fmt, tensor)
        else:
            from .backends import torch_

            result = torch_.dequantize(fmt, tensor)
        result = result.reshape(out_shape)
        if not is_array:
            return result
        values = result.cpu().numpy()
        if out is None:
            return values
        out[...] = values
        return out
    flat = (blocks if isinstance(blocks, np.ndarray) else blocks.cpu().numpy()).reshape(-1, size)
    target = None if out is None else out.reshape(-1, fmt.qtype.block_size)
    if chosen == "numba":
        from .backends import numba_

        values = numba_.dequantize(fmt, flat, out=target)
    else:
        from .backends import numpy_

        values = numpy_.dequantize(fmt, flat, out=target)
    values = values.reshape(out_shape) if out is None else out
    return values if is_array else to_tensor(values)


def _check_blocks(fmt: type[Format], blocks: Any) -> None:
    """Raise GGUFLabError unless the rows of an array or tensor are whole blocks."""
    if hasattr(blocks, "detach"):
        check_dense(blocks, f"blocks of {fmt.name} are a dense tensor with data")
    known = isinstance(blocks, np.ndarray) or hasattr(blocks, "detach")
    size, dtype = fmt.qtype.type_size, blocks.dtype if known else type(blocks).__name__
    shape = tuple(blocks.shape) if known else ()
    if str(dtype).rpartition(".")[2] != "uint8" or not shape or shape[-1] % size:
        raise GGUFLabError(
            f"blocks of {fmt.name} are an array of uint8 with a last dimension that is a multiple "
            f"of {size} bytes; got {dtype} with shape {shape}"
        )


def check_dense(
    tensor: torch.Tensor,
    expected: str,
    error: type[GGUFLabError] = GGUFLabError,
    *,
    on_cpu: bool = False,
) -> None:
    """Raise an error if a tensor has no rows to read: it is sparse, or without data."""
    there = tensor.device.type == "cpu" if on_cpu else not tensor.is_meta
    if not there or str(tensor.layout) != "torch.strided":
        raise error(f"{expected}; got a {tensor.layout} tensor on {tensor.device}")


def check_out(out: Any, shape: tuple[int, ...]) -> None:
    """Raise GGUFLabError unless values of this shape can be written there."""
    got = type(out).__name__
    if isinstance(out, np.ndarray):
        flags = out.flags
        fits = out.shape == shape and out.dtype == np.float32
        if fits and flags.c_contiguous and flags.writeable:
            return
        got = f"{out.dtype} of shape {out.shape}"
        got += "" if flags.c_contiguous else ", not contiguous"
        got += "" if flags.writeable else ", read-only"
    raise GGUFLabError(
        f"out must be a writeable, C-contiguous float32 array of shape {shape}; got {got}"
    )


def to_little_endian(blocks: np.ndarray, qtype: str | int) -> np.ndarray:
    """Swap the bytes of every multi-byte field, as read from a big-endian file.

    Parameters
    ----------
    blocks : uint8 array, shape (..., row_bytes)
        Rows of big-endian blocks.
    qtype : str or int
        The tensor type.

    Returns
    -------
    uint8 array, same shape
        A copy in little endian.

    Raises
    ------
    UnsupportedError
        If the type has no definition.
    GGUFLabError
        If the bytes are no whole number of blocks.

    Notes
    -----
    A field is a member of ggml's block struct, or what ggml's code reads from one as a number: the
    conversion that llama.cpp's ``gguf_convert_endian.py`` does for the types that it knows.
    """
    fmt = find_format(qtype)
    _check_blocks(fmt, blocks)
    swapped = np.array(blocks).reshape(-1, fmt.qtype.type_size)
    for field in fmt.fields:
        if field.width > 1:
            part = swapped[:, field.offset : field.stop]
            numbers = part.reshape(len(part), field.count, field.width)
            part[...] = numbers[:, :, ::-1].reshape(part.shape)
    return swapped.reshape(blocks.shape)
