"""Lines a file up with the checkpoint it was made from: tensor by tensor, exactly, with reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..codec import can_decode
from ..errors import ComparisonError
from ..file.text import printable, quoted
from .architectures import by_name_alone, family_of, family_of_model_type
from .architectures.family import reason_in
from .architectures.plan import Origin, Plan, draw_plan, has_name_map
from .architectures.projectors import projector_types
from .facts import Facts
from .pairs import Alignment, Pair, ReferenceOnly
from .quantized import decode_tensors, method_of
from .stored import (
    in_words,
    role_of_scale,
    scale_of,
    second_scale_of,
    stored_rows,
    why_unreadable,
)
from .transforms import AsStored, Scaled, Transformed

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..model import Model, Tensor
    from .architectures.family import Family
    from .checkpoint import Checkpoint
    from .transforms import Rows

__all__ = ["FITTING_MATRICES", "align", "same_shape", "what_wraps"]

# A file and a checkpoint of which fewer matrices than this fit each other don't belong together.
# Norms and biases don't count: every model of the same width has them alike. It is a share of
# whichever has fewer, so that one shard may be compared on its own.
FITTING_MATRICES = 0.7

# Tables of numbers are stored so on both sides. Where only the checkpoint has them, it is quantized
# (compressed-tensors, bitsandbytes), and the numbers mean nothing without the scales beside them.
_WHOLE_NUMBERS = frozenset(("I8", "I16", "I32", "I64"))


def align(model: Model, checkpoint: Checkpoint) -> Alignment:
    """Line a model up with its checkpoint.

    Parameters
    ----------
    model : Model
    checkpoint : Checkpoint

    Raises
    ------
    ComparisonError
        If they plainly don't belong together: the metadata of the file and ``config.json`` name
        different families or sizes, no tensor has a counterpart, or too few shapes agree.
    """
    architecture = model.architecture or ""
    family = family_of(architecture, model.metadata)
    if family is None and not has_name_map(architecture):
        reason = _no_table(model)
        return Alignment(
            tuple(Pair(name, status="unmatched", reason=reason) for name in model.tensors),
            tuple(
                ReferenceOnly(t.name, t.shape, t.dtype, reason) for t in checkpoint.tensors.values()
            ),
        )
    guessed = family is None
    family = family or by_name_alone(architecture)
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    facts = Facts.of(architecture, model.metadata, checkpoint.config, shapes)
    found = facts.disagreements(family.same)
    another = family_of_model_type(checkpoint.model_type) not in {family, None}
    of_language = not guessed and not family.projectors
    if another and of_language and not family.borrows(checkpoint.model_type):
        found.insert(
            0,
            f"architecture {quoted(architecture)} in the file against model type"
            f" {quoted(checkpoint.model_type)} in config.json",
        )
    if found:
        raise _not_its_checkpoint(model, checkpoint, "; ".join(found))
    seen = decode_tensors(checkpoint.tensors, checkpoint.config)
    plan = draw_plan(family, facts, seen.tensors)
    plan.left_out.update(seen.beside)
    if guessed:
        _check_guess(model, checkpoint, plan)
    else:
        _tie_output(plan, model, facts, family)
        _check_fit(model, checkpoint, plan, family)
    _multiply(plan, model)
    pairs = tuple(_pair(tensor, model, plan, family) for tensor in model.tensors.values())
    if guessed:
        pairs = tuple(_doubted(pair, _no_table(model)) for pair in pairs)
    used = {name for pair in pairs for name in pair.reference_names}
    reasons = (
        plan.left_out
        | plan.unknown
        | {
            name: _why_not_in_file(into, facts)
            for into, origin in plan.origins.items()
            for name in origin.names
        }
    )
    return Alignment(
        pairs,
        tuple(
            ReferenceOnly(t.name, t.shape, t.dtype, reasons[t.name])
            for t in checkpoint.tensors.values()
            if t.name not in used
        ),
    )


def _multiply(plan: Plan, model: Model) -> None:
    """Follow the scales that a quantization has put into the file, over those of the model.

    Where the model has scales of its own, the converter multiplies one with the other: the experts
    of gemma4.
    """
    for tensor in model.tensors.values():
        scale, origin = second_scale_of(model, tensor), plan.origins.get(tensor.name)
        own = None if scale is None else plan.origins.pop(scale.name, None)
        if own and own.rows and origin and origin.rows:
            rows = Transformed(Scaled(), (origin.rows, own.rows))
            plan.origins[tensor.name] = Origin(origin.names + own.names, rows)
        elif own:
            plan.left_out.update(dict.fromkeys(own.names, "part of a scale in the file"))


def _pair(tensor: Tensor, model: Model, plan: Plan, family: Family) -> Pair:
    """Look up where a tensor is from, and whether the two can be compared."""
    origin = plan.origins.get(tensor.name)
    if origin is None:
        if role := role_of_scale(model, tensor):
            return Pair(tensor.name, status="scale", reason=role)
        reason = reason_in(family.made_up, tensor.name)
        return Pair(
            tensor.name,
            status="unmatched",
            reason=reason or "the checkpoint has no tensor that the converter makes it from",
        )
    pair = Pair(tensor.name, origin.names, status="unmatched")
    rows = origin.rows
    if rows is None:
        return replace(pair, reason=origin.problem)
    scale = scale_of(model, tensor, own=plan.origins)
    pair = replace(pair, transform=in_words(rows.words, scale), scale=scale.name if scale else "")
    try:
        shape, dtype = rows.shape, rows.dtype
    except ComparisonError as error:
        return replace(pair, reason=str(error))
    pair = replace(pair, dtype=dtype)
    if not same_shape(tensor.shape, shape):
        return replace(pair, reason=_shapes(tensor, shape))
    pair = replace(pair, status="unsupported")
    if reason := why_unreadable(tensor, scale, "file"):
        return replace(pair, reason=reason)
    if not can_decode(dtype):
        return replace(pair, reason=f"type {printable(dtype)} of the checkpoint is not decoded")
    if dtype in _WHOLE_NUMBERS and tensor.qtype not in _WHOLE_NUMBERS:
        why = f"the checkpoint has whole numbers ({dtype}): it is quantized, its scales are unknown"
        return replace(pair, reason=why)
    return replace(pair, status="matched", _rows=rows, _stored=stored_rows(tensor, scale))


def _no_table(model: Model) -> str:
    if types := projector_types(model.metadata):
        return f"no table for projectors of type {' and '.join(map(quoted, types))} yet"
    return f"no table for architecture {quoted(model.architecture or '')} yet"


def _doubted(pair: Pair, why: str) -> Pair:
    """Say of a pair that the name map alone has made what that is worth."""
    if pair.status == "matched":
        words = f"{why}: name and shape agree, what the converter did to the values is not known"
        return replace(pair, status="unverified", reason=words)
    return replace(pair, reason=f"{why}: {pair.reason}")


def same_shape(ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    """Compare shapes; leading ones don't count, because ggml drops them when it rewrites a file."""

    def core(shape: tuple[int, ...]) -> tuple[int, ...]:
        first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
        return shape[first:] or (1,)

    return core(ours) == core(theirs)


def _shapes(tensor: Tensor, theirs: tuple[int, ...]) -> str:
    ours = tensor.shape
    longer = (
        tensor.name in {"token_embd.weight", "output.weight"}
        and ours[1:] == theirs[1:]
        and ours[1:]
    )
    hint = ": the vocabularies differ in length (padded or extended)" if longer else ""
    return f"shape {ours} in the file, {printable(str(theirs))} in the checkpoint{hint}"


def _tie_output(plan: Plan, model: Model, facts: Facts, family: Family) -> None:
    """Trace an output of its own in the file back to the embedding that the checkpoint ties.

    Where the configuration is silent, a checkpoint without an output does so, if it is complete: of
    a single shard the output may be in another one.
    """
    said = facts.config.get("tie_word_embeddings")
    if said is False or (said is not True and not _is_complete(plan, model, family)):
        return
    embedding = plan.origins.get("token_embd.weight")
    if (
        "output.weight" in model.tensors
        and "output.weight" not in plan.origins
        and embedding is not None
        and embedding.rows is not None
    ):
        tied = Transformed(AsStored("the token embedding, tied to the output"), (embedding.rows,))
        plan.origins["output.weight"] = Origin(embedding.names, tied)


def _is_complete(plan: Plan, model: Model, family: Family) -> bool:
    """Whether the checkpoint has all that the file was made from, the output aside."""
    return all(
        name in plan.origins or name == "output.weight" or reason_in(family.made_up, name)
        for name in model.tensors
    )


def _why_not_in_file(into: str, facts: Facts) -> str:
    if into == "output.weight" and facts.config.get("tie_word_embeddings") is True:
        return "tied: the file uses token_embd.weight for the output too"
    if into == "output.weight":
        return "the file has no output.weight: it uses token_embd.weight for the output"
    return f"the file has no {printable(into)}"


def _check_fit(model: Model, checkpoint: Checkpoint, plan: Plan, family: Family) -> None:
    """Raise one clear error for the wrong checkpoint, instead of listing unmatched tensors."""
    tensors = [t for t in model.tensors.values() if not reason_in(family.made_up, t.name)]
    ours = [t for t in tensors if len(t.shape) > 1] or tensors
    theirs = [t for t in checkpoint.tensors.values() if t.name not in plan.left_out]
    theirs = [t for t in theirs if len(t.shape) > 1] or theirs
    origins = [(t, plan.origins.get(t.name)) for t in ours]
    shapes = [(t, _shape_of(origin.rows)) for t, origin in origins if origin and origin.rows]
    fitting = sum(same_shape(t.shape, shape) for t, shape in shapes)
    fewer = min(len(ours), len(theirs))
    if not ours or (fitting and fitting >= FITTING_MATRICES * fewer):
        return
    if not any(t.name in plan.origins for t in tensors):
        kind = checkpoint.model_type
        raise _unfit(
            model,
            checkpoint,
            f"no tensor of the file (architecture {quoted(model.architecture or '')}) has a"
            f" counterpart in the checkpoint (model type {quoted(kind) if kind else 'not given'})",
        )
    example = next(((t, s) for t, s in shapes if not same_shape(t.shape, s)), None)
    words = f", such as {quoted(example[0].name)}: {_shapes(*example)}" if example else ""
    raise _unfit(
        model,
        checkpoint,
        f"only {fitting} of the file's {len(ours)} matrices are in the checkpoint in name and"
        f" shape{words}",
    )


def _check_guess(model: Model, checkpoint: Checkpoint, plan: Plan) -> None:
    """Raise one clear error where the names are alike and the shapes are not."""
    known = [
        (t, plan.origins[t.name].rows) for t in model.tensors.values() if t.name in plan.origins
    ]
    shapes = [(t, _shape_of(rows)) for t, rows in known if rows]
    shapes = [(t, shape) for t, shape in shapes if len(t.shape) > 1] or shapes
    wrong = [(t, shape) for t, shape in shapes if not same_shape(t.shape, shape)]
    if not model.tensors or (shapes and len(wrong) <= (1 - FITTING_MATRICES) * len(shapes)):
        return
    why = "no name of a tensor in one of them stands for a tensor in the other"
    if wrong:
        why = (
            f"{len(wrong)} of {len(shapes)} matrices have another shape, such as"
            f" {quoted(wrong[0][0].name)}: {_shapes(*wrong[0])}"
        )
    raise ComparisonError(
        f"{checkpoint.path} and {model.path} do not line up: {_no_table(model)}, and by names alone"
        f" {why}. It is another model or another size, or its converter rearranges the tensors."
    )


def _shape_of(rows: Rows) -> tuple[int, ...]:
    try:
        return rows.shape
    except ComparisonError:
        if not isinstance(rows, Transformed):
            raise
        return _shape_of(rows.sources[0])


def _not_its_checkpoint(model: Model, checkpoint: Checkpoint, why: str) -> ComparisonError:
    return ComparisonError(
        f"{checkpoint.path} is not the checkpoint that {model.path} was made from: {why}."
        f"{_what_it_is(checkpoint)} Give the folder of the original weights of this very model."
    )


def _unfit(model: Model, checkpoint: Checkpoint, why: str) -> ComparisonError:
    """Tell a checkpoint that cannot be read from one of another model."""
    method = method_of(checkpoint.config)
    if not method or decode_tensors(checkpoint.tensors, checkpoint.config).beside:
        return _not_its_checkpoint(model, checkpoint, why)
    return ComparisonError(
        f"{checkpoint.path} is quantized ({printable(method, 40)}), in a way that is not read:"
        f" {why}. Give the folder of the original weights, before they were quantized."
    )


def _what_it_is(checkpoint: Checkpoint) -> str:
    """Say what is often given in place of the original, if it is that."""
    if checkpoint.tensors and all(".lora_" in name for name in checkpoint.tensors):
        return " It is an adapter (LoRA) to a model, not the model."
    if wrapper := what_wraps(checkpoint.tensors):
        return f" {wrapper}"
    method = method_of(checkpoint.config)
    return f" By its config.json it is quantized ({printable(method, 40)})." if method else ""


def what_wraps(names: Collection[str]) -> str:
    """Say what a checkpoint's names begin with if it was saved with what trained it around it."""
    for prefix in ("module.", "_orig_mod."):
        if names and all(name.startswith(prefix) for name in names):
            return (
                f"Every name in it begins with {quoted(prefix)}: it was saved with a wrapper of the"
                " model (DistributedDataParallel, torch.compile). Save the model that is inside."
            )
    return ""
