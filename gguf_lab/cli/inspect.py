"""``gguf-lab info`` and ``gguf-lab tensors``: what is in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .terminal import FILE, plain, print_json, print_table, show

if TYPE_CHECKING:
    import argparse

    from ..model import Tensor

__all__ = ["add_info", "add_tensors"]


def add_info(commands: Any) -> None:
    """Add ``info``."""
    command = commands.add_parser("info", help="what the file is, and its metadata")
    command.add_argument("file", help=FILE)
    command.add_argument("--json", action="store_true", help="print JSON, arrays in full")
    command.set_defaults(run=_info)


def add_tensors(commands: Any) -> None:
    """Add ``tensors``."""
    command = commands.add_parser("tensors", help="one line per tensor")
    command.add_argument("file", help=FILE)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_tensors)


def _info(arguments: argparse.Namespace) -> int:
    from ..model import open_model

    with open_model(arguments.file) as model:
        facts: dict[str, Any] = {
            "path": str(model.path),
            "name": model.name,
            "architecture": model.architecture,
            "kind": model.kind,
            "version": model.version,
            "byteorder": model.byteorder,
            "file_type": model.file_type,
            "n_tensors": len(model.tensors),
            "n_parameters": model.n_parameters,
            "nbytes": model.nbytes,
            "bits_per_weight": model.bits_per_weight,
        }
        if arguments.json:
            metadata = {key: plain(value) for key, value in model.metadata.items()}
            print_json(facts | {"metadata": metadata})
            return 0
        for key, value in facts.items():
            print(f"{key:<16} {show(value)}")
        print()
        rows = [
            (show(key), model.metadata.type_of(key), show(value))
            for key, value in model.metadata.items()
        ]
        print_table(("key", "type", "value"), rows)
    return 0


def _tensors(arguments: argparse.Namespace) -> int:
    from ..model import open_model

    with open_model(arguments.file) as model:
        rows = [_tensor_row(tensor) for tensor in model.tensors.values()]
    if arguments.json:
        print_json(rows)
        return 0
    columns = ("name", "qtype", "shape", "n_elements", "nbytes", "bits_per_weight", "status")
    for row in rows:
        row["shape"] = " x ".join(map(str, row["shape"]))
    cells = [[show(row[column]) for column in columns] for row in rows]
    print_table(columns, cells, right=(3, 4, 5))
    return 0


def _tensor_row(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "layer": tensor.layer,
        "kind": tensor.kind,
        "qtype": tensor.qtype,
        "shape": list(tensor.shape),
        "n_elements": tensor.n_elements,
        "nbytes": tensor.nbytes,
        "bits_per_weight": tensor.bits_per_weight,
        "status": tensor.status,
    }
