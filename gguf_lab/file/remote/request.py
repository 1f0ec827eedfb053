"""One request: sent by httpx, followed through redirects, read no further than was agreed.

The token goes to the hub and nowhere else. The client's own log is kept silent meanwhile: it would
show the signed URLs that a hub redirects to.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import RemoteError
from ..text import printable
from .deadline import Transient, within
from .login import find_token, is_hub
from .urls import redirected, shown_url, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import httpx

    from .login import Token
    from .options import RemoteOptions

__all__ = ["Answer", "Hub", "Request"]

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_SMALL = 1 << 14  # a body that is read to its end so that the connection can be used again
_CONNECTIONS = 64
_LOGS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")

_state = threading.local()


@dataclass(slots=True)
class Hub:
    """What the hub itself said, before it redirected to where the bytes are.

    Attributes
    ----------
    etag : str
        Hash of the content (``X-Linked-Etag``); empty if it did not say.
    commit : str
        Of the revision (``X-Repo-Commit``); empty if it did not say.
    """

    etag: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : int
    headers : Mapping of str to str
        Names in any case.
    body : bytes
        As much as was accepted; one byte more if the server sent more.
    url : str
        Who gave it, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(slots=True)
class Request:
    """A GET request and its redirects.

    Attributes
    ----------
    headers : Mapping of str to str
    accept : callable
        Takes the status and the headers, looks at them, and returns how many bytes of the body
        are read at most.
    end : float
        By when all of it must be done, of `time.monotonic`.
    options : RemoteOptions
    count : callable
        Is told of bytes as they come.
    hub : Hub
        What the hub said on the way.
    """

    headers: Mapping[str, str]
    accept: Callable[[int, Mapping[str, str]], int]
    end: float
    options: RemoteOptions
    count: Callable[[int], None]
    hub: Hub = field(default_factory=Hub)

    def follow(self, url: str) -> Answer:
        """Send it, follow its redirects, return the last answer.

        Raises
        ------
        RemoteError
            If a redirect leads nowhere; what `accept` raises.
        Transient
            If there was no whole answer.
        TimeoutError
            If it is not done in time.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            left = self.end - time.monotonic()
            answer = within(left, partial(self._send, url))
            if answer.status not in _REDIRECTS:
                return answer
            url = redirected(url, answer.headers.get("location", ""))
        raise RemoteError(
            f"{shown_url(url)}: more than {_MOST_REDIRECTS} redirects. Check the address."
        )

    def _send(self, url: str) -> Answer:
        import httpx

        host = split_url(url).hostname or ""
        ours = is_hub(url)
        token = find_token() if ours else None
        read, connect = self.options.read_timeout, self.options.connect_timeout
        _state.silent = True  # of this thread, which ends with the request
        try:
            with _client(os.getpid()).stream(
                "GET",
                url,
                headers=dict(self.headers),
                auth=None if token is None else _bearer(token),
                timeout=httpx.Timeout(read, connect=connect),
            ) as response:
                status, headers = response.status_code, response.headers
                if ours:
                    self.hub.etag = self.hub.etag or headers.get("x-linked-etag", "")
                    self.hub.commit = self.hub.commit or headers.get("x-repo-commit", "")
                most = _SMALL if status in _REDIRECTS else self.accept(status, headers)
                return Answer(status, headers, self._body(response, most), url)
        except httpx.ConnectTimeout:
            raise Transient(f"no connection to {host} within {connect:g} seconds") from None
        except httpx.ReadTimeout:
            raise Transient(f"{host} sent nothing for {read:g} seconds") from None
        except httpx.ConnectError as problem:
            words = printable(str(problem), 200)
            if "CERTIFICATE" in words.upper():
                raise RemoteError(f"{host} has no valid certificate: {words}.") from None
            raise Transient(f"no connection to {host} ({words})") from None
        except UnicodeError:  # of IDNA: a label of the host is empty, too long or malformed
            raise RemoteError(
                f"{printable(host)}, or where it redirects to, is no name of a host. Check the"
                " address."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
            kind = type(problem).__name__  # its text may repeat what was sent
            raise Transient(f"the connection to {host} broke off ({kind})") from None

    def _body(self, response: httpx.Response, most: int) -> bytes:
        """Read at most so many bytes, and one more if there are more."""
        body = bytearray()
        if most:
            for part in response.iter_raw():
                self.count(len(part))
                body += part[: most + 1 - len(body)]
                if len(body) > most:
                    break
                if time.monotonic() > self.end:
                    raise TimeoutError
        return bytes(body)


@cache
def _client(process: int) -> httpx.Client:
    """Return the client of the process, with its pool of connections."""
    import httpx

    for name in _LOGS:
        logging.getLogger(name).addFilter(_not_ours)
    client = httpx.Client(
        headers={"Accept-Encoding": "identity", "User-Agent": f"gguf-lab/{__version__}"},
        follow_redirects=False,
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=16),
    )
    atexit.register(client.close)
    return client


def _not_ours(_: logging.LogRecord) -> bool:
    return not getattr(_state, "silent", False)


def _bearer(token: Token) -> httpx.Auth:
    """Return what adds the token to a request: no variable holds it as plain text."""
    import httpx

    class Bearer(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, Any, None]:
            request.headers["Authorization"] = token.header()
            yield request

    return Bearer()
