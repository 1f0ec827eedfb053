"""The hub that is asked and the token that it is asked with, from their standard places.

Source: "Environment variables" of the documentation of huggingface_hub: HF_ENDPOINT, HF_TOKEN,
HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME, HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_OFFLINE.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import GGUFLabError, RemoteError
from ..source import expanded
from .urls import origin, split_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Token", "endpoint", "find_token", "is_hub"]

_HUB = "https://huggingface.co"
_TRUE = {"1", "ON", "YES", "TRUE"}
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that no representation shows."""

    _secret: str = field(repr=False)

    def header(self) -> str:
        """Return the value of the header ``Authorization``."""
        return f"Bearer {self._secret}"

    def __str__(self) -> str:
        return repr(self)


def endpoint() -> str:
    """Return the URL of the hub, without a slash at its end.

    Raises
    ------
    RemoteError
        If HF_ENDPOINT is no URL, or HF_HUB_OFFLINE forbids to ask.
    """
    if _is_set("HF_HUB_OFFLINE"):
        raise RemoteError("HF_HUB_OFFLINE is set, so the hub is not asked. Unset it to read hf://.")
    return _hub()


def _hub() -> str:
    url = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB
    try:
        if not split_url(url).query:
            return url
    except RemoteError:
        pass
    raise RemoteError(f"HF_ENDPOINT is not the URL of a hub. Expected one like {_HUB}.")


def is_hub(url: str) -> bool:
    """Tell whether a URL is one of the hub: of the same scheme, host and port."""
    return origin(url) == origin(_hub())


def find_token() -> Token | None:
    """Return the token of the environment or of the login to the hub, None if there is none.

    Raises
    ------
    RemoteError
        If what is there cannot be a token. The message does not show it.
    """
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := _tidy(os.environ.get(variable, ""), f"the variable {variable}"):
            return token
    if _is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return None
    try:
        path = _token_path()
    except GGUFLabError:  # no home, no login
        return None
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _tidy(file.read(_LONGEST + 1), f"the file {path}")
    except OSError:
        return None


def _token_path() -> Path:
    if path := os.environ.get("HF_TOKEN_PATH"):
        return expanded(path)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return expanded(os.path.expandvars(home)) / "token"


def _tidy(text: str, where: str) -> Token | None:
    text = text.strip()
    if not text:
        return None
    # A client would repeat a header that it refuses in its message.
    if len(text) > _LONGEST or not all("!" <= c <= "~" for c in text):
        raise RemoteError(
            f"{where} does not hold a token: it has spaces, line breaks, characters outside of "
            f"ASCII or more than {_LONGEST:,} characters. Set it again, or log in again."
        )
    return Token(text)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in _TRUE
