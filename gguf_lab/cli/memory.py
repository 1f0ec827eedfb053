"""``gguf-lab memory``: will it run, and how fast at most."""

from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .terminal import FILE, escape, print_json, print_table

if TYPE_CHECKING:
    import argparse

    from ..footprint import Memory

__all__ = ["add_memory"]

_DESCRIPTION = """\
Count the memory that llama.cpp needs for a model and a context, and bound its tokens per second
by the bandwidth of known machines. Weights and cache are exact, the compute buffer is an estimate,
all with flash attention, which llama.cpp uses where it can (-fa auto).

exit status:
  0  done
  1  it does not fit in what --memory says
  2  it could not be counted: the line on standard error says why
"""


def add_memory(commands: Any) -> None:
    """Add ``memory``."""
    command = commands.add_parser(
        "memory",
        help="will it run: memory by context, and the bound on speed",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("file", help=FILE)
    command.add_argument(
        "--context", type=int, default=4096, metavar="N", help="tokens of all sequences (4096)"
    )
    command.add_argument(
        "--cache", default="F16", metavar="TYPE", help="type of keys and values (F16)"
    )
    command.add_argument(
        "--ubatch", type=int, default=512, metavar="N", help="tokens at once (512)"
    )
    command.add_argument(
        "--batch", type=int, metavar="N", help="tokens of a batch (2048, or those at once)"
    )
    command.add_argument("--parallel", type=int, default=1, metavar="N", help="sequences (1)")
    command.add_argument("--unified", action="store_true", help="all sequences share one cache")
    command.add_argument(
        "--gpu-layers", type=int, metavar="N", help="layers on GPUs; without it: one memory"
    )
    command.add_argument(
        "--split", type=_shares, default=(1.0,), metavar="A,B", help="shares of the GPUs (1)"
    )
    command.add_argument(
        "--memory",
        type=_gibibytes,
        metavar="GIB",
        help="answer whether it fits in so many GiB (2^30 bytes)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_memory)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{escape(text)!r}: expected numbers such as 3,1") from None


def _gibibytes(text: str) -> float:
    try:
        size = float(text) * 2**30
    except ValueError:
        size = -1.0
    if not 0 < size < 1e18:
        raise ArgumentTypeError(f"{escape(text)!r}: expected GiB, such as 8")
    return size


def _memory(arguments: argparse.Namespace) -> int:
    from ..footprint import memory

    found = memory(
        *(arguments.file, arguments.context),
        kv_type=arguments.cache,
        ubatch=arguments.ubatch,
        batch=arguments.batch,
        parallel=arguments.parallel,
        unified=arguments.unified,
        gpu_layers=arguments.gpu_layers,
        split=arguments.split,
    )
    fits = None if arguments.memory is None else found.fits(arguments.memory)
    if arguments.json:
        print_json(_plain(found) | ({} if fits is None else {"fits": fits}))
    else:
        _print(found)
        if fits is not None:
            print(f"\n{found.answer(arguments.memory)}")
    return 1 if fits is False else 0


def _print(found: Memory) -> None:
    from ..footprint.words import formulas_of, machine_rows

    print(escape_lines(repr(found)), end="\n\n")
    columns = (
        "machine",
        "memory",
        "fits",
        "bandwidth",
        "tokens/s, empty",
        "tokens/s, full context",
    )
    print_table(columns, machine_rows(found), right=(1, 3, 4, 5))
    print()
    for sentence in formulas_of(found):
        print(sentence)


def escape_lines(text: str) -> str:
    """Show control characters as escapes, line by line."""
    return "\n".join(map(escape, text.splitlines()))


def _plain(found: Memory) -> dict[str, Any]:
    facts = asdict(found)
    totals = ("weights", "cache", "state", "compute", "total", "rule_of_thumb", "read_per_token")
    facts |= {name: getattr(found, name) for name in totals}
    facts["compute_is_estimate"] = True
    facts["machines"] = found.machines_to_frame().to_dict("records")
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}
