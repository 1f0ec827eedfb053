"""``gguf-lab check``: everything that is unusual or wrong in a file."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .terminal import FILE, escape, print_json, print_table

if TYPE_CHECKING:
    import argparse

    from ..checks import Finding

__all__ = ["add_check"]

_STATUS = {None: 0, "note": 0, "warning": 1, "error": 2}
_DESCRIPTION = """\
Say everything that is unusual or wrong in a GGUF file, the worst first, with the reason.

exit status:
  0  nothing, or notes only
  1  warnings: the file loads, but something in it is probably not what was meant
  2  errors: llama.cpp refuses the file or its numbers are no numbers; also if the check failed
"""


def add_check(commands: Any) -> None:
    """Add ``check``."""
    command = commands.add_parser(
        "check",
        help="what is unusual or wrong in a file",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("file", help=FILE)
    command.add_argument(
        "reference", nargs="?", help="its original, to compare with: a checkpoint, or a GGUF file"
    )
    command.add_argument(
        "--quick", action="store_true", help="read the head of the file only: no values, no errors"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from ..checks import check

    found = check(
        arguments.file,
        arguments.reference,
        deep=not arguments.quick,
        progress=sys.stderr.isatty(),
    )
    if arguments.json:
        print_json(
            {
                "file": arguments.file,
                "worst": found.worst,
                "summary": found.summary,
                "findings": [asdict(finding) for finding in found],
                "skipped": found.skipped,
            }
        )
    else:
        if found:
            columns = ("severity", "rule", "where", "what")
            print_table(columns, [_row(finding) for finding in found])
        print(escape(f"{found.name}: {found.summary}"))
    return _STATUS[found.worst]


def _row(finding: Finding) -> list[str]:
    return [finding.severity, finding.code, escape(finding.where), escape(finding.text)]
