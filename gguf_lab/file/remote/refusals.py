"""What is said when a server does not give what was asked, and what to do then."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ...errors import RemoteError
from .urls import shown_url

if TYPE_CHECKING:
    from .address import Address
    from .request import Answer

__all__ = ["MissingFileError", "changed", "no_ranges", "refused", "wrong_answer"]


class MissingFileError(RemoteError):
    """The server has no such file."""


def changed(name: str, how: str) -> RemoteError:
    """Make the error of a file that is not the one that was opened."""
    return RemoteError(
        f"{name} has changed since it was opened: {how}. Nothing of the new version was used; open "
        "it again."
    )


def wrong_answer(name: str, what: str) -> RemoteError:
    """Make the error of a server that does not keep to the protocol."""
    return RemoteError(
        f"{name}: the server {what}. Expected exactly the bytes that were asked. The server, or a "
        "proxy before it, is at fault; try another address, or download the file."
    )


def no_ranges(address: Address, status: int) -> RemoteError:
    """Make the error of a server that has only whole files."""
    return RemoteError(
        f"{address} can only be had whole: the server answers {status} where a part was asked "
        f"(expected 206). Download it and open the file: {_download(address)}"
    )


def _download(address: Address) -> str:
    if address.repository:
        return f"hf download {address.repository} {shlex.quote(unquote(address.path))}"
    return f"curl -L -O {shlex.quote(str(address))}"


def refused(address: Address, answer: Answer) -> RemoteError:
    """Make the error of any other status, by what it means."""
    status, who = answer.status, shown_url(answer.url)
    if status == 404:
        advice = "Check owner, repository, revision and file" if address.repository else "Check it"
        return MissingFileError(f"{address} does not exist ({who} answers 404). {advice}.")
    if status in {401, 403}:
        advice = "Check the address, or whether a signature in it has expired."
        if address.repository:
            advice = (
                f"If {address.repository} exists, it is private or its licence must be accepted on "
                "its page; then log in with `hf auth login` or set HF_TOKEN to a token that may "
                "read it."
            )
        return RemoteError(f"{address} is refused ({who} answers {status}). {advice}")
    return RemoteError(f"{address} cannot be had: {who} answers {status}. Check the address.")
