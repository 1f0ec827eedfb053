"""``gguf-lab export``: a checkpoint of Transformers as a GGUF file."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from ..errors import GGUFLabError
from ..file.text import few
from .quantize import add_quantizers
from .terminal import escape, print_json, print_table, say, show

if TYPE_CHECKING:
    from ..bridge.draft import Draft, DraftTensor

__all__ = ["add_export"]

_COLUMNS = ("name", "shape", "qtype", "reason", "from", "transform")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def add_export(commands: Any) -> None:
    """Add ``export``."""
    command = commands.add_parser("export", help="write a checkpoint as a GGUF file")
    command.add_argument("folder", help="the folder of a safetensors checkpoint, or one such file")
    command.add_argument(
        "out", help="the file to write, or a folder, in which it is named by the convention"
    )
    command.add_argument(
        "--qtype", default="F16", metavar="TYPE", help="F32, F16 (default), BF16, Q8_0, ..."
    )
    command.add_argument(
        "--mmproj",
        action="store_true",
        help="write what sees or hears in a multimodal model, for llama.cpp's option of this name",
    )
    command.add_argument(
        "--processor",
        metavar="FOLDER",
        help="where the processor is, if elsewhere (--mmproj)",
    )
    command.add_argument(
        "--tokenizer", metavar="FOLDER", help="where the tokenizer is, if it is elsewhere"
    )
    command.add_argument(
        "--no-tokenizer", action="store_true", help="write none: a model without words"
    )
    command.add_argument(
        "--shard-size", type=_size, metavar="N[K|M|G]", help="split into files of so many bytes"
    )
    add_quantizers(command)
    command.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_export)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18})([KMG]?)", text.upper())
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{escape(text)} is no size such as 2G or 500M")
    return int(match[1]) * _UNITS[match[2]]


def _export(arguments: argparse.Namespace) -> int:
    import warnings

    from ..bridge.exporting import export, export_mmproj

    _check_options(arguments)
    drafts: list[Draft] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        shared = {
            "qtype": arguments.qtype,
            "effort": arguments.effort,
            "overwrite": arguments.overwrite,
            "progress": sys.stderr.isatty(),
            "report": drafts.append,
        }
        if arguments.mmproj:
            one = export_mmproj(
                arguments.folder, arguments.out, processor=arguments.processor, **shared
            )
            paths = [one]
        else:
            written = export(
                arguments.folder,
                arguments.out,
                tokenizer=False if arguments.no_tokenizer else arguments.tokenizer,
                max_shard_bytes=arguments.shard_size,
                imatrix=arguments.imatrix,
                **shared,
            )
            paths = written if isinstance(written, list) else [written]
    (draft,) = drafts
    noted = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    for text in noted:
        say(f"warning: {text}")
    if arguments.json:
        print_json(
            {
                "paths": [str(path) for path in paths],
                "tensors": [
                    _row(tensor) | {"shape": list(tensor.shape), "from": list(tensor.names)}
                    for tensor in draft.tensors
                ],
                "left_out": draft.left_out,
                "warnings": noted,
            }
        )
        return 0
    cells = [[show(_row(tensor)[column]) for column in _COLUMNS] for tensor in draft.tensors]
    print_table(_COLUMNS, cells, right=(1,))
    for why, names in draft.left_out_by_reason().items():
        print(f"left out: {few(map(escape, names))}: {escape(why)}")
    for path in paths:
        print(f"{escape(str(path))}: {path.stat().st_size:,} bytes")
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that the chosen file has no use for, and two that contradict each other."""
    language = ("tokenizer", "no_tokenizer", "shard_size", "imatrix")
    unused = language if arguments.mmproj else ("processor",)
    given = [f"--{name.replace('_', '-')}" for name in unused if getattr(arguments, name)]
    if given:
        verb = "is not used with" if arguments.mmproj else "is used only with"
        raise GGUFLabError(f"{', '.join(given)} {verb} --mmproj.")
    if arguments.tokenizer and arguments.no_tokenizer:
        raise GGUFLabError("--tokenizer and --no-tokenizer exclude each other.")


def _row(tensor: DraftTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": " x ".join(map(str, tensor.shape)),
        "qtype": tensor.qtype.name,
        "reason": tensor.stored.reason,
        "from": ", ".join(tensor.names),
        "transform": tensor.transform,
    }
