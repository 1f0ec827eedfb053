"""What is exported: the tensors of a checkpoint on disk, or those of a model in memory.

A model in memory gives what its own ``save_pretrained`` would write: the same names, without the
tensors that are tied to others. Nothing is copied that needn't be: rows are views of the
parameters. Where Transformers takes a parameter apart for saving (the experts of a layer), that is
done layer by layer, when its rows are read.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, GGUFLabError, UnsupportedError
from ..file.source import looked_for
from ..file.text import quoted
from ..reference import Checkpoint, open_checkpoint
from ..reference.architectures.family import number_in
from ..reference.quantized import decode_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ..file.source import ByteSource

__all__ = ["Source", "SourceTensor", "open_source"]

_DTYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export.

    Attributes
    ----------
    words : str
        How messages call it.
    config : dict
        ``config.json``.
    tensors : Mapping of str to SourceTensor
    folder : Path, optional
        Where the files of the tokenizer are.
    name : str
        What the model is called: the last part of its path or of its id on the hub.
    files : tuple of ByteSource
        Where the weights are read from, none if they are in memory: these are not overwritten.
    generation : dict
        Of a model in memory, what ``generation_config.json`` would say.
    """

    words: str
    config: dict[str, Any]
    tensors: Mapping[str, Any]
    folder: Path | None
    name: str
    files: tuple[ByteSource, ...]
    _opened: ExitStack = field(repr=False)
    generation: Mapping[str, Any] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of the files that were opened for it."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(source: str | os.PathLike[str] | Checkpoint | torch.nn.Module) -> Source:
    """Open a checkpoint, or look at a model.

    Raises
    ------
    CheckpointError
        If the checkpoint is malformed, or has no ``config.json``.
    UnsupportedError
        If the model is none of Transformers, quantized, or not in memory; if it has adapters.
    """
    if hasattr(source, "state_dict"):
        return _of_model(_inside(source))
    if not isinstance(source, str | os.PathLike | Checkpoint):
        raise UnsupportedError(
            f"an object of type {type(source).__name__} can't be exported: give the folder of a"
            " checkpoint, or a model of Transformers."
        )
    opened = ExitStack()
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    if checkpoint is not source:
        opened.callback(checkpoint.close)
    folder = _folder_of(checkpoint.path) if isinstance(checkpoint.path, Path) else None
    if not checkpoint.config:
        opened.close()
        if folder and (folder / "adapter_config.json").is_file():
            raise CheckpointError(
                f"{folder} holds an adapter, which is no model of its own: load both with PEFT, and"
                " export what merge_and_unload() of the PeftModel returns."
            )
        raise CheckpointError(
            f"{folder or checkpoint.path} has no config.json: without it nobody knows what"
            " model the tensors make."
        )
    # of a checkpoint on a server the repository has the name; its tokenizer has to be given
    where = folder.resolve() if folder else Path(getattr(checkpoint.path, "repository", ""))
    return Source(
        str(checkpoint.path),
        dict(checkpoint.config),
        decode_tensors(checkpoint.tensors, checkpoint.config).tensors,
        folder,
        where.name,
        checkpoint.sources,
        opened,
    )


def _inside(model: Any) -> Any:
    """Return the model that ``torch.compile`` or a parallel run of it has wrapped."""
    import torch

    while True:
        if isinstance(model, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), torch.nn.Module):
            model = inner
        else:
            return model


def _folder_of(path: Path) -> Path:
    if not path.exists():  # another folder's tokenizer is not taken
        raise CheckpointError(
            f"{path} was opened, but is not there any more {looked_for(path)} Its tokenizer lies"
            " beside the weights. Open it by a whole path."
        )
    return path if path.is_dir() else path.parent


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """A parameter as rows of bytes.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        As in safetensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    _value: torch.Tensor | _Part = field(repr=False, compare=False)

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read rows `start` to `stop`: uint8 ``(stop - start, row_bytes)``, little endian."""
        import torch

        tensor = self._value.read() if isinstance(self._value, _Part) else self._value
        n_rows = math.prod(self.shape[:-1])
        values = self.shape[-1] if self.shape else 1
        rows = tensor.detach().reshape(n_rows, values)[start:stop].cpu().contiguous()
        data: NDArray[np.uint8] = rows.view(torch.uint8).numpy()
        return data


@dataclass(slots=True)
class _Saved:
    """The parameters of one layer, and what ``save_pretrained`` makes of them when asked."""

    model: Any
    parameters: dict[str, torch.Tensor]


class _Desk:
    """Keeps what was made of one layer, the last one that was asked for."""

    def __init__(self) -> None:
        self._layer: _Saved | None = None
        self._made: dict[str, torch.Tensor] = {}

    def take(self, layer: _Saved, name: str) -> torch.Tensor:
        if self._layer is not layer:
            self._made = {}  # before the next: two layers at once are one too many
            self._made, self._layer = _saved_form(layer.model, layer.parameters), layer
        return self._made[name]


@dataclass(frozen=True, slots=True)
class _Part:
    """A tensor that is made when it is read."""

    desk: _Desk
    layer: _Saved
    name: str

    def read(self) -> torch.Tensor:
        return self.desk.take(self.layer, self.name)


def _saved_form(model: Any, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from transformers.core_model_loading import revert_weight_conversion

    return dict(revert_weight_conversion(model, dict(parameters)))


def _of_model(model: Any) -> Source:
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "to_json_string"):
        raise UnsupportedError(
            f"a {type(model).__name__} has no configuration of Transformers: only models of"
            " Transformers can be exported, or checkpoints on disk."
        )
    if getattr(model, "hf_quantizer", None) is not None:
        raise UnsupportedError(
            "the model is quantized already by Transformers: export the original weights."
        )
    described = json.loads(config.to_json_string(use_diff=True))
    described["architectures"] = [type(model).__name__]
    described["dtype"] = str(model.dtype).removeprefix("torch.")
    path = str(getattr(model, "name_or_path", "") or "")
    return Source(
        f"the {type(model).__name__}",
        described,
        _tensors_of(model),
        None,
        Path(path).name,
        (),
        ExitStack(),
        _generation_of(model),
    )


def _generation_of(model: Any) -> dict[str, Any]:
    """Return what ``save_pretrained`` would write of how a model generates."""
    settings: Any = getattr(model, "generation_config", None)
    if settings is None or not model.can_generate():
        return {}
    return dict(json.loads(settings.to_json_string(use_diff=True)))


def _tensors_of(model: Any) -> dict[str, SourceTensor]:
    import torch

    # a layer that torch.compile has wrapped has another name
    state = {name.replace("_orig_mod.", ""): value for name, value in model.state_dict().items()}
    # what PEFT wraps around a layer, or around the whole model, is told by its names
    if any(".base_layer." in name or name.startswith("base_model.") for name in state):
        raise UnsupportedError(
            f"the {type(model).__name__} has adapters of PEFT that are not merged into its weights:"
            " export what merge_and_unload() of the PeftModel returns."
        )
    for name in getattr(model, "_keys_to_ignore_on_save", None) or ():
        state.pop(name, None)
    odd = [name for name, v in state.items() if not isinstance(v, torch.Tensor) or v.is_quantized]
    if odd:
        raise UnsupportedError(
            f"{quoted(odd[0])} of the {type(model).__name__} is quantized by PyTorch: export the"
            " original weights."
        )
    state = _without_tied(state, model)
    if missing := [name for name, value in state.items() if value.device.type == "meta"]:
        raise UnsupportedError(
            f"{len(missing)} parameters have no data, such as {quoted(missing[0])}: load the model"
            " into memory before it is exported."
        )
    layers: dict[int | None, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        layers.setdefault(number_in(name), {})[name] = value
    desk, tensors = _Desk(), {}
    for parameters in layers.values():
        layer = _Saved(model, parameters)
        # what saving makes of the layer, in names and shapes alone
        shadows = {name: value.to("meta") for name, value in parameters.items()}
        same = {id(shadow): parameters[name] for name, shadow in shadows.items()}
        for name, value in _saved_form(model, shadows).items():
            tensors[name] = SourceTensor(
                name,
                tuple(value.shape),
                _dtype_of(name, value),
                same.get(id(value), _Part(desk, layer, name)),
            )
    return {name: tensors[name] for name in sorted(tensors)}


def _without_tied(state: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    """Leave out what is tied by the model's class, as saving does it.

    What somebody made one (a layer that is there twice) has no such name: there are as many tensors
    in a file, and each is written.
    """
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    ties = getattr(model, "all_tied_weights_keys", None) or {}
    seen: set[tuple[object, ...]] = set()
    once: dict[str, torch.Tensor] = {}
    again: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        place = (value.device, value.data_ptr(), value.shape, value.stride())
        tied = name in ties or name in ties.values() or value.device.type == "meta"
        (again if place in seen and not tied and value.numel() else once)[name] = value
        seen.add(place)
    try:
        return {**remove_tied_weights_from_state_dict(once, model), **again}
    except RuntimeError as error:
        raise UnsupportedError(
            f"the {type(model).__name__} has parameters that are parts of each other, and can't be"
            f" saved: {error}"
        ) from error


def _dtype_of(name: str, value: torch.Tensor) -> str:
    kind = str(value.dtype).removeprefix("torch.")
    if kind not in _DTYPES:
        raise GGUFLabError(f"parameter {quoted(name)} is of type {kind}, which has no rows.")
    return _DTYPES[kind]
