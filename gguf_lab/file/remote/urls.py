"""URLs: taken apart, compared, and shown without what may be secret in them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ...errors import RemoteError
from ..text import printable

__all__ = ["origin", "redirected", "shown_url", "split_url"]


def split_url(url: str) -> SplitResult:
    """Take a URL of http or https apart, without its fragment.

    Raises
    ------
    RemoteError
        If it is none, or has a name and a password in it.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        raise RemoteError(
            f"{shown_url(url)} is not a URL. Expected http:// or https:// and a host, with spaces "
            "written as %20."
        )
    if "@" in parts.netloc:
        raise RemoteError(
            f"{shown_url(url)} had a name or a password before the host. Leave them out: a hub "
            "takes a token from HF_TOKEN."
        )
    return parts._replace(fragment="")


def shown_url(url: str) -> str:
    """Return what of a URL may be shown: no name, no password, no query, no fragment."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, colon, rest = bare.rpartition("://")
    host, slash, path = rest.partition("/")
    return printable(f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}", 200)


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port: what a token is bound to."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def redirected(url: str, location: str) -> str:
    """Return where a redirect leads.

    Raises
    ------
    RemoteError
        If it leads to no URL, or from an encrypted connection to one that is not.
    """
    try:
        target = urlunsplit(split_url(urljoin(url, location)))
    except ValueError:  # RemoteError too: its message shows where, not from where
        raise RemoteError(
            f"{shown_url(url)} redirects to {shown_url(location)!r}, which is not a URL."
        ) from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise RemoteError(
            f"{shown_url(url)} redirects to {shown_url(target)}, which is not encrypted. It is not "
            "followed."
        )
    return target
