"""The vocabulary of a file as a table: any size, because only what is seen is sent."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import traitlets

from ..bridge.tokenizers.vocabulary import TokenType, read_special
from ..errors import GGUFError, GGUFLabError
from ..file.text import printable
from ..markup import card, grid, more
from .assets import script, style
from .base import Panel
from .jobs import Jobs
from .tokens import TokenList, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .owner import Openable

__all__ = ["Vocabulary"]

PAGE: Final = 200
_FIRST: Final = 60  # rows that come with the panel
_SLICE: Final = 0.08  # seconds that a search may take before it answers
_KEPT: Final = 4  # searches whose results are kept
_HEX: Final = 24  # bytes of a token that are written out

_COLUMNS: Final = (
    ("id", "id", "Number of the token: the row of the embedding that belongs to it", True),
    ("text", "text", "What the token stands for; \u2423 is a space, \\n a line break", False),
    ("token", "as stored", "The token as the file has it", False),
    ("type", "type", "What the token is for, and the role that a key of the file gives it", True),
    ("score", "score", "SentencePiece's score: the logarithm of its probability", True),
    ("merge", "merge", "The merge that makes it, by number (the first the first)", True),
)


@dataclass(slots=True)
class _Search:
    """The tokens that were found, and how far the search has come."""

    steps: Iterator[tuple[list[int], int]]
    looked_at: int = 0
    found: list[int] = field(default_factory=list)
    order: tuple[object, np.ndarray[Any, np.dtype[np.int64]]] | None = None


class Vocabulary(Panel):
    """The tokens of a model: to page through, to search by text or id, to filter by type.

    Rows come from the kernel in pages of 200, so a vocabulary of any size opens at once.

    Parameters
    ----------
    model : Model, path or Address
        A model, or any file of one: what is given as a path is closed with the panel.
    height : int
        Height in CSS pixels.

    Attributes
    ----------
    token : int
        The selected token, -1 for none; readable, settable, observable.
    """

    _esm = script("vocabulary")
    _css = style("table", "vocabulary")

    columns = traitlets.List(traitlets.Dict(), help="Columns that this file has").tag(sync=True)
    total = traitlets.Int(0, help="Tokens of the vocabulary").tag(sync=True)
    first = traitlets.List(traitlets.Dict(), help="The first rows, see `_row`").tag(sync=True)
    kinds = traitlets.List(
        traitlets.List(), help="[type, its name, tokens of this type] for the filter"
    ).tag(sync=True)
    merges = traitlets.Enum(
        ("none", "reading", "known"), "none", help="Whether it is known what merge makes a token"
    ).tag(sync=True)
    token = traitlets.Int(-1, help="The selected token; -1: none").tag(sync=True)

    def __init__(self, model: Openable, *, height: int = 420) -> None:
        model = self._model_of(model)
        self._tokens = TokenList(model.metadata)
        self._name = model.name
        self._searches: OrderedDict[tuple[str, int | None], _Search] = OrderedDict()
        self._roles: dict[int, str] = {}
        problems = list(self._tokens.problems)
        try:
            for role, token in read_special(model.metadata).items():
                named = self._roles.get(token)
                self._roles[token] = f"{named}, {role}" if named else role
        except GGUFLabError as error:
            problems.append(str(error))
        super().__init__(height=height, label="Vocabulary", error="\n".join(problems))
        self._jobs = Jobs(self._fail, lambda words, share: None)
        tokens = self._tokens
        there = {"score": tokens.scores is not None, "merge": len(tokens.merges) > 0}
        self.columns = [
            {"id": key, "label": label, "title": title, "sort": sort}
            for key, label, title, sort in _COLUMNS
            if there.get(key, True)
        ]
        self.total = len(tokens)
        self.kinds = self._count_kinds()
        self.first = self._rows(np.arange(min(_FIRST, len(tokens))))

    def _count_kinds(self) -> list[list[Any]]:
        if self._tokens.types is None:
            return [[int(TokenType.NORMAL), _kind(TokenType.NORMAL), len(self._tokens)]]
        kinds, counts = np.unique(self._tokens.types, return_counts=True)
        # A file with hostile types may have as many as tokens.
        listed = sorted(zip(counts.tolist(), kinds.tolist(), strict=True), reverse=True)[:20]
        return sorted([kind, _kind(kind), n] for n, kind in listed)

    @traitlets.validate("token")
    def _check_token(self, proposal: dict[str, Any]) -> int:
        token = int(proposal["value"])
        if not -1 <= token < self.total:
            raise GGUFError(f"there is no token {token}: the vocabulary has {self.total:,}")
        return token

    # -- questions

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        ask = question["ask"]
        if ask == "find":
            search = self._search(question)
            end = time.monotonic() + _SLICE
            for found, looked_at in search.steps:
                search.found += found
                search.looked_at = looked_at
                if time.monotonic() > end:
                    break
            return {"found": len(search.found), "looked_at": search.looked_at}
        if ask == "rows":
            self._know_merges()
            start = max(0, int(question["start"]))
            stop = min(int(question["stop"]), start + PAGE)
            return {"rows": self._rows(self._order(question)[start:stop])}
        if ask == "place":
            at = np.flatnonzero(self._order(question) == int(question["token"]))
            return {"place": int(at[0]) if at.size else -1}
        return super()._answer(question)

    def _search(self, question: dict[str, Any]) -> _Search:
        """Return the search that a question is about, with what it has found so far."""
        kind = question.get("kind")
        key = (str(question.get("text", ""))[:200], None if kind is None else int(kind))
        if key not in self._searches:
            self._searches[key] = _Search(self._tokens.find(*key))
        self._searches.move_to_end(key)
        while len(self._searches) > _KEPT:
            self._searches.popitem(last=False)
        return self._searches[key]

    def _order(self, question: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
        by, down = str(question.get("sort", "id")), bool(question.get("down"))
        if not question.get("text") and question.get("kind") is None and by == "id":
            everything = np.arange(self.total)
            return everything[::-1] if down else everything
        search = self._search(question)
        key = (by, down, len(search.found), self._tokens.merged is None)
        if search.order is None or search.order[0] != key:
            found = np.array(search.found, np.int64)
            search.order = key, self._tokens.ordered(found, by, down=down)
        return search.order[1]

    def _know_merges(self) -> None:
        """Look up, away from the kernel's thread, which merge makes which token."""
        if self.merges == "none" and len(self._tokens.merges):
            self.merges = "reading"
            self._jobs.put("merges", self._read_merges(), "Reading the merges")

    def _read_merges(self) -> Iterator[float]:
        yield from self._tokens.index_merges()
        self.merges = "known"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the merges are known; False if `timeout` seconds were not enough."""
        return self._jobs.wait(timeout)

    # -- rows

    def _rows(self, tokens: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
        ids = tokens.tolist()
        if ids and ids == list(range(ids[0], ids[0] + len(ids))):
            stored = self._tokens.stored(ids[0], ids[0] + len(ids))
        else:
            stored = [self._tokens.stored(i, i + 1)[0] for i in ids]
        return [self._row(i, text) for i, text in zip(ids, stored, strict=True)]

    def _row(self, token: int, stored: str) -> dict[str, Any]:
        meaning = self._tokens.meaning(token, stored)
        raw = meaning if isinstance(meaning, bytes) else meaning.encode("utf-8", "surrogatepass")
        merge = self._tokens.merge_of(token)
        scores = self._tokens.scores
        return {
            "id": token,
            "text": [list(piece) for piece in pieces(meaning)],
            "token": printable(stored, 120),
            "type": _kind(self._tokens.type_of(token)),
            "role": self._roles.get(token, ""),
            "score": None if scores is None else f"{scores[token]:.6g}".replace("-", "\u2212"),
            "merge": None if merge is None else [merge[0], merge[1]],
            "bytes": len(raw),
            "hex": raw[:_HEX].hex(" ") + (" \u2026" if len(raw) > _HEX else ""),
        }

    # -- static form

    def __repr__(self) -> str:
        return f"<Vocabulary: {self.total:,} tokens of {printable(self._name, 80)}>"

    def _static(self, limit: int | None) -> str:
        shown = self.total if limit is None else min(limit, self.total)
        keys = [column["id"] for column in self.columns]
        rows = [
            [_plain(row, key) for key in keys]
            for start in range(0, shown, PAGE)
            for row in self._rows(np.arange(start, min(start + PAGE, shown)))
        ]
        return card(
            f"Vocabulary of {printable(self._name, 120)}",
            grid([column["label"] for column in self.columns], rows, numeric=[0]),
            more(self.total, shown, "tokens"),
        )


def _kind(number: int) -> str:
    """Return the name of a token's type."""
    if number in set(TokenType):
        return TokenType(number).name.lower().replace("_", "-")
    return "missing" if number < 0 else f"{number} (unknown)"


def _plain(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if value is None:
        return ""
    if key == "text":
        return "".join(text for text, _ in value)
    if key == "merge":
        return f"{value[0]:,}: {value[1]}"
    if key == "type" and row["role"]:
        return f"{value} ({row['role']})"
    return str(value)
