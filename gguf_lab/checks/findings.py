"""What a check found: findings by severity, each with the place, the reason and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Literal, overload

from ..file.text import printable
from ..markup import card, facts, fold, grid, mark, note

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["SEVERITIES", "Finding", "Findings", "Severity"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

_COLOURS = {"error": 5, "warning": 1, "note": 4}  # of `mark`; the word stands there too
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is unusual or wrong.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        Error: the file is malformed, or llama.cpp refuses it, or its numbers are no numbers.
        Warning: it loads, and something in it is probably not what was meant. Note: worth knowing.
    code : str
        The rule that found it: a key of ``gguf_lab.checks.RULES``; or "malformed" (nothing else
        could be asked), or "other-model" (the reference is not of this model).
    where : str
        A tensor, a metadata key, or "file".
    message : str
        What was found, with figures, and why it matters.
    what_to_do : str
        What helps; empty if nothing has to be done.
    """

    severity: Severity
    code: str
    where: str
    message: str
    what_to_do: str = ""

    @property
    def text(self) -> str:
        """The message and what to do, as sentences."""
        return f"{self.message.rstrip('.')}. {self.what_to_do}".rstrip()


class Findings(Sequence[Finding]):
    """What `check` found in a file, the worst first.

    Attributes
    ----------
    name : str
        The file.
    skipped : dict of str to str
        Rules that were not asked, and why.
    """

    def __init__(
        self, name: str, found: Iterable[Finding], skipped: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.skipped = dict(skipped or {})
        self._found = tuple(sorted(found, key=lambda f: SEVERITIES.index(f.severity)))

    @overload
    def __getitem__(self, index: int) -> Finding: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...

    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding, None if there is none."""
        return self._found[0].severity if self._found else None

    @property
    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding.code for finding in self._found}

    @property
    def summary(self) -> str:
        """How many findings of which severity there are, in words."""
        counts = Counter(finding.severity for finding in self._found)
        parts = [f"{counts[s]} {s}{'s' * (counts[s] > 1)}" for s in SEVERITIES if counts[s]]
        words = ", ".join(parts) or "nothing unusual found"
        n = len(self.skipped)
        return f"{words}; {n:,} rule{'s' * (n > 1)} not asked" if n else words

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: severity, code, where, message, what_to_do."""
        import pandas as pd

        columns = [field.name for field in fields(Finding)]
        return pd.DataFrame([astuple(f) for f in self._found], columns=columns, dtype=object)

    def __repr__(self) -> str:
        lines = [f"{printable(self.name)}: {self.summary}"]
        for f in self._found[:_SHOWN]:
            text = printable(f"{f.where}: {f.text}", 2000)
            lines.append(f"  {f.severity} [{f.code}] {text}")
        if len(self) > _SHOWN:
            lines.append(f"  … and {len(self) - _SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (mark(f.severity, _COLOURS[f.severity]), f.code, f.where, f.message, f.what_to_do)
            for f in self._found[:_SHOWN]
        ]
        columns = ("severity", "rule", "where", "what", "what to do")
        left_out = f"and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        skipped = [fold("Rules not asked", facts(self.skipped.items()))] if self.skipped else []
        table = [grid(columns, rows), note(left_out)] if rows else []
        return card(f"Check of {self.name}", *table, *skipped, note=self.summary)
