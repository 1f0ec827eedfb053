"""Names of things that lie on a server: ``hf://owner/repo@revision/path`` and ``https://`` URLs.

A URL may carry a signature or a key in its query. It is used to ask, and never shown.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ...errors import GGUFLabError, RemoteError
from ..source import expanded
from ..text import quoted
from .login import endpoint, is_hub
from .urls import split_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Address", "location", "parse_address", "parse_repository"]

_SCHEMES = ("hf://", "https://", "http://")
_OWNER_OR_REPO = re.compile(r"[\w-]+(?:\.[\w-]+)*", re.ASCII)
# Revisions of the hub that have slashes in them.
_REFERENCE = re.compile(r"refs/(?:convert/[\w.-]+|pr/[0-9]+)(?=/|$)", re.ASCII)
# The page of a file or a folder: what stands in the address bar where one looks at it on the hub.
_PAGE = re.compile(r"/([^/]+/[^/]+)/(?:blob|tree)/([^/]+)(/.*)?")
_LONGEST = 8192
_IN_PATHS = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file, or what stands for a folder, is on a server. Made by `parse_address`.

    Attributes
    ----------
    root : str
        What comes before the path where the address is shown: ``hf://owner/repo@revision``,
        ``https://host``.
    path : str
        The path behind it, percent-encoded as in a URL; empty for a whole repository.
    repository, revision : str
        On a hub; empty for a plain URL, and where no revision was named.
    """

    root: str
    path: str
    repository: str = ""
    revision: str = ""
    _endpoint: str = field(default="", repr=False)
    _query: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """What is asked for. It may hold a signature: do not show it."""
        if self.repository:
            revision = quote(self.revision or "main", safe="")
            return f"{self._endpoint}/{self.repository}/resolve/{revision}/{self.path}"
        return f"{self.root}/{self.path}" + (f"?{self._query}" if self._query else "")

    @property
    def has_query(self) -> bool:
        """Whether the URL has a query, which may be a signature."""
        return bool(self._query)

    @property
    def name(self) -> str:
        """The last part of the path; the name of the repository if there is none."""
        last = (self.path or self.repository).rstrip("/").rpartition("/")[2]
        return unquote(last) or self.root

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def suffix(self) -> str:
        """The ending of the name with its dot, such as ".gguf"."""
        _, dot, end = self.name.rpartition(".")
        return dot + end if dot else ""

    @property
    def parent(self) -> Address:
        """What stands for the folder that it is in."""
        return replace(self, path=self.path.rstrip("/").rpartition("/")[0])

    @property
    def whole(self) -> Address:
        """The repository that it is in."""
        return replace(self, path="")

    def child(self, name: str) -> Address:
        """Return the address of something inside; this one stands for a folder."""
        return replace(self, path="/".join(filter(None, (self.path.rstrip("/"), quote(name)))))

    def at(self, commit: str) -> Address:
        """Return the same at a commit of its repository: what is asked for cannot move then."""
        return replace(self, revision=commit)

    def __str__(self) -> str:
        return f"{self.root}/{unquote(self.path)}" if self.path else self.root


def location(name: str | os.PathLike[str] | Address) -> Path | Address:
    """Return where something is: an address if the name begins like one of a server, else a path.

    A path may begin with ``~``.

    Raises
    ------
    GGUFLabError
        If the name is empty, as an unset variable of a shell is: `Path` would take it for the
        folder that one is in. If it begins with a home that nobody knows.
    RemoteError
        If it begins like an address and is none.
    """
    if isinstance(name, Address):
        return name
    if isinstance(name, str) and name.lower().startswith(_SCHEMES):
        return parse_address(name)
    if not os.fspath(name):
        raise GGUFLabError("The name of what to open is empty. Give a path or an address.")
    return expanded(name)


def parse_address(name: str | Address) -> Address:
    """Read a name.

    Parameters
    ----------
    name : str or Address
        ``hf://owner/repo/path``, ``hf://owner/repo@revision/path`` or ``hf://owner/repo``, on the
        hub of HF_ENDPOINT (slashes in a revision are written ``%2F``); or a ``https://`` or
        ``http://`` URL. The page that the hub shows of a file stands for the file.

    Raises
    ------
    RemoteError
        If it has no such form.
    """
    if isinstance(name, Address):
        return name
    if len(name) > _LONGEST:
        raise RemoteError(f"an address of {len(name):,} characters is none. Check what is opened.")
    if name.lower().startswith("hf://"):
        return _parse_hub(name[5:].rstrip("/"))
    parts = split_url(name)
    if is_hub(name) and (page := _PAGE.fullmatch(parts.path)):
        repository, revision, inside = page.groups("")
        return _parse_hub(f"{repository}@{revision}{unquote(inside).rstrip('/')}")
    path = quote(parts.path.lstrip("/"), safe=_IN_PATHS)
    return Address(f"{parts.scheme}://{parts.netloc}", path, _query=parts.query)


def parse_repository(name: str | Address) -> Address:
    """Read ``owner/repo``, ``owner/repo@revision``, or the same behind ``hf://``.

    Raises
    ------
    RemoteError
        If it is not the name of a repository.
    """
    place = location(name)
    address = place if isinstance(place, Address) else parse_address(f"hf://{name}")
    if not address.repository or address.path:
        raise RemoteError(f"{address} is not a repository. Expected owner/repo.")
    return address


def _parse_hub(text: str) -> Address:
    def wrong(why: str) -> RemoteError:
        return RemoteError(
            f"{quoted('hf://' + text)}: {why}. Expected hf://owner/repo/file or "
            "hf://owner/repo@revision/file."
        )

    owner, _, rest = text.partition("/")
    if owner in {"datasets", "spaces"} and rest.count("/"):
        raise wrong(f"{owner} are not read, only models")
    head, _, path = rest.partition("/")
    repo, at, revision = head.partition("@")
    if at and (match := _REFERENCE.match(rest, len(repo) + 1)):
        revision, path = match[0], rest[match.end() + 1 :]
    revision = unquote(revision)
    for part in (owner, repo):
        if not _OWNER_OR_REPO.fullmatch(part) or len(part) > 96:
            raise wrong(f"{quoted(part)} is not the name of an owner or a repository")
    parts = (path.split("/") if path else []) + (revision.split("/") if at else [])
    if {"", ".", ".."} & {*parts} or not text.isprintable() or not revision.isprintable():
        raise wrong("a part of it is empty, leads out or has control characters")
    shown = revision if _REFERENCE.fullmatch(revision) else quote(revision, safe="")
    root = f"hf://{owner}/{repo}{at}{shown}"
    return Address(root, quote(path), f"{owner}/{repo}", revision, endpoint())
