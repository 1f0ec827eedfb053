"""The vocabulary that a file gets: text, score and type of every row of the embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import CheckpointError
from ...file.text import preview
from .vocabulary import TokenType

__all__ = ["Tokens"]


@dataclass(slots=True)
class Tokens:
    """Text, score and type of every id; ids without a token are fillers."""

    texts: list[str]
    scores: list[float]
    types: list[int]

    @classmethod
    def fillers(cls, count: int, score: float = -10000.0) -> Tokens:
        """Make a vocabulary of nothing but fillers, as the converter calls them."""
        texts = [f"[PAD{place}]" for place in range(count)]
        return cls(texts, [score] * count, [int(TokenType.UNUSED)] * count)

    def put(self, place: int, text: str, score: float, kind: int) -> None:
        """Give a row its token.

        Raises
        ------
        CheckpointError
            If there is no such row.
        """
        if not 0 <= place < len(self.texts):
            raise CheckpointError(
                f"Token {preview(text)} has the id {place}, but the embedding has"
                f" {len(self.texts)} rows. Give the tokenizer that belongs to the model."
            )
        self.texts[place], self.scores[place], self.types[place] = text, score, int(kind)

    def metadata(self, model: str, pre: str | None, *, scores: bool) -> dict[str, object]:
        """Return the keys, in the converter's order.

        Raises
        ------
        CheckpointError
            If two tokens have the same text.
        """
        found: dict[str, object] = {"tokenizer.ggml.model": model}
        if pre is not None:
            found["tokenizer.ggml.pre"] = pre
        found["tokenizer.ggml.tokens"] = self._distinct()
        if scores:
            found["tokenizer.ggml.scores"] = np.array(self.scores, np.float32)
        found["tokenizer.ggml.token_type"] = np.array(self.types, np.int32)
        return found

    def _distinct(self) -> list[str]:
        """Return the texts; llama.cpp ends the process if two are the same."""
        if len(set(self.texts)) == len(self.texts):
            return self.texts
        fillers = {
            place
            for place, text in enumerate(self.texts)
            if self.types[place] == TokenType.UNUSED and text == f"[PAD{place}]"
        }
        first: dict[str, int] = {}
        for place, text in enumerate(self.texts):
            # llama.cpp gives tokens without text a name
            if place not in fillers and text and first.setdefault(text, place) != place:
                raise CheckpointError(
                    f"The tokens {first[text]} and {place} are both {preview(text)} in the file,"
                    " and llama.cpp does not load a vocabulary with two tokens of one text. Remove"
                    " one of them from the tokenizer, or give another: tokenizer=..."
                )
        for place in fillers & {place for place, text in enumerate(self.texts) if text in first}:
            while self.texts[place] in first:
                self.texts[place] += "_"
        return self.texts
