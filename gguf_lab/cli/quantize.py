"""``gguf-lab quantize``: a model in fewer bits."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from .terminal import escape, print_json, print_table, show

if TYPE_CHECKING:
    from ..quantization import QuantizedTensor

__all__ = ["add_quantize", "add_quantizers"]

_COLUMNS = ("name", "shape", "source_qtype", "qtype", "bits_per_weight", "reason")


def add_quantizers(command: argparse.ArgumentParser) -> None:
    """Add the options of the quantizers to a command that writes blocks."""
    command.add_argument("--imatrix", metavar="FILE", help="an importance matrix")
    command.add_argument(
        "--effort",
        choices=("ggml", "best"),
        default="ggml",
        help="ggml: its own choices, to the bit; best: less squared error in as many bits, slower",
    )


def add_quantize(commands: Any) -> None:
    """Add ``quantize``."""
    command = commands.add_parser(
        "quantize", help="write a model in fewer bits, as llama-quantize does"
    )
    command.add_argument("file", help="a GGUF file, or any file of a shard set")
    command.add_argument("out", help="the file to write")
    command.add_argument("type", help="a mix of llama-quantize, such as Q4_K_M, or F16")
    add_quantizers(command)
    command.add_argument(
        "--tensor-type",
        action="append",
        default=[],
        type=_override,
        metavar="PATTERN=TYPE",
        help="another type for the tensors whose names match a regular expression; the first wins",
    )
    command.add_argument("--pure", action="store_true", help="the base type for every tensor")
    command.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_quantize)


def _override(text: str) -> tuple[str, str]:
    pattern, _, qtype = text.rpartition("=")
    if not pattern or not qtype:
        raise argparse.ArgumentTypeError(f"{escape(text)} is not of the form PATTERN=TYPE")
    return pattern, qtype


def _quantize(arguments: argparse.Namespace) -> int:
    from ..quantization import requantize

    overrides: dict[str, str] = {}
    for pattern, qtype in arguments.tensor_type:
        overrides.setdefault(pattern, qtype)
    result = requantize(
        arguments.file,
        arguments.out,
        arguments.type,
        imatrix=arguments.imatrix,
        overrides=overrides,
        pure=arguments.pure,
        effort=arguments.effort,
        overwrite=arguments.overwrite,
        progress=sys.stderr.isatty(),
    )
    if arguments.json:
        print_json(
            {
                "paths": [str(path) for path in result.paths],
                "mix": result.mix,
                "summary": result.summary,
                "nbytes": result.nbytes,
                "bits_per_weight": result.bits_per_weight,
                "tensors": [_row(tensor) for tensor in result.tensors],
            }
        )
        return 0
    cells = []
    for tensor in result.tensors:
        row = _row(tensor) | {"shape": " x ".join(map(str, tensor.shape))}
        cells.append([show(row[column]) for column in _COLUMNS])
    print_table(_COLUMNS, cells, right=(1, 4))
    print(escape(result.summary))
    return 0


def _row(tensor: QuantizedTensor) -> dict[str, Any]:
    from ..quantization.result import COLUMNS

    return {column: getattr(tensor, column) for column in COLUMNS}
