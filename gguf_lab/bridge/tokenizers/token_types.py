"""What kinds of tokens a file knows."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["MATCHED", "TokenType"]


class TokenType(IntEnum):
    """The types in `tokenizer.ggml.token_type` (``enum llama_token_type``)."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


MATCHED = (TokenType.UNKNOWN, TokenType.CONTROL, TokenType.USER_DEFINED)
"""Types whose tokens are found in a text as they stand, before anything else happens to it."""
