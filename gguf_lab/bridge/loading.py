"""A GGUF file as a model of Transformers: weights decoded straight into the parameters."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from ..codec import choose_backend, cpu_count
from ..codec.threads import Pool
from ..errors import ComparisonError, GGUFError, GGUFLabError, UnsupportedError
from ..file.remote import unless
from ..file.text import printable, quoted
from ..model import Model, given_model
from ..model.names import split_name
from ..reference.alignment import same_shape
from ..reference.architectures import family_of
from ..reference.architectures.family import reason_in
from ..reference.architectures.plan import draw_plan
from ..reference.facts import PREDICTORS, Facts
from ..reference.stored import role_of_scale, scale_of, stored_rows, why_unreadable
from .activation import activation_in
from .clearing import ClearedMemory
from .configuration import Blueprint, end_tokens, sampling_of, settings_of
from .placing import Parameter, find_place
from .projectors.whole import whole_settings
from .requirement import require_transformers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from ..model import Tensor
    from .placing import Place

__all__ = ["to_transformers"]

_CHUNK = 1 << 21  # weights that a thread decodes at a time: smaller ones wait for Python too often
_PLAIN = {"F16": "float16", "BF16": "bfloat16"}
_LISTED = 10  # names in a message


def to_transformers(
    model: Model | str | os.PathLike[str],
    *,
    projector: Model | str | os.PathLike[str] | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast | None]:
    """Load a GGUF file as a model of Transformers, with its tokenizer.

    The configuration comes from the metadata, every weight from the file: bit for bit what ggml
    decodes, times the scale beside it where there is one (NVFP4), rounded to `dtype`. What the
    converter did to the weights is undone. No weight is held twice: the memory needed is that of
    the model and a few chunks. The result is an ordinary model in evaluation mode, to run, to train
    (``Trainer``), to save (``save_pretrained``).

    Parameters
    ----------
    model : Model, str or path
        A model or its file; any file of a shard set.
    projector : Model, str or path, optional
        What sees or hears (mmproj), for a model that does. Its processor is not in the files: it is
        that of the original.
    dtype : str or torch.dtype
        Type of the parameters. "auto": the type of the matrices in `model` if that is F32, F16 or
        BF16 (next to the last two, converters leave small matrices such as those of routers in
        F32); float32 if the file is quantized or mixed, because that is the type that ggml
        decodes to.
    device : str or torch.device
        Where the parameters are put. On a device other than the CPU the blocks are decoded there;
        Transformers needs the package ``accelerate`` for it.

    Returns
    -------
    model : transformers.PreTrainedModel
        The class that the architecture stands for; how it draws tokens by default the file says.
        bert and its like come without the pooler, which converters leave out: load what was saved
        of them with ``add_pooling_layer=False``. With what scores a text in the file, a bert is a
        ``BertForSequenceClassification``.
    tokenizer : transformers.PreTrainedTokenizerFast or None
        None if the file has none.

    Raises
    ------
    GGUFError
        If the file is malformed, a tensor is missing, has another shape than the metadata say, or
        is unknown to the model; if the projector is for another model.
    UnsupportedError
        If the architecture or the type of a tensor is not known, or not to Transformers.
    GGUFLabError
        If `dtype` is no floating-point type, or the device cannot be used; if Transformers is
        missing or too old.

    Examples
    --------
    >>> import gguf_lab as gl
    >>> model, tokenizer = gl.to_transformers("SmolLM2-135M-Instruct.Q4_1.gguf")  # doctest: +SKIP
    >>> ids = tokenizer("The sky is", return_tensors="pt")                        # doctest: +SKIP
    >>> tokenizer.decode(model.generate(**ids)[0])                                # doctest: +SKIP
    """
    require_transformers("to_transformers")
    with ExitStack() as stack:
        opened = given_model(model, stack)
        senses = None if projector is None else given_model(projector, stack)
        kind = _dtype(opened, dtype)
        choose_backend(str(device))  # refuses a device that is none
        # whatever is refused by its metadata is refused here
        settings = settings_of(opened, part=senses is not None)
        whole = settings if senses is None else whole_settings(opened, senses, settings)
        with ClearedMemory(opened, kind, str(device)) as memory:
            blueprint = Blueprint(whole)
            tokenizer = _tokenizer(opened)
            sketch = blueprint.sketch()
            numbers = activation_in(opened.architecture or "", opened.metadata)
            moves = _moves(opened, settings, sketch)
            if senses is not None:
                moves += _moves(senses, whole, sketch)
            _check_missing(opened, senses, sketch, {*numbers, *_fed(moves)})
            weights = _weights(sketch, moves, kind, device, memory)
        _fill(weights, moves, device)
        weights |= _filled(sketch, numbers, device)
        generation: dict[str, object] = {**sampling_of(opened.metadata)}
        if ends := end_tokens(opened.metadata, settings):
            generation["eos_token_id"] = ends if len(ends) > 1 else ends[0]
        loaded = _assemble(blueprint, weights, kind, device, generation)
        # as Transformers notes where a model is from: an export takes its name from there
        loaded.name_or_path = loaded.config._name_or_path = opened.name
        return loaded, tokenizer


def _dtype(model: Model, dtype: str | torch.dtype) -> torch.dtype:
    """Choose the type of the parameters."""
    import torch

    if dtype == "auto":
        types = {t.qtype for t in model.tensors.values() if len(t.shape) > 1}
        half = types - {"F32"}
        dtype = _PLAIN.get(half.pop(), "float32") if len(half) == 1 else "float32"
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point or found.itemsize < 2:
        raise GGUFLabError(
            f"dtype {dtype!r} is not one for a model: expected 'auto', 'float32', 'bfloat16',"
            " 'float16' or 'float64'"
        )
    return found


def _tokenizer(model: Model) -> PreTrainedTokenizerFast | None:
    from .tokenizers import has_tokenizer, to_tokenizer

    return to_tokenizer(model.metadata) if has_tokenizer(model.metadata) else None


@dataclass(frozen=True, slots=True)
class _Move:
    """A tensor of the file, the one that it is multiplied with, and where it belongs."""

    tensor: Tensor
    scale: Tensor | None
    place: Place


def _moves(model: Model, settings: Mapping[str, Any], sketch: Any) -> list[_Move]:
    """Find where each tensor of a file belongs, before anything is decoded."""
    family = family_of(model.architecture or "", model.metadata)
    if family is None:
        raise UnsupportedError(f"no table for architecture {quoted(model.architecture or '')} yet")
    parameters = {
        name: Parameter(name, tuple(weight.shape) or (1,))
        for name, weight in sketch.state_dict().items()
    }
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    facts = Facts.of(model.architecture or "", model.metadata, settings, shapes)
    plan = draw_plan(family, facts, parameters)
    moves, unknown = [], []
    for name, tensor in model.tensors.items():
        origin = plan.origins.get(name)
        if origin is None:
            if not (reason_in(family.made_up, name) or role_of_scale(model, tensor)):
                unknown.append(name)
            continue
        if origin.rows is None:
            raise GGUFError(f"{model.path}: {quoted(name)} can't be traced back: {origin.problem}")
        try:
            place, shape = find_place(origin.rows), origin.rows.shape
        except ComparisonError as error:
            raise GGUFError(f"{model.path}: {quoted(name)} doesn't fit: {error}") from error
        if not same_shape(tensor.shape, shape):
            raise GGUFError(
                f"{model.path}: {quoted(name)} has shape {tensor.shape}; by the metadata it should"
                f" be {shape} ({', '.join(origin.names[:_LISTED])} of {type(sketch).__name__})"
            )
        scale = scale_of(model, tensor, own=plan.origins)
        if scale is not None and (reason := why_unreadable(tensor, scale, "file")):
            raise GGUFError(f"{model.path}: {quoted(name)} can't be read: {reason}")
        moves.append(_Move(tensor, scale, place))
    _check_unknown(model, unknown, type(sketch).__name__, facts)
    return moves


def _fed(moves: Sequence[_Move]) -> Iterator[str]:
    """Name the parameters that get values, some more than once."""
    return (name for move in moves for name in move.place.names)


def _check_unknown(model: Model, unknown: Sequence[str], kind: str, facts: Facts) -> None:
    # a classifier on top of bert of which half is in the file, or that of a distilbert
    heads = [n for n in unknown if model.architecture == "bert" and n.startswith("cls.")]
    if heads:
        warnings.warn(
            f"{model.path}: the classifier ({_listed(heads)}) is left out, because converters leave"
            f" out the layer below it, or its activation. What you get is the encoder, {kind}.",
            stacklevel=4,
        )
    last = facts.next_layer() if facts.in_file(PREDICTORS) else None
    further = [n for n in unknown if last is not None and (split_name(n)[0] or 0) >= last]
    if further:
        warnings.warn(
            f"{model.path}: what predicts further tokens ({_listed(further)}) is left out:"
            f" {kind} of Transformers has no such layer.",
            stacklevel=4,
        )
    if rest := [name for name in unknown if name not in {*heads, *further}]:
        raise GGUFError(
            f"{model.path}: {kind} of Transformers has no place for"
            f" {len(rest)} tensors of the file: {_listed(rest)}"
        )


def _check_missing(model: Model, senses: Model | None, sketch: Any, fed: set[str]) -> None:
    """Raise unless every weight gets its values from a file, or from a weight that it is."""
    state = sketch.state_dict(keep_vars=True)
    known = {id(state[name]) for name in fed}
    files = f"{model.path} lacks" if senses is None else f"{model.path} and {senses.path} lack"
    if missing := [name for name, weight in state.items() if id(weight) not in known]:
        raise GGUFError(
            f"{files} tensors for {len(missing)} parameters of"
            f" {type(sketch).__name__}: {_listed(missing)}"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(printable(name) for name in names[:_LISTED]) + more


def _weights(
    sketch: Any,
    moves: Sequence[_Move],
    dtype: torch.dtype,
    device: str | torch.device,
    memory: ClearedMemory,
) -> dict[str, torch.Tensor]:
    """Allocate the parameters that the file feeds.

    Vectors are decoded to float32 at least: some of them Transformers keeps so, the others it
    rounds.
    """
    import torch

    state = sketch.state_dict()
    vectors = torch.promote_types(dtype, torch.float32)
    return {
        name: memory.empty(
            tuple(state[name].shape), dtype if state[name].dim() > 1 else vectors, device
        )
        for name in dict.fromkeys(_fed(moves))
    }


def _filled(
    sketch: Any, numbers: Mapping[str, float], device: str | torch.device
) -> dict[str, torch.Tensor]:
    """Make the parameters that are one number each."""
    import torch

    state = sketch.state_dict()
    return {
        name: torch.full(tuple(state[name].shape), number, dtype=torch.float32, device=device)
        for name, number in numbers.items()
    }


def _fill(
    weights: Mapping[str, torch.Tensor], moves: Sequence[_Move], device: str | torch.device
) -> None:
    """Decode everything into its place, chunk by chunk, with all CPUs."""
    counts = dict.fromkeys(weights, 0)
    on_cpu = str(device).startswith("cpu")
    left = Event()
    fill = unless(left.is_set)(_fill_rows)
    with Pool(cpu_count() if on_cpu else 1, initializer=_follow(device)) as pool:
        jobs = [
            pool.submit(fill, weights, move, slice(start, stop), device)
            for move in moves
            for start, stop in _chunks(move.tensor)
        ]
        try:
            for job in jobs:
                for name, count in job.result().items():
                    counts[name] += count
        except BaseException:
            left.set()
            pool.shutdown(cancel_futures=True)
            raise
    wrong = [name for name, count in counts.items() if count != weights[name].numel()]
    if wrong:
        raise GGUFError(
            f"the tensors of the file fill {len(wrong)} parameters not exactly once:"
            f" {_listed(wrong)}"
        )


def _follow(device: str | torch.device) -> Callable[[], None] | None:
    """Return what brings a thread to the CUDA device and the stream that its maker is on."""
    import torch

    if torch.device(device).type != "cuda":
        return None
    return partial(torch.cuda.set_stream, torch.cuda.current_stream(torch.device(device)))


def _chunks(tensor: Tensor) -> Iterator[tuple[int, int]]:
    step = max(1, _CHUNK // max(1, tensor.row_values))
    for start in range(0, tensor.n_rows, step):
        yield start, min(start + step, tensor.n_rows)


def _fill_rows(
    weights: Mapping[str, torch.Tensor], move: _Move, rows: slice, device: str | torch.device
) -> dict[str, int]:
    tensor, place = move.tensor, move.place
    if move.scale is not None:
        import torch

        scaled = stored_rows(tensor, move.scale).read(rows.start, rows.stop)
        return place.put(rows.start, torch.from_numpy(scaled.view("<f4")), weights)
    if (found := place.target(rows, weights)) is not None:
        name, target = found
        tensor.to_numpy(rows, out=target.numpy())
        return {name: target.numel()}
    values = tensor.dequantize(rows, device=device if place.exactly else "cpu")
    return place.put(rows.start, values, weights)


def _assemble(
    blueprint: Blueprint,
    weights: dict[str, torch.Tensor],
    dtype: torch.dtype,
    device: str | torch.device,
    generation: Mapping[str, object],
) -> PreTrainedModel:
    """Let Transformers make the model of its weights, as it does with a checkpoint's.

    It takes the tensors as they are, ties what is tied, and calculates the constants (rotary
    frequencies and the like).
    """
    place = {} if str(device) == "cpu" else {"device_map": {"": device}}
    model: Any
    with _no_progress_bar():
        model, info = blueprint.kind.from_pretrained(
            None,
            config=blueprint.config,
            state_dict=weights,
            dtype=dtype,
            output_loading_info=True,
            **place,
            **blueprint.arguments,
        )
    if wrong := {key: names for key, names in info.items() if names}:
        raise GGUFError(f"Transformers could not load all weights: {printable(str(wrong), 1000)}")
    # nothing was converted on the way in, but what is saved should have the usual names
    vars(model).pop("_weight_conversions", None)
    if (settings := getattr(model, "generation_config", None)) is not None:
        for name, value in generation.items():
            setattr(settings, name, value)
    return model  # type: ignore[no-any-return]


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Show no bar for what takes no time: the weights are there already."""
    from transformers import utils

    logging: Any = utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
