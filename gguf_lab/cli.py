"""The command line: ``gguf-lab info | tensors | compare | lab``."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ComparisonError, GGUFLabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .comparison import Comparison, TensorComparison
    from .model import Tensor

__all__ = ["main"]

_FIGURES = ("relative_rmse", "rmse", "sqnr_db", "cosine", "max_abs_error", "n_nan")
_ARRAY_ITEMS = 3  # of an array, in a table
_WIDTH = 72  # of a text, in a table


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 if the command failed: then one line on standard error says why.
    """
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.run is not _lab:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    if isinstance(sys.stdout, io.TextIOWrapper):  # tokens hold letters that a terminal may lack
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, say `head`, has left. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GGUFLabError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gguf-lab", description="Look inside quantized language models (GGUF files)."
    )
    parser.add_argument("--version", action="version", version=f"gguf-lab {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("info", help="what the file is, and its metadata")
    command.add_argument("file", help="a GGUF file, or any file of a shard set")
    command.add_argument("--json", action="store_true", help="print JSON, arrays in full")
    command.set_defaults(run=_info)

    command = commands.add_parser("tensors", help="one line per tensor")
    command.add_argument("file", help="a GGUF file, or any file of a shard set")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_tensors)

    command = commands.add_parser("compare", help="the error of each tensor against its original")
    command.add_argument("file", help="a GGUF file, or any file of a shard set")
    command.add_argument(
        "reference", help="the folder of the original safetensors checkpoint, or another GGUF file"
    )
    command.add_argument(
        "--sort", choices=_FIGURES, metavar="FIGURE", help=f"worst first, by {_list(_FIGURES)}"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_compare)

    command = commands.add_parser(
        "lab",
        help="open JupyterLab",
        usage="%(prog)s [NOTEBOOK] [JUPYTERLAB OPTION ...]",
        description="Open JupyterLab. All arguments are JupyterLab's own.",
    )
    command.set_defaults(run=_lab)
    return parser


def _info(arguments: argparse.Namespace) -> int:
    from .model import open_model

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
            metadata = {key: _plain(value) for key, value in model.metadata.items()}
            _print_json(facts | {"metadata": metadata})
            return 0
        for key, value in facts.items():
            print(f"{key:<16} {_show(value)}")
        print()
        rows = [
            (_show(key), model.metadata.type_of(key), _show(value))
            for key, value in model.metadata.items()
        ]
        _print_table(("key", "type", "value"), rows)
    return 0


def _tensors(arguments: argparse.Namespace) -> int:
    from .model import open_model

    with open_model(arguments.file) as model:
        rows = [_tensor_row(tensor) for tensor in model.tensors.values()]
    if arguments.json:
        _print_json(rows)
        return 0
    columns = ("name", "qtype", "shape", "n_elements", "nbytes", "bits_per_weight", "status")
    cells = [[_show(_flat(row)[column]) for column in columns] for row in rows]
    _print_table(columns, cells, right=(3, 4, 5))
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


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"shape": " x ".join(map(str, row["shape"]))}


def _compare(arguments: argparse.Namespace) -> int:
    from .comparison import compare
    from .model import open_model

    with open_model(arguments.file) as model:
        result = compare(model, arguments.reference, progress=sys.stderr.isatty())
    rows = list(result.rows)
    if arguments.sort:
        # Low is bad for the signal-to-noise ratio and the cosine, high for all others.
        sign = 1 if arguments.sort in {"sqnr_db", "cosine"} else -1
        rows.sort(key=lambda row: _sort_key(getattr(row, arguments.sort), sign))
    if arguments.json:
        _print_json([_comparison_row(row) for row in rows])
    else:
        columns = ("name", "status", "qtype", "reference_qtype", *_FIGURES)
        cells = [[_show(_comparison_row(row)[column]) for column in columns] for row in rows]
        _print_table(columns, cells, right=range(4, 10))
        _print_reasons(rows)
        _print_metadata(result)
    if not any(row.measured for row in rows):
        raise ComparisonError(
            f"{arguments.file}: no tensor has an original in {arguments.reference}"
        )
    return 0


def _sort_key(figure: float | None, sign: int) -> tuple[bool, float]:
    """Order by figure; rows without one come last, and NaN is the worst of all."""
    if figure is None:
        return True, 0.0
    return False, -math.inf if math.isnan(figure) else sign * figure


def _comparison_row(row: TensorComparison) -> dict[str, Any]:
    return {
        "name": row.name,
        "reference_name": row.reference_name,
        "transform": row.transform,
        "status": row.status,
        "reason": row.reason,
        "layer": row.layer,
        "kind": row.kind,
        "qtype": row.qtype,
        "reference_qtype": row.reference_qtype,
        "shape": list(row.shape),
        "n_elements": row.n_elements,
        "bits_per_weight": row.bits_per_weight,
        **{figure: getattr(row, figure) for figure in _FIGURES},
    }


def _print_reasons(rows: Iterable[TensorComparison]) -> None:
    doubts: Counter[str] = Counter()
    for row in rows:
        if not row.measured:
            print(f"{_escape(row.name or row.reference_name or '')}: {_escape(row.reason)}")
        elif row.status != "compared":
            doubts[f"{row.status}: {row.reason}"] += 1
    for words, n in doubts.items():
        print(f"{n} tensors are {_escape(words)}")


def _print_metadata(result: Comparison) -> None:
    for found in result.metadata:
        values = f"{found.ours or '-'} | {found.theirs or '-'}"
        print(f"metadata {_escape(found.key)}: {_escape(found.kind)}: {_escape(values)}")


def _lab(arguments: argparse.Namespace) -> int:
    """Become a clean JupyterLab: no pop-up asks about news, and the kernel is of this environment.

    The defaults in `jupyter_config` are layered under what the user has set in his own JupyterLab.
    """
    command = [sys.executable, "-m", "jupyterlab"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    config = [str(Path(__file__).with_name("jupyter_config"))]
    if "JUPYTER_CONFIG_PATH" in os.environ:
        config.append(os.environ["JUPYTER_CONFIG_PATH"])
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(config),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    return os.execve(sys.executable, command + arguments.rest, environment)  # noqa: S606


def _fail(message: str) -> int:
    print(f"gguf-lab: {_escape(' '.join(message.split()))}", file=sys.stderr)
    return 2


def _print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()
) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    numbers = set(right)
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_json(value: object) -> None:
    # JSON knows no NaN or infinity: null says that there is no number.
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """Turn the lazy arrays of the metadata, nested ones too, into lists."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return value
    return [_plain(item) for item in value]


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = _escape(value[: _WIDTH + 1])
        return text if len(value) <= _WIDTH else text[: _WIDTH - 3] + "..."
    if not hasattr(value, "__len__"):
        return str(value)
    items = ", ".join(_show(item)[:24] for item in value[:_ARRAY_ITEMS])
    more = f", ... {len(value):,} in all" if len(value) > _ARRAY_ITEMS else ""
    return f"[{items}{more}]"


def _escape(text: str) -> str:
    """Show control characters as escapes: what a file says must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
