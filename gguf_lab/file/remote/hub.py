"""What a hub says about a repository: its files, and the models that its card names as its base.

Source: the API of the Hugging Face Hub, ``/api/models/{repo}/revision/{revision}`` and
``/api/models/{repo}/tree/{revision}``, whose pages are joined by the header ``Link``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from ...errors import RemoteError
from .address import Address, parse_repository
from .small import read_small
from .urls import origin, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .options import RemoteOptions

__all__ = ["HubFile", "Repository", "read_repository"]

_ANSWER = 32 << 20  # bytes of one answer
_MOST_PAGES = 100
_NEXT = re.compile(r'<([^<>]{1,4000})>\s*;\s*rel="?next"?', re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository.

    Attributes
    ----------
    path : str
        With its folders.
    size : int
        Bytes.
    """

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit.

    Attributes
    ----------
    address : Address
    files : tuple of HubFile
        All of them, in the order of the hub.
    base_models : tuple of str
        What the card names as ``base_model``; names of repositories.
    """

    address: Address
    files: tuple[HubFile, ...]
    base_models: tuple[str, ...]


def read_repository(name: str | Address, options: RemoteOptions | None = None) -> Repository:
    """Ask the hub for the files of a repository and for its card.

    Parameters
    ----------
    name : str or Address
        ``owner/repo``, ``owner/repo@revision``, or the same behind ``hf://``.
    options : RemoteOptions, optional
        Default: those of the environment.

    Raises
    ------
    RemoteError
        If there is no such repository, or the hub does not answer as a hub does.
    """
    address = parse_repository(name)
    endpoint = address.url.partition(f"/{address.repository}/resolve/")[0]
    api = f"{endpoint}/api/models/{address.repository}"
    revision = quote(address.revision or "main", safe="")
    info, _ = _get(f"{api}/revision/{revision}", address, options)
    if not isinstance(info, dict):
        raise _strange(address, "an object that describes it")
    commit = info.get("sha")
    if isinstance(commit, str) and _COMMIT.fullmatch(commit):
        revision = commit
    tree = f"{api}/tree/{revision}?recursive=true&limit=1000"
    files = tuple(file for page in _pages(tree, address, options) for file in _files(page, address))
    return Repository(address, files, _base_models(info.get("cardData")))


def _pages(url: str, address: Address, options: RemoteOptions | None) -> Iterator[Any]:
    for _ in range(_MOST_PAGES):
        page, link = _get(url, address, options)
        yield page
        match = _NEXT.search(link[:8192])
        if match is None:
            return
        following = urljoin(url, match[1])
        if origin(following) != origin(url):
            raise _strange(address, "the next page of its files on the same host")
        url = following
    raise RemoteError(f"{address} has more than {_MOST_PAGES} pages of files. Name a file of it.")


def _files(page: Any, address: Address) -> Iterator[HubFile]:
    if not isinstance(page, list):
        raise _strange(address, "a list of its files")
    for entry in page:
        if not isinstance(entry, dict):
            raise _strange(address, "an object for each file")
        path, size = entry.get("path"), entry.get("size")
        if entry.get("type") != "file":
            continue
        if not isinstance(path, str) or type(size) is not int or not 0 <= size < 2**63:
            raise _strange(address, "a path and a size for each file")
        yield HubFile(path, size)


def _base_models(card: Any) -> tuple[str, ...]:
    named = card.get("base_model") if isinstance(card, dict) else None
    names = named if isinstance(named, list) else [named]
    # What is no name of a repository (a path of the maker's machine) leads nowhere.
    return tuple(n for n in names if isinstance(n, str) and _REPOSITORY.fullmatch(n))


def _get(url: str, address: Address, options: RemoteOptions | None) -> tuple[Any, str]:
    answer = read_small(address, _ANSWER, options, url=url)
    try:
        return json.loads(answer.body), answer.headers.get("link", "")
    except (ValueError, RecursionError):
        raise _strange(address, "JSON") from None


def _strange(address: Address, expected: str) -> RemoteError:
    return RemoteError(
        f"{address}: the hub ({shown_url(address.url).partition('/resolve/')[0]}) does not answer "
        f"as one. Expected {expected}. Is HF_ENDPOINT right?"
    )
