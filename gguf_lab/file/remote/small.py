"""Small files, configurations and answers of the hub's API, read whole up to a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import RemoteError
from .deadline import Transient, persist
from .options import RemoteOptions
from .ranges import LATER
from .refusals import refused, wrong_answer
from .request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .address import Address

__all__ = ["SmallFile", "read_small"]


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A whole file.

    Attributes
    ----------
    body : bytes
    headers : Mapping of str to str
        Names in any case.
    pinned : Address
        Its name, at the commit that the hub named.
    """

    body: bytes
    headers: Mapping[str, str]
    pinned: Address


def read_small(
    name: Address,
    limit: int,
    options: RemoteOptions | None = None,
    *,
    url: str = "",
    count: Callable[[int], None] = lambda _: None,
) -> SmallFile:
    """Read a whole file.

    Parameters
    ----------
    name : Address
        What is read, and what it is called in messages.
    limit : int
        The most bytes it may have.
    options : RemoteOptions, optional
        Default: those of the environment.
    url : str, optional
        What is asked for instead of the URL of `name`.
    count : callable, optional
        Is told of bytes as they come.

    Raises
    ------
    RemoteError
        If it cannot be had or is longer; a `MissingFileError` if it is not there.
    """
    options = options or RemoteOptions.from_environment()

    def accept(status: int, headers: Mapping[str, str]) -> int:
        if status != 200:
            return 0
        if (encoding := headers.get("content-encoding", "identity")) not in {"", "identity"}:
            raise wrong_answer(str(name), f"sends the encoding {encoding[:40]!r}")
        return limit

    def attempt(end: float) -> SmallFile:
        request = Request({}, accept, end, options, count)
        answer = request.follow(url or name.url)
        if answer.status in LATER:
            wait = answer.headers.get("retry-after")
            raise Transient(f"the server answers {answer.status}", wait)
        if answer.status != 200:
            raise refused(name, answer)
        if len(answer.body) > limit:
            raise RemoteError(
                f"{name} has more than the {limit:,} bytes that such a file may have."
            )
        commit = request.hub.commit if name.repository else ""
        return SmallFile(answer.body, answer.headers, name.at(commit) if commit else name)

    return persist(str(name), attempt, options)
