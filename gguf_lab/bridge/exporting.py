"""Out of Transformers: a checkpoint, or a model in memory, as GGUF files for llama.cpp.

First a `Draft` is made, which knows everything but the weights. Then the tensors are read,
transformed, rounded and written one after the other, in portions of rows.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..codec import all_finite, check_effort
from ..file.source import expanded
from ..file.text import few, quoted
from ..file.writer import Payload, write_file
from ..progress import counted
from ..quantization import file_of, given_imatrix
from ..reference.architectures.plan import LIMITS
from .drafting import draft_export
from .projectors.drafting import draft_projector
from .requirement import require_transformers
from .sources import open_source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..reference import Checkpoint
    from .draft import Draft
    from .sources import Source
    from .storage import Choose

__all__ = ["export", "export_mmproj"]


def export(
    source: str | os.PathLike[str] | Checkpoint | Any,
    path: str | os.PathLike[str],
    *,
    tokenizer: Any = None,
    qtype: str | Mapping[str, str] | Choose = "F16",
    metadata: Mapping[str, object] | None = None,
    file_type: str | None = None,
    imatrix: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    effort: str = "ggml",
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], object] = True,
    report: Callable[[Draft], object] | None = None,
) -> Path | list[Path]:
    """Write a checkpoint, or a model in memory, as a GGUF file that llama.cpp loads.

    Parameters
    ----------
    source : str, path, Checkpoint or torch.nn.Module
        The folder of a checkpoint (safetensors with ``config.json``), one such file, or a model of
        Transformers.
    path : str or path
        The file; or an existing folder, in which the file is named by the naming convention.
    tokenizer : path, tokenizer of Transformers, or False, optional
        Default: the files in the checkpoint's folder. A model in memory needs one. False writes
        none: llama.cpp then computes, but has no words.
    qtype : str, mapping or callable
        One of llama-quantize's mixes, such as ``"Q4_K_M"``; or a type for all matrices that may
        have it (norms, biases and what else llama.cpp wants in F32 are F32); or patterns of tensor
        names with types, the first that fits counts, such as
        ``{"token_embd.weight": "Q8_0", "*": "Q4_0"}``; or a function of name and shape.
    metadata : mapping, optional
        Keys to add or to change, such as ``{"general.name": "My model"}``. NumPy scalars and arrays
        choose a type other than the usual one.
    file_type : str, optional
        What llama.cpp calls the mix of types, for example ``"Q4_K_M"``. Default: by the type
        that most weights have.
    imatrix : str, path or mapping, optional
        An importance matrix: the file, or tensor name to values (columns,) or (experts, columns).
    effort : {"ggml", "best"}
        See :func:`gguf_lab.quantize`.
    max_shard_bytes : int, optional
        Write shards with at most so many bytes of tensors each.
    overwrite : bool
        Replace a file that is there already, unless the weights are read from it.
    progress : bool or callable
        Show a progress bar if it takes more than half a second; or call a function with the bytes
        that are written and all bytes.
    report : callable, optional
        Called with the `Draft` before anything is written: what is left out, which tensor gets
        which type and why.

    Returns
    -------
    Path, or list of Path
        The file; with `max_shard_bytes` the list of all shards.

    Raises
    ------
    UnsupportedError
        If the model is of no known family, or a type can't be written or read.
    CheckpointError
        If the checkpoint is malformed or has tensors that the family's table doesn't know; if
        tensors are missing without which llama.cpp doesn't load the file, or have wrong shapes.
    QuantizationError
        If a weight that is rounded is not finite, or too large for the type; if an importance
        matrix is needed, or does not fit.
    GGUFError
        If the file can't be written: it exists, the weights are from it, there is no room, a key
        is not allowed.
    GGUFLabError
        If Transformers is missing or too old; if the effort is unknown.

    Warns
    -----
    UserWarning
        If rows are no whole blocks of the type, and tensors get another one; if a setting of
        ``config.json`` has no key in such a file, and llama.cpp computes with another value; if
        ``generation_config.json`` ends a reply where llama.cpp would not; if a weight that is not
        rounded is not finite.

    Notes
    -----
    The file appears under its name when it is complete; a failure leaves nothing behind.
    """
    require_transformers("export")
    check_effort(effort)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        imatrix = given_imatrix(imatrix, stack)
        draft = draft_export(
            opened,
            tokenizer=tokenizer,
            qtype=qtype,
            metadata=metadata,
            file_type=file_type,
            imatrix=imatrix,
        )
        paths = _write(
            draft,
            opened,
            path,
            imatrix=imatrix,
            effort=effort,
            max_shard_bytes=max_shard_bytes,
            overwrite=overwrite,
            progress=progress,
            report=report,
        )
    return paths[0] if max_shard_bytes is None else paths


def export_mmproj(
    source: str | os.PathLike[str] | Checkpoint | Any,
    path: str | os.PathLike[str],
    *,
    processor: Any = None,
    qtype: str | Mapping[str, str] | Choose = "F16",
    metadata: Mapping[str, object] | None = None,
    file_type: str | None = None,
    effort: str = "ggml",
    overwrite: bool = False,
    progress: bool | Callable[[int, int], object] = True,
    report: Callable[[Draft], object] | None = None,
) -> Path:
    """Write what sees or hears in a multimodal model as a file for llama.cpp's ``--mmproj``.

    The language model has a file of its own, which `export` writes.

    Parameters
    ----------
    source, path, metadata, file_type, effort, overwrite, progress, report
        As of `export`; a file in a folder is named ``mmproj-...``.
    processor : path or processor of Transformers, optional
        What normalizes images. Default: the files in the checkpoint's folder. A model in memory
        that sees needs one.
    qtype : str, mapping or callable
        As of `export`, but no mix. Convolutions over images, and what else llama.cpp wants in a
        type of its own, get that.

    Returns
    -------
    Path

    Raises
    ------
    UnsupportedError
        If there is no table for the model's type, or llama.cpp has such an encoder in another form
        only; if a type can't be written or read.
    CheckpointError
        If the checkpoint or the files of the processor are malformed; if tensors are missing
        without which llama.cpp would compute something else, or there is no place for one.
    QuantizationError, GGUFError, GGUFLabError
        As of `export`.

    Warns
    -----
    UserWarning
        If rows are no whole blocks of the type, and tensors get another one; if llama.cpp computes
        something otherwise whatever the file says; if a weight that is not rounded is not finite.
    """
    require_transformers("export")
    check_effort(effort)
    with open_source(source) as opened:
        draft = draft_projector(
            opened, processor=processor, qtype=qtype, metadata=metadata, file_type=file_type
        )
        paths = _write(
            draft,
            opened,
            path,
            effort=effort,
            overwrite=overwrite,
            progress=progress,
            report=report,
        )
    return paths[0]


def _write(
    draft: Draft,
    opened: Source,
    path: str | os.PathLike[str],
    *,
    imatrix: Mapping[str, Any] | None = None,
    effort: str,
    max_shard_bytes: int | None = None,
    overwrite: bool,
    progress: bool | Callable[[int, int], object],
    report: Callable[[Draft], object] | None,
) -> list[Path]:
    """Write a draft, and say aloud what is not as it was asked for."""
    if report is not None:
        report(draft)
    _warn_of_fallbacks(draft)
    for name, words in draft.unsaid.items():
        text = f"llama.cpp computes differently by {name}: {words}."
        warnings.warn(text, UserWarning, stacklevel=3)
    target = expanded(path)
    if target.is_dir():
        target /= draft.file_name
    payloads = [
        Payload(t.name, t.shape, t.qtype, partial(t.chunks, imatrix, effort)) for t in draft.tensors
    ]
    # what is rounded is refused if it is not finite
    unrounded = {
        t.name
        for t in draft.tensors
        # a limit may be infinite: there is none
        if t.qtype.name in {"F32", t.source_qtype} and not t.name.endswith(LIMITS)
    }
    unsound: dict[str, None] = {}
    with counted(progress, sum(p.nbytes for p in payloads), "export", "B") as count:
        paths = write_file(
            target,
            draft.metadata,
            [
                replace(p, chunks=partial(_each, p, count, unsound, p.name in unrounded))
                for p in payloads
            ],
            max_shard_bytes=max_shard_bytes,
            overwrite=overwrite,
            sources=(*opened.files, *file_of(imatrix)),
        )
    if unsound:
        text = (
            f"{len(unsound)} tensors ({few(map(quoted, unsound))}) have values that are NaN or"
            " infinite, and so has the file: with them llama.cpp computes NaN, and llama-quantize"
            " refuses it. Has the training failed?"
        )
        warnings.warn(text, UserWarning, stacklevel=3)
    return paths


def _warn_of_fallbacks(draft: Draft) -> None:
    """Say aloud which tensors don't get the type that was asked for."""
    groups: dict[tuple[str, str], list[str]] = {}
    for tensor in draft.tensors:
        if tensor.stored.fallback:
            groups.setdefault((tensor.qtype.name, tensor.stored.reason), []).append(tensor.name)
    if groups:
        listed = "; ".join(
            f"{len(names)} tensors ({names[0]}{', ...' if len(names) > 1 else ''}) become {qtype}:"
            f" {reason}"
            for (qtype, reason), names in groups.items()
        )
        warnings.warn(listed, UserWarning, stacklevel=4)


def _each(
    payload: Payload, count: Callable[[int], object], unsound: dict[str, None], unrounded: bool
) -> Iterator[NDArray[np.uint8]]:
    """Hand on the chunks of a tensor, each counted when the next one is asked for.

    Note its name if it has numbers that are not finite.
    """
    looked_at = unrounded and payload.qtype.block_size == 1
    for chunk in payload.chunks():
        if looked_at and not all_finite(chunk, payload.qtype.name):
            unsound[payload.name] = None
        yield chunk
        count(chunk.nbytes)
